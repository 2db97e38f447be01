/* A table-driven option parser: "--name value" or "--name=value", units checked strictly. */
#ifndef EXAMPLES_ARGS_H
#define EXAMPLES_ARGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum arg_kind {
  ARG_FLAG,   /* int32_t: 1 when given */
  ARG_TEXT,   /* const char *: points into argv */
  ARG_COUNT,  /* uint64_t in [min, max] */
  ARG_NUMBER, /* double in [min, max] */
  ARG_RATE,   /* uint64_t, bits a second: 80mbit, 1gbit, 512kbit, 9600bit; off = 0 = not limited */
  ARG_DURATION, /* uint64_t, nanoseconds: 25ms, 2s, 500us; 0 needs no unit */
};

struct arg_spec {
  const char *name;  /* without the dashes */
  const char *value; /* what the help calls the value; NULL for a flag */
  enum arg_kind kind;
  size_t at;        /* offset of the value in the options struct */
  double min, max;  /* COUNT and NUMBER */
  const char *help; /* NULL: private, not listed */
};

/* Parses argv[1..] into the struct at `options`. Every argument must be one of the options, each
 * given once. Returns 0, or -1 with a one-line message that names the option. */
int args_parse(const struct arg_spec *specs, size_t count, void *options, int argc, char **argv,
               char *message, size_t message_cap);
void args_help(const struct arg_spec *specs, size_t count, FILE *to);

/* Single values by the same rules: 0, or -1 when the text is not exactly one. */
int args_rate(const char *text, uint64_t *bits_per_s);
int args_duration(const char *text, uint64_t *ns);

#endif

#include "args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
  const char *name;
  double scale;
};

/* A decimal number (no sign, no hex, no inf) and what follows it. */
static int decimal(const char *text, double *value, const char **rest) {
  size_t n = strspn(text, "0123456789.");
  if (n == 0 || text[0] == '.' || n > 24) return -1;
  char digits[32];
  memcpy(digits, text, n);
  digits[n] = 0;
  char *end;
  *value = strtod(digits, &end);
  if (*end || text[n - 1] == '.') return -1;
  *rest = text + n;
  return 0;
}

static int with_unit(const char *text, const struct unit *units, uint64_t *out) {
  double value;
  const char *rest;
  if (decimal(text, &value, &rest) != 0) return -1;
  for (; units->name; units++) {
    if (strcmp(rest, units->name) != 0) continue;
    double scaled = value * units->scale;
    if (scaled > 1e18) return -1;
    *out = (uint64_t)llround(scaled);
    return 0;
  }
  return -1;
}

int args_rate(const char *text, uint64_t *bits_per_s) {
  static const struct unit units[] = {
      {"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 0}};
  if (strcmp(text, "off") == 0) {
    *bits_per_s = 0;
    return 0;
  }
  return with_unit(text, units, bits_per_s) == 0 && *bits_per_s > 0 ? 0 : -1;
}

int args_duration(const char *text, uint64_t *ns) {
  static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
  if (strcmp(text, "0") == 0) {
    *ns = 0;
    return 0;
  }
  return with_unit(text, units, ns);
}

static int parse_count(const struct arg_spec *spec, void *to, const char *text, char *message,
                       size_t cap) {
  size_t digits = strspn(text, "0123456789");
  errno = 0;
  unsigned long long value = strtoull(text, NULL, 10);
  if (digits == 0 || text[digits] || errno || (double)value < spec->min ||
      (double)value > spec->max) {
    snprintf(message, cap, "--%s: '%s' is not a whole number from %.0f to %.0f", spec->name, text,
             spec->min, spec->max);
    return -1;
  }
  *(uint64_t *)to = value;
  return 0;
}

static int parse_number(const struct arg_spec *spec, void *to, const char *text, char *message,
                        size_t cap) {
  double value;
  const char *rest;
  if (decimal(text, &value, &rest) != 0 || *rest || value < spec->min || value > spec->max) {
    snprintf(message, cap, "--%s: '%s' is not a number from %g to %g", spec->name, text, spec->min,
             spec->max);
    return -1;
  }
  *(double *)to = value;
  return 0;
}

static int parse_value(const struct arg_spec *spec, void *to, const char *text, char *message,
                       size_t cap) {
  switch (spec->kind) {
  case ARG_TEXT:
    *(const char **)to = text;
    return 0;
  case ARG_COUNT:
    return parse_count(spec, to, text, message, cap);
  case ARG_NUMBER:
    return parse_number(spec, to, text, message, cap);
  case ARG_RATE:
    if (args_rate(text, to) == 0) return 0;
    snprintf(message, cap, "--%s: '%s' is not a rate such as 80mbit, 512kbit, 1gbit or off",
             spec->name, text);
    return -1;
  case ARG_DURATION:
    if (args_duration(text, to) == 0) return 0;
    snprintf(message, cap, "--%s: '%s' is not a time such as 25ms, 2s or 500us", spec->name, text);
    return -1;
  case ARG_FLAG:
    break;
  }
  return -1;
}

static size_t find(const struct arg_spec *specs, size_t count, const char *name, size_t len) {
  size_t i = 0;
  while (i < count && (strncmp(specs[i].name, name, len) != 0 || specs[i].name[len])) i++;
  return i;
}

static int parse_one(const struct arg_spec *spec, void *to, int argc, char **argv, int *at,
                     char *message, size_t cap) {
  const char *equals = strchr(argv[*at], '=');
  if (spec->kind == ARG_FLAG) {
    if (equals) {
      snprintf(message, cap, "--%s takes no value", spec->name);
      return -1;
    }
    *(int32_t *)to = 1;
    return 0;
  }
  const char *value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
  if (!value || !*value) {
    snprintf(message, cap, "--%s needs a value (%s)", spec->name, spec->value);
    return -1;
  }
  return parse_value(spec, to, value, message, cap);
}

int args_parse(const struct arg_spec *specs, size_t count, void *options, int argc, char **argv,
               char *message, size_t message_cap) {
  unsigned char *seen = calloc(count, 1);
  int result = seen ? 0 : -1;
  for (int i = 1; i < argc && result == 0; i++) {
    const char *name = argv[i];
    size_t which = count;
    if (strncmp(name, "--", 2) == 0) which = find(specs, count, name + 2, strcspn(name + 2, "="));
    if (which == count) {
      snprintf(message, message_cap, "'%s' is not an option; see --help", name);
      result = -1;
    } else if (seen[which]) {
      snprintf(message, message_cap, "--%s is given twice", specs[which].name);
      result = -1;
    } else {
      seen[which] = 1;
      result = parse_one(&specs[which], (char *)options + specs[which].at, argc, argv, &i, message,
                         message_cap);
    }
  }
  free(seen);
  return result;
}

void args_help(const struct arg_spec *specs, size_t count, FILE *to) {
  for (size_t i = 0; i < count; i++) {
    if (!specs[i].help) continue;
    char left[48];
    snprintf(left, sizeof left, "--%s%s%s", specs[i].name, specs[i].value ? " " : "",
             specs[i].value ? specs[i].value : "");
    fprintf(to, "  %-22s %s\n", left, specs[i].help);
  }
}

/* What the command line says, and the same kept in DIR/options so that --resume needs no other
 * argument. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "uv_link.h"

struct options {
  /* the job */
  const char *text, *out, *manifest, *prompt, *device, *boundary;
  uint64_t stages, threads, seed, steps;
  uint64_t cut_stages; /* what the model was cut for: stages, unless a resume says other ones */
  uint64_t rate, delay; /* bits a second, nanoseconds */
  double compress;
  const char *compress_text, *trace; /* R or "auto"; Mbit/s, one part of the steps each */
  int32_t compress_auto;
  const char *transport; /* tcp, udp */
  const char *netns;     /* prefix of network namespaces (place.h), or NULL */
  double loss;
  uint64_t cut; /* nanoseconds */
  const char *schedule; /* sync, async (weights stashed) or newest (async without stash) */
  uint64_t window;      /* async: micro-batches under way */
  int32_t baseline, resume, help;
  /* the model, unless there is a manifest */
  uint64_t blocks, width, seq_len, micro_batch, micro_batches;
  double lr;
  /* on the way */
  uint64_t eval_every, eval_batches, snapshot_every, sample, deposit;
  /* verify instead */
  const char *verify, *vkey;
  /* private: a worker process; see worker.c */
  const char *name, *codec, *origin;
  int32_t is_worker;
  uint64_t worker, port, start_step, parent;
  char *saved; /* text of DIR/options that the strings above point into */
};

/* 0, or -1 with a message that names the option. */
int options_parse(struct options *o, int argc, char **argv, char *message, size_t message_cap);
void options_help(void);

/* Bits a second of a link while that step is trained: --rate, or what --trace says; 0: it says nothing that can
 * be read. */
#define OPTIONS_MAX_TRACE 16
uint64_t options_rate(const struct options *o, uint64_t step);

/* What the links run over, as it is while that step is trained; `datagram` of their plr_link_options. */
struct uv_link_options options_wire(const struct options *o, uint64_t step);
uint32_t options_datagram(const struct options *o);

/* PLR_PIPELINE_* and what a stage of an asynchronous pipeline needs: forwards it may be ahead, PLR_DELAYED_*. */
struct options_schedule {
  uint32_t schedule, window, in_flight, delayed, versions;
};
struct options_schedule options_schedule(const struct options *o, uint32_t stage, uint32_t stages,
                                         uint32_t micro_batches);

/* Keeps the arguments as one line each; reads them back in place of the command line, of which
 * only --out and --resume were given. options_free ends the life of what was read. */
int options_save(const struct options *o, int argc, char **argv, char *message, size_t message_cap);
int options_load(struct options *o, int argc, char **argv, char *message, size_t message_cap);
void options_free(struct options *o);

#endif

#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pluralis/stage.h>

#include "args.h"
#include "strbuf.h"
#include "text.h"

#define MAX_SAVED 64

#define AT(field) offsetof(struct options, field)

/* clang-format off */
static const struct arg_spec specs[] = {
    {"text", "FILE", ARG_TEXT, AT(text), 0, 0, "text; its last tenth is for validation"},
    {"out", "DIR", ARG_TEXT, AT(out), 0, 0, "folder for keys, ledger, snapshots and report (out)"},
    {"stages", "N", ARG_COUNT, AT(stages), 1, 64, "processes the model is split over (4)"},
    {"rate", "RATE", ARG_RATE, AT(rate), 0, 0, "of each direction of each link, or off (80mbit)"},
    {"delay", "TIME", ARG_DURATION, AT(delay), 0, 0, "of each direction of each link (25ms)"},
    {"compress", "R", ARG_TEXT, AT(compress_text), 0, 0,
     "dense bf16 bytes per byte sent, at least; 1 = dense; auto = dense, bits follow the link (100)"},
    {"trace", "M:M...", ARG_TEXT, AT(trace), 0, 0,
     "rates of the links in Mbit/s, each for an equal part of the steps, such as 200:20"},
    {"transport", "T", ARG_TEXT, AT(transport), 0, 0, "what the links run over: tcp, or udp (tcp)"},
    {"loss", "X", ARG_NUMBER, AT(loss), 0, 0.5, "part of the datagrams to drop, with udp (0)"},
    {"cut", "TIME", ARG_DURATION, AT(cut), 0, 0,
     "reset every connection after that time, with tcp, as bad networks do; 0 = never (0)"},
    {"netns", "PREFIX", ARG_TEXT, AT(netns), 0, 0,
     "processes in the network namespaces PREFIX0 (parent), PREFIX1, ...; see tests/net"},
    {"schedule", "KIND", ARG_TEXT, AT(schedule), 0, 0,
     "sync, async or newest: no flush, with old weights kept or not (sync)"},
    {"window", "N", ARG_COUNT, AT(window), 1, 4096,
     "micro-batches under way when there is no flush (4 for each stage)"},
    {"boundary", "KIND", ARG_TEXT, AT(boundary), 0, 0,
     "what crosses a cut: projector, or subspace (projector)"},
    {"baseline", NULL, ARG_FLAG, AT(baseline), 0, 0,
     "train the dense, uncompressed model as well, at the same tokens"},
    {"steps", "N", ARG_COUNT, AT(steps), 1, 1e9, "training steps (120)"},
    {"resume", NULL, ARG_FLAG, AT(resume), 0, 0,
     "go on with what is in --out, with its options; --stages may be another number"},
    {"blocks", "N", ARG_COUNT, AT(blocks), 1, 1024, "blocks of the model (8)"},
    {"width", "N", ARG_COUNT, AT(width), 64, 65536, "width of the model, a multiple of 64 (256)"},
    {"seq", "N", ARG_COUNT, AT(seq_len), 8, 65536, "bytes of a sequence (128)"},
    {"micro-batch", "N", ARG_COUNT, AT(micro_batch), 1, 4096, "sequences of a micro-batch (8)"},
    {"micro-batches", "N", ARG_COUNT, AT(micro_batches), 1, 4096, "micro-batches of a step (2)"},
    {"lr", "X", ARG_NUMBER, AT(lr), 1e-7, 1, "peak learning rate (0.003)"},
    {"seed", "N", ARG_COUNT, AT(seed), 0, 1e15, "of weights and of the order of the text (1)"},
    {"manifest", "FILE", ARG_TEXT, AT(manifest), 0, 0,
     "model to train, as JSON, instead of the model options above"},
    {"threads", "N", ARG_COUNT, AT(threads), 1, 256, "that compute, in each stage (1)"},
    {"device", "NAME", ARG_TEXT, AT(device), 0, 0,
     "cpu, cuda, cuda:N or cuda:PATH of a plugin, for every stage (cpu)"},
    {"eval-every", "N", ARG_COUNT, AT(eval_every), 1, 1e9, "steps between evaluations"},
    {"eval-batches", "N", ARG_COUNT, AT(eval_batches), 1, 1e6, "micro-batches of one (4)"},
    {"snapshot-every", "N", ARG_COUNT, AT(snapshot_every), 0, 1e9,
     "steps between snapshots, 0 = only at the end (40)"},
    {"sample", "N", ARG_COUNT, AT(sample), 0, 1e6, "bytes to generate at the end (240)"},
    {"prompt", "TEXT", ARG_TEXT, AT(prompt), 0, 0, "what the sample continues (And the )"},
    {"deposit", "N", ARG_COUNT, AT(deposit), 1, 1e12, "revenue at the end, whole XTS (1000)"},
    {"verify", "DIR", ARG_TEXT, AT(verify), 0, 0, "check the ledger exported to DIR, nothing else"},
    {"vkey", "KEY", ARG_TEXT, AT(vkey), 0, 0, "key to hold it against (DIR/ledger.vkey)"},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "this text"},
    {"is-worker", NULL, ARG_FLAG, AT(is_worker), 0, 0, NULL},
    {"worker", "I", ARG_COUNT, AT(worker), 0, 63, NULL},
    {"name", "NAME", ARG_TEXT, AT(name), 0, 0, NULL},
    {"codec", "NAME", ARG_TEXT, AT(codec), 0, 0, NULL},
    {"origin", "NAME", ARG_TEXT, AT(origin), 0, 0, NULL},
    {"port", "N", ARG_COUNT, AT(port), 1, 65535, NULL},
    {"start-step", "N", ARG_COUNT, AT(start_step), 0, 1e15, NULL},
    {"parent", "PID", ARG_COUNT, AT(parent), 1, 1e10, NULL},
};
/* clang-format on */
#define SPECS (sizeof specs / sizeof *specs)

static void set_defaults(struct options *o) {
  *o = (struct options){.out = "out",
                        .prompt = "And the ",
                        .device = "cpu",
                        .boundary = "projector",
                        .transport = "tcp",
                        .schedule = "sync",
                        .stages = 4,
                        .threads = 1,
                        .seed = 1,
                        .steps = 120,
                        .rate = 80000000,
                        .delay = 25000000,
                        .compress = 100,
                        .blocks = 8,
                        .width = 256,
                        .seq_len = 128,
                        .micro_batch = 8,
                        .micro_batches = 2,
                        .lr = 0.003,
                        .eval_batches = 4,
                        .snapshot_every = 40,
                        .sample = 240,
                        .deposit = 1000};
}

static int say(char *message, size_t cap, const char *text) {
  snprintf(message, cap, "%s", text);
  return -1;
}

static int read_compress(struct options *o, char *message, size_t cap) {
  char *end;
  if (!o->compress_text) return 0;
  o->compress_auto = strcmp(o->compress_text, "auto") == 0;
  o->compress = o->compress_auto ? 1 : strtod(o->compress_text, &end);
  if (o->compress_auto ||
      (end != o->compress_text && !*end && o->compress >= 1 && o->compress <= 1e6))
    return 0;
  snprintf(message, cap, "--compress: '%s' is neither auto nor a number from 1 to 1e6",
           o->compress_text);
  return -1;
}

uint64_t options_rate(const struct options *o, uint64_t step) {
  uint64_t rates[OPTIONS_MAX_TRACE], n = 0;
  if (!o->trace) return o->rate;
  for (const char *at = o->trace; n < OPTIONS_MAX_TRACE; at++) {
    char *end;
    const double mbit = strtod(at, &end);
    if (end == at || !(mbit >= 0.01 && mbit <= 1e6) || (*end && *end != ':')) return 0;
    rates[n++] = (uint64_t)(mbit * 1e6);
    at = end;
    if (!*at) break;
  }
  const uint64_t part = o->steps ? step * n / o->steps : 0;
  return rates[part < n ? part : n - 1];
}

struct uv_link_options options_wire(const struct options *o, uint64_t step) {
  return (struct uv_link_options){.udp = strcmp(o->transport, "udp") == 0,
                                  .bits_per_s = options_rate(o, step),
                                  .delay_ns = o->delay,
                                  .loss = o->loss,
                                  .cut_ns = o->cut};
}

uint32_t options_datagram(const struct options *o) {
  return strcmp(o->transport, "udp") == 0 ? UV_LINK_DATAGRAM : 0;
}

static int check_transport(const struct options *o, char *message, size_t cap) {
  const int udp = strcmp(o->transport, "udp") == 0;
  if (!udp && strcmp(o->transport, "tcp") != 0)
    return say(message, cap, "--transport: must be tcp or udp");
  if (!udp && o->loss > 0)
    return say(message, cap, "--loss: only with --transport udp; tcp hides losses");
  if (udp && o->cut)
    return say(message, cap, "--cut: only with --transport tcp; udp has no connections");
  if (o->cut && o->cut < 10000000) return say(message, cap, "--cut: at least 10ms");
  return 0;
}

/* A stage is ahead by what is on its way to the last stage and back: less, the later it comes. */
struct options_schedule options_schedule(const struct options *o, uint32_t stage, uint32_t stages,
                                         uint32_t micro_batches) {
  struct options_schedule s = {.in_flight = stages - stage, .versions = 1};
  if (strcmp(o->schedule, "sync") == 0) {
    if (s.in_flight > micro_batches) s.in_flight = micro_batches;
    return s;
  }
  s.schedule = PLR_PIPELINE_ASYNC;
  s.window = o->window ? (uint32_t)o->window : 4 * stages;
  s.in_flight = stage + 1 == stages ? 1 : (s.window * (stages - stage) + stages - 1) / stages;
  s.delayed = strcmp(o->schedule, "async") == 0 ? PLR_DELAYED_STASH : PLR_DELAYED_NEWEST;
  if (s.delayed == PLR_DELAYED_STASH)
    s.versions = 2 + (s.in_flight - 1 + micro_batches - 1) / micro_batches;
  return s;
}

static int check(struct options *o, char *message, size_t cap) {
  o->cut_stages = o->stages;
  if (read_compress(o, message, cap) != 0) return -1;
  if (o->trace && options_rate(o, 0) == 0)
    return say(message, cap, "--trace: rates in Mbit/s from 0.01 to 1000000 with ':' between them");
  if (check_transport(o, message, cap) != 0) return -1;
  if (o->netns && strlen(o->netns) > PLACE_MAX_PREFIX)
    return say(message, cap, "--netns: at most 32 characters");
  if (strcmp(o->schedule, "sync") != 0 && strcmp(o->schedule, "async") != 0 &&
      strcmp(o->schedule, "newest") != 0)
    return say(message, cap, "--schedule: must be sync, async or newest");
  if (o->help || o->verify || o->is_worker) return 0;
  if (!o->text && !o->resume) return say(message, cap, "--text FILE is missing; see --help");
  if (o->width % 64) return say(message, cap, "--width: must be a multiple of 64");
  if (strcmp(o->boundary, "projector") != 0 && strcmp(o->boundary, "subspace") != 0)
    return say(message, cap, "--boundary: must be projector or subspace");
  if (!o->manifest && o->blocks < o->stages)
    return say(message, cap, "--stages: more stages than the model has blocks (--blocks)");
  if (o->manifest && o->baseline)
    return say(message, cap,
               "--baseline: not together with --manifest; run the dense manifest by itself");
  if (!o->eval_every) o->eval_every = o->steps > 12 ? (o->steps + 11) / 12 : 1;
  return 0;
}

int options_parse(struct options *o, int argc, char **argv, char *message, size_t message_cap) {
  set_defaults(o);
  if (args_parse(specs, SPECS, o, argc, argv, message, message_cap) != 0) return -1;
  return check(o, message, message_cap);
}

void options_help(void) {
  puts("Trains one transformer across several processes over slow links, keeps the ledger of who "
       "did\n"
       "what, and writes a report.\n\n"
       "  pluralis-train --text FILE [options]     train\n"
       "  pluralis-train --out DIR --resume        go on after an interruption\n"
       "  pluralis-train --verify DIR              check an exported ledger\n");
  args_help(specs, SPECS, stdout);
}

/* ---- DIR/options
 * -------------------------------------------------------------------------------- */

static int options_path(const struct options *o, char *path, size_t cap, char *message,
                        size_t message_cap) {
  if (snprintf(path, cap, "%s/options", o->out) < (int)cap) return 0;
  snprintf(message, message_cap, "--out: the path is too long");
  return -1;
}

int options_save(const struct options *o, int argc, char **argv, char *message,
                 size_t message_cap) {
  char path[1024];
  if (options_path(o, path, sizeof path, message, message_cap) != 0) return -1;
  for (int i = 1; i < argc; i++)
    if (strchr(argv[i], '\n')) return say(message, message_cap, "an option holds a line break");
  FILE *file = fopen(path, "w");
  int ok = file != NULL;
  for (int i = 1; ok && i < argc; i++) ok = fprintf(file, "%s\n", argv[i]) > 0;
  if (file && fclose(file) != 0) ok = 0;
  if (ok) return 0;
  snprintf(message, message_cap, "%s: %s", path, strerror(errno));
  return -1;
}

int options_load(struct options *o, int argc, char **argv, char *message, size_t message_cap) {
  char path[1024];
  struct text saved;
  const char *out = o->out;
  uint64_t stages = 0;
  int given = argc - 1 - (o->resume ? 1 : 0);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--out") == 0) given -= 2;
    if (strncmp(argv[i], "--out=", 6) == 0) given -= 1;
    if (strcmp(argv[i], "--stages") == 0) given -= 2, stages = o->stages;
    if (strncmp(argv[i], "--stages=", 9) == 0) given -= 1, stages = o->stages;
  }
  if (given > 0)
    return say(message, message_cap,
               "--resume: only --out and --stages may come with it; the rest is in the folder");
  if (options_path(o, path, sizeof path, message, message_cap) != 0) return -1;
  if (text_load(path, &saved, message, message_cap) != 0) {
    size_t n = strlen(message);
    snprintf(message + n, message_cap - n, " (there is nothing to resume in %s)", out);
    return -1;
  }
  char *args[MAX_SAVED] = {argv[0]}, *at = (char *)saved.bytes, *end = at + saved.len;
  int count = 1;
  while (at < end && count < MAX_SAVED) {
    char *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline) break;
    *newline = 0;
    args[count++] = at;
    at = newline + 1;
  }
  int result = options_parse(o, count, args, message, message_cap);
  o->saved = (char *)saved.bytes;
  o->out = out;
  o->resume = 1;
  if (stages) o->stages = stages; /* snapshots load into any split */
  return result;
}

void options_free(struct options *o) {
  free(o->saved);
  o->saved = NULL;
}

/* Start of a shard from a safetensors file of a gigabyte that is in the page cache: opening, checking, turning and
 * storing every matrix, beside reading the same file into fresh memory, which any loader must do at least. Ratio: time
 * of reading / time of loading; 1 / 1.2 or more is the aim. */
#include "bench.h"

#include <pluralis/shard.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 2048, \"intermediate_size\": 5632, "
    "\"num_hidden_layers\": 5, \"num_attention_heads\": 16, \"num_key_value_heads\": 4, "
    "\"vocab_size\": 8192, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5}";

static const char train[] =
    "{\"seq_len\": 16, \"micro_batch\": 1, \"micro_batches\": 1, \"optimizer\": \"adamw\", "
    "\"lr\": 1e-3, \"min_lr_ratio\": 1, \"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, "
    "\"weight_decay\": 0, \"clip\": 0, \"z_loss\": 0, \"schedule\": \"constant\", "
    "\"warmup_steps\": 0, "
    "\"steps\": 1, \"data_seed\": 0}";

typedef struct job {
  plr_context *ctx;
  const plr_model *model;
  char path[512];
  size_t size;
} job;

static void need(plr_status st, const plr_error *err) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_load: %s: %s: %s\n", plr_status_name(st), err->where, err->message);
  exit(1);
}

static void load(void *arg) {
  job *j = arg;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1;
  plr_shard *shard = NULL;
  need(plr_weights_open_path(j->ctx, j->path, &o.weights, &err), &err);
  need(plr_shard_create(j->ctx, j->model, &o, &shard, &err), &err);
  plr_shard_destroy(shard);
  plr_weights_destroy(o.weights);
}

/* The file into fresh memory, 8 MiB at a call. */
static void read_all(void *arg) {
  const job *j = arg;
  const size_t piece = (size_t)8 << 20;
  char *memory = malloc(j->size);
  int fd = open(j->path, O_RDONLY);
  size_t at = 0;
  while (memory && fd >= 0 && at < j->size) {
    ssize_t n = read(fd, memory + at, j->size - at < piece ? j->size - at : piece);
    if (n <= 0) break;
    at += (size_t)n;
  }
  if (at != j->size) {
    fprintf(stderr, "bench_load: cannot read %s\n", j->path);
    exit(1);
  }
  close(fd);
  free(memory);
}

/* A file of random weights of this type. */
static void write_file(job *j, uint32_t dtype) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1;
  plr_shard *shard = NULL;
  plr_sink sink;
  need(plr_shard_create(j->ctx, j->model, &o, &shard, &err), &err);
  need(plr_sink_open_path(j->ctx, j->path, &sink, &err), &err);
  need(plr_shard_export(shard, dtype, &sink, &err), &err);
  plr_shard_destroy(shard);
  struct stat st;
  if (stat(j->path, &st) != 0) exit(1);
  j->size = (size_t)st.st_size;
}

static void measure(job *j, const char *name, uint32_t dtype) {
  write_file(j, dtype);
  bench_pair pair = {.ours = load,
                     .peer = read_all,
                     .ours_arg = j,
                     .peer_arg = j,
                     .threads = plr_context_threads(j->ctx),
                     .seconds = 3};
  bench_result r;
  bench_run(&pair, &r);
  bench_print(name, r.ours * 1e3, "ms", "read() of the file into fresh memory", r.peer * 1e3,
              r.ratio,
              "%.2f GB of file, %u threads: %.2f GB/s, %u samples; best %.0f ms against %.0f ms",
              (double)j->size * 1e-9, plr_context_threads(j->ctx), (double)j->size * 1e-9 / r.ours,
              r.samples, r.ours_best * 1e3, r.peer_best * 1e3);
  unlink(j->path);
}

int main(int argc, char **argv) {
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.isa = bench_options(argc, argv);
  co.threads = 2;
  job j = {0};
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_config_options o;
  plr_config_options_init(&o, sizeof o);
  o.train = train;
  plr_model *model = NULL;
  need(plr_context_create(&co, &j.ctx, &err), &err);
  need(plr_model_from_config(j.ctx, config, sizeof config - 1, &o, &model, &err), &err);
  j.model = model;
  const char *folder = getenv("TMPDIR");
  snprintf(j.path, sizeof j.path, "%s/bench_load-%d.safetensors", folder ? folder : ".",
           (int)getpid());
  measure(&j, "load/f32", PLR_DTYPE_F32);
  measure(&j, "load/bf16", PLR_DTYPE_BF16);
  plr_model_destroy(model);
  plr_context_destroy(j.ctx);
  return 0;
}

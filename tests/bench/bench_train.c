/* One training step of a stage in the middle of a model: 4 blocks, d 768, 12 heads, ff 2048; forward + backward +
 * AdamW. FLOP/s count the model's own work (the cost table), not recomputation, and are set against the rate of pure
 * fused multiply-adds measured around each sample.
 *
 * By itself this measures 4 sequences of 256 tokens; the peer is the same stage with every matrix product done by
 * OpenBLAS, which keeps no order of summation: what the step would cost if bits did not have to agree between
 * machines. With --serve SEQ BATCH BOUNDARY (a JSON object) it takes a step for each line of its input, for
 * bench_train.py, which sets it against PyTorch. */
#include "bench.h"

#include "shard/shard_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 768

/* Of a boundary, a sequence length and a micro-batch. */
static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"bench\", \"family\": \"llama\", "
    "\"vocab\": \"bytes\", \"blocks\": 12, \"d_model\": 768, \"heads\": 12, \"kv_heads\": 12, "
    "\"head_dim\": 64, \"d_ff\": 2048, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
    "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [4, 8], "
    "\"boundary\": %s, \"train\": {\"seq_len\": %d, \"micro_batch\": %d, "
    "\"micro_batches\": 1, \"optimizer\": \"adamw\", \"lr\": 1e-4, \"min_lr_ratio\": 0.1, "
    "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "
    "\"schedule\": \"cosine\", \"warmup_steps\": 10, \"steps\": 1000, \"data_seed\": 3}}";

static void must(plr_status st, const char *what) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_train: %s: %s\n", what, plr_status_message(st));
  exit(1);
}

typedef struct stage {
  plr_context *ctx;
  plr_model *model;
  plr_shard *shard;
  int32_t *tokens;
  int64_t rows, width; /* of a boundary */
  plr_tensor in, out, grad_out, grad_in;
} stage;

static void new_tensor(const stage *s, plr_tensor *t, uint64_t seed) {
  float *data = bench_alloc(s->rows * s->width * 4);
  bench_fill(data, s->rows * s->width, seed);
  plr_tensor_matrix(t, data, PLR_DTYPE_F32, s->rows, s->width);
}

/* 0 when the library does not know the boundary. */
static int open_stage(stage *s, uint32_t threads, uint32_t isa, int seq, int batch,
                      const char *boundary) {
  char text[2048];
  const int len = snprintf(text, sizeof text, manifest, boundary, seq, batch);
  memset(s, 0, sizeof *s);
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.threads = threads;
  co.isa = isa;
  must(plr_context_create(&co, &s->ctx, NULL), "context");
  plr_error err = {0};
  if (plr_model_from_json(s->ctx, text, (size_t)len, &s->model, &err) != PLR_OK) {
    fprintf(stderr, "bench_train: %s: %s\n", err.where, err.message);
    return 0;
  }
  plr_shard_options so;
  plr_shard_options_init(&so, sizeof so);
  so.first_block = 4, so.end_block = 8;
  must(plr_shard_create(s->ctx, s->model, &so, &s->shard, NULL), "shard");
  s->rows = (int64_t)seq * batch;
  s->width = s->shard->info->boundary_width;
  s->tokens = bench_alloc((s->rows + batch) * 4);
  for (int64_t i = 0; i < s->rows + batch; i++) s->tokens[i] = (int32_t)(i * 7 % 256);
  new_tensor(s, &s->in, 1);
  new_tensor(s, &s->out, 2);
  new_tensor(s, &s->grad_out, 3);
  new_tensor(s, &s->grad_in, 4);
  return 1;
}

static double gflops_of(const stage *s) {
  uint64_t flops = 0;
  for (uint32_t b = 4; b < 8; b++) flops += plr_model_block_cost(s->model, b) * (uint64_t)s->rows;
  return 1e-9 * (double)flops;
}

static void close_stage(stage *s) {
  plr_tensor *tensors[] = {&s->in, &s->out, &s->grad_out, &s->grad_in};
  for (int i = 0; i < 4; i++) free(tensors[i]->data);
  free(s->tokens);
  plr_shard_destroy(s->shard);
  plr_model_destroy(s->model);
  plr_context_destroy(s->ctx);
}

static void step(void *arg) {
  stage *s = arg;
  must(plr_shard_forward(s->shard, 0, s->tokens, &s->in, &s->out, NULL), "forward");
  must(plr_shard_backward(s->shard, 0, &s->grad_out, &s->grad_in), "backward");
  must(plr_shard_step(s->shard), "step");
}

/* ---- where the time goes ---------------------------------------------------------------------- */

static const plr_device_vtable *inner;
static double spent[PLR_OP_COUNT];

static plr_status timed_run(plr_device *device, plr_op_id op, const void *args) {
  double start = bench_seconds();
  plr_status st = inner->run(device, op, args);
  spent[op] += bench_seconds() - start;
  return st;
}

static void profile(stage *s, char *note, size_t cap) {
  static const struct {
    plr_op_id op;
    const char *name;
  } ops[] = {{PLR_OP_MATMUL, "matmul"},
             {PLR_OP_ATTENTION, "attention"},
             {PLR_OP_ATTENTION_BWD, "its backward"},
             {PLR_OP_ADAMW, "adamw"},
             {PLR_OP_SWIGLU, "swiglu"},
             {PLR_OP_SWIGLU_BWD, "its backward"}};
  plr_device_vtable timed = *s->shard->device->vt;
  inner = s->shard->device->vt;
  timed.run = timed_run;
  s->shard->device->vt = &timed;
  memset(spent, 0, sizeof spent);
  double start = bench_seconds();
  for (int i = 0; i < 3; i++) step(s);
  double total = bench_seconds() - start, rest = total;
  s->shard->device->vt = inner;
  size_t n = 0;
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    rest -= spent[ops[i].op];
    n += (size_t)snprintf(note + n, cap - n, "%s %.1f%%, ", ops[i].name,
                          100.0 * spent[ops[i].op] / total);
  }
  snprintf(note + n, cap - n, "rest %.1f%%", 100.0 * rest / total);
}

/* ---- the peer --------------------------------------------------------------------------------- */

static bench_blas blas;

static plr_status peer_run(plr_device *device, plr_op_id op, const void *args) {
  if (op != PLR_OP_MATMUL) return inner->run(device, op, args);
  const plr_matmul_args *a = args;
  blas.sgemm(BENCH_ROW_MAJOR, a->layout == PLR_MATMUL_TN ? BENCH_TRANSPOSE : BENCH_AS_IS,
             a->layout == PLR_MATMUL_NT ? BENCH_TRANSPOSE : BENCH_AS_IS, (int)a->m, (int)a->n,
             (int)a->k, 1.0f, a->a, (int)a->lda, a->b, (int)a->ldb, a->accumulate ? 1.0f : 0.0f,
             a->c, (int)a->ldc);
  return PLR_OK;
}

/* ---- result ----------------------------------------------------------------------------------- */

static void measure(uint32_t threads, uint32_t isa) {
  static const char dense[] = "{\"kind\": \"dense\"}";
  stage s, other;
  if (!open_stage(&s, threads, isa, 256, 4, dense)) exit(1);
  step(&s); /* touches all memory */
  uint64_t before, after, peak;
  plr_context_memory(s.ctx, NULL, NULL, &before);
  bench_pair pair = {.ours = step, .ours_arg = &s, .threads = threads, .seconds = 6};
  plr_device_vtable changed = *s.shard->device->vt;
  inner = s.shard->device->vt;
  changed.run = peer_run;
  if (blas.sgemm) {
    open_stage(&other, threads, isa, 256, 4, dense);
    other.shard->device->vt = &changed;
    blas.set_threads((int)threads);
    pair.peer = step, pair.peer_arg = &other;
  }
  bench_result r;
  bench_run(&pair, &r);
  plr_context_memory(s.ctx, NULL, &peak, &after);
  char where[256];
  profile(&s, where, sizeof where);
  const double gflops = gflops_of(&s), rate = gflops / r.ours;
  bench_print("train/step/4x768", rate, "GFLOP/s", blas.sgemm ? "openblas products" : NULL,
              blas.sgemm ? gflops / r.peer : 0, r.ratio,
              "%.3f of the %s rate (%.1f GFLOP/s), by processor time %.3f; best of each %.1f and "
              "%.1f; %u threads, %.0f tokens/s, peak %.0f MiB, %llu allocations after the first "
              "step; %s; peer: %s",
              rate / r.fma, bench_fma_name(), r.fma, gflops / r.ours_cpu / r.fma_cpu,
              gflops / r.ours_best, blas.sgemm ? gflops / r.peer_best : 0, threads,
              (double)s.rows / r.ours, (double)peak / 1048576.0,
              (unsigned long long)(after - before), where, blas.sgemm ? blas.name : "not found");
  close_stage(&s);
  if (!blas.sgemm) return;
  other.shard->device->vt = inner;
  close_stage(&other);
}

/* First a line "ready GFLOP-of-a-step name-of-the-FMA-loop"; then for each line of input "seconds cpu-seconds fma
 * fma-per-cpu-second", or, when there is no such boundary, "unsupported". */
static int serve(const char *seq, const char *batch, const char *boundary) {
  stage s;
  char line[16];
  const uint32_t threads = 2;
  if (!open_stage(&s, threads, PLR_ISA_BEST, atoi(seq), atoi(batch), boundary)) {
    printf("unsupported\n");
    return 0;
  }
  step(&s);
  printf("ready %.6f %s\n", gflops_of(&s), bench_fma_name());
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    double per_cpu;
    const double fma = bench_fma_rate(threads, &per_cpu);
    const double cpu = bench_cpu_seconds(), start = bench_seconds();
    step(&s);
    const double seconds = bench_seconds() - start;
    printf("%.6f %.6f %.2f %.2f\n", seconds, bench_cpu_seconds() - cpu, fma, per_cpu);
    fflush(stdout);
  }
  close_stage(&s);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "--serve") == 0) return serve(argv[2], argv[3], argv[4]);
  const uint32_t isa = bench_options(argc, argv);
  bench_load_openblas(&blas);
  measure(2, isa);
  return 0;
}

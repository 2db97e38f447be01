/* One training step of a stage in the middle of a model: 4 blocks, d 768, 12 heads, ff 2048, 4 sequences of 256,
 * forward + backward + AdamW. FLOP/s count the model's own work (the cost table), not recomputation, and are set
 * against the rate of pure fused multiply-adds measured around each sample.
 *
 * The peer is the same stage with every matrix product done by OpenBLAS, which keeps no order of summation: what the
 * step would cost if bits did not have to agree between machines. */
#include "bench.h"

#include "shard/shard_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4
#define SEQ   256
#define WIDTH 768
#define ROWS  ((int64_t)BATCH * SEQ)

static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"bench\", \"family\": \"llama\", "
    "\"vocab\": \"bytes\", \"blocks\": 12, \"d_model\": 768, \"heads\": 12, \"kv_heads\": 12, "
    "\"head_dim\": 64, \"d_ff\": 2048, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
    "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [4, 8], "
    "\"boundary\": {\"kind\": \"dense\"}, \"train\": {\"seq_len\": 256, \"micro_batch\": 4, "
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
  int32_t tokens[BATCH * (SEQ + 1)];
  plr_tensor in, out, grad_out, grad_in;
} stage;

static void new_tensor(plr_tensor *t, uint64_t seed) {
  float *data = bench_alloc(ROWS * WIDTH * 4);
  bench_fill(data, ROWS * WIDTH, seed);
  plr_tensor_matrix(t, data, PLR_DTYPE_F32, ROWS, WIDTH);
}

static void open_stage(stage *s, uint32_t threads, uint32_t isa) {
  memset(s, 0, sizeof *s);
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.threads = threads;
  co.isa = isa;
  must(plr_context_create(&co, &s->ctx, NULL), "context");
  must(plr_model_from_json(s->ctx, manifest, sizeof manifest - 1, &s->model, NULL), "model");
  plr_shard_options so;
  plr_shard_options_init(&so, sizeof so);
  so.first_block = 4, so.end_block = 8;
  must(plr_shard_create(s->ctx, s->model, &so, &s->shard, NULL), "shard");
  for (int i = 0; i < BATCH * (SEQ + 1); i++) s->tokens[i] = (i * 7) % 256;
  new_tensor(&s->in, 1);
  new_tensor(&s->out, 2);
  new_tensor(&s->grad_out, 3);
  new_tensor(&s->grad_in, 4);
}

static void close_stage(stage *s) {
  plr_tensor *tensors[] = {&s->in, &s->out, &s->grad_out, &s->grad_in};
  for (int i = 0; i < 4; i++) free(tensors[i]->data);
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
  stage s, other;
  open_stage(&s, threads, isa);
  step(&s); /* touches all memory */
  uint64_t before, after, peak, flops = 0;
  plr_context_memory(s.ctx, NULL, NULL, &before);
  bench_pair pair = {.ours = step, .ours_arg = &s, .threads = threads, .seconds = 12};
  plr_device_vtable changed = *s.shard->device->vt;
  inner = s.shard->device->vt;
  changed.run = peer_run;
  if (blas.sgemm) {
    open_stage(&other, threads, isa);
    other.shard->device->vt = &changed;
    blas.set_threads((int)threads);
    pair.peer = step, pair.peer_arg = &other;
  }
  bench_result r;
  bench_run(&pair, &r);
  plr_context_memory(s.ctx, NULL, &peak, &after);
  for (uint32_t b = 4; b < 8; b++) flops += plr_model_block_cost(s.model, b) * (uint64_t)ROWS;
  char where[256];
  profile(&s, where, sizeof where);
  double rate = 1e-9 * (double)flops / r.ours;
  bench_print("train/step/4x768", rate, "GFLOP/s", blas.sgemm ? "openblas products" : NULL,
              blas.sgemm ? 1e-9 * (double)flops / r.peer : 0, r.ratio,
              "%.3f of the %s rate (%.1f GFLOP/s), by processor time %.3f; best of each %.1f and "
              "%.1f; %u threads, %.0f tokens/s, peak %.0f MiB, %llu allocations after the first "
              "step; %s; peer: %s",
              rate / r.fma, bench_fma_name(), r.fma, 1e-9 * (double)flops / r.ours_cpu / r.fma_cpu,
              1e-9 * (double)flops / r.ours_best,
              blas.sgemm ? 1e-9 * (double)flops / r.peer_best : 0, threads, (double)ROWS / r.ours,
              (double)peak / 1048576.0, (unsigned long long)(after - before), where,
              blas.sgemm ? blas.name : "not found");
  close_stage(&s);
  if (!blas.sgemm) return;
  other.shard->device->vt = inner;
  close_stage(&other);
}

int main(int argc, char **argv) {
  const uint32_t isa = bench_options(argc, argv);
  bench_load_openblas(&blas);
  measure(2, isa);
  return 0;
}

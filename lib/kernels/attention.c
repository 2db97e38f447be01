/* How attention is cut into tasks. Causal work grows with the position, so ranges are cut by cost, not by count;
 * neither the cut nor who computes a task ever changes a bit. */
#include "kernels/vec_kernels.h"

#define PLR_ATTENTION_MAX_DIM 1024

/* Tasks for each thread: a thread that has lost its processor holds up one of them, the others take the rest. */
#define TASKS_PER_THREAD 4

typedef struct attention_job {
  const plr_attention_args *a;
  const plr_vec_kernels *vec;
  int64_t slot_floats; /* a lane's scratch */
  uint32_t parts;
} attention_job;

static int64_t blocks_of(const plr_attention_args *a) {
  return (a->seq + PLR_ATTENTION_QUERIES - 1) / PLR_ATTENTION_QUERIES;
}

static int64_t block_start(const plr_attention_args *a, int64_t block) {
  return PLR_MIN(block * PLR_ATTENTION_QUERIES, a->seq);
}

static plr_status check_sizes(const plr_attention_args *a) {
  if (a->batch < 0 || a->seq < 0 || a->heads <= 0 || a->kv_heads <= 0 || a->head_dim <= 0)
    return PLR_ERR_INVALID_ARGUMENT;
  if (a->heads % a->kv_heads) return PLR_ERR_INVALID_ARGUMENT;
  if (a->head_dim > PLR_ATTENTION_MAX_DIM || a->heads > INT32_MAX || a->seq > INT32_MAX ||
      a->batch > INT32_MAX)
    return PLR_ERR_LIMIT;
  int64_t width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
  if (a->ldq < width || a->ldo < width || a->ldk < kv_width || a->ldv < kv_width)
    return PLR_ERR_INVALID_ARGUMENT;
  return PLR_OK;
}

/* Floats of the layouts of body_attention.h; each part is a multiple of 16. */
int64_t plr__attention_slot(const plr_attention_args *a) {
  int64_t padded = (a->seq + 15) / 16 * 16, wide = (a->head_dim + 15) / 16 * 16;
  return padded * a->head_dim + wide * a->seq + PLR_ATTENTION_QUERIES * (wide + padded + 16);
}

int64_t plr__attention_bwd_slot(const plr_attention_args *a) {
  int64_t padded = (a->seq + 15) / 16 * 16, wide = (a->head_dim + 15) / 16 * 16;
  return 2 * padded * a->head_dim + wide * (3 * a->seq + 2 * PLR_ATTENTION_ROWS) +
         2 * PLR_ATTENTION_QUERIES * (wide + padded + 16);
}

/* Threads worth waking, at most one per unit. */
static uint32_t lanes_for(plr_context *ctx, const plr_attention_args *a, int64_t units) {
  double work =
      (double)a->batch * (double)a->heads * (double)a->head_dim * (double)a->seq * (double)a->seq;
  int64_t threads = plr_context_threads(ctx);
  if (work < 131072.0) threads = 1;
  return (uint32_t)PLR_MAX(1, PLR_MIN(threads, units));
}

static uint32_t parts_for(uint32_t lanes, int64_t units) {
  return lanes < 2 ? 1 : (uint32_t)PLR_MIN((int64_t)lanes * TASKS_PER_THREAD, units);
}

static int64_t forward_units(const plr_attention_args *a) {
  return a->batch * a->heads * blocks_of(a);
}

static int64_t backward_units(const plr_attention_args *a) {
  return a->batch * a->kv_heads * blocks_of(a);
}

size_t plr__cpu_attention_workspace(plr_context *ctx, const plr_attention_args *a) {
  if (check_sizes(a) != PLR_OK) return 0;
  return lanes_for(ctx, a, forward_units(a)) * (size_t)plr__attention_slot(a) * sizeof(float);
}

size_t plr__cpu_attention_bwd_workspace(plr_context *ctx, const plr_attention_args *a) {
  if (check_sizes(a) != PLR_OK) return 0;
  return lanes_for(ctx, a, backward_units(a)) * (size_t)plr__attention_bwd_slot(a) * sizeof(float);
}

/* Blocks of keys that a block of queries sees at most. */
static int64_t window_blocks(const plr_attention_args *a) {
  int64_t blocks = blocks_of(a);
  if (!a->window) return blocks;
  int64_t seen = ((int64_t)a->window + PLR_ATTENTION_QUERIES - 2) / PLR_ATTENTION_QUERIES + 1;
  return PLR_MIN(seen, blocks);
}

/* The run of blocks of `unit` that part `index` computes. Block i costs i + 1 (queries) or, falling, blocks - i
 * (keys), or what the window leaves of that; a block belongs to the part in whose share of the whole cost it starts. */
static void share(const attention_job *job, int64_t units, uint32_t index, int64_t unit,
                  int falling, int64_t *first, int64_t *last) {
  int64_t blocks = blocks_of(job->a), most = window_blocks(job->a);
  int64_t each = most * (most + 1) / 2 + (blocks - most) * most, total = units * each;
  int64_t low = total / job->parts * index + total % job->parts * index / job->parts;
  int64_t next = index + 1;
  int64_t high = total / job->parts * next + total % job->parts * next / job->parts;
  int64_t start = unit * each;
  *first = *last = blocks;
  for (int64_t i = 0; i < blocks; i++) {
    if (start >= low && start < high) {
      if (*first == blocks) *first = i;
      *last = i + 1;
    }
    start += PLR_MIN(falling ? blocks - i : i + 1, most);
  }
}

static void forward_part(void *arg, uint32_t index, uint32_t lane) {
  const attention_job *job = (const attention_job *)arg;
  const plr_attention_args *a = job->a;
  float *slot = (float *)a->work + lane * job->slot_floats;
  int64_t group = a->heads / a->kv_heads, units = a->batch * a->heads, packed = -1;
  for (int64_t unit = 0; unit < units; unit++) {
    int64_t first, last;
    share(job, units, index, unit, 0, &first, &last);
    if (first >= last) continue;
    int64_t b = unit / a->heads, head = unit % a->heads;
    if (packed != unit / group) job->vec->attention_pack(a, slot, b, head / group);
    packed = unit / group;
    job->vec->attention(a, slot, b, head, block_start(a, first), block_start(a, last));
  }
}

plr_status plr__cpu_attention(plr_context *ctx, const plr_attention_args *a) {
  PLR_TRY(check_sizes(a));
  if (a->batch == 0 || a->seq == 0) return PLR_OK;
  const int64_t units = forward_units(a);
  attention_job job = {a, plr__vec(ctx), plr__attention_slot(a),
                       parts_for(lanes_for(ctx, a, units), units)};
  plr__parallel_lanes(ctx, job.parts, forward_part, &job);
  return PLR_OK;
}

/* A whole (sequence, key/value head) at a time: scores are computed once for dq, dk and dv. */
static void whole_part(void *arg, uint32_t index, uint32_t lane) {
  const attention_job *job = (const attention_job *)arg;
  const plr_attention_args *a = job->a;
  int64_t units = a->batch * a->kv_heads;
  float *slot = (float *)a->work + lane * job->slot_floats;
  for (int64_t unit = units * index / job->parts; unit < units * (index + 1) / job->parts; unit++) {
    plr_attention_part part = {unit / a->kv_heads, unit % a->kv_heads, 0, a->seq, 0, a->seq, 1, 1};
    job->vec->attention_bwd(a, slot, &part);
  }
}

/* Blocks of queries, then blocks of keys: scores are computed twice, but any number of threads is busy. */
static void split_part(void *arg, uint32_t index, uint32_t lane) {
  const attention_job *job = (const attention_job *)arg;
  const plr_attention_args *a = job->a;
  int64_t units = a->batch * a->kv_heads;
  float *slot = (float *)a->work + lane * job->slot_floats;
  for (int64_t unit = 0; unit < units; unit++) {
    plr_attention_part part = {unit / a->kv_heads, unit % a->kv_heads, 0, 0, 0, 0, 1, 0};
    int64_t first, last;
    share(job, units, index, unit, 0, &first, &last);
    part.q0 = block_start(a, first);
    part.q1 = block_start(a, last);
    if (first < last) job->vec->attention_bwd(a, slot, &part);
    share(job, units, index, unit, 1, &first, &last);
    part.want_queries = 0;
    part.want_keys = 1;
    part.q0 = part.k0 = block_start(a, first);
    part.q1 = a->seq;
    part.k1 = block_start(a, last);
    if (first < last) job->vec->attention_bwd(a, slot, &part);
  }
}

plr_status plr__cpu_attention_bwd(plr_context *ctx, const plr_attention_args *a) {
  PLR_TRY(check_sizes(a));
  if (a->batch == 0 || a->seq == 0) return PLR_OK;
  const int64_t blocks = backward_units(a), units = a->batch * a->kv_heads;
  const uint32_t lanes = lanes_for(ctx, a, blocks);
  attention_job job = {a, plr__vec(ctx), plr__attention_bwd_slot(a), parts_for(lanes, blocks)};
  /* Five matrix products a unit when whole, seven when split. */
  const int64_t rounds = (units + lanes - 1) / lanes;
  const int whole = 5 * rounds * lanes <= 7 * units;
  if (whole) job.parts = (uint32_t)PLR_MIN((int64_t)job.parts, units);
  plr__parallel_lanes(ctx, job.parts, whole ? whole_part : split_part, &job);
  return PLR_OK;
}

/* Attention over the caches of sessions: what is appended to them, and how the work is shared among threads. */
#include "kernels/vec_kernels.h"

/* Rows of a block, and its scratch: see body_cache.h. A tile may read as many rows of scores as it has. */
#define BLOCK PLR_ATTENTION_QUERIES
#define SLACK PLR_ATTENTION_ROWS

#define MAX_DIM 1024

/* Multiply-adds of a task, at least; tasks there are at most. */
#define WORK_PER_TASK    32768.0
#define TASKS_PER_THREAD 8

typedef struct cache_job {
  const plr_attention_cache_args *a;
  const plr_vec_kernels *vec;
  int64_t slot_floats, total;
  uint32_t parts;
} cache_job;

static plr_status check_group(const plr_attention_cache_args *a, const plr_cache_rows *g) {
  (void)a;
  if (!g->k || !g->v || g->row < 0 || g->rows < 0 || g->first < 0 || g->capacity % 16)
    return PLR_ERR_INVALID_ARGUMENT;
  if (g->capacity < 0 || g->capacity > INT32_MAX || g->first > g->capacity ||
      g->rows > g->capacity - g->first)
    return PLR_ERR_LIMIT;
  return PLR_OK;
}

static plr_status check(const plr_attention_cache_args *a) {
  if (a->heads <= 0 || a->kv_heads <= 0 || a->head_dim <= 0 || a->group_count < 0)
    return PLR_ERR_INVALID_ARGUMENT;
  if (a->heads % a->kv_heads) return PLR_ERR_INVALID_ARGUMENT;
  if (a->head_dim > MAX_DIM || a->heads > INT32_MAX) return PLR_ERR_LIMIT;
  const int64_t width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
  if (a->ldq < width || a->ldo < width || a->ldk < kv_width || a->ldv < kv_width)
    return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t i = 0; i < a->group_count; i++) PLR_TRY(check_group(a, &a->groups[i]));
  return PLR_OK;
}

/* ---- append ----------------------------------------------------------------------------------- */

static void append_row(const plr_attention_cache_args *a, const plr_cache_rows *g, int64_t head,
                       int64_t t) {
  const int64_t dims = a->head_dim, at = g->first + t, wide = (dims + 15) / 16;
  const float *k = a->k + (g->row + t) * a->ldk + head * dims;
  const float *v = a->v + (g->row + t) * a->ldv + head * dims;
  float *key = g->k + head * g->capacity * dims + at / 16 * 16 * dims + at % 16;
  float *value = g->v + head * wide * 16 * g->capacity + at * 16;
  for (int64_t i = 0; i < dims; i++) key[16 * i] = k[i];
  for (int64_t i = 0; i < dims; i++) value[i / 16 * 16 * g->capacity + i % 16] = v[i];
}

/* Pairs (group, key/value head) [first, last). */
static void append_range(const void *args, int64_t first, int64_t last) {
  const plr_attention_cache_args *a = args;
  for (int64_t i = first; i < last; i++) {
    const plr_cache_rows *g = &a->groups[i / a->kv_heads];
    for (int64_t t = 0; t < g->rows; t++) append_row(a, g, i % a->kv_heads, t);
  }
}

/* ---- attend ----------------------------------------------------------------------------------- */

static int64_t pairs_of(const plr_attention_cache_args *a, const plr_cache_rows *g) {
  return g->rows * (a->heads / a->kv_heads);
}

/* Keys that the block which ends with pair `last` of the group sees, and its rows: about its cost. */
static int64_t block_cost(const plr_attention_cache_args *a, const plr_cache_rows *g, int64_t first,
                          int64_t last) {
  const int64_t keys = g->first + (last - 1) / (a->heads / a->kv_heads) + 1;
  return (last - first) * (a->window ? PLR_MIN(keys, (int64_t)a->window) : keys);
}

static int64_t cost_of(const plr_attention_cache_args *a, const plr_cache_rows *g) {
  const int64_t pairs = pairs_of(a, g);
  int64_t cost = 0;
  for (int64_t p = 0; p < pairs; p += BLOCK) cost += block_cost(a, g, p, PLR_MIN(pairs, p + BLOCK));
  return cost;
}

static int64_t total_cost(const plr_attention_cache_args *a) {
  int64_t total = 0;
  for (int64_t i = 0; i < a->group_count; i++) total += cost_of(a, &a->groups[i]) * a->kv_heads;
  return total;
}

static int64_t slot_floats(const plr_attention_cache_args *a) {
  int64_t keys = 0, wide = (a->head_dim + 15) / 16 * 16;
  for (int64_t i = 0; i < a->group_count; i++)
    keys = PLR_MAX(keys, a->groups[i].first + a->groups[i].rows);
  return BLOCK * wide + (BLOCK + SLACK) * ((keys + 15) / 16 * 16 + 16);
}

static uint32_t parts_for(plr_context *ctx, const plr_attention_cache_args *a, int64_t total) {
  const uint32_t threads = plr_context_threads(ctx);
  const double work = (double)total * (double)a->head_dim / WORK_PER_TASK;
  if (threads == 1 || work < 2.0) return 1;
  return work < (double)(threads * TASKS_PER_THREAD) ? (uint32_t)work : threads * TASKS_PER_THREAD;
}

size_t plr__cpu_attention_cache_workspace(plr_context *ctx, const plr_attention_cache_args *a) {
  if (check(a) != PLR_OK) return 0;
  return (size_t)plr_context_threads(ctx) * (size_t)slot_floats(a) * sizeof(float);
}

/* A block belongs to the part in whose share of the whole cost it starts. */
static void attend_part(void *arg, uint32_t index, uint32_t lane) {
  const cache_job *job = arg;
  const plr_attention_cache_args *a = job->a;
  float *slot = (float *)a->work + lane * job->slot_floats;
  const int64_t low =
      job->total / job->parts * index + job->total % job->parts * index / job->parts;
  const int64_t next = index + 1;
  const int64_t high = job->total / job->parts * next + job->total % job->parts * next / job->parts;
  int64_t at = 0;
  for (int64_t i = 0; i < a->group_count && at < high; i++) {
    const plr_cache_rows *g = &a->groups[i];
    const int64_t pairs = pairs_of(a, g);
    for (int64_t head = 0; head < a->kv_heads; head++)
      for (int64_t p = 0; p < pairs; p += BLOCK) {
        const int64_t last = PLR_MIN(pairs, p + BLOCK);
        if (at >= low && at < high) job->vec->attention_cache(a, g, head, p, last - p, slot);
        at += block_cost(a, g, p, last);
      }
  }
}

plr_status plr__cpu_attention_cache(plr_context *ctx, const plr_attention_cache_args *a) {
  PLR_TRY(check(a));
  int64_t rows = 0;
  for (int64_t i = 0; i < a->group_count; i++) rows += a->groups[i].rows;
  if (rows == 0) return PLR_OK;
  if (!a->work) return PLR_ERR_INVALID_ARGUMENT;
  const int64_t pairs = a->group_count * a->kv_heads;
  plr__partition(ctx, pairs, 1, rows * a->kv_heads / pairs * a->head_dim, append_range, a);
  cache_job job = {a, plr__vec(ctx), slot_floats(a), total_cost(a), 1};
  job.parts = parts_for(ctx, a, job.total);
  plr__parallel_lanes(ctx, job.parts, attend_part, &job);
  return PLR_OK;
}

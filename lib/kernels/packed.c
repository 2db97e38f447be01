/* Packed weights: packing, the quantisation of activations, and how products are shared among threads.
 *
 * The panels of all matrices that share an input are one list, cut into runs that the threads take: each streams its
 * part of the weights from memory once. With many rows a panel stays in the cache while tiles of rows pass over it;
 * with bf16 and many rows blocks of weights are widened for the ordinary product instead, which packs them better. */
#include "kernels/packed_int.h"
#include "kernels/vec_kernels.h"

#include <math.h>
#include <string.h>

/* From this many rows on bf16 weights are widened, so many columns at once. */
#define WIDEN_ROWS    48
#define WIDEN_COLUMNS 1024

#define MAX_DIMENSION ((int64_t)1 << 31)

/* Fewer multiply-adds than this are not worth a task. More tasks than threads: a thread that has lost its processor
 * for a while holds up little. */
#define WORK_PER_TASK    100000
#define TASKS_PER_THREAD 8

static const plr__packed_kernels *choose(const plr_context *ctx) {
#if defined(__x86_64__)
  if (plr_context_isa(ctx) >= PLR_ISA_AVX512 && __builtin_cpu_supports("avx512vnni"))
    return &plr__packed_avx512;
  if (plr_context_isa(ctx) >= PLR_ISA_AVX2) return &plr__packed_avx2;
#endif
  (void)ctx;
  return &plr__packed_portable;
}

static int64_t panels_of(int64_t n) {
  return (n + PLR_PACK_PANEL - 1) / PLR_PACK_PANEL;
}

static int64_t groups_of(int64_t k) {
  return (k + PLR_PACK_GROUP - 1) / PLR_PACK_GROUP;
}

static plr_status check(const plr_packed_args *a, uint32_t most) {
  if (a->format < PLR_PACK_BF16 || a->format > PLR_PACK_Q4) return PLR_ERR_INVALID_ARGUMENT;
  if (a->count == 0 || a->count > most || a->rows < 0 || a->k <= 0) return PLR_ERR_INVALID_ARGUMENT;
  if (a->k > MAX_DIMENSION || a->rows > MAX_DIMENSION) return PLR_ERR_LIMIT;
  for (uint32_t i = 0; i < a->count; i++) {
    if (a->n[i] <= 0) return PLR_ERR_INVALID_ARGUMENT;
    if (a->n[i] > MAX_DIMENSION) return PLR_ERR_LIMIT;
  }
  return PLR_OK;
}

/* ---- packing ---------------------------------------------------------------------------------- */

/* Weight of output j and input p. */
static float weight(const plr_packed_args *a, int64_t j, int64_t p) {
  if (j >= a->n[0] || p >= a->k) return 0.0f;
  return a->layout == PLR_MATMUL_NT ? a->from[j * a->k + p] : a->from[p * a->n[0] + j];
}

static void pack_bf16(const plr_packed_args *a, int64_t panel) {
  uint16_t *to = (uint16_t *)a->packed + panel * a->k * PLR_PACK_PANEL;
  for (int64_t p = 0; p < a->k; p++, to += PLR_PACK_PANEL)
    for (int64_t j = 0; j < PLR_PACK_PANEL; j++)
      to[j % 16 * 2 + j / 16] = plr__round_bf16(weight(a, panel * PLR_PACK_PANEL + j, p));
}

static int32_t nearest(float w, float scale, float low, float high) {
  const float q = scale == 0.0f ? 0.0f : rintf(w / scale);
  return (int32_t)PLR_MAX(low, PLR_MIN(high, q));
}

/* One output's group: scale and integers (offset included). */
static uint16_t quantise_group(const float *w, uint32_t format, uint8_t *q) {
  float most = 0.0f;
  for (int i = 0; i < PLR_PACK_GROUP; i++)
    if (fabsf(w[i]) > fabsf(most)) most = w[i];
  const int eight = format == PLR_PACK_Q8;
  const uint16_t bits = plr__round_bf16(eight ? fabsf(most) / 127.0f : most / -8.0f);
  const float scale = plr__widen_bf16(bits);
  for (int i = 0; i < PLR_PACK_GROUP; i++)
    q[i] = (uint8_t)(eight ? nearest(w[i], scale, -127.0f, 127.0f) + 128
                           : nearest(w[i], scale, -8.0f, 7.0f) + 8);
  return bits;
}

static void pack_group(const plr_packed_args *a, int64_t panel, int64_t g, uint8_t *to) {
  for (int64_t j = 0; j < PLR_PACK_PANEL; j++) {
    float w[PLR_PACK_GROUP];
    uint8_t q[PLR_PACK_GROUP];
    for (int64_t i = 0; i < PLR_PACK_GROUP; i++)
      w[i] = weight(a, panel * PLR_PACK_PANEL + j, g * PLR_PACK_GROUP + i);
    plr__store_le16(to + 2 * j, quantise_group(w, a->format, q));
    for (int64_t i = 0; i < PLR_PACK_GROUP; i++)
      if (a->format == PLR_PACK_Q8)
        to[64 + j / 16 * 512 + i / 4 * 64 + j % 16 * 4 + i % 4] = q[i];
      else if (i / 4 % 2 == 0)
        to[64 + j / 16 * 256 + i / 8 * 64 + j % 16 * 4 + i % 4] = (uint8_t)(q[i] | q[i + 4] << 4);
  }
}

static void pack_range(const void *args, int64_t first, int64_t last) {
  const plr_packed_args *a = args;
  const int64_t size = plr_packed_panel(a->format, a->k), groups = groups_of(a->k);
  for (int64_t panel = first; panel < last; panel++) {
    if (a->format == PLR_PACK_BF16)
      pack_bf16(a, panel);
    else
      for (int64_t g = 0; g < groups; g++)
        pack_group(a, panel, g, (uint8_t *)a->packed + panel * size + g * (size / groups));
  }
}

plr_status plr__cpu_weight_pack(plr_context *ctx, const plr_packed_args *a) {
  PLR_TRY(check(a, 1));
  if (!a->from || !a->packed || a->layout > PLR_MATMUL_NT) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, panels_of(a->n[0]), 1, PLR_PACK_PANEL * a->k, pack_range, a);
  return PLR_OK;
}

/* ---- one output, for embedding tables ------------------------------------------------------------ */

static void widen_output(const plr_packed_args *a, int64_t j, float *y) {
  const int64_t size = plr_packed_panel(a->format, a->k), groups = groups_of(a->k);
  const uint8_t *panel = (const uint8_t *)a->w[0] + j / PLR_PACK_PANEL * size;
  j %= PLR_PACK_PANEL;
  for (int64_t p = 0; p < a->k; p++) {
    const int64_t i = p % PLR_PACK_GROUP;
    const uint8_t *group = panel + p / PLR_PACK_GROUP * (size / groups);
    if (a->format == PLR_PACK_BF16) {
      y[p] = plr__widen_bf16(((const uint16_t *)(const void *)panel)[p * 32 + j % 16 * 2 + j / 16]);
      continue;
    }
    int32_t q =
        a->format == PLR_PACK_Q8
            ? group[64 + j / 16 * 512 + i / 4 * 64 + j % 16 * 4 + i % 4] - 128
            : (group[64 + j / 16 * 256 + i / 8 * 64 + j % 16 * 4 + i % 4] >> i / 4 % 2 * 4 & 15) -
                  8;
    y[p] = (float)q * plr__widen_bf16(plr__load_le16(group + 2 * j));
  }
}

static void embed_range(const void *args, int64_t first, int64_t last) {
  const plr_packed_args *a = args;
  for (int64_t r = first; r < last; r++) widen_output(a, a->ids[r], a->c[0] + r * a->k);
}

plr_status plr__cpu_packed_embed(plr_context *ctx, const plr_packed_args *a) {
  PLR_TRY(check(a, 1));
  for (int64_t r = 0; r < a->rows; r++)
    if (a->ids[r] < 0 || a->ids[r] >= a->n[0]) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, 4 * a->k, embed_range, a);
  return PLR_OK;
}

/* ---- activations ------------------------------------------------------------------------------ */

typedef struct quantise_job {
  const plr_packed_args *a;
  plr__quantised to;
} quantise_job;

/* A float of this size has an integer in its low bits: adding it rounds to nearest even. */
#define INTEGER 12582912.0f

static void quantise_activations(const float *x, int64_t n, int32_t offset, int8_t *q, float *scale,
                                 int32_t *minus) {
  float padded[PLR_PACK_GROUP] = {0}, most = 0.0f;
  memcpy(padded, x, (size_t)n * sizeof *x);
  for (int i = 0; i < PLR_PACK_GROUP; i++) {
    const float size = fabsf(padded[i]);
    most = size > most ? size : most;
  }
  const int none = most < 0x1p-100f;
  const float factor = none ? 0.0f : 127.0f / most;
  int32_t sum = 0;
  for (int i = 0; i < PLR_PACK_GROUP; i++) {
    union {
      float f;
      uint32_t u;
    } t = {padded[i] * factor + INTEGER};
    const int32_t v = (int32_t)(t.u - 0x4B400000u);
    q[i] = (int8_t)v;
    sum += v;
  }
  *scale = none ? 0.0f : most / 127.0f;
  *minus = -offset * sum;
}

static void quantise_range(const void *args, int64_t first, int64_t last) {
  const quantise_job *job = args;
  const plr_packed_args *a = job->a;
  const plr__quantised *to = &job->to;
  for (int64_t r = first; r < last; r++)
    for (int64_t g = 0; g < to->groups; g++) {
      const int64_t at = r * to->groups + g, n = PLR_MIN(PLR_PACK_GROUP, a->k - g * PLR_PACK_GROUP);
      quantise_activations(a->x + r * a->ldx + g * PLR_PACK_GROUP, n, PLR_PACKED_OFFSET(a->format),
                           to->q + at * PLR_PACK_GROUP, to->scale + at, to->minus + at);
    }
}

static size_t quantised_size(const plr_packed_args *a) {
  return (size_t)(a->rows * groups_of(a->k)) * (PLR_PACK_GROUP + 8);
}

static plr__quantised quantised_in(const plr_packed_args *a) {
  const int64_t groups = groups_of(a->k), count = a->rows * groups;
  int8_t *q = a->work;
  float *scale = (float *)(void *)(q + count * PLR_PACK_GROUP);
  plr__quantised x = {q, scale, (int32_t *)(void *)(scale + count), groups};
  return x;
}

/* ---- products --------------------------------------------------------------------------------- */

typedef struct product_job {
  const plr_packed_args *a;
  const plr__packed_kernels *kernels;
  plr__quantised x;
  int64_t panels, parts;
} product_job;

static void tile(const product_job *job, const plr__quantised *x, int64_t row, int64_t rows,
                 const void *panel, float *c, int64_t ldc) {
  const plr_packed_args *a = job->a;
  if (a->format == PLR_PACK_BF16)
    job->kernels->bf16(rows, a->x + row * a->ldx, a->ldx, a->k, panel, c, ldc);
  else
    (a->format == PLR_PACK_Q8 ? job->kernels->q8 : job->kernels->q4)(rows, x, panel, c, ldc);
}

/* All rows against one panel of matrix i; the last panel of a matrix may be wider than what is left of c. */
static void sweep(const product_job *job, uint32_t i, int64_t panel) {
  const plr_packed_args *a = job->a;
  const char *w = (const char *)a->w[i] + panel * plr_packed_panel(a->format, a->k);
  const int64_t column = panel * PLR_PACK_PANEL, cols = PLR_MIN(PLR_PACK_PANEL, a->n[i] - column);
  for (int64_t r = 0; r < a->rows; r += PLR_PACKED_ROWS) {
    const int64_t rows = PLR_MIN(PLR_PACKED_ROWS, a->rows - r), at = r * job->x.groups;
    const plr__quantised x = {job->x.q ? job->x.q + at * PLR_PACK_GROUP : NULL,
                              job->x.q ? job->x.scale + at : NULL,
                              job->x.q ? job->x.minus + at : NULL, job->x.groups};
    float *c = a->c[i] + r * a->n[i] + column;
    if (cols == PLR_PACK_PANEL) {
      tile(job, &x, r, rows, w, c, a->n[i]);
      continue;
    }
    float y[PLR_PACKED_ROWS * PLR_PACK_PANEL];
    tile(job, &x, r, rows, w, y, PLR_PACK_PANEL);
    for (int64_t t = 0; t < rows; t++)
      memcpy(c + t * a->n[i], y + t * PLR_PACK_PANEL, (size_t)cols * sizeof *c);
  }
}

static void product_part(void *arg, uint32_t index) {
  const product_job *job = arg;
  const int64_t first = job->panels * index / job->parts;
  const int64_t last = job->panels * (index + 1) / job->parts;
  int64_t begin = 0;
  for (uint32_t i = 0; i < job->a->count; i++) {
    const int64_t end = begin + panels_of(job->a->n[i]);
    for (int64_t p = PLR_MAX(first, begin); p < PLR_MIN(last, end); p++) sweep(job, i, p - begin);
    begin = end;
  }
}

static int64_t parts_for(plr_context *ctx, const plr_packed_args *a, int64_t panels) {
  const int64_t threads = plr_context_threads(ctx);
  const double work = (double)a->rows * (double)panels * PLR_PACK_PANEL * (double)a->k;
  int64_t parts = PLR_MIN(threads > 1 ? threads * TASKS_PER_THREAD : 1, panels);
  if (work / WORK_PER_TASK < (double)parts) parts = (int64_t)(work / WORK_PER_TASK);
  return PLR_MAX(parts, 1);
}

static void products(plr_context *ctx, const plr_packed_args *a) {
  product_job job = {.a = a, .kernels = choose(ctx)};
  for (uint32_t i = 0; i < a->count; i++) job.panels += panels_of(a->n[i]);
  job.parts = parts_for(ctx, a, job.panels);
  if (a->format != PLR_PACK_BF16) {
    quantise_job quantise = {a, quantised_in(a)};
    plr__partition(ctx, a->rows, 1, 2 * a->k, quantise_range, &quantise);
    job.x = quantise.to;
  }
  plr__parallel_for(ctx, (uint32_t)job.parts, product_part, &job);
}

/* ---- bf16 with many rows ------------------------------------------------------------------------ */

typedef struct widen_job {
  const plr_packed_args *a;
  const uint16_t *from; /* the first panel */
  float *to;            /* k x cols */
  int64_t cols;
} widen_job;

/* Inputs [first, last) of all panels. */
static void widen_range(const void *args, int64_t first, int64_t last) {
  const widen_job *job = args;
  for (int64_t p = first; p < last; p++)
    for (int64_t j = 0; j < job->cols; j += PLR_PACK_PANEL) {
      const uint16_t *w = job->from + j * job->a->k + p * PLR_PACK_PANEL;
      float *y = job->to + p * job->cols + j;
      for (int i = 0; i < 16; i++) y[i] = plr__widen_bf16(w[2 * i]);
      for (int i = 0; i < 16; i++) y[16 + i] = plr__widen_bf16(w[2 * i + 1]);
    }
}

/* The product of columns [first, first + cols) of matrix i with widened weights. */
static plr_matmul_args widened(const plr_packed_args *a, uint32_t i, int64_t first, int64_t cols) {
  const int64_t stride = panels_of(cols) * PLR_PACK_PANEL;
  plr_matmul_args m = {.a = a->x,
                       .b = a->work,
                       .c = a->c[i] ? a->c[i] + first : NULL,
                       .m = a->rows,
                       .n = cols,
                       .k = a->k,
                       .lda = a->ldx,
                       .ldb = stride,
                       .ldc = a->n[i],
                       .work = (float *)a->work + a->k * WIDEN_COLUMNS};
  return m;
}

static plr_status widened_products(plr_context *ctx, const plr_packed_args *a) {
  for (uint32_t i = 0; i < a->count; i++)
    for (int64_t j = 0; j < a->n[i]; j += WIDEN_COLUMNS) {
      const int64_t cols = PLR_MIN(WIDEN_COLUMNS, a->n[i] - j);
      const widen_job job = {a, (const uint16_t *)a->w[i] + j * a->k, a->work,
                             panels_of(cols) * PLR_PACK_PANEL};
      plr__partition(ctx, a->k, 1, job.cols, widen_range, &job);
      const plr_matmul_args m = widened(a, i, j, cols);
      PLR_TRY(plr__cpu_matmul(ctx, &m));
    }
  return PLR_OK;
}

static int widens(const plr_packed_args *a) {
  return a->format == PLR_PACK_BF16 && a->rows >= WIDEN_ROWS;
}

size_t plr__cpu_packed_workspace(plr_context *ctx, const plr_packed_args *a) {
  if (check(a, PLR_PACK_MOST) != PLR_OK) return 0;
  if (a->format != PLR_PACK_BF16) return quantised_size(a);
  if (!widens(a)) return 0;
  size_t most = 0;
  for (uint32_t i = 0; i < a->count; i++)
    for (int64_t j = 0; j < a->n[i]; j += WIDEN_COLUMNS) {
      const plr_matmul_args m = widened(a, i, j, PLR_MIN(WIDEN_COLUMNS, a->n[i] - j));
      most = PLR_MAX(most, plr__cpu_matmul_workspace(ctx, &m));
    }
  return (size_t)(a->k * WIDEN_COLUMNS) * sizeof(float) + most;
}

plr_status plr__cpu_packed_matmul(plr_context *ctx, const plr_packed_args *a) {
  PLR_TRY(check(a, PLR_PACK_MOST));
  if (a->rows == 0) return PLR_OK;
  if (a->ldx < a->k || (!a->work && (a->format != PLR_PACK_BF16 || widens(a))))
    return PLR_ERR_INVALID_ARGUMENT;
  if (widens(a)) return widened_products(ctx, a);
  products(ctx, a);
  return PLR_OK;
}

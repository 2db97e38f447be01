/* The exact matrix product: checks, the cut into tasks, and the blocks of one task.
 *
 * C is cut into a grid of parts, several per thread, that share nothing: a part packs the panels of B it needs into
 * its lane's slice of `work`, so that no thread ever waits inside a product. Within a part, B is packed block by
 * block (depth x width, it stays in the second-level cache) while the first row tile of A goes over it, and the other
 * tiles follow; a row tile stays in the first-level cache and C is walked along its rows. A is read in place, except
 * where it is stored transposed or its rows fall on the same cache sets. After the first block of k, accumulators
 * start from C: the chain goes on. */
#include "kernels/gemm_int.h"

#include <string.h>

#define BLOCK_K 256 /* a row tile of A and a panel of B: 14 + 32 KiB at most */
#define BLOCK_N 768 /* a block of B: 768 KiB at most */
#define PACK_M  84  /* rows of a transposed A packed at once: whole tiles of 6 and of 14 */

/* Up to this many rows packing B costs more than it brings: B is read in place, or, when it is stored transposed,
 * each panel is packed and used while it is in the first-level cache. */
#define FEW_ROWS 64

/* k and columns per call of the thin kernel. The columns of C are kept together in the lane's scratch, 8 rows of them
 * in the first-level cache, for in place rows may fall on the same cache sets. */
#define THIN_K       256
#define THIN_COL     512
#define THIN_COL_ONE 4096 /* of a single row: memory is read fastest along it */

/* Fewer multiply-adds than this are not worth a task of their own. */
#define WORK_PER_TASK 200000

/* So many tasks a thread at most, and what one task a thread would cost in per cent when a thread loses its processor
 * now and then: weighed against what a finer cut packs twice. */
#define TASKS_PER_THREAD 4
#define UNEVEN_PERCENT   20

/* Rows of A this many elements apart, or a multiple of it, fall on so few cache sets that a tile of them does not
 * stay in the first-level cache: they are copied together. */
#define SAME_SETS 512

#define MAX_DIMENSION ((int64_t)1 << 40)
#define MAX_ELEMENTS  ((int64_t)1 << 58)

typedef struct plan {
  const plr_matmul_args *args;
  const plr__gemm_kernels *kernels;
  int64_t row_parts, col_parts; /* the grid */
  int64_t block_k, block_n;
  size_t b_bytes, lane_bytes; /* of `work`: the block of B, and that with the packed A */
  int thin, copy_a;
  int64_t thin_cols;
} plan;

static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t unit) {
  return ceil_div(a, unit) * unit;
}

/* Blocks of equal size, at most `most`, each a multiple of unit. */
static int64_t block_size(int64_t total, int64_t most, int64_t unit) {
  if (total <= 0) return unit;
  return round_up(ceil_div(total, ceil_div(total, most)), unit);
}

/* Where part `index` of `parts` begins, in whole units. */
static int64_t part_begin(int64_t total, int64_t unit, int64_t parts, int64_t index) {
  return PLR_MIN(total, ceil_div(total, unit) * index / parts * unit);
}

/* ---- plan ------------------------------------------------------------------------------------- */

/* Cycles per step of k of the largest part, about: what the grid is chosen by. A panel of B that is packed, and a row
 * tile of A that comes from further away than the caches of the core, cost extra once a block. */
static int64_t part_cost(const plan *p, int64_t row_parts, int64_t col_parts) {
  const plr_matmul_args *a = p->args;
  const int64_t mr = p->kernels->mr, nr = p->kernels->nr;
  const int64_t rows = ceil_div(ceil_div(a->m, mr), row_parts) * mr;
  const int64_t panels = ceil_div(ceil_div(a->n, nr), col_parts);
  const int64_t fetch_a = a->layout == PLR_MATMUL_TN ? rows : rows / 2;
  return rows * panels + panels * nr + fetch_a * ceil_div(panels * nr, BLOCK_N);
}

/* How long the whole takes: the rounds of the threads, and what is lost when they are not even. */
static int64_t grid_cost(const plan *p, int64_t row_parts, int64_t col_parts, int64_t threads) {
  const int64_t tasks = row_parts * col_parts;
  const int64_t cost = ceil_div(tasks, threads) * part_cost(p, row_parts, col_parts);
  return cost * 100 + cost * UNEVEN_PERCENT * threads / tasks;
}

static void choose_grid(plan *p, int64_t threads) {
  const plr_matmul_args *a = p->args;
  p->row_parts = p->col_parts = 1;
  if (threads < 2) return;
  /* In floating point, for the product may exceed 64 bits. */
  const double work = (double)a->m * (double)a->n * (double)a->k / WORK_PER_TASK;
  int64_t most = TASKS_PER_THREAD * threads;
  if (work < (double)most) most = (int64_t)work;
  if (p->thin) {
    p->col_parts = PLR_MAX(1, PLR_MIN(most, a->n / (4 * p->kernels->nr)));
    return;
  }
  int64_t best = grid_cost(p, 1, 1, threads);
  const int64_t tiles = ceil_div(a->m, p->kernels->mr), panels = ceil_div(a->n, p->kernels->nr);
  for (int64_t rows = 1; rows <= PLR_MIN(most, tiles); rows++)
    for (int64_t cols = 1; cols <= PLR_MIN(most / rows, panels); cols++) {
      const int64_t cost = grid_cost(p, rows, cols, threads);
      if (cost >= best) continue;
      best = cost;
      p->row_parts = rows;
      p->col_parts = cols;
    }
}

static const plr__gemm_kernels *choose_kernels(plr_context *ctx) {
#if defined(__x86_64__)
  if (plr_context_isa(ctx) >= PLR_ISA_AVX512) return &plr__gemm_avx512;
  if (plr_context_isa(ctx) >= PLR_ISA_AVX2) return &plr__gemm_avx2;
#elif defined(__aarch64__)
  if (plr_context_isa(ctx) >= PLR_ISA_NEON) return &plr__gemm_neon;
#endif
  (void)ctx;
  return &plr__gemm_portable;
}

static void make_plan(plan *p, plr_context *ctx, const plr_matmul_args *a) {
  memset(p, 0, sizeof *p);
  p->args = a;
  p->kernels = choose_kernels(ctx);
  const int64_t nr = p->kernels->nr;
  const int few_rows = a->m <= FEW_ROWS;
  p->thin = few_rows && a->layout != PLR_MATMUL_NT;
  choose_grid(p, (int64_t)plr_context_threads(ctx));
  if (p->thin) {
    p->thin_cols = a->m == 1 ? THIN_COL_ONE : THIN_COL;
    p->b_bytes = (size_t)(a->m * p->thin_cols) * sizeof(float); /* here of C */
    p->lane_bytes = p->b_bytes + (size_t)round_up(a->m * PLR_MIN(a->k, THIN_K), 16) * sizeof(float);
    return;
  }
  const int64_t cols = ceil_div(ceil_div(a->n, nr), p->col_parts) * nr;
  p->block_k = block_size(a->k, BLOCK_K, 16);
  p->block_n = block_size(cols, few_rows ? nr : BLOCK_N, nr);
  p->b_bytes = (size_t)(p->block_k * p->block_n) * sizeof(float);
  p->lane_bytes = p->b_bytes;
  p->copy_a = a->layout != PLR_MATMUL_TN && a->lda % SAME_SETS == 0 && p->block_n > nr;
  if (p->copy_a || a->layout == PLR_MATMUL_TN)
    p->lane_bytes += (size_t)round_up(PACK_M * p->block_k, 16) * sizeof(float);
}

/* Lanes that can be in use at a time, as plr__parallel_lanes gives them out. */
static size_t lanes(plr_context *ctx, const plan *p) {
  return (size_t)PLR_MIN((int64_t)plr_context_threads(ctx), p->row_parts * p->col_parts);
}

size_t plr__cpu_matmul_workspace(plr_context *ctx, const plr_matmul_args *a) {
  plan p;
  make_plan(&p, ctx, a);
  return p.lane_bytes * lanes(ctx, &p);
}

/* The parts are as many as threads at most; the sizes are those of make_plan. */
size_t plr__cpu_matmul_workspace_limit(plr_context *ctx) {
  const int64_t nr = choose_kernels(ctx)->nr;
  const int64_t packed = BLOCK_K * (BLOCK_N + nr) + PACK_M * BLOCK_K + 16;
  const int64_t each = PLR_MAX(packed, FEW_ROWS * (THIN_K + THIN_COL));
  return (size_t)each * sizeof(float) * plr_context_threads(ctx);
}

/* ---- one part --------------------------------------------------------------------------------- */

typedef struct part {
  int64_t row, rows, col, cols;
  float *b, *a; /* the lane's room for the packed blocks */
} part;

/* A row tile of A, row `r` of the packed ones or `row` of the matrix. */
static void place_tile(const plan *p, const part *t, plr__gemm_strip *s, int64_t r, int64_t row,
                       int64_t k0) {
  const plr_matmul_args *args = p->args;
  if (args->layout == PLR_MATMUL_TN) {
    s->a = t->a + r * s->depth;
    s->row_stride = 1, s->k_stride = s->rows;
    return;
  }
  s->a = args->a + row * args->lda + k0;
  s->row_stride = args->lda, s->k_stride = 1;
  if (!p->copy_a) return;
  for (int64_t i = 0; i < s->rows; i++)
    memcpy(t->a + i * s->depth, s->a + i * args->lda, (size_t)s->depth * sizeof(float));
  s->a = t->a, s->row_stride = s->depth;
}

/* All rows of the part against one block of B. from: where the block is stored when it is not packed yet. */
static void sweep(const plan *p, const part *t, plr__gemm_strip *s, int64_t k0, const float *from) {
  const plr_matmul_args *args = p->args;
  float *c = s->c;
  for (int64_t i = 0; i < t->rows; i += PACK_M) {
    const int64_t rows = PLR_MIN(PACK_M, t->rows - i), row = t->row + i;
    if (args->layout == PLR_MATMUL_TN)
      p->kernels->pack_rows(args->a + k0 * args->lda + row, args->lda, s->depth, rows, t->a);
    for (int64_t r = 0; r < rows; r += s->rows) {
      s->rows = plr__gemm_tile_rows(rows - r, p->kernels->mr);
      place_tile(p, t, s, r, row + r, k0);
      s->c = c + (i + r) * args->ldc;
      if (from)
        p->kernels->strip_packing(s, from, args->ldb);
      else
        p->kernels->strip(s);
      from = NULL;
    }
  }
}

static void run_packed(const plan *p, const part *t) {
  const plr_matmul_args *args = p->args;
  plr__gemm_strip s = {.b = t->b, .ldc = args->ldc};
  for (int64_t j = 0; j < t->cols; j += p->block_n) {
    const int64_t col = t->col + j;
    s.cols = PLR_MIN(p->block_n, t->cols - j);
    for (int64_t k = 0; k < args->k; k += p->block_k) {
      s.depth = PLR_MIN(p->block_k, args->k - k);
      s.resume = args->accumulate != 0 || k > 0;
      const float *from = NULL;
      if (args->layout == PLR_MATMUL_NT)
        p->kernels->pack_transposed(args->b + col * args->ldb + k, args->ldb, s.depth, s.cols,
                                    t->b);
      else if (p->kernels->strip_packing)
        from = args->b + k * args->ldb + col;
      else
        p->kernels->pack(args->b + k * args->ldb + col, args->ldb, s.depth, s.cols, t->b);
      s.c = args->c + t->row * args->ldc + col;
      sweep(p, t, &s, k, from);
    }
  }
}

static void clear(const plr_matmul_args *args, const part *t) {
  for (int64_t r = t->row; r < t->row + t->rows; r++)
    memset(args->c + r * args->ldc + t->col, 0, (size_t)t->cols * sizeof(float));
}

/* depth x rows of A, from either way it may be stored. */
static void pack_thin(const plr_matmul_args *args, int64_t row, int64_t rows, int64_t k,
                      int64_t depth, float *to) {
  const int transposed = args->layout == PLR_MATMUL_TN;
  const int64_t row_stride = transposed ? 1 : args->lda, k_stride = transposed ? args->lda : 1;
  const float *from = args->a + row * row_stride + k * k_stride;
  for (int64_t q = 0; q < depth; q++)
    for (int64_t r = 0; r < rows; r++) to[q * rows + r] = from[r * row_stride + q * k_stride];
}

/* Columns [j, j + cols) of the part, in t->b: B comes from memory once, in place. */
static void thin_block(const plan *p, const part *t, int64_t j, int64_t cols) {
  const plr_matmul_args *args = p->args;
  const int64_t groups = ceil_div(t->rows, PLR_GEMM_THIN);
  for (int64_t k = 0; k < args->k; k += THIN_K) {
    const int64_t depth = PLR_MIN(THIN_K, args->k - k);
    const float *b = args->b + k * args->ldb + t->col + j;
    for (int64_t g = 0; g < groups; g++) {
      const int64_t row = t->rows * g / groups, rows = t->rows * (g + 1) / groups - row;
      pack_thin(args, row, rows, k, depth, t->a);
      p->kernels->thin(rows, cols, depth, t->a, b, args->ldb, t->b + row * p->thin_cols,
                       p->thin_cols);
    }
  }
}

static void run_thin(const plan *p, const part *t) {
  const plr_matmul_args *args = p->args;
  for (int64_t j = 0; j < t->cols; j += p->thin_cols) {
    const int64_t cols = PLR_MIN(p->thin_cols, t->cols - j);
    float *c = args->c + t->col + j;
    const size_t bytes = (size_t)cols * sizeof(float);
    for (int64_t r = 0; r < t->rows; r++)
      if (args->accumulate)
        memcpy(t->b + r * p->thin_cols, c + r * args->ldc, bytes);
      else
        memset(t->b + r * p->thin_cols, 0, bytes);
    thin_block(p, t, j, cols);
    for (int64_t r = 0; r < t->rows; r++) memcpy(c + r * args->ldc, t->b + r * p->thin_cols, bytes);
  }
}

static void run_part(void *arg, uint32_t index, uint32_t lane) {
  const plan *p = arg;
  const plr_matmul_args *args = p->args;
  const int64_t i = index / p->col_parts, j = index % p->col_parts;
  part t;
  const int64_t mr = p->kernels->mr, nr = p->kernels->nr;
  t.row = part_begin(args->m, mr, p->row_parts, i);
  t.rows = part_begin(args->m, mr, p->row_parts, i + 1) - t.row;
  t.col = part_begin(args->n, nr, p->col_parts, j);
  t.cols = part_begin(args->n, nr, p->col_parts, j + 1) - t.col;
  if (t.rows <= 0 || t.cols <= 0) return;
  char *work = (char *)args->work + p->lane_bytes * lane;
  t.b = (float *)(void *)work;
  t.a = (float *)(void *)(work + p->b_bytes);
  if (p->thin)
    run_thin(p, &t);
  else
    run_packed(p, &t);
}

/* ---- the operation ---------------------------------------------------------------------------- */

static plr_status check_matrix(const float *data, int64_t rows, int64_t cols, int64_t ld) {
  if (rows == 0 || cols == 0) return PLR_OK;
  if (!data || ld < cols) return PLR_ERR_INVALID_ARGUMENT;
  return ld > MAX_ELEMENTS / rows ? PLR_ERR_LIMIT : PLR_OK;
}

static plr_status check(const plr_matmul_args *a) {
  if (a->layout > PLR_MATMUL_TN) return PLR_ERR_INVALID_ARGUMENT;
  if (a->m < 0 || a->n < 0 || a->k < 0) return PLR_ERR_INVALID_ARGUMENT;
  if (a->m > MAX_DIMENSION || a->n > MAX_DIMENSION || a->k > MAX_DIMENSION) return PLR_ERR_LIMIT;
  const int ta = a->layout == PLR_MATMUL_TN, tb = a->layout == PLR_MATMUL_NT;
  PLR_TRY(check_matrix(a->a, ta ? a->k : a->m, ta ? a->m : a->k, a->lda));
  PLR_TRY(check_matrix(a->b, tb ? a->n : a->k, tb ? a->k : a->n, a->ldb));
  return check_matrix(a->c, a->m, a->n, a->ldc);
}

plr_status plr__cpu_matmul(plr_context *ctx, const plr_matmul_args *a) {
  PLR_TRY(check(a));
  if (a->m == 0 || a->n == 0) return PLR_OK;
  if (a->k == 0) {
    const part all = {.rows = a->m, .cols = a->n};
    if (!a->accumulate) clear(a, &all);
    return PLR_OK;
  }
  plan p;
  make_plan(&p, ctx, a);
  if (p.lane_bytes > 0 && !a->work) return PLR_ERR_INVALID_ARGUMENT;
  plr__parallel_lanes(ctx, (uint32_t)(p.row_parts * p.col_parts), run_part, &p);
  return PLR_OK;
}

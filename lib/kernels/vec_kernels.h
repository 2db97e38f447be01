/* The kernels written once over 16 lanes (body_*.h) and compiled per instruction set, and how the plr__cpu_*
 * functions share their work among threads. A range function computes items [first, last) of an operation; what
 * an item is (row, element, column) is said at its driver. */
#ifndef PLR_KERNELS_VEC_KERNELS_H
#define PLR_KERNELS_VEC_KERNELS_H

#include "kernels/kernels_int.h"

typedef void (*plr_range_fn)(const void *args, int64_t first, int64_t last);

/* A pass of Muon: what each reads of it is said at its function. */
typedef struct plr_muon_job {
  const plr_optimizer_args *o;
  float *x, *y;
  float by, with;
} plr_muon_job;

/* One fp64 partial sum per segment of x. */
#define PLR_SUMSQ_SEGMENTS 64
typedef struct plr_sumsq_segments {
  const float *x;
  double *part;
  int64_t n, length;
} plr_sumsq_segments;

/* Attention is cut into blocks of queries; a thread owns one slot of scratch for all the blocks it computes. */
#define PLR_ATTENTION_ROWS    16 /* rows of a register tile, at most */
#define PLR_ATTENTION_QUERIES 48 /* queries of a block, a multiple of every tile's rows and of 16 */

/* Which part of (sequence b, key/value head) to compute: queries [q0, q1), and in backward, when want_keys, dk
 * and dv of keys [k0, k1) too. q0, q1, k0, k1 are multiples of the query block or the end. */
typedef struct plr_attention_part {
  int64_t b, kv_head;
  int64_t q0, q1, k0, k1;
  uint32_t want_queries, want_keys;
} plr_attention_part;

typedef struct plr_vec_kernels {
  plr_range_fn add, mul, scale, bias, bias_bwd, row_add, embed_bwd;
  plr_range_fn rmsnorm, rmsnorm_dx, rmsnorm_dgain;
  plr_range_fn layernorm, layernorm_dx, layernorm_dgain, layernorm_dbias;
  plr_range_fn swiglu, swiglu_bwd, act, act_bwd;
  plr_range_fn rope, xent, sumsq, gaussian;
  plr_range_fn adamw, nadam, sgdm, adamw_columns, adamw_row;
  plr_range_fn muon_momentum, muon_blend, muon_update;
  plr_range_fn route, route_bwd, dispatch_bwd, combine, combine_bwd;
  plr_range_fn to_bf16, from_bf16;
  /* Keys and values of (b, kv_head) laid out in the slot, then queries [q0, q1) of one head. */
  void (*attention_pack)(const plr_attention_args *a, float *slot, int64_t b, int64_t kv_head);
  void (*attention)(const plr_attention_args *a, float *slot, int64_t b, int64_t head, int64_t q0,
                    int64_t q1);
  void (*attention_bwd)(const plr_attention_args *a, float *slot, const plr_attention_part *part);
  /* Pairs [first, first + n) of (query, head of the group) of one session and key/value head. */
  void (*attention_cache)(const plr_attention_cache_args *a, const plr_cache_rows *g,
                          int64_t kv_head, int64_t first, int64_t n, float *slot);
} plr_vec_kernels;

/* The table as kernels_*.c fills it. */
#define PLR_VEC_KERNELS                                                                            \
  {                                                                                                \
    .add = add_range, .mul = mul_range, .scale = scale_range, .bias = bias_range,                  \
    .bias_bwd = bias_bwd_range, .row_add = row_add_range, .embed_bwd = embed_bwd_range,            \
    .rmsnorm = rmsnorm_range, .rmsnorm_dx = rmsnorm_dx_range,                                      \
    .rmsnorm_dgain = rmsnorm_dgain_range, .layernorm = layernorm_range,                            \
    .layernorm_dx = layernorm_dx_range, .layernorm_dgain = layernorm_dgain_range,                  \
    .layernorm_dbias = layernorm_dbias_range, .swiglu = swiglu_range,                              \
    .swiglu_bwd = swiglu_bwd_range, .act = act_range, .act_bwd = act_bwd_range,                    \
    .rope = rope_range, .xent = xent_range, .sumsq = sumsq_range, .gaussian = gaussian_range,      \
    .adamw = adamw_range, .nadam = nadam_range, .sgdm = sgdm_range,                                \
    .adamw_columns = adamw_columns_range, .adamw_row = adamw_row_range,                            \
    .muon_momentum = muon_momentum_range, .muon_blend = muon_blend_range,                          \
    .muon_update = muon_update_range, .route = route_range, .route_bwd = route_bwd_range,          \
    .dispatch_bwd = dispatch_bwd_range, .combine = combine_range,                                  \
    .combine_bwd = combine_bwd_range, .to_bf16 = to_bf16_range, .from_bf16 = from_bf16_range,      \
    .attention_pack = attention_pack, .attention = attention, .attention_bwd = attention_bwd,      \
    .attention_cache = attention_cache,                                                            \
  }

extern const plr_vec_kernels plr__vec_portable;
extern const plr_vec_kernels plr__vec_avx2;
extern const plr_vec_kernels plr__vec_avx512;
extern const plr_vec_kernels plr__vec_neon;

/* The best of them that ctx allows. */
const plr_vec_kernels *plr__vec(const plr_context *ctx);

/* Runs fn over [0, n) in contiguous ranges that start at multiples of `align`, on as many threads as the work is
 * worth: `cost` is the rough number of elements an item touches. */
void plr__partition(plr_context *ctx, int64_t n, int64_t align, int64_t cost, plr_range_fn fn,
                    const void *args);

plr_status plr__optimizer_sizes(const plr_optimizer_args *a);

/* Floats of one slot of attention scratch. */
int64_t plr__attention_slot(const plr_attention_args *a);
int64_t plr__attention_bwd_slot(const plr_attention_args *a);

#endif

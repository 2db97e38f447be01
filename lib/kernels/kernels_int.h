/* What the kernels share among themselves: one function per operation, which dispatch.c chooses from.
 *
 * A plr__cpu_* function checks its sizes, may run on the context's threads, picks the instruction set by
 * plr_context_isa(ctx) and gives the same bits on all of them. dispatch.c has already entered the
 * floating-point environment of profile `exact` when it calls one. */
#ifndef PLR_KERNELS_KERNELS_INT_H
#define PLR_KERNELS_KERNELS_INT_H

#include "kernels/kernels.h"

/* X(name, OP, args): every operation, its id after PLR_OP_ and the struct it takes. */
#define PLR_OP_TABLE(X)                                                                            \
  X(fill, FILL, plr_fill_args)                                                                     \
  X(add, ADD, plr_add_args)                                                                        \
  X(mul, MUL, plr_add_args)                                                                        \
  X(scale, SCALE, plr_scale_args)                                                                  \
  X(bias, BIAS, plr_bias_args)                                                                     \
  X(bias_bwd, BIAS_BWD, plr_bias_args)                                                             \
  X(row_add, ROW_ADD, plr_row_add_args)                                                            \
  X(matmul, MATMUL, plr_matmul_args)                                                               \
  X(rmsnorm, RMSNORM, plr_rmsnorm_args)                                                            \
  X(rmsnorm_bwd, RMSNORM_BWD, plr_rmsnorm_args)                                                    \
  X(layernorm, LAYERNORM, plr_layernorm_args)                                                      \
  X(layernorm_bwd, LAYERNORM_BWD, plr_layernorm_args)                                              \
  X(rope_table, ROPE_TABLE, plr_rope_table_args)                                                   \
  X(rope, ROPE, plr_rope_args)                                                                     \
  X(attention, ATTENTION, plr_attention_args)                                                      \
  X(attention_bwd, ATTENTION_BWD, plr_attention_args)                                              \
  X(swiglu, SWIGLU, plr_swiglu_args)                                                               \
  X(swiglu_bwd, SWIGLU_BWD, plr_swiglu_args)                                                       \
  X(act, ACT, plr_act_args)                                                                        \
  X(act_bwd, ACT_BWD, plr_act_args)                                                                \
  X(embed, EMBED, plr_embed_args)                                                                  \
  X(embed_bwd, EMBED_BWD, plr_embed_args)                                                          \
  X(xent, XENT, plr_xent_args)                                                                     \
  X(sumsq, SUMSQ, plr_sumsq_args)                                                                  \
  X(adamw, ADAMW, plr_adamw_args)                                                                  \
  X(gaussian, GAUSSIAN, plr_gaussian_args)                                                         \
  X(route, ROUTE, plr_route_args)                                                                  \
  X(route_bwd, ROUTE_BWD, plr_route_args)                                                          \
  X(dispatch, DISPATCH, plr_dispatch_args)                                                         \
  X(dispatch_bwd, DISPATCH_BWD, plr_dispatch_args)                                                 \
  X(combine, COMBINE, plr_combine_args)                                                            \
  X(combine_bwd, COMBINE_BWD, plr_combine_args)                                                    \
  X(expert_matmul, EXPERT_MATMUL, plr_expert_matmul_args)                                          \
  X(attention_cache, ATTENTION_CACHE, plr_attention_cache_args)                                    \
  X(weight_pack, WEIGHT_PACK, plr_packed_args)                                                     \
  X(packed_matmul, PACKED_MATMUL, plr_packed_args)                                                 \
  X(packed_embed, PACKED_EMBED, plr_packed_args)                                                   \
  X(bf16_pack, BF16_PACK, plr_bf16_args)                                                           \
  X(bf16_unpack, BF16_UNPACK, plr_bf16_args)                                                       \
  X(nadam, NADAM, plr_optimizer_args)                                                              \
  X(sgdm, SGDM, plr_optimizer_args)                                                                \
  X(adamw_row, ADAMW_ROW, plr_optimizer_args)                                                      \
  X(muon, MUON, plr_optimizer_args)

/* plr__cpu_fill(ctx, args) ... and the naive plr__ref_fill(args) ... */
#define PLR_OP_PROTOTYPES(name, op, args)                                                          \
  plr_status plr__cpu_##name(plr_context *ctx, const args *a);                                     \
  plr_status plr__ref_##name(const args *a);
PLR_OP_TABLE(PLR_OP_PROTOTYPES)
#undef PLR_OP_PROTOTYPES

/* Scratch of the operations that need any, in bytes. */
size_t plr__cpu_matmul_workspace(plr_context *ctx, const plr_matmul_args *a);
size_t plr__cpu_attention_workspace(plr_context *ctx, const plr_attention_args *a);
size_t plr__cpu_attention_bwd_workspace(plr_context *ctx, const plr_attention_args *a);
size_t plr__cpu_route_bwd_workspace(plr_context *ctx, const plr_route_args *a);
size_t plr__cpu_expert_matmul_workspace(plr_context *ctx, const plr_expert_matmul_args *a);
size_t plr__cpu_muon_workspace(plr_context *ctx, const plr_optimizer_args *a);

/* At least what any product needs, whatever its sizes: for those that are not known when memory is planned. */
size_t plr__cpu_matmul_workspace_limit(plr_context *ctx);
size_t plr__cpu_attention_cache_workspace(plr_context *ctx, const plr_attention_cache_args *a);
size_t plr__cpu_packed_workspace(plr_context *ctx, const plr_packed_args *a);

#endif

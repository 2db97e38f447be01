/* From an operation's id to the function that runs it, under the floating-point environment of the profile. */
#include "kernels/kernels_int.h"

static plr_status cpu_run(plr_context *ctx, plr_op_id op, const void *a) {
  switch (op) {
#define PLR_OP_CASE(name, id, args)                                                                \
  case PLR_OP_##id:                                                                                \
    return plr__cpu_##name(ctx, (const args *)a);
    PLR_OP_TABLE(PLR_OP_CASE)
#undef PLR_OP_CASE
  default:
    return PLR_ERR_UNSUPPORTED;
  }
}

int plr__cpu_supports(plr_op_id op) {
  switch (op) {
#define PLR_OP_CASE(name, id, args) case PLR_OP_##id:
    PLR_OP_TABLE(PLR_OP_CASE)
#undef PLR_OP_CASE
    return 1;
  default:
    return 0;
  }
}

static plr_status reference_run(plr_op_id op, const void *a) {
  switch (op) {
#define PLR_OP_CASE(name, id, args)                                                                \
  case PLR_OP_##id:                                                                                \
    return plr__ref_##name((const args *)a);
    PLR_OP_TABLE(PLR_OP_CASE)
#undef PLR_OP_CASE
  default:
    return PLR_ERR_UNSUPPORTED;
  }
}

plr_status plr__cpu_run(plr_context *ctx, plr_op_id op, const void *args) {
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = cpu_run(ctx, op, args);
  plr__fpenv_leave(saved);
  return st;
}

plr_status plr__reference_run(plr_op_id op, const void *args) {
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = reference_run(op, args);
  plr__fpenv_leave(saved);
  return st;
}

size_t plr__cpu_workspace(plr_context *ctx, plr_op_id op, const void *args) {
  switch (op) {
  case PLR_OP_MATMUL:
    return plr__cpu_matmul_workspace(ctx, args);
  case PLR_OP_ATTENTION:
    return plr__cpu_attention_workspace(ctx, args);
  case PLR_OP_ATTENTION_BWD:
    return plr__cpu_attention_bwd_workspace(ctx, args);
  case PLR_OP_ROUTE_BWD:
    return plr__cpu_route_bwd_workspace(ctx, args);
  case PLR_OP_EXPERT_MATMUL:
    return plr__cpu_expert_matmul_workspace(ctx, args);
  case PLR_OP_PACKED_MATMUL:
    return plr__cpu_packed_workspace(ctx, args);
  case PLR_OP_ATTENTION_CACHE:
    return plr__cpu_attention_cache_workspace(ctx, args);
  case PLR_OP_MUON:
    return plr__cpu_muon_workspace(ctx, args);
  default:
    return 0;
  }
}

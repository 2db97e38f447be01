/* Angles of rotary positions. */
#include "kernels/vec_kernels.h"

#include "kernels/rope_inline.h"

/* Pairs [first, last) at every position. */
static void rope_table_range(const void *args, int64_t first, int64_t last) {
  const plr_rope_table_args *a = (const plr_rope_table_args *)args;
  int64_t half = a->head_dim / 2;
  double size = plr_rope_size(a);
  for (int64_t i = first; i < last; i++) {
    double f = plr_rope_frequency(a, i);
    for (int64_t p = 0; p < a->positions; p++) {
      double s, c;
      plr__sincos((double)(a->first_position + p) * f, &s, &c);
      a->cos[p * half + i] = (float)(c * size);
      a->sin[p * half + i] = (float)(s * size);
    }
  }
}

plr_status plr__cpu_rope_table(plr_context *ctx, const plr_rope_table_args *a) {
  PLR_TRY(plr_rope_table_check(a));
  plr__partition(ctx, a->head_dim / 2, 1, 32 * a->positions, rope_table_range, a);
  return PLR_OK;
}

/* Activations and their gradients; the formulas are those of EXACT.md section 5. */
#ifndef PLR_KERNELS_BODY_ACTIVATION_H
#define PLR_KERNELS_BODY_ACTIVATION_H

#include "kernels/body_elementwise.h"

static inline v16 sigmoid(v16 x) {
  v16 one = v16_set1(1.0f);
  return v16_div(one, v16_add(one, v16_exp(v16_negated(x))));
}

static void swiglu_range(const void *args, int64_t first, int64_t last) {
  const plr_swiglu_args *a = (const plr_swiglu_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *gate = a->gate + r * a->ldg, *up = a->up + r * a->ldg;
    float *h = a->h + r * a->f;
    for (int64_t i = 0; i < a->f; i += 16) {
      int n = PLR_TAIL(i, a->f);
      v16 g = load_lanes(gate + i, n);
      v16 silu = v16_mul(g, sigmoid(g));
      store_lanes(h + i, v16_mul(silu, load_lanes(up + i, n)), n);
    }
  }
}

static void swiglu_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_swiglu_args *a = (const plr_swiglu_args *)args;
  v16 one = v16_set1(1.0f);
  for (int64_t r = first; r < last; r++) {
    int64_t row = r * a->ldg;
    const float *dh_row = a->dh + r * a->f;
    for (int64_t i = 0; i < a->f; i += 16) {
      int n = PLR_TAIL(i, a->f);
      v16 g = load_lanes(a->gate + row + i, n), up = load_lanes(a->up + row + i, n);
      v16 dh = load_lanes(dh_row + i, n);
      v16 s = sigmoid(g), silu = v16_mul(g, s);
      v16 slope = v16_fma(silu, v16_sub(one, s), s);
      store_lanes(a->dgate + row + i, v16_mul(v16_mul(dh, up), slope), n);
      store_lanes(a->dup + row + i, v16_mul(dh, silu), n);
    }
  }
}

/* ---- one input ---------------------------------------------------------------------------------- */

static inline v16 silu(v16 x) {
  return v16_mul(x, sigmoid(x));
}

static inline v16 silu_slope(v16 x) {
  v16 s = sigmoid(x);
  return v16_fma(v16_mul(x, s), v16_sub(v16_set1(1.0f), s), s);
}

static inline v16 gelu(v16 x) {
  v16 shape, size = v16_max(x, v16_negated(x));
  v16 tail = v16_tail(size, &shape);
  return v16_fnma(size, tail, v16_max(x, v16_set1(0.0f)));
}

static inline v16 gelu_slope(v16 x) {
  v16 shape, size = v16_max(x, v16_negated(x));
  v16 tail = v16_tail(size, &shape);
  v16 below = v16_fnma(size, v16_mul(shape, v16_set1(PLR_DENSITY_F)), tail);
  return v16_if_greater(x, v16_set1(0.0f), v16_sub(v16_set1(1.0f), below), below);
}

static inline v16 gelu_tanh(v16 x) {
  v16 u = v16_fma(v16_mul(x, x), v16_set1(PLR_GELU_C3_F), v16_set1(PLR_GELU_C1_F));
  return v16_mul(x, sigmoid(v16_mul(x, u)));
}

static inline v16 gelu_tanh_slope(v16 x) {
  v16 square = v16_mul(x, x), c1 = v16_set1(PLR_GELU_C1_F);
  v16 s = sigmoid(v16_mul(x, v16_fma(square, v16_set1(PLR_GELU_C3_F), c1)));
  v16 du = v16_fma(square, v16_set1(3.0f * PLR_GELU_C3_F), c1);
  return v16_fma(v16_mul(v16_mul(x, s), v16_sub(v16_set1(1.0f), s)), du, s);
}

static inline v16 relu2(v16 x) {
  v16 r = v16_max(x, v16_set1(0.0f));
  return v16_mul(r, r);
}

static inline v16 relu2_slope(v16 x) {
  v16 r = v16_max(x, v16_set1(0.0f));
  return v16_add(r, r);
}

#define PLR_ACT_LOOP(f)                                                                            \
  for (int64_t i = first; i < last; i += 16) {                                                     \
    int n = PLR_TAIL(i, last);                                                                     \
    store_lanes(a->y + i, f(load_lanes(a->x + i, n)), n);                                          \
  }                                                                                                \
  break

static void act_range(const void *args, int64_t first, int64_t last) {
  const plr_act_args *a = (const plr_act_args *)args;
  switch (a->kind) {
  case PLR_ACT_SILU:
    PLR_ACT_LOOP(silu);
  case PLR_ACT_GELU:
    PLR_ACT_LOOP(gelu);
  case PLR_ACT_GELU_TANH:
    PLR_ACT_LOOP(gelu_tanh);
  default:
    PLR_ACT_LOOP(relu2);
  }
}

#define PLR_ACT_BWD_LOOP(slope)                                                                    \
  for (int64_t i = first; i < last; i += 16) {                                                     \
    int n = PLR_TAIL(i, last);                                                                     \
    store_lanes(a->dx + i, v16_mul(load_lanes(a->dy + i, n), slope(load_lanes(a->x + i, n))), n);  \
  }                                                                                                \
  break

static void act_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_act_args *a = (const plr_act_args *)args;
  switch (a->kind) {
  case PLR_ACT_SILU:
    PLR_ACT_BWD_LOOP(silu_slope);
  case PLR_ACT_GELU:
    PLR_ACT_BWD_LOOP(gelu_slope);
  case PLR_ACT_GELU_TANH:
    PLR_ACT_BWD_LOOP(gelu_tanh_slope);
  default:
    PLR_ACT_BWD_LOOP(relu2_slope);
  }
}

#endif

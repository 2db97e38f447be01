/* Activations as EXACT.md section 5 states them, one number at a time. */
#include "kernels/kernels_int.h"

#include <math.h>

#include "kernels/math_const.h"

static float sigmoid(float x) {
  return 1.0f / (1.0f + plr__expf(-x));
}

plr_status plr__ref_swiglu(const plr_swiglu_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->f; i++) {
      float g = a->gate[r * a->ldg + i];
      a->h[r * a->f + i] = g * sigmoid(g) * a->up[r * a->ldg + i];
    }
  return PLR_OK;
}

plr_status plr__ref_swiglu_bwd(const plr_swiglu_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->f; i++) {
      float g = a->gate[r * a->ldg + i], up = a->up[r * a->ldg + i], dh = a->dh[r * a->f + i];
      float s = sigmoid(g), silu = g * s;
      a->dgate[r * a->ldg + i] = dh * up * fmaf(silu, 1.0f - s, s);
      a->dup[r * a->ldg + i] = dh * silu;
    }
  return PLR_OK;
}

static float act(uint32_t kind, float x) {
  float shape, size = x > -x ? x : -x, positive = x > 0.0f ? x : 0.0f;
  switch (kind) {
  case PLR_ACT_SILU:
    return x * sigmoid(x);
  case PLR_ACT_GELU:
    return fmaf(-size, plr__tailf(size, &shape), positive);
  case PLR_ACT_GELU_TANH:
    return x * sigmoid(x * fmaf(x * x, PLR_GELU_C3_F, PLR_GELU_C1_F));
  default:
    return positive * positive;
  }
}

static float act_slope(uint32_t kind, float x) {
  float shape, size = x > -x ? x : -x, positive = x > 0.0f ? x : 0.0f, s, tail;
  switch (kind) {
  case PLR_ACT_SILU:
    s = sigmoid(x);
    return fmaf(x * s, 1.0f - s, s);
  case PLR_ACT_GELU:
    tail = plr__tailf(size, &shape);
    s = fmaf(-size, shape * PLR_DENSITY_F, tail);
    return x > 0.0f ? 1.0f - s : s;
  case PLR_ACT_GELU_TANH:
    s = sigmoid(x * fmaf(x * x, PLR_GELU_C3_F, PLR_GELU_C1_F));
    return fmaf(x * s * (1.0f - s), fmaf(x * x, 3.0f * PLR_GELU_C3_F, PLR_GELU_C1_F), s);
  default:
    return positive + positive;
  }
}

plr_status plr__ref_act(const plr_act_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = act(a->kind, a->x[i]);
  return PLR_OK;
}

plr_status plr__ref_act_bwd(const plr_act_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->dx[i] = a->dy[i] * act_slope(a->kind, a->x[i]);
  return PLR_OK;
}

/* Naive forms of the operations, straight from EXACT.md: element after element, one lane at a time. */
#include "kernels/kernels_int.h"

#include <math.h>
#include <string.h>

/* The fixed tree over 16 lanes. */
static float tree(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

static float sigmoid(float x) {
  return 1.0f / (1.0f + plr__expf(-x));
}

plr_status plr__ref_fill(const plr_fill_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->value;
  return PLR_OK;
}

plr_status plr__ref_add(const plr_add_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->a[i] + a->b[i];
  return PLR_OK;
}

static int ids_in_range(const int32_t *ids, int64_t rows, int64_t vocab) {
  for (int64_t r = 0; r < rows; r++)
    if (ids[r] < 0 || ids[r] >= vocab) return 0;
  return 1;
}

plr_status plr__ref_row_add(const plr_row_add_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++)
      a->y[r * a->d + i] = a->x[r * a->d + i] + a->sign * a->table[a->ids[r] * a->d + i];
  return PLR_OK;
}

plr_status plr__ref_embed(const plr_embed_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->w; i++) a->y[r * a->w + i] = a->table[a->ids[r] * a->w + i];
  return PLR_OK;
}

plr_status plr__ref_embed_bwd(const plr_embed_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->w; i++) a->dtable[a->ids[r] * a->w + i] += a->dy[r * a->w + i];
  return PLR_OK;
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

plr_status plr__ref_rmsnorm(const plr_rmsnorm_args *a) {
  for (int64_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->d;
    float lane[16] = {0};
    for (int64_t i = 0; i < a->d; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float inv = 1.0f / sqrtf(tree(lane) / (float)a->d + a->eps);
    a->inv_rms[r] = inv;
    for (int64_t i = 0; i < a->d; i++) {
      float v = x[i] * inv;
      a->y[r * a->d + i] = a->gain ? v * a->gain[i] : v;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_rmsnorm_bwd(const plr_rmsnorm_args *a) {
  if (a->dgain)
    for (int64_t r = 0; r < a->rows; r++)
      for (int64_t i = 0; i < a->d; i++) {
        float normed = a->x[r * a->d + i] * a->inv_rms[r];
        a->dgain[i] = fmaf(a->dy[r * a->d + i], normed, a->dgain[i]);
      }
  if (!a->dx) return PLR_OK;
  for (int64_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->d, *dy = a->dy + r * a->d;
    float *dx = a->dx + r * a->d, lane[16] = {0}, inv = a->inv_rms[r];
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      lane[i % 16] = fmaf(g, x[i], lane[i % 16]);
    }
    float c = tree(lane) * inv * inv / (float)a->d;
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      float t = fmaf(-c, x[i], g);
      dx[i] = a->accumulate_dx ? fmaf(inv, t, dx[i]) : inv * t;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_rope_table(const plr_rope_table_args *a) {
  int64_t half = a->head_dim / 2;
  for (int64_t p = 0; p < a->positions; p++)
    for (int64_t i = 0; i < half; i++) {
      double frequency = plr__pow(a->theta, -(double)(2 * i) / (double)a->head_dim), s, c;
      plr__sincos((double)(a->first_position + p) * frequency, &s, &c);
      a->cos[p * half + i] = (float)c;
      a->sin[p * half + i] = (float)s;
    }
  return PLR_OK;
}

plr_status plr__ref_rope(const plr_rope_args *a) {
  int64_t half = a->head_dim / 2;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t h = 0; h < a->heads; h++)
      for (int64_t i = 0; i < half; i++) {
        float *low = a->x + r * a->ldx + h * a->head_dim + i, *high = low + half;
        int64_t at = (a->positions ? a->positions[r] : r % a->seq) * half + i;
        float c = a->cos[at], s = a->sign * a->sin[at];
        float x = *low, y = *high;
        *low = fmaf(-y, s, x * c);
        *high = fmaf(x, s, y * c);
      }
  return PLR_OK;
}

plr_status plr__ref_xent(const plr_xent_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    if (a->labels[r] >= a->vocab) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++) {
    float *x = a->logits + r * a->vocab, lane[16], max;
    int64_t label = a->labels[r];
    if (label < 0) {
      a->loss[r] = 0.0f;
      for (int64_t i = 0; i < a->vocab && a->with_grad; i++) x[i] = 0.0f;
      continue;
    }
    for (int i = 0; i < 16; i++) lane[i] = -INFINITY;
    for (int64_t i = 0; i < a->vocab; i++) lane[i % 16] = lane[i % 16] > x[i] ? lane[i % 16] : x[i];
    max = lane[0];
    for (int i = 1; i < 16; i++) max = max > lane[i] ? max : lane[i];
    memset(lane, 0, sizeof lane);
    for (int64_t i = 0; i < a->vocab; i++) lane[i % 16] += plr__expf(x[i] - max);
    float sum = tree(lane), inv = 1.0f / sum;
    a->loss[r] = plr__logf(sum) - (x[label] - max);
    for (int64_t i = 0; i < a->vocab && a->with_grad; i++) {
      float p = plr__expf(x[i] - max) * inv;
      x[i] = (i == label ? p - 1.0f : p) * a->scale;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_sumsq(const plr_sumsq_args *a) {
  int64_t length = (a->n + 1023) / 1024 * 16;
  double sum = 0.0;
  for (int64_t start = 0; start < a->n; start += length) {
    double lane[16] = {0};
    for (int64_t i = start; i < start + length && i < a->n; i++) {
      double x = (double)a->x[i];
      lane[(i - start) % 16] = fma(x, x, lane[(i - start) % 16]);
    }
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    sum += lane[0];
  }
  a->out[0] = isfinite(sum) ? sum : INFINITY;
  a->out[1] = isfinite(sum) ? 1.0 : 0.0;
  return PLR_OK;
}

plr_status plr__ref_adamw(const plr_adamw_args *a) {
  float scale1 = 1.0f / a->correction1, scale2 = 1.0f / a->correction2;
  for (int64_t i = 0; i < a->n; i++) {
    float g = a->g[i] * a->grad_scale;
    float m = fmaf(a->beta1, a->m[i], (1.0f - a->beta1) * g);
    float v = fmaf(a->beta2, a->v[i], (1.0f - a->beta2) * g * g);
    float step = m * scale1 / (sqrtf(v * scale2) + a->eps);
    step = fmaf(a->weight_decay, a->w[i], step);
    a->w[i] = fmaf(-a->lr, step, a->w[i]);
    a->m[i] = m;
    a->v[i] = v;
  }
  return PLR_OK;
}

plr_status plr__ref_gaussian(const plr_gaussian_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->cols; i++) {
      float z = plr__normal(a->seed, a->stream, (uint32_t)(a->first_row + r), (uint32_t)i);
      a->y[r * a->cols + i] = z * a->std;
    }
  return PLR_OK;
}

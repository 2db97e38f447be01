/* Sums, products, look-ups, rotation and storage formats: each element on its own. */
#ifndef PLR_KERNELS_BODY_ELEMENTWISE_H
#define PLR_KERNELS_BODY_ELEMENTWISE_H

/* Loads and stores of the n <= 16 lanes left at element i. */
#define PLR_TAIL(i, end) ((end) - (i) < 16 ? (int)((end) - (i)) : 16)

static inline v16 load_lanes(const float *p, int n) {
  return n == 16 ? v16_load(p) : v16_load_n(p, n);
}

static inline void store_lanes(float *p, v16 x, int n) {
  if (n == 16)
    v16_store(p, x);
  else
    v16_store_n(p, x, n);
}

static void add_range(const void *args, int64_t first, int64_t last) {
  const plr_add_args *a = (const plr_add_args *)args;
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    store_lanes(a->y + i, v16_add(load_lanes(a->a + i, n), load_lanes(a->b + i, n)), n);
  }
}

static void mul_range(const void *args, int64_t first, int64_t last) {
  const plr_add_args *a = (const plr_add_args *)args;
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    store_lanes(a->y + i, v16_mul(load_lanes(a->a + i, n), load_lanes(a->b + i, n)), n);
  }
}

static void scale_range(const void *args, int64_t first, int64_t last) {
  const plr_scale_args *a = (const plr_scale_args *)args;
  v16 by = v16_set1(a->by);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    store_lanes(a->y + i, v16_mul(load_lanes(a->x + i, n), by), n);
  }
}

static void bias_range(const void *args, int64_t first, int64_t last) {
  const plr_bias_args *a = (const plr_bias_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d;
    float *y = a->y + r * a->d;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      store_lanes(y + i, v16_add(load_lanes(x + i, n), load_lanes(a->bias + i, n)), n);
    }
  }
}

static void row_add_range(const void *args, int64_t first, int64_t last) {
  const plr_row_add_args *a = (const plr_row_add_args *)args;
  v16 sign = v16_set1(a->sign);
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d, *t = a->table + (int64_t)a->ids[r] * a->d;
    float *y = a->y + r * a->d;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      store_lanes(y + i, v16_fma(sign, load_lanes(t + i, n), load_lanes(x + i, n)), n);
    }
  }
}

/* Columns [first, last) of every row, so that a table row is summed in the order of the rows. */
static void embed_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_embed_args *a = (const plr_embed_args *)args;
  for (int64_t r = 0; r < a->rows; r++) {
    const float *dy = a->dy + r * a->w;
    float *t = a->dtable + (int64_t)a->ids[r] * a->w;
    for (int64_t i = first; i < last; i += 16) {
      int n = PLR_TAIL(i, last);
      store_lanes(t + i, v16_add(load_lanes(t + i, n), load_lanes(dy + i, n)), n);
    }
  }
}

static void rope_range(const void *args, int64_t first, int64_t last) {
  const plr_rope_args *a = (const plr_rope_args *)args;
  int64_t half = a->head_dim / 2;
  v16 sign = v16_set1(a->sign);
  for (int64_t r = first; r < last; r++) {
    int64_t position = a->positions ? a->positions[r] : r % a->seq;
    const float *cos_row = a->cos + position * half, *sin_row = a->sin + position * half;
    for (int64_t h = 0; h < a->heads; h++) {
      float *low = a->x + r * a->ldx + h * a->head_dim, *high = low + half;
      for (int64_t i = 0; i < half; i += 16) {
        int n = PLR_TAIL(i, half);
        v16 x = load_lanes(low + i, n), y = load_lanes(high + i, n);
        v16 c = load_lanes(cos_row + i, n), s = v16_mul(sign, load_lanes(sin_row + i, n));
        store_lanes(low + i, v16_fnma(y, s, v16_mul(x, c)), n);
        store_lanes(high + i, v16_fma(x, s, v16_mul(y, c)), n);
      }
    }
  }
}

/* Integer work that compilers vectorise by themselves. */
static void to_bf16_range(const void *args, int64_t first, int64_t last) {
  const plr_bf16_args *a = (const plr_bf16_args *)args;
  const float *x = a->from_f32;
  uint16_t *y = a->bf16;
  for (int64_t i = first; i < last; i++) {
    uint32_t b;
    memcpy(&b, x + i, sizeof b);
    uint32_t rounded = (b + 0x7FFFu + ((b >> 16) & 1u)) >> 16;
    uint32_t nan = (b >> 16) | 0x40u;
    y[i] = (uint16_t)((b & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
  }
}

static void from_bf16_range(const void *args, int64_t first, int64_t last) {
  const plr_bf16_args *a = (const plr_bf16_args *)args;
  for (int64_t i = first; i < last; i++) {
    uint32_t b = (uint32_t)a->from_bf16[i] << 16;
    memcpy(a->f32 + i, &b, sizeof b);
  }
}

#endif

/* See codec_peers.h. Plain code: nothing here is timed. */
#include "codec_peers.h"

#include "bench.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float absmax(const float *x, size_t n) {
  float m = 0;
  for (size_t i = 0; i < n; i++) m = fmaxf(m, fabsf(x[i]));
  return m;
}

static float limited(float v, float low, float high) {
  return fminf(high, fmaxf(low, v));
}

static float half(float v) {
  return plr__f16_to_f32(plr__f32_to_f16(v));
}

/* Symmetric integers of b bits with an fp16 scale for each group; parameter = bits + group / 1000. */
static double block_int(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  const size_t n = rows * cols, group = (size_t)lround(1000 * (parameter - floor(parameter)));
  const int bits = (int)parameter;
  const float top = (float)((1 << (bits - 1)) - 1);
  for (size_t i = 0; i < n; i += group) {
    const size_t m = i + group < n ? group : n - i;
    const float scale = half(absmax(x + i, m) / top);
    for (size_t j = i; j < i + m; j++)
      y[j] = scale > 0 ? limited(rintf(x[j] / scale), -top, top) * scale : 0;
  }
  return bits + 16.0 / (double)group;
}

static int by_value(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static float nearest(const float *table, size_t n, float v) {
  size_t low = 0, high = n - 1;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    if (table[middle] <= v)
      low = middle;
    else
      high = middle;
  }
  return v - table[low] < table[high] - v ? table[low] : table[high];
}

/* bitsandbytes' dynamic map (Dettmers et al., arXiv 2110.02861): blocks of 4096. */
static double dynamic8(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  float map[256];
  size_t count = 0;
  (void)parameter;
  for (int e = 0; e < 7; e++) {
    const int items = 1 << e;
    for (int k = 0; k < items; k++) {
      const double a = 0.1 + 0.9 * k / items, b = 0.1 + 0.9 * (k + 1) / items;
      const float v = (float)(0.5 * (a + b) * pow(10, e - 6));
      map[count++] = v, map[count++] = -v;
    }
  }
  map[count++] = 0, map[count++] = 1;
  qsort(map, count, sizeof *map, by_value);
  const size_t n = rows * cols;
  for (size_t i = 0; i < n; i += 4096) {
    const size_t m = i + 4096 < n ? 4096 : n - i;
    const float scale = absmax(x + i, m);
    for (size_t j = i; j < i + m; j++)
      y[j] = scale > 0 ? nearest(map, count, x[j] / scale) * scale : 0;
  }
  return 8 + 32.0 / 4096;
}

/* hivemind UNIFORM_8BIT: 256 buckets over six sigma, their means as a table. */
static double uniform8(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  const size_t n = rows * cols;
  double mean = 0, square = 0, sum[256] = {0}, seen[256] = {0};
  (void)parameter;
  for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
  for (size_t i = 0; i < n; i++) square += pow((double)x[i] - mean, 2) / (double)n;
  const double scale = 6 * sqrt(square) / 256;
  for (int turn = 0; turn < 2; turn++)
    for (size_t i = 0; i < n; i++) {
      const int k = (int)fmin(255, fmax(0, rint(((double)x[i] - mean) / scale) + 128));
      if (turn)
        y[i] = (float)(sum[k] / seen[k]);
      else
        sum[k] += (double)x[i], seen[k]++;
    }
  return 8 + 256 * 32.0 / (double)n;
}

/* AQ-SGD's fixpoint (Wang et al., arXiv 2206.01299): levels k / 2^(b-1) of an fp16 largest magnitude, here of 1024. */
static double fixpoint(const float *x, float *y, size_t rows, size_t cols, double bits) {
  const size_t n = rows * cols;
  const float h = exp2f((float)bits - 1);
  for (size_t i = 0; i < n; i += 1024) {
    const size_t m = i + 1024 < n ? 1024 : n - i;
    const float scale = half(absmax(x + i, m));
    for (size_t j = i; j < i + m; j++)
      y[j] = scale > 0 ? limited(rintf(x[j] / scale * h), -h, h - 1) / h * scale : 0;
  }
  return bits + 16.0 / 1024;
}

static void hadamard(float *v, size_t n) {
  for (size_t h = 1; h < n; h *= 2)
    for (size_t i = 0; i < n; i += 2 * h)
      for (size_t j = i; j < i + h; j++) {
        const float a = v[j], b = v[j + h];
        v[j] = a + b, v[j + h] = a - b;
      }
  const float scale = 1 / sqrtf((float)n);
  for (size_t i = 0; i < n; i++) v[i] *= scale;
}

static double tile_entropy(const float *x, size_t n) {
  double sum = 1e-30, entropy = 0;
  for (size_t i = 0; i < n; i++) sum += (double)fabsf(x[i]);
  for (size_t i = 0; i < n; i++) {
    const double p = (double)fabsf(x[i]) / sum;
    if (p > 0) entropy -= p * log(p);
  }
  return entropy;
}

static void minmax(float *v, size_t n, int bits) {
  float low = v[0], high = v[0];
  for (size_t i = 1; i < n; i++) low = fminf(low, v[i]), high = fmaxf(high, v[i]);
  const float step = (high - low) / (float)((1 << bits) - 1);
  for (size_t i = 0; i < n; i++) v[i] = step > 0 ? low + rintf((v[i] - low) / step) * step : low;
}

/* TAH-Quant (arXiv 2506.01352): tiles of 32, the 80% of largest entropy in 4 bits, the others in 3; a tile with an
 * outlier is rotated with the outlier first. 4.41 bits as the paper counts. (19.75 dB on N(0,1) if the tiles of 3 bits
 * are any; by their entropy 19.50.) */
static double tah(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  enum { TILE = 32 };
  const size_t tiles = rows * cols / TILE;
  float *score = bench_alloc((int64_t)tiles * 8), *sorted = score + tiles;
  (void)parameter;
  for (size_t t = 0; t < tiles; t++) score[t] = (float)tile_entropy(x + t * TILE, TILE);
  memcpy(sorted, score, tiles * sizeof *score);
  qsort(sorted, tiles, sizeof *sorted, by_value);
  for (size_t t = 0; t < tiles; t++) {
    float v[TILE], first = 0, second = 0;
    size_t at = 0;
    memcpy(v, x + t * TILE, sizeof v);
    for (size_t i = 0; i < TILE; i++) {
      const float m = fabsf(v[i]);
      if (m > first)
        second = first, first = m, at = i;
      else
        second = fmaxf(second, m);
    }
    const int rotate = first > 2 * second, bits = score[t] >= sorted[tiles / 5] ? 4 : 3;
    const float outlier = v[at];
    if (rotate) v[at] = v[0], v[0] = outlier, hadamard(v, TILE);
    minmax(v, TILE, bits);
    if (rotate) {
      hadamard(v, TILE);
      const float back = v[0];
      v[0] = v[at], v[at] = back;
    }
    memcpy(y + t * TILE, v, sizeof v);
  }
  free(score);
  return 4.41;
}

/* E2M1, saturating. */
static float e2m1(float v) {
  static const float grid[] = {-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  return nearest(grid, 15, limited(v, -6, 6));
}

/* OCP MX v1.0: 32 values share a power of two. */
static double mxfp4(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  (void)parameter;
  for (size_t i = 0; i < rows * cols; i += 32) {
    const float m = absmax(x + i, 32), scale = m > 0 ? exp2f(floorf(log2f(m)) - 2) : 1;
    for (size_t j = i; j < i + 32; j++) y[j] = e2m1(x[j] / scale) * scale;
  }
  return 4.25;
}

/* To E4M3: 3 bits of mantissa, 2^-9 at the least, 448 at the most. */
static float e4m3(float v) {
  if (v <= 0) return 0;
  const float unit = exp2f(fmaxf(floorf(log2f(v)), -6) - 3);
  return fminf(448, rintf(v / unit) * unit);
}

/* NVFP4: 16 values share an E4M3 scale, a tensor an fp32 one. */
static double nvfp4(const float *x, float *y, size_t rows, size_t cols, double parameter) {
  const size_t n = rows * cols;
  const float tensor = absmax(x, n) / (448 * 6);
  (void)parameter;
  for (size_t i = 0; i < n; i += 16) {
    const float scale = e4m3(absmax(x + i, 16) / 6 / tensor) * tensor;
    for (size_t j = i; j < i + 16; j++) y[j] = scale > 0 ? e2m1(x[j] / scale) * scale : 0;
  }
  return 4.5 + 32.0 / (double)n;
}

/* Largest power of two that divides cols, up to 4096. */
static size_t block_of(size_t cols) {
  size_t b = 1;
  while (cols % (2 * b) == 0 && b < 4096) b *= 2;
  return b;
}

/* EDEN (Vargaftik et al., arXiv 2108.08842): randomised Hadamard, Lloyd-Max of a Gaussian, the scale of least error. */
static double eden(const float *x, float *y, size_t rows, size_t cols, double bits) {
  static const float two[] = {-1.51042f, -0.45278f, 0.45278f, 1.51042f};
  static const float three[] = {-2.15195f, -1.34391f, -0.75601f, -0.24509f,
                                0.24509f,  0.75601f,  1.34391f,  2.15195f};
  static const float four[] = {-2.73259f, -2.06902f, -1.61805f, -1.25623f, -0.94234f, -0.65676f,
                               -0.38805f, -0.12840f, 0.12840f,  0.38805f,  0.65676f,  0.94234f,
                               1.25623f,  1.61805f,  2.06902f,  2.73259f};
  const float *table = bits < 3 ? two : bits < 4 ? three : four;
  const size_t n = rows * cols, block = block_of(cols);
  uint64_t seed = 1;
  float *v = bench_alloc((int64_t)block * 8), *sign = v + block;
  for (size_t i = 0; i < block; i++) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    sign[i] = seed >> 63 ? 1 : -1;
  }
  for (size_t i = 0; i < n; i += block) {
    double power = 0, dot = 0, square = 0;
    for (size_t j = 0; j < block; j++) v[j] = x[i + j] * sign[j];
    hadamard(v, block);
    for (size_t j = 0; j < block; j++) power += (double)v[j] * (double)v[j];
    const float unit = power > 0 ? (float)sqrt((double)block / power) : 0;
    for (size_t j = 0; j < block; j++) {
      const float c = nearest(table, (size_t)1 << (int)bits, v[j] * unit);
      dot += (double)c * (double)v[j], square += (double)c * (double)c;
      v[j] = c;
    }
    for (size_t j = 0; j < block; j++) v[j] *= (float)(dot / square);
    hadamard(v, block);
    for (size_t j = 0; j < block; j++) y[i + j] = v[j] * sign[j];
  }
  free(v);
  return bits + 32.0 / (double)block;
}

/* The tenth of largest magnitude of every row in fp16, with its indices. */
static double top_k(const float *x, float *y, size_t rows, size_t cols, double share) {
  float *sorted = bench_alloc((int64_t)cols * 4);
  const size_t keep = (size_t)fmax(1, rint(share * (double)cols));
  for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
    size_t left = keep;
    for (size_t c = 0; c < cols; c++) sorted[c] = fabsf(x[c]);
    qsort(sorted, cols, sizeof *sorted, by_value);
    for (size_t c = 0; c < cols; c++) {
      const int kept = left && fabsf(x[c]) >= sorted[cols - keep];
      y[c] = kept ? half(x[c]) : 0;
      left -= (size_t)kept;
    }
  }
  free(sorted);
  return (double)keep / (double)cols * (16 + ceil(log2((double)cols)));
}

static void orthonormal(float *basis, size_t r, size_t cols) {
  for (size_t i = 0; i < r; i++) {
    float *a = basis + i * cols;
    for (size_t k = 0; k < i; k++) {
      double dot = 0;
      for (size_t c = 0; c < cols; c++) dot += (double)a[c] * (double)basis[k * cols + c];
      for (size_t c = 0; c < cols; c++) a[c] -= (float)dot * basis[k * cols + c];
    }
    double square = 1e-30;
    for (size_t c = 0; c < cols; c++) square += (double)a[c] * (double)a[c];
    for (size_t c = 0; c < cols; c++) a[c] *= (float)(1 / sqrt(square));
  }
}

/* fp32 coefficients in a basis of cols / 16 rows: random, or (parameter = turns of subspace iteration) learned from
 * this very tensor, which is the best case of one that is learned beforehand. */
static double subspace(const float *x, float *y, size_t rows, size_t cols, double turns) {
  const size_t r = cols / 16 ? cols / 16 : 1;
  float *basis = bench_alloc((int64_t)(2 * r * cols) * 4), *next = basis + r * cols;
  float *z = bench_alloc((int64_t)r * 4);
  bench_fill(basis, (int64_t)(r * cols), 5);
  for (int turn = 0; turn <= (int)turns; turn++) {
    orthonormal(basis, r, cols);
    const int last = turn == (int)turns;
    memset(next, 0, r * cols * 4);
    for (size_t t = 0; t < rows; t++) {
      const float *row = x + t * cols;
      for (size_t i = 0; i < r; i++) {
        float dot = 0;
        for (size_t c = 0; c < cols; c++) dot += row[c] * basis[i * cols + c];
        z[i] = dot;
      }
      if (last) memset(y + t * cols, 0, cols * 4);
      for (size_t i = 0; i < r; i++) {
        const float *from = last ? basis + i * cols : row;
        float *to = last ? y + t * cols : next + i * cols;
        for (size_t c = 0; c < cols; c++) to[c] += z[i] * from[c];
      }
    }
    if (!last) memcpy(basis, next, r * cols * 4);
  }
  free(basis), free(z);
  return 32.0 * (double)r / (double)cols;
}

const peer codec_peers[] = {
    {"int4-g32", "absmax integers, fp16 scale", block_int, 4.032, 20.27},
    {"int4-g128", "absmax integers, fp16 scale", block_int, 4.128, 18.63},
    {"int8-g32", "absmax integers, fp16 scale", block_int, 8.032, 45.42},
    {"bitsandbytes-8", "arXiv 2110.02861", dynamic8, 0, 37.77},
    {"hivemind-uniform-8", "hivemind UNIFORM_8BIT", uniform8, 0, 35.82},
    {"aq-sgd-2", "arXiv 2206.01299", fixpoint, 2, 5.92},
    {"aq-sgd-4", "arXiv 2206.01299", fixpoint, 4, 18.01},
    {"aq-sgd-8", "arXiv 2206.01299", fixpoint, 8, 42.11},
    {"tah-quant", "arXiv 2506.01352", tah, 0, 19.50},
    {"mxfp4", "OCP MX 1.0", mxfp4, 0, 18.80},
    {"nvfp4", "NVFP4", nvfp4, 0, 20.46},
    {"eden-2", "arXiv 2108.08842", eden, 2, 9.30},
    {"eden-3", "arXiv 2108.08842", eden, 3, 14.62},
    {"eden-4", "arXiv 2108.08842", eden, 4, 20.22},
    {"top-k-10", "fp16 values, plain indices", top_k, 0.1, 2.51},
    {"subspace-random", "arXiv 2506.01260, fp32 coefficients", subspace, 0, 0},
    {"subspace-learned", "the same, basis learned from the tensor", subspace, 4, 0},
};

const size_t codec_peer_count = sizeof codec_peers / sizeof *codec_peers;

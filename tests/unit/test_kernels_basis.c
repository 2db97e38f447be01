/* The seeded orthonormal basis: orthonormal, the Q of that Gaussian matrix, and the same bits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

static float *basis(uint64_t seed, uint32_t stream, int64_t d, int64_t k) {
  double *scratch = (double *)allocate((size_t)(d * k) * sizeof(double));
  float *u = unset_floats(d * k);
  assert_int_equal(plr__basis(seed, stream, d, k, scratch, u), PLR_OK);
  free(scratch);
  return u;
}

static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {7, 3}, {33, 33}, {64, 16}, {768, 40}};

static void orthonormal(void **state) {
  (void)state;
  for (size_t s = 0; s < PLR_COUNT_OF(sizes); s++) {
    const int64_t d = sizes[s][0], k = sizes[s][1];
    float *u = basis(42, 3, d, k);
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j <= i; j++) {
        double sum = 0;
        for (int64_t r = 0; r < d; r++) sum += (double)u[r * k + i] * (double)u[r * k + j];
        assert_true(fabs(sum - (i == j ? 1.0 : 0.0)) < 1e-6);
      }
    free(u);
  }
}

/* R = U^T G is upper triangular with a positive diagonal, and U R gives G back: U is the Q factor, not merely some
 * orthonormal matrix. */
static void factor_of_the_gaussian(void **state) {
  (void)state;
  for (size_t s = 0; s < PLR_COUNT_OF(sizes); s++) {
    const int64_t d = sizes[s][0], k = sizes[s][1];
    const double tolerance = 1e-6 * sqrt((double)d);
    float *u = basis(42, 3, d, k);
    double *upper = (double *)allocate((size_t)(k * k) * sizeof(double));
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j < k; j++) {
        double sum = 0;
        for (int64_t r = 0; r < d; r++)
          sum += (double)u[r * k + i] * (double)plr__normal(42, 3, (uint32_t)r, (uint32_t)j);
        upper[i * k + j] = sum;
        if (i > j) assert_true(fabs(sum) < tolerance);
        if (i == j) assert_true(sum > 0);
      }
    for (int64_t r = 0; r < d; r++)
      for (int64_t j = 0; j < k; j++) {
        double sum = 0;
        for (int64_t i = 0; i <= j; i++) sum += (double)u[r * k + i] * upper[i * k + j];
        const double want = (double)plr__normal(42, 3, (uint32_t)r, (uint32_t)j);
        assert_true(fabs(sum - want) < tolerance);
      }
    free(upper);
    free(u);
  }
}

static void seed_and_stream_count(void **state) {
  (void)state;
  const int64_t n = 32 * 4;
  float *u = basis(1, 0, 32, 4), *same = basis(1, 0, 32, 4), *seed = basis(2, 0, 32, 4);
  float *high = basis(1 + ((uint64_t)1 << 32), 0, 32, 4), *stream = basis(1, 1, 32, 4);
  assert_same_bits(u, same, n, "same seed");
  assert_memory_not_equal(u, seed, (size_t)n * sizeof(float));
  assert_memory_not_equal(u, high, (size_t)n * sizeof(float));
  assert_memory_not_equal(u, stream, (size_t)n * sizeof(float));
  free(u), free(same), free(seed), free(high), free(stream);
}

/* SHA-256 of U as little-endian fp32, row-major. */
static void golden(void **state) {
  (void)state;
  static const struct {
    uint64_t seed;
    uint32_t stream;
    int64_t d, k;
    const char *sha256;
  } vectors[] = {
      {1u, 0u, 8, 8, "0b231bcb46005766087f5f2d51d8e7387d789ffbd668be52b42eddae0f71aa1a"},
      {42u, 3u, 96, 16, "c9c0d6c53499759c289aea251f36e38032be522466f25515c4f614f4fa88aa35"},
      {30064771081u, 2147483653u, 768, 24,
       "b3afda0729f20682a5303a95bce4c81f555172c99f261b6b3961fdc228b9c23a"},
  };
  for (size_t v = 0; v < PLR_COUNT_OF(vectors); v++) {
    const int64_t n = vectors[v].d * vectors[v].k;
    float *u = basis(vectors[v].seed, vectors[v].stream, vectors[v].d, vectors[v].k);
    uint8_t *bytes = (uint8_t *)allocate((size_t)n * 4);
    for (int64_t i = 0; i < n; i++) {
      uint32_t word;
      memcpy(&word, u + i, 4);
      plr__store_le32(bytes + 4 * i, word);
    }
    plr_hash hash;
    char hex[65];
    plr_sha256(bytes, (size_t)n * 4, &hash);
    plr__hex_encode(hash.bytes, 32, hex);
    assert_string_equal(hex, vectors[v].sha256);
    free(bytes);
    free(u);
  }
}

static void refusals(void **state) {
  (void)state;
  double scratch[4];
  float u[4] = {1, 2, 3, 4};
  assert_int_equal(plr__basis(1, 0, 2, 3, scratch, u), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__basis(1, 0, 0, 0, scratch, u), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__basis(1, 0, 4, 0, scratch, u), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__basis(1, 0, -1, 1, scratch, u), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__basis(1, 0, (int64_t)1 << 32, 1, scratch, u), PLR_ERR_INVALID_ARGUMENT);
  assert_true(u[0] == 1 && u[3] == 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(orthonormal),
      cmocka_unit_test(factor_of_the_gaussian),
      cmocka_unit_test(seed_and_stream_count),
      cmocka_unit_test(golden),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

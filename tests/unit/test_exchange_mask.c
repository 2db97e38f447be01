/* Keyed masks: every value once in a cycle, no pattern, the same everywhere; and rounds of delta rule averaging. */
#include "exchange_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

static uint64_t count_of(const plr_mask *m) {
  uint64_t count;
  assert_int_equal(plr_mask_count(m, &count), PLR_OK);
  return count;
}

static uint64_t *indices_of(const plr_mask *m, uint64_t *count) {
  *count = count_of(m);
  uint64_t *index = malloc((*count + 1) * sizeof *index);
  assert_int_equal(plr_mask_indices(m, 0, *count, index), PLR_OK);
  return index;
}

/* All rounds of a cycle together are every value once, and any part of a round is that part of it. */
static void test_cycle(void **state) {
  (void)state;
  static const uint64_t totals[] = {1, 2, 3, 5, 16, 17, 1000, 65537, 1 << 18};
  static const uint32_t masks[] = {1, 2, 7, 20, 999};
  for (size_t t = 0; t < PLR_COUNT_OF(totals); t++)
    for (size_t k = 0; k < PLR_COUNT_OF(masks); k++) {
      uint8_t *seen = calloc(totals[t], 1);
      uint64_t all = 0;
      for (uint32_t round = 0; round < masks[k]; round++) {
        plr_mask m = {totals[t], 77 + t, masks[k], round};
        uint64_t count, one, *index = indices_of(&m, &count);
        all += count;
        for (uint64_t i = 0; i < count; i++) {
          assert_true(index[i] < totals[t] && !seen[index[i]]);
          seen[index[i]] = 1;
        }
        for (uint64_t i = 0; i < count; i += 1 + count / 5) {
          assert_int_equal(plr_mask_indices(&m, i, 1, &one), PLR_OK);
          assert_true(one == index[i]);
        }
        m.round += masks[k]; /* the next cycle is the same */
        if (count) {
          assert_int_equal(plr_mask_indices(&m, count - 1, 1, &one), PLR_OK);
          assert_true(one == index[count - 1]);
        }
        free(index);
      }
      assert_true(all == totals[t]);
      free(seen);
    }
}

/* Chi-squared over 64 stretches of the tensor, of residues mod 61, and of the distance between neighbours of the order:
 * each within six deviations of its mean (63, 60, 63). */
static void check_spread(const uint64_t *value, uint64_t n, uint64_t range, uint32_t residues) {
  double cells[64] = {0}, chi = 0;
  const uint32_t count = residues ? 61 : 64;
  for (uint64_t i = 0; i < n; i++)
    cells[residues ? value[i] % 61 : (uint32_t)((double)value[i] * 64.0 / (double)range)]++;
  for (uint32_t c = 0; c < count; c++) {
    const double d = cells[c] - (double)n / count;
    chi += d * d / ((double)n / count);
  }
  if (chi > count + 6 * sqrt(2.0 * count)) fail_msg("chi-squared %.1f of %u cells", chi, count);
}

static void test_spread(void **state) {
  (void)state;
  const uint64_t total = 1000003;
  for (uint64_t key = 0; key < 12; key++) {
    plr_mask m = {total, key << (key % 3 * 20), 16, (uint32_t)key};
    uint64_t count, *index = indices_of(&m, &count);
    uint64_t *step = malloc(count * sizeof *step);
    for (uint64_t i = 0; i < count; i++)
      step[i] = (index[i] + total - index[i ? i - 1 : count - 1]) % total;
    check_spread(index, count, total, 0);
    check_spread(index, count, total, 1);
    check_spread(step, count, total, 0);
    check_spread(step, count, total, 1);
    free(index), free(step);
  }
}

/* Masks of two keys share as many values as chance says. */
static void test_keys(void **state) {
  (void)state;
  enum { TOTAL = 200000, MASKS = 10 };
  const double mean = (double)TOTAL / MASKS / MASKS;
  for (uint64_t pair = 0; pair < 8; pair++) {
    plr_mask a = {TOTAL, 1000 + pair, MASKS, 3}, b = {TOTAL, 1000 + pair, MASKS, 3};
    b.key = pair < 4 ? a.key + 1 : a.key ^ UINT64_C(1) << (8 * pair);
    uint64_t count, *index = indices_of(&a, &count), shared = 0;
    uint8_t *in = calloc(TOTAL, 1);
    for (uint64_t i = 0; i < count; i++) in[index[i]] = 1;
    free(index);
    index = indices_of(&b, &count);
    for (uint64_t i = 0; i < count; i++) shared += in[index[i]];
    assert_true(fabs((double)shared - mean) < 6 * sqrt(mean));
    free(index), free(in);
  }
}

/* FRAME.md's permutation does not change. */
static void test_pinned(void **state) {
  (void)state;
  const plr_mask m = {UINT64_C(1) << 40, UINT64_C(0x0123456789abcdef), 20, 7};
  uint64_t index[4096];
  assert_int_equal(plr_mask_indices(&m, 123456789, 4096, index), PLR_OK);
  uint8_t bytes[8 * 4096];
  for (size_t i = 0; i < 4096; i++) plr__store_le64(bytes + 8 * i, index[i]);
  plr_hash h;
  plr_sha256(bytes, sizeof bytes, &h);
  assert_hash(&h, "5c6948be2b35f0a3d96ec66449413ad98fe3ff6ace28fa55c5c77de9494ce963");
}

/* Four peers whose weights differ: after a cycle of rounds without training they agree, up to the codec's error; what
 * training changes between gather and scatter stays. */
static void check_rounds(const char *name, float tolerance) {
  enum { PEERS = 4, ROWS = 37, COLS = 101, TOTAL = ROWS * COLS };
  plr_context *ctx = context();
  plr_codec codec = test_codec(name, 0);
  float *w[PEERS], *trained[PEERS], *mean = calloc(TOTAL, sizeof *mean);
  for (uint32_t p = 0; p < PEERS; p++) {
    w[p] = test_floats(p, TOTAL), trained[p] = test_floats(10 + p, TOTAL);
    for (size_t i = 0; i < TOTAL; i++) mean[i] += w[p][i] / PEERS;
  }
  for (uint32_t round = 0; round < codec.group; round++) {
    const plr_mask m = {TOTAL, 99, codec.group, round};
    const uint32_t count = (uint32_t)count_of(&m);
    float *average = calloc(count, sizeof *average), *sent[PEERS];
    plr_tensor all, some, other;
    for (uint32_t p = 0; p < PEERS; p++) {
      float *v = malloc(count * sizeof *v);
      sent[p] = malloc(count * sizeof *v);
      plr_tensor_matrix(&all, w[p], PLR_DTYPE_F32, ROWS, COLS);
      plr_tensor_matrix(&some, v, PLR_DTYPE_F32, 1, count);
      assert_int_equal(plr_mask_gather(&m, 0, &all, &some), PLR_OK);
      test_frame f = test_encode(ctx, &codec, PLR_ROLE_DELTA, v, 1, count);
      assert_int_equal(test_decode(ctx, f.data, f.len, sent[p], 1, count, NULL), PLR_OK);
      for (uint32_t i = 0; i < count; i++) average[i] += sent[p][i] / PEERS;
      free(f.data), free(v);
    }
    for (uint32_t p = 0; p < PEERS; p++) {
      for (size_t i = 0; i < TOTAL && round == 0; i++) w[p][i] += trained[p][i];
      plr_tensor_matrix(&all, w[p], PLR_DTYPE_F32, ROWS, COLS);
      plr_tensor_matrix(&some, average, PLR_DTYPE_F32, 1, count);
      plr_tensor_matrix(&other, sent[p], PLR_DTYPE_F32, 1, count);
      assert_int_equal(plr_mask_scatter_add(&m, 0, &all, &some, &other), PLR_OK);
      for (size_t i = 0; i < TOTAL && round == 0; i++) w[p][i] -= trained[p][i];
      free(sent[p]);
    }
    free(average);
  }
  for (uint32_t p = 0; p < PEERS; p++) {
    for (size_t i = 0; i < TOTAL; i++) assert_true(fabsf(w[p][i] - mean[i]) < tolerance);
    free(w[p]), free(trained[p]);
  }
  free(mean);
  plr_context_destroy(ctx);
}

static void test_rounds(void **state) {
  (void)state;
  check_rounds("mask20", 1e-5f);
  check_rounds("mask7+bf16", 0.03f);
  check_rounds("mask1+int8", 0.05f);
  check_rounds("mask300+int4", 0.6f);
}

/* Parts of a round and every type of weights. */
static void test_types(void **state) {
  (void)state;
  enum { TOTAL = 5000 };
  const plr_mask m = {TOTAL, 5, 3, 1};
  float x[TOTAL], v[1700], zero[1700] = {0};
  uint16_t h[TOTAL];
  uint64_t index[1700];
  plr_tensor w, some, other;
  const uint32_t count = (uint32_t)count_of(&m), first = 100;
  assert_int_equal(plr_mask_indices(&m, 0, count, index), PLR_OK);
  for (size_t i = 0; i < TOTAL; i++) x[i] = (float)i / 8, h[i] = plr__f32_to_bf16((float)(i % 64));
  plr_tensor_matrix(&some, v, PLR_DTYPE_F32, 1, count - first);
  plr_tensor_matrix(&other, zero, PLR_DTYPE_F32, count - first, 1);
  plr_tensor_matrix(&w, x, PLR_DTYPE_F32, 1, TOTAL);
  assert_int_equal(plr_mask_gather(&m, first, &w, &some), PLR_OK);
  for (uint32_t i = first; i < count; i++) assert_true(v[i - first] == (float)index[i] / 8);
  plr_tensor_matrix(&w, h, PLR_DTYPE_BF16, 50, 100);
  assert_int_equal(plr_mask_gather(&m, first, &w, &some), PLR_OK);
  for (uint32_t i = first; i < count; i++) assert_true(v[i - first] == (float)(index[i] % 64));
  for (uint32_t i = 0; i < count - first; i++) v[i] = 1;
  assert_int_equal(plr_mask_scatter_add(&m, first, &w, &some, &other), PLR_OK);
  for (uint32_t i = first; i < count; i++)
    assert_true(plr__bf16_to_f32(h[index[i]]) == (float)(index[i] % 64 + 1));
  for (uint32_t i = 0; i < first; i++)
    assert_true(plr__bf16_to_f32(h[index[i]]) == (float)(index[i] % 64));
  for (size_t i = 0; i < TOTAL; i++) h[i] = plr__f32_to_f16((float)(i % 64));
  w.dtype = PLR_DTYPE_F16;
  assert_int_equal(plr_mask_gather(&m, first, &w, &some), PLR_OK);
  for (uint32_t i = first; i < count; i++) assert_true(v[i - first] == (float)(index[i] % 64));

  plr_mask wrong = m;
  uint64_t n;
  assert_int_equal(plr_mask_gather(&m, first + 1, &w, &some), PLR_ERR_INVALID_ARGUMENT);
  wrong.masks = 0;
  assert_int_equal(plr_mask_count(&wrong, &n), PLR_ERR_INVALID_ARGUMENT);
  wrong.masks = 65536;
  assert_int_equal(plr_mask_count(&wrong, &n), PLR_ERR_INVALID_ARGUMENT);
  wrong = m, wrong.total = 0;
  assert_int_equal(plr_mask_count(&wrong, &n), PLR_ERR_INVALID_ARGUMENT);
  wrong.total = (UINT64_C(1) << 48) + 1;
  assert_int_equal(plr_mask_count(&wrong, &n), PLR_ERR_INVALID_ARGUMENT);
  wrong.total = TOTAL + 3;
  assert_int_equal(plr_mask_gather(&wrong, first, &w, &some), PLR_ERR_SHAPE);
  other.shape[0]--;
  assert_int_equal(plr_mask_scatter_add(&m, first, &w, &some, &other), PLR_ERR_SHAPE);
  some.dtype = PLR_DTYPE_BF16;
  assert_int_equal(plr_mask_gather(&m, first, &w, &some), PLR_ERR_SHAPE);
  assert_int_equal(plr_mask_gather(NULL, 0, &w, &other), PLR_ERR_INVALID_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cycle),  cmocka_unit_test(test_spread), cmocka_unit_test(test_keys),
      cmocka_unit_test(test_pinned), cmocka_unit_test(test_rounds), cmocka_unit_test(test_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* State transfer: every type, every lossless codec, whole and in pieces. */
#include "exchange_test.h"

/* State goes over bit for bit, in its own type: through whole frames and piece by piece, into memory of that type. */
static void test_state_is_exact(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  enum { ROWS = 300, COLS = 700 };
  static const struct {
    uint32_t dtype;
    const char *codecs[3];
  } kinds[] = {{PLR_DTYPE_F32, {"raw", "raw+split", "raw+zstd"}},
               {PLR_DTYPE_BF16, {"bf16", "bf16+split", "bf16+zstd"}},
               {PLR_DTYPE_F16, {"fp16", "fp16+split", "fp16+zstd"}}};
  plr_context *ctx = test_context(&o);
  uint64_t seed = 8;
  for (size_t k = 0; k < PLR_COUNT_OF(kinds); k++)
    for (size_t c = 0; c < 3; c++) {
      const plr_codec codec = test_codec(kinds[k].codecs[c], 0);
      const size_t size = plr_dtype_size(kinds[k].dtype), bytes = size * ROWS * COLS;
      uint8_t *x = malloc(bytes), *y = malloc(bytes);
      for (size_t i = 0; i < ROWS * COLS; i++) { /* loud and silent channels; fp32 also with NaNs */
        const float v = test_value(&seed) * (i % COLS % 50 == 3   ? 900.0f
                                             : i % COLS % 50 == 7 ? 0
                                                                  : 1);
        const uint32_t bits = i % 997 == 5 ? 0x7fc00123u : plr__f32_bits(v);
        const uint16_t half = size == 2 && kinds[k].dtype == PLR_DTYPE_BF16 ? plr__f32_to_bf16(v)
                                                                            : plr__f32_to_f16(v);
        if (size == 4)
          memcpy(x + 4 * i, &bits, 4);
        else
          memcpy(x + 2 * i, &half, 2);
      }
      plr_encoder *e;
      plr_decoder *d;
      plr_tensor from, to;
      plr_frame_info info = test_info(PLR_ROLE_STATE);
      size_t len, used;
      uint32_t left, rows = 0;
      assert_int_equal(plr_encoder_create(ctx, &codec, ROWS, COLS, &e, NULL), PLR_OK);
      assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
      const size_t cap = plr_encoder_bound(e);
      uint8_t *out = malloc(cap);
      plr_tensor_matrix(&from, x, kinds[k].dtype, ROWS, COLS);
      plr_tensor_matrix(&to, y, kinds[k].dtype, ROWS, COLS);
      assert_int_equal(plr_encoder_encode(e, &info, &from, out, cap, &len), PLR_OK);
      assert_true(c == 0 || len < bytes);
      assert_int_equal(plr_decoder_decode(d, out, len, &to, NULL, NULL), PLR_OK);
      assert_memory_equal(x, y, bytes);
      memset(y, 0, bytes);
      assert_int_equal(plr_encoder_begin(e, &info, &from), PLR_OK);
      assert_int_equal(plr_decoder_begin(d, &to, NULL), PLR_OK);
      do {
        assert_int_equal(plr_encoder_next(e, out, cap, &len, &left), PLR_OK);
        assert_int_equal(plr_decoder_feed(d, out, len, &used, &rows, NULL, NULL), PLR_OK);
        assert_int_equal(used, len);
        assert_int_equal(rows, ROWS - left);
      } while (left);
      assert_memory_equal(x, y, bytes);
      plr_encoder_destroy(e);
      plr_decoder_destroy(d);
      free(x), free(y), free(out);
    }
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_state_is_exact)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

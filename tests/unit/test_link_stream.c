/* A tensor's frame crosses a sealed link in pieces: what the other side has is rows that are finished, while the
 * rest is not coded yet; small frames of higher priority pass between. */
#include "link_test.h"

enum { ROWS = 5000, COLS = 64, N = ROWS * COLS };

static void test_pieces_over_a_link(void **state) {
  (void)state;
  static const char *const names[] = {"uniform4+token", "int4+dct", "uniform4+sample"};
  plr_context_options o = test_options(NULL);
  plr_context *ctx = test_context(&o);
  test_pair p;
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  float *x = test_floats(3, N), *y = malloc(N * sizeof *y), *want = malloc(N * sizeof *want);
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    plr_codec c = test_codec(names[i], 32);
    plr_encoder *e;
    plr_decoder *d;
    plr_tensor t, out;
    plr_link_event event;
    uint32_t left = ROWS, rows = 0, pieces = 0;
    size_t len, used;
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
    test_ready_encoder(e, &c, ROWS, COLS);
    test_ready_decoder(d, ROWS, COLS);
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
    plr_tensor_matrix(&out, y, PLR_DTYPE_F32, ROWS, COLS);
    uint8_t *piece = malloc(plr_encoder_bound(e));
    assert_int_equal(plr_encoder_begin(e, &info, &t), PLR_OK);
    assert_int_equal(plr_decoder_begin(d, &out, NULL), PLR_OK);
    while (left) {
      assert_int_equal(plr_encoder_next(e, piece, plr_encoder_bound(e), &len, &left), PLR_OK);
      assert_int_equal(plr_link_send(p.side[0].link, piece, len, 1), PLR_OK);
      assert_int_equal(plr_link_send(p.side[0].link, "now", 3, 0), PLR_OK);
      assert_int_equal(test_settle(&p), PLR_OK);
      test_expect_event(p.side[1].link, PLR_LINK_FRAME, &event);
      assert_int_equal(event.len, 3);
      test_expect_event(p.side[1].link, PLR_LINK_FRAME, &event);
      assert_int_equal(plr_decoder_feed(d, event.data, event.len, &used, &rows, &info, NULL),
                       PLR_OK);
      assert_int_equal(used, event.len);
      assert_int_equal(rows, ROWS - left);
      p.now += MS;
      pieces++;
    }
    assert_true(pieces > 4);
    test_frame whole = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
    assert_int_equal(test_decode(ctx, whole.data, whole.len, want, ROWS, COLS, NULL), PLR_OK);
    assert_memory_equal(y, want, N * sizeof *y);
    free(whole.data), free(piece);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  free(x), free(y), free(want);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces_over_a_link),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

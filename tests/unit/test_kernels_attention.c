/* Attention, forward and backward: each instruction set and thread count against the naive reference, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

typedef struct shape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  uint32_t window;
} shape;

/* Tails in keys, queries and dimensions; blocks of 48 queries crossed; groups 1, 2, 3, 4; fewer key/value heads than
 * threads. */
static const shape shapes[] = {
    {1, 1, 1, 1, 8, 0},
    {2, 3, 2, 1, 8, 0},
    {1, 16, 2, 2, 16, 0},
    {3, 17, 3, 1, 24, 0},
    {1, 47, 4, 1, 64, 0},
    {1, 48, 1, 1, 128, 0},
    {2, 49, 4, 2, 40, 0},
    {1, 97, 2, 2, 96, 0},
    {1, 130, 1, 1, 64, 0},
    {1, 193, 3, 1, 10, 0},
    {1, 101, 6, 3, 17, 0},
    /* Windows: of one key, narrower than a tile, a tile and one more, over and under a block, wider than the sequence;
     * one unit on several threads, so that queries and keys are shared out separately. */
    {2, 19, 2, 1, 8, 1},
    {1, 77, 1, 1, 16, 3},
    {1, 100, 2, 2, 24, 5},
    {1, 99, 2, 1, 8, 6},
    {1, 131, 1, 1, 33, 7},
    {1, 113, 1, 1, 16, 15},
    {1, 160, 1, 1, 16, 16},
    {2, 131, 4, 2, 20, 17},
    {1, 230, 1, 1, 64, 47},
    {1, 203, 3, 1, 16, 48},
    {1, 260, 1, 1, 40, 50},
    {1, 301, 2, 1, 16, 100},
    {1, 400, 1, 1, 32, 144},
    {1, 90, 1, 1, 16, 90},
    {1, 90, 2, 2, 16, 4000000000u},
};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static plr_context *ctx[CONTEXTS];

static int setup(void **state) {
  (void)state;
  contexts_create(ctx);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  contexts_destroy(ctx);
  return 0;
}

/* q, k, v lie side by side in one matrix, as a fused projection leaves them, with a gap at the end of the row. */
typedef struct problem {
  plr_attention_args a;
  int64_t rows, ld, stats;
  float *in, *gradient, *dout;
} problem;

static problem problem_make(shape s) {
  problem p;
  memset(&p, 0, sizeof p);
  int64_t width = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  p.rows = s.batch * s.seq, p.ld = width + 2 * kv + 3, p.stats = s.batch * s.heads * s.seq;
  p.in = random_floats(p.rows * p.ld, (uint32_t)s.seq, 1.5f);
  p.dout = random_floats(p.rows * (width + 1), 77, 1.0f);
  p.gradient = unset_floats(p.rows * p.ld);
  plr_attention_args a = {
      .q = p.in,
      .k = p.in + width,
      .v = p.in + width + kv,
      .out = unset_floats(p.rows * (width + 1)),
      .row_max = unset_floats(p.stats),
      .row_sum = unset_floats(p.stats),
      .dout = p.dout,
      .dq = p.gradient,
      .dk = p.gradient + width,
      .dv = p.gradient + width + kv,
      .batch = s.batch,
      .seq = s.seq,
      .heads = s.heads,
      .kv_heads = s.kv_heads,
      .head_dim = s.head_dim,
      .ldq = p.ld,
      .ldk = p.ld,
      .ldv = p.ld,
      .ldo = width + 1,
      .scale = 1.0f / sqrtf((float)s.head_dim),
      .window = s.window,
  };
  p.a = a;
  return p;
}

static void problem_free(problem *p) {
  free(p->in), free(p->gradient), free(p->dout);
  free(p->a.out), free(p->a.row_max), free(p->a.row_sum);
}

/* Scratch of exactly the stated size, with guard bytes, full of NaN. */
static uint8_t *scratch(size_t bytes) {
  uint8_t *p = (uint8_t *)allocate(bytes + 64);
  memset(p, 0xff, bytes + 64);
  return p;
}

static void guard_check(const uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < 64; i++) assert_int_equal(p[bytes + i], 0xff);
}

static void kernels_equal_reference(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    problem want = problem_make(shapes[s]);
    assert_int_equal(plr__ref_attention(&want.a), PLR_OK);
    assert_int_equal(plr__ref_attention_bwd(&want.a), PLR_OK);
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      problem got = problem_make(shapes[s]);
      size_t bytes = plr__cpu_attention_workspace(ctx[c], &got.a);
      uint8_t *work = scratch(bytes);
      got.a.work = work;
      assert_int_equal(plr__cpu_attention(ctx[c], &got.a), PLR_OK);
      guard_check(work, bytes);
      free(work);
      assert_same_bits(got.a.row_max, want.a.row_max, want.stats, "row_max");
      assert_same_bits(got.a.row_sum, want.a.row_sum, want.stats, "row_sum");
      assert_same_bits(got.a.out, want.a.out, want.rows * want.a.ldo, "attention");

      bytes = plr__cpu_attention_bwd_workspace(ctx[c], &got.a);
      work = scratch(bytes);
      got.a.work = work;
      assert_int_equal(plr__cpu_attention_bwd(ctx[c], &got.a), PLR_OK);
      guard_check(work, bytes);
      free(work);
      assert_same_bits(got.gradient, want.gradient, want.rows * want.ld, "attention_bwd");
      problem_free(&got);
    }
    problem_free(&want);
  }
}

/* Scores whose exponentials underflow, and one key that takes all the weight. */
static void extreme_scores(void **state) {
  (void)state;
  shape s = {1, 60, 2, 1, 16, 0};
  problem want = problem_make(s), got = problem_make(s);
  for (int64_t i = 0; i < want.rows * want.ld; i++) want.in[i] *= 40.0f;
  memcpy(got.in, want.in, (size_t)(want.rows * want.ld) * 4);
  assert_int_equal(plr__ref_attention(&want.a), PLR_OK);
  assert_int_equal(plr__ref_attention_bwd(&want.a), PLR_OK);
  for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
    size_t bytes = plr__cpu_attention_bwd_workspace(ctx[c], &got.a);
    got.a.work = scratch(PLR_MAX(bytes, plr__cpu_attention_workspace(ctx[c], &got.a)));
    assert_int_equal(plr__cpu_attention(ctx[c], &got.a), PLR_OK);
    assert_int_equal(plr__cpu_attention_bwd(ctx[c], &got.a), PLR_OK);
    assert_same_bits(got.a.out, want.a.out, want.rows * want.a.ldo, "attention");
    assert_same_bits(got.gradient, want.gradient, want.rows * want.ld, "attention_bwd");
    free(got.a.work);
  }
  problem_free(&want), problem_free(&got);
}

static void bad_sizes_are_refused(void **state) {
  (void)state;
  shape s = {1, 4, 4, 2, 8, 0};
  problem p = problem_make(s);
  plr_attention_args a = p.a;
  a.kv_heads = 3;
  assert_int_equal(plr__cpu_attention(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  a = p.a, a.ldk = 15;
  assert_int_equal(plr__cpu_attention_bwd(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  a = p.a, a.head_dim = 0;
  assert_int_equal(plr__cpu_attention(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  a = p.a, a.head_dim = 2048;
  assert_int_equal(plr__cpu_attention(ctx[1], &a), PLR_ERR_LIMIT);
  a = p.a, a.seq = 0;
  assert_int_equal(plr__cpu_attention(ctx[1], &a), PLR_OK);
  assert_int_equal(plr__cpu_attention_bwd(ctx[1], &a), PLR_OK);
  problem_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_equal_reference),
      cmocka_unit_test(extreme_scores),
      cmocka_unit_test(bad_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

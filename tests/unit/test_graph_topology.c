/* Blocks of odd shapes, against float64: values with several consumers, no residual, parallel branches, blocks that
 * differ; and the boundaries that are trained. */
#include "ops_reference.h"

/* clang-format off */
#define CASE(name, ops)                                                                            \
  static void name(void **state) {                                                                 \
    (void)state;                                                                                   \
    ref_check(OPS_MODEL(ops));                                                                     \
  }

#define NORM(in, out, name)                                                                        \
  "{\"op\": \"rmsnorm\", \"in\": \"" in "\", \"out\": \"" out "\", \"name\": \"" name              \
  "\", \"eps\": 1e-3}"
#define UNARY(op, in, out) "{\"op\": \"" op "\", \"in\": \"" in "\", \"out\": \"" out "\"}"
#define MUL(a, b, out)                                                                             \
  "{\"op\": \"mul\", \"a\": \"" a "\", \"b\": \"" b "\", \"out\": \"" out "\"}"
#define SCALE(in, out, by)                                                                         \
  "{\"op\": \"scale\", \"in\": \"" in "\", \"out\": \"" out "\", \"by\": " by "}"
#define ROPE(in, out, dim)                                                                         \
  "{\"op\": \"rope\", \"in\": \"" in "\", \"out\": \"" out "\", \"head_dim\": " dim                \
  ", \"theta\": 30}"
#define ATTENTION(q, k, v, out)                                                                    \
  "{\"op\": \"attention\", \"q\": \"" q "\", \"k\": \"" k "\", \"v\": \"" v "\", \"out\": \"" out  \
  "\", \"heads\": 3, \"kv_heads\": 3, \"head_dim\": 4}"

/* Attention and MLP beside one another, both from one norm (GPT-J). */
CASE(test_parallel, NORM("x", "n", "norm") ", " OPS_LINEAR("n", "q", "q", 12) ", "
     OPS_LINEAR("n", "k", "k", 12) ", " OPS_LINEAR("n", "v", "v", 12) ", "
     ATTENTION("q", "k", "v", "a") ", " OPS_LINEAR("a", "o", "o", 12) ", "
     OPS_LINEAR("n", "h", "up", 9) ", " UNARY("gelu", "h", "h") ", " OPS_LINEAR("h", "m", "down", 12)
     ", " OPS_ADD("o", "m", "s") ", " OPS_ADD("x", "s", "x"))
CASE(test_no_residual, OPS_LINEAR("x", "h", "a", 9) ", " UNARY("silu", "h", "h") ", "
     OPS_LINEAR("h", "x", "b", 12))
/* x + x W, x * x, x + x: the same value twice. */
CASE(test_same_value_twice, OPS_LINEAR("x", "y", "a", 12) ", " OPS_ADD("x", "y", "y") ", "
     MUL("y", "y", "z") ", " OPS_ADD("z", "z", "z") ", " SCALE("z", "z", "0.1") ", "
     OPS_ADD("y", "z", "x"))
/* One value rotated twice by different tables, and read unrotated as well. */
CASE(test_rope_of_a_shared_value, OPS_LINEAR("x", "q", "q", 12) ", " ROPE("q", "a", "4") ", "
     ROPE("q", "b", "2") ", " ATTENTION("a", "b", "q", "o") ", " OPS_ADD("o", "q", "s") ", "
     OPS_ADD("x", "s", "x"))
/* Attention's result is read again after it was scaled and rotated. */
CASE(test_attention_result_kept, OPS_LINEAR("x", "q", "q", 12) ", "
     ATTENTION("q", "q", "q", "a") ", " SCALE("a", "a", "1.5") ", " ROPE("a", "a", "4") ", "
     OPS_ADD("a", "x", "x"))
/* gate and up are the same value, or read by others too: their gradients cannot take their place. */
CASE(test_swiglu_shared, OPS_LINEAR("x", "g", "g", 12) ", " UNARY("silu", "g", "u") ", "
     "{\"op\": \"swiglu\", \"gate\": \"g\", \"up\": \"u\", \"out\": \"h\"}, "
     "{\"op\": \"swiglu\", \"gate\": \"h\", \"up\": \"h\", \"out\": \"m\"}, " SCALE("m", "m", "0.01")
     ", " OPS_ADD("m", "g", "m")
     ", " OPS_ADD("x", "m", "x"))
/* Branches that cross: what waits for a gradient shares it with what is written in between. */
CASE(test_crossed_branches, OPS_LINEAR("x", "a", "a", 12) ", " OPS_LINEAR("x", "b", "b", 12) ", "
     OPS_ADD("a", "b", "s") ", " OPS_ADD("x", "s", "x") ", " NORM("s", "n", "n") ", "
     OPS_ADD("x", "n", "x") ", " OPS_LINEAR("a", "c", "c", 12) ", " OPS_ADD("c", "x", "x") ", "
     OPS_ADD("x", "b", "x"))
CASE(test_chain_of_sums, OPS_LINEAR("x", "a", "a", 12) ", " OPS_ADD("x", "a", "t") ", "
     OPS_ADD("t", "a", "u") ", " SCALE("u", "v", "-0.5") ", " OPS_ADD("u", "v", "w") ", "
     OPS_ADD("w", "x", "x"))

/* The stream is normalised after the sum, then scaled in place of the norm's result. */
CASE(test_post_norm, OPS_LINEAR("x", "o", "w", 12) ", " OPS_ADD("x", "o", "x") ", " NORM("x", "p", "post")
     ", " SCALE("p", "x", "1.25"))

static const char head_of_attention[] =
    "{\"format\": \"pluralis-model/2\", \"name\": \"odd\", \"vocab\": 12, \"d_model\": 12, "
    "\"seed\": 5, \"embed\": [{\"op\": \"embedding\", \"out\": \"x\", \"name\": \"embed\", "
    "\"std\": 0.7}, " SCALE("x", "x", "2") "], \"blocks\": [{\"repeat\": 2, \"ops\": ["
    OPS_LINEAR("x", "o", "w", 12) ", " OPS_ADD("x", "o", "x") "]}, {\"repeat\": 1, \"ops\": ["
    UNARY("gelu", "x", "g") ", " OPS_LINEAR("g", "o", "other", 12) ", " OPS_ADD("x", "o", "x")
    "]}], \"head\": [" OPS_LINEAR("x", "q", "q", 12) ", " ATTENTION("q", "x", "x", "logits") "], "
    "\"cuts\": [1], \"boundary\": {\"kind\": \"dense\"}, " OPS_TRAIN;

/* Kinds of block differ; the head ends with an operation whose result its rule reads. */
static void test_kinds_and_head(void **state) {
  (void)state;
  ref_check(head_of_attention);
}

#define MLP                                                                                        \
  NORM("x", "n", "norm") ", " OPS_LINEAR("n", "h", "up", 9) ", " UNARY("silu", "h", "h") ", "      \
      OPS_LINEAR("h", "o", "down", 12) ", " OPS_ADD("x", "o", "x")
/* clang-format on */

/* D, E and the anchors learn, and every cut has its own. */
static void test_projector(void **state) {
  (void)state;
  ref_check(OPS_MODEL_WITH(MLP, "[1, 2]",
                           "{\"kind\": \"projector\", \"rank\": 5, \"seed\": 9, "
                           "\"anchor_std\": 0.3, \"tied\": false}"));
}

/* What a slot holds shrinks to the inputs of blocks: with a projector to a few coordinates at its cuts. */
static void test_recompute_keeps_less(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  int64_t kept[2];
  for (shard_recompute = 0; shard_recompute < 2; shard_recompute++) {
    plr_model *model = new_model(ctx, OPS_MODEL(MLP));
    plr_shard *s = new_shard(ctx, model, 0, 3);
    kept[shard_recompute] = s->slot_size;
    plr_shard_destroy(s);
    plr_model_destroy(model);
  }
  shard_recompute = 0;
  /* twice 12 columns between three blocks, 11 logits, ids; 12 rows each, in units of 16 elements */
  assert_int_equal(kept[1], 2 * 144 + 144 + 16);
  assert_true(kept[0] > 2 * kept[1]);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parallel),
      cmocka_unit_test(test_no_residual),
      cmocka_unit_test(test_same_value_twice),
      cmocka_unit_test(test_rope_of_a_shared_value),
      cmocka_unit_test(test_attention_result_kept),
      cmocka_unit_test(test_swiglu_shared),
      cmocka_unit_test(test_crossed_branches),
      cmocka_unit_test(test_chain_of_sums),
      cmocka_unit_test(test_post_norm),
      cmocka_unit_test(test_kinds_and_head),
      cmocka_unit_test(test_projector),
      cmocka_unit_test(test_recompute_keeps_less),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

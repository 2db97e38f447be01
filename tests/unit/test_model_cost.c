/* The cost table and the parameter count, against numbers worked out by hand, and the operation list's rules. */
#include "model_common.h"

#include "model/model_int.h"

/* SUBSPACE_JSON: d 32, heads 4 x 8 (a = 32), kv 2 x 8 (g = 16), ff 48, k 8, V 256, T 16. Per block:
 *   q, k, v      6 * (32*32 + 2 * 32*16)      = 12288
 *   gate, up     6 * 2 * 32*48                = 18432
 *   attention    6 * 32 * 17                  =  3264
 *   full-rank writes   6 * (32*32 + 48*32)    = 15360
 *   subspace writes    6 * (32*8 + 48*8) + 2 * 4 * 8*32 = 3840 + 2048 = 5888
 * one half of a boundary 4 * 8*32 = 1024; embedding 1024; head 6 * 32*256 = 49152. */
#define COMMON (12288u + 18432u + 3264u)

static void test_cost(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *dense = new_model(ctx, DENSE_JSON), *sub = new_model(ctx, SUBSPACE_JSON);
  for (uint32_t b = 0; b < 7; b++) assert_int_equal(plr_model_block_cost(dense, b), COMMON + 15360);
  assert_int_equal(plr_model_block_cost(dense, 7), COMMON + 15360 + 49152);
  assert_int_equal(plr_model_block_cost(dense, 8), 0);
  /* blocks 0..5 are held; cuts at 2, 4, 6 */
  for (uint32_t b = 0; b < 6; b++) /* each lies on one side of a cut; block 0 embeds */
    assert_int_equal(plr_model_block_cost(sub, b), COMMON + 5888 + 1024);
  assert_int_equal(plr_model_block_cost(sub, 6), COMMON + 15360 + 1024);
  assert_int_equal(plr_model_block_cost(sub, 7), COMMON + 15360 + 49152);
  plr_model_destroy(dense);
  plr_model_destroy(sub);
  plr_context_destroy(ctx);
}

static void test_parameters(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *dense = new_model(ctx, DENSE_JSON), *sub = new_model(ctx, SUBSPACE_JSON);
  plr_model_info info = {.struct_size = sizeof info};
  uint64_t block = 32 * 32 + 2 * 32 * 16 + 2 * 32 * 48 + 2 * 32; /* q k v gate up, two gains */
  uint64_t full = 32 * 32 + 48 * 32, held = 32 * 8 + 48 * 8, head = 32 + 32 * 256;
  assert_int_equal(plr_model_get_info(dense, &info), PLR_OK);
  assert_int_equal(info.parameters, 256 * 32 + 8 * (block + full) + head);
  assert_int_equal(plr_model_get_info(sub, &info), PLR_OK);
  assert_int_equal(info.parameters, 256 * 8 + 8 * block + 2 * full + 6 * held + head);
  plr_model_destroy(dense);
  plr_model_destroy(sub);
  plr_context_destroy(ctx);
}

/* Every shard's parameters are those of the whole model: same names, streams, shapes, same order. */
static void test_parameters_do_not_depend_on_the_split(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  const char *texts[] = {DENSE_JSON, SUBSPACE_JSON};
  for (int t = 0; t < 2; t++) {
    plr_model *model = new_model(ctx, texts[t]);
    plr_graph whole, part;
    assert_int_equal(plr__graph_build(ctx, model, 0, 8, 1, &whole, NULL), PLR_OK);
    uint32_t at = 0, products = 0;
    for (uint32_t first = 0; first < 8; first += 2) {
      assert_int_equal(plr__graph_build(ctx, model, first, first + 2, 1, &part, NULL), PLR_OK);
      for (uint32_t i = 0; i < part.param_count; i++, at++)
        assert_memory_equal(&part.params[i], &whole.params[at], sizeof(plr_param));
      assert_true((part.input == PLR_NO_VALUE) == (first == 0));
      assert_true((part.grad_input == PLR_NO_VALUE) == (first == 0));
      assert_true((part.loss == PLR_NO_VALUE) == (first + 2 < 8));
      for (uint32_t i = 0; i < part.forward_count; i++)
        products += part.forward[i].op == PLR_OP_MATMUL;
      plr__graph_release(&part);
    }
    assert_int_equal(at, whole.param_count);
    for (uint32_t i = 0; i < whole.forward_count; i++)
      products -= whole.forward[i].op == PLR_OP_MATMUL;
    assert_int_equal(products, 0);
    for (uint32_t i = 0; i < whole.param_count; i++)
      for (uint32_t j = 0; j < i; j++)
        assert_true(whole.params[i].stream != whole.params[j].stream &&
                    strcmp(whole.params[i].name, whole.params[j].name) != 0);
    plr__graph_release(&whole);
    plr_model_destroy(model);
  }
  plr_context_destroy(ctx);
}

/* The lint sees a write to the stream that did not go through U^T. */
static void test_lint_refuses_an_open_write(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_graph g;
  uint32_t where = 0;
  assert_int_equal(plr__graph_build(ctx, model, 0, 8, 0, &g, NULL), PLR_OK);
  assert_int_equal(plr__graph_lint(&g, &where), PLR_OK);
  uint32_t adds = 0;
  for (uint32_t i = 1; i < g.forward_count; i++) {
    if (g.forward[i].op != PLR_OP_ADD || g.forward[i].block >= 6) continue;
    adds++;
    plr_node kept = g.forward[i - 1];
    g.forward[i - 1].arg[1] = plr__ref(PLR_REF_WEIGHT, 0);
    assert_int_equal(plr__graph_lint(&g, &where), PLR_ERR_INTERNAL);
    g.forward[i - 1] = kept;
    g.forward[i - 1].op = PLR_OP_RMSNORM; /* a norm after the projection */
    assert_int_equal(plr__graph_lint(&g, &where), PLR_ERR_INTERNAL);
    g.forward[i - 1] = kept;
  }
  assert_int_equal(adds, 12);
  plr__graph_release(&g);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cost),
      cmocka_unit_test(test_parameters),
      cmocka_unit_test(test_parameters_do_not_depend_on_the_split),
      cmocka_unit_test(test_lint_refuses_an_open_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

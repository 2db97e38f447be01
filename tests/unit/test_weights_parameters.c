/* Parameters by name: what is read is what is computed with, and the gradient is that of the loss. */
#include "shard_common.h"

#include <math.h>

static plr_tensor tensor_of(float *data, const plr_parameter_info *p) {
  plr_tensor t;
  plr_tensor_matrix(&t, data, PLR_DTYPE_F32, p->rows, p->cols);
  return t;
}

static plr_parameter_info find(plr_shard *shard, const char *name) {
  plr_parameter_info p = {.struct_size = sizeof p};
  for (uint32_t i = 0; i < plr_shard_parameters(shard); i++) {
    assert_int_equal(plr_shard_parameter(shard, i, &p), PLR_OK);
    if (strcmp(p.name, name) == 0) return p;
  }
  fail_msg("no parameter %s", name);
  return p;
}

static void test_list(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_model_info info = {.struct_size = sizeof info};
  plr_shard *shard = new_shard(ctx, model, 0, 8), *part = new_shard(ctx, model, 2, 4);
  assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
  uint64_t numbers = 0;
  uint32_t block = 0;
  for (uint32_t i = 0; i < plr_shard_parameters(shard); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    assert_int_equal(plr_shard_parameter(shard, i, &p), PLR_OK);
    assert_true(p.block >= block && p.block < 8);
    block = p.block;
    numbers += (uint64_t)p.rows * (uint64_t)p.cols;
  }
  assert_int_equal(numbers, info.parameters);
  plr_parameter_info p = {.struct_size = sizeof p};
  assert_int_equal(plr_shard_parameter(part, 0, &p), PLR_OK);
  assert_string_equal(p.name, "blocks.2.attn_norm.weight");
  assert_int_equal(plr_shard_parameter(part, plr_shard_parameters(part), &p),
                   PLR_ERR_INVALID_ARGUMENT);
  plr_shard_destroy(part);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void test_read_write(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  row r;
  row_init(&r, ctx, DENSE_JSON, NULL, 1);
  plr_shard *shard = r.shards[0];
  static const char name[] = "blocks.3.mlp.up.weight";
  plr_parameter_info p = find(shard, name);
  assert_int_equal(p.rows, 32);
  assert_int_equal(p.cols, 48);
  static float w[32 * 48], back[32 * 48];
  plr_tensor t = tensor_of(w, &p), u = tensor_of(back, &p);
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_WEIGHT, name, &t, &err), PLR_OK);
  assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_GRADIENT, name, &t, &err),
                   PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_read(shard, 2, name, &t, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_read(shard, 0, "blocks.3.mlp.up", &t, &err), PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_shard_read(shard, 0, "head.weight", &t, &err), PLR_ERR_SHAPE);
  assert_non_null(strstr(err.message, "32 x 256"));

  float before = (float)row_forward(&r);
  assert_int_equal(plr_shard_write(shard, name, &t, &err), PLR_ERR_INVALID_STATE);
  row_backward(&r);
  w[5] += 1.0f;
  assert_int_equal(plr_shard_write(shard, name, &t, &err), PLR_OK);
  assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_WEIGHT, name, &u, &err), PLR_OK);
  assert_memory_equal(w, back, sizeof w);
  assert_true((float)row_forward(&r) != before);
  row_backward(&r);
  w[7] = (float)INFINITY;
  assert_int_equal(plr_shard_write(shard, name, &t, &err), PLR_ERR_NON_FINITE);
  assert_non_null(strstr(err.message, "value 7"));
  assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_WEIGHT, name, &t, &err), PLR_OK);
  assert_memory_equal(w, back, sizeof w);
  row_release(&r);
  plr_context_destroy(ctx);
}

/* Difference quotients in fp32 say little more than two digits; a wrong chain is off by far more. */
static void test_gradient(void **state) {
  (void)state;
  static const char *const names[] = {"embed.weight", "blocks.0.attn.v.weight",
                                      "blocks.5.mlp_norm.weight", "head.weight"};
  plr_context *ctx = new_context();
  row r;
  row_init(&r, ctx, DENSE_JSON, NULL, 1);
  plr_shard *shard = r.shards[0];
  for (int i = 0; i < 2 * 17; i++) r.tokens[i] = verse[i];
  row_forward(&r);
  row_backward(&r);
  double scale = 2.0 * 2.0 * 16.0; /* tokens of a step */
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    plr_parameter_info p = find(shard, names[k]);
    size_t n = (size_t)(p.rows * p.cols), largest = 0;
    float *w = calloc(n, sizeof *w), *g = calloc(n, sizeof *g);
    plr_tensor wt = tensor_of(w, &p), gt = tensor_of(g, &p);
    row_forward(&r); /* one micro-batch more: the gradient goes on from the one before */
    row_backward(&r);
    assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_WEIGHT, names[k], &wt, NULL), PLR_OK);
    assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_GRADIENT, names[k], &gt, NULL), PLR_OK);
    for (size_t i = 0; i < n; i++)
      if (fabsf(g[i]) > fabsf(g[largest])) largest = i;
    double got = (double)g[largest] / (double)(2 + k), loss[2];
    float old = w[largest];
    for (int side = 0; side < 2; side++) {
      w[largest] = old + (side ? 0.01f : -0.01f);
      assert_int_equal(plr_shard_write(shard, names[k], &wt, NULL), PLR_OK);
      plr_tensor logits;
      float *out = calloc((size_t)32 * 256, sizeof *out);
      int32_t ids[32], labels[32];
      for (int i = 0; i < 32; i++)
        ids[i] = r.tokens[i / 16 * 17 + i % 16], labels[i] = r.tokens[i / 16 * 17 + i % 16 + 1];
      plr_tensor_matrix(&logits, out, PLR_DTYPE_F32, 32, 256);
      assert_int_equal(plr_shard_infer(shard, ids, 2, 16, NULL, &logits), PLR_OK);
      assert_int_equal(plr_shard_loss(shard, &logits, labels, &loss[side]), PLR_OK);
      free(out);
    }
    w[largest] = old;
    assert_int_equal(plr_shard_write(shard, names[k], &wt, NULL), PLR_OK);
    double want = (loss[1] - loss[0]) / 0.02 / scale;
    if (fabs(got - want) > 0.02 * fabs(want) + 1e-6)
      fail_msg("%s: gradient %g, by differences %g", names[k], got, want);
    free(w);
    free(g);
  }
  row_release(&r);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_read_write),
      cmocka_unit_test(test_gradient),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

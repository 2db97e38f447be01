/* Steps between a micro-batch's forward and its backward: which weights it is done with, and how many are held. */
#include "sim/pipeline.h"

#include "shard/shard.h"
#include "shard/shard_int.h"

#include <math.h>
#include <stdio.h>

#define SLOTS 5u

typedef struct fixture {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_shard *shard, *plain; /* plain: one micro-batch at a time, its weights written by the test */
  size_t values;
} fixture;

static plr_shard *make(const fixture *f, uint32_t delayed, uint32_t versions, uint32_t slots) {
  plr_shard_options o;
  plr_shard *shard = NULL;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 1, o.end_block = 3;
  o.slots = slots, o.delayed = delayed, o.versions = versions;
  assert_int_equal(plr_shard_create(f->ctx, f->model, &o, &shard, NULL), PLR_OK);
  return shard;
}

static void open_fixture(fixture *f, const char *optimizer, uint32_t micro_batches,
                         uint32_t delayed, uint32_t versions) {
  char json[1100], count[32];
  memset(f, 0, sizeof *f);
  assert_int_equal(plr_context_create(NULL, &f->ctx, NULL), PLR_OK);
  pipe_manifest(json, sizeof json - 64, 0);
  snprintf(count, sizeof count, "\"micro_batches\": %u", micro_batches);
  pipe_replace(json, "\"micro_batches\": 4", count);
  if (strcmp(optimizer, "nadam") == 0)
    pipe_replace(json, "\"adamw\"", "\"nadam\", \"momentum_decay\": 0.004");
  if (strcmp(optimizer, "sgdm") == 0) {
    pipe_replace(json, "\"adamw\"", "\"sgdm\"");
    pipe_replace(json, "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8", "\"momentum\": 0.9");
  }
  plr_error err = {.struct_size = sizeof err};
  if (plr_model_from_json(f->ctx, json, strlen(json), &f->model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  f->info.struct_size = sizeof f->info;
  plr_model_get_info(f->model, &f->info);
  f->values = (size_t)f->info.micro_batch * f->info.seq_len * f->info.boundary_width;
  f->shard = make(f, delayed, versions, SLOTS);
  f->plain = make(f, PLR_DELAYED_REFUSED, 1, 1);
}

static void close_fixture(fixture *f) {
  plr_shard_destroy(f->shard);
  plr_shard_destroy(f->plain);
  plr_model_destroy(f->model);
  plr_context_destroy(f->ctx);
}

static void tokens_of(int32_t *tokens) {
  for (int32_t i = 0; i < 64; i++) tokens[i] = i % 250;
}

static void fill(float *x, size_t n, uint32_t seed) {
  uint32_t a = seed * 2654435761u + 1;
  for (size_t i = 0; i < n; i++) {
    a = a * 1664525u + 1013904223u;
    x[i] = ((float)(a >> 9) / 8388608.0f - 0.5f);
  }
}

static void matrix(const fixture *f, plr_tensor *t, float *x) {
  plr_tensor_matrix(t, x, PLR_DTYPE_F32, f->info.micro_batch * f->info.seq_len,
                    f->info.boundary_width);
}

static void forward(const fixture *f, plr_shard *s, uint32_t slot, uint32_t mb, float *out) {
  int32_t tokens[64];
  float in[512];
  plr_tensor a, b;
  tokens_of(tokens);
  fill(in, f->values, mb);
  matrix(f, &a, in), matrix(f, &b, out);
  assert_int_equal(plr_shard_forward(s, slot, tokens, &a, &b, NULL), PLR_OK);
}

static void backward(const fixture *f, plr_shard *s, uint32_t slot, uint32_t mb, float *out) {
  float g[512];
  plr_tensor a, b;
  fill(g, f->values, mb + 1000);
  matrix(f, &a, g), matrix(f, &b, out);
  assert_int_equal(plr_shard_backward(s, slot, &a, &b), PLR_OK);
}

/* All weights, or all gradients, one after the other. */
static size_t read_all(plr_shard *s, uint32_t what, float *out) {
  size_t n = 0;
  for (uint32_t i = 0; i < plr_shard_parameters(s); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    plr_tensor t;
    plr_shard_parameter(s, i, &p);
    plr_tensor_matrix(&t, out + n, PLR_DTYPE_F32, p.rows, p.cols);
    assert_int_equal(plr_shard_read(s, what, p.name, &t, NULL), PLR_OK);
    n += (size_t)(p.rows * p.cols);
  }
  return n;
}

static void write_all(plr_shard *s, float *from) {
  for (uint32_t i = 0, n = 0; i < plr_shard_parameters(s); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    plr_tensor t;
    plr_shard_parameter(s, i, &p);
    plr_tensor_matrix(&t, from + n, PLR_DTYPE_F32, p.rows, p.cols);
    assert_int_equal(plr_shard_write(s, p.name, &t, NULL), PLR_OK);
    n += (uint32_t)(p.rows * p.cols);
  }
}

#define WEIGHTS  8192u
#define VERSIONS 64u
static float kept[VERSIONS][WEIGHTS];

/* Any order of forwards and backwards: every gradient has the bits that a shard with the weights of that forward
 * gives. */
static void test_stash(void **state) {
  (void)state;
  static float got[WEIGHTS], want[WEIGHTS];
  float out[512], plain_out[512], grad[512], plain_grad[512];
  uint32_t version = 0, random = 7, next = 0, busy[SLOTS] = {0}, mb[SLOTS], of[SLOTS];
  uint64_t delays = 0;
  fixture f;
  open_fixture(&f, "nadam", 1, PLR_DELAYED_STASH, SLOTS);
  size_t n = read_all(f.shard, PLR_PARAMETER_WEIGHT, kept[0]);
  assert_in_range(n, 100, WEIGHTS);
  while (version + 1 < VERSIONS) {
    random = random * 1664525u + 1013904223u;
    uint32_t slot = (random >> 16) % SLOTS;
    if (!busy[slot]) {
      mb[slot] = next++, of[slot] = version, busy[slot] = 1;
      forward(&f, f.shard, slot, mb[slot], out);
      write_all(f.plain, kept[version]);
      forward(&f, f.plain, 0, mb[slot], plain_out);
      assert_memory_equal(out, plain_out, f.values * sizeof(float));
      backward(&f, f.plain, 0, mb[slot], plain_grad);
      plr_shard_step(f.plain); /* forgets the gradients */
      continue;
    }
    backward(&f, f.shard, slot, mb[slot], grad);
    busy[slot] = 0;
    assert_int_equal(plr__shard_last_delay(f.shard), version - of[slot]);
    delays += version - of[slot];
    write_all(f.plain, kept[of[slot]]);
    forward(&f, f.plain, 0, mb[slot], plain_out);
    backward(&f, f.plain, 0, mb[slot], plain_grad);
    assert_memory_equal(grad, plain_grad, f.values * sizeof(float));
    read_all(f.shard, PLR_PARAMETER_GRADIENT, got);
    read_all(f.plain, PLR_PARAMETER_GRADIENT, want);
    assert_memory_equal(got, want, n * sizeof(float));
    assert_int_equal(plr_shard_step(f.plain), PLR_OK);
    assert_int_equal(plr_shard_step(f.shard), PLR_OK);
    read_all(f.shard, PLR_PARAMETER_WEIGHT, kept[++version]);
    assert_memory_not_equal(kept[version], kept[version - 1], n * sizeof(float));
  }
  assert_true(delays > VERSIONS); /* or nothing was tried */
  close_fixture(&f);
}

/* A step that would need one version more than there is is refused, and can be done later. */
static void test_versions_run_out(void **state) {
  (void)state;
  float out[512];
  fixture f;
  open_fixture(&f, "adamw", 1, PLR_DELAYED_STASH, 2);
  for (uint32_t i = 0; i < 3; i++) forward(&f, f.shard, i, i, out);
  backward(&f, f.shard, 0, 0, out);
  assert_int_equal(plr_shard_step(f.shard), PLR_OK); /* slots 1 and 2 share the old version */
  forward(&f, f.shard, 0, 3, out);
  backward(&f, f.shard, 1, 1, out);
  assert_int_equal(plr_shard_step(f.shard), PLR_ERR_INVALID_STATE);
  backward(&f, f.shard, 0, 3, out);
  assert_int_equal(plr_shard_step(f.shard), PLR_OK);
  assert_int_equal(plr_shard_steps(f.shard), 2);
  backward(&f, f.shard, 2, 2, out);
  assert_int_equal(plr__shard_last_delay(f.shard), 2);
  close_fixture(&f);
  open_fixture(&f, "adamw", 1, PLR_DELAYED_REFUSED, 1);
  forward(&f, f.shard, 0, 0, out);
  forward(&f, f.shard, 1, 1, out);
  backward(&f, f.shard, 0, 0, out);
  assert_int_equal(plr_shard_step(f.shard), PLR_ERR_INVALID_STATE);
  close_fixture(&f);
}

static void test_options(void **state) {
  (void)state;
  fixture f;
  plr_shard *shard = NULL;
  plr_shard_options o;
  plr_error err = {.struct_size = sizeof err};
  open_fixture(&f, "adamw", 1, PLR_DELAYED_NEWEST, 1);
  plr_shard_options_init(&o, sizeof o);
  assert_int_equal(o.versions, 1);
  o.versions = 2;
  assert_int_equal(plr_shard_create(f.ctx, f.model, &o, &shard, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_non_null(strstr(err.message, "versions is 2"));
  o.versions = 1, o.delayed = 3;
  assert_int_equal(plr_shard_create(f.ctx, f.model, &o, &shard, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_non_null(strstr(err.message, "delayed is 3"));
  o.versions = 0, o.delayed = PLR_DELAYED_STASH;
  assert_int_equal(plr_shard_create(f.ctx, f.model, &o, &shard, &err), PLR_ERR_INVALID_ARGUMENT);
  close_fixture(&f);
}

/* With the newest weights: more delay, more momentum and at first smaller steps (EXACT.md, section 7). */
static void test_corrections(void **state) {
  (void)state;
  float out[512];
  plr_rates plain, r;
  fixture f;
  open_fixture(&f, "nadam", 1, PLR_DELAYED_NEWEST, 1);
  for (uint32_t i = 0; i < 4; i++) forward(&f, f.shard, i, i, out);
  for (uint32_t i = 0; i < 2; i++) {
    backward(&f, f.shard, i, i, out);
    assert_int_equal(plr_shard_step(f.shard), PLR_OK);
  }
  backward(&f, f.shard, 2, 2, out); /* a delay of 2 */
  plr__optimizer_rates(f.shard, &plain);
  assert_true(plain.beta1 == 0.9f);
  plr_model_info info = f.info; /* as if the model said 0.99 */
  info.beta1 = 0.99f;
  f.shard->info = &info;
  plr__shard_correct_delays(f.shard, 8, 4);
  plr__optimizer_rates(f.shard, &r);
  assert_float_equal(r.beta1, 0.9f + 2.0f / 8.0f * 0.09f, 1e-6);
  assert_float_equal(r.lr / plain.lr, 0.70710678, 1e-5); /* 2^(2/4 - 1) */
  plr__shard_correct_delays(f.shard, 8, 2);
  plr__optimizer_rates(f.shard, &r);
  assert_true(r.lr == plain.lr);
  plr__shard_correct_delays(f.shard, 0, 0);
  plr__optimizer_rates(f.shard, &r);
  assert_true(r.beta1 == 0.99f && r.lr == plain.lr);
  close_fixture(&f);
}

/* A replica that saw 3 of 4 micro-batches takes their mean: as if the model's step had 3. */
static void test_fewer_micro_batches(void **state) {
  (void)state;
  static float four[WEIGHTS], three[WEIGHTS], begin[WEIGHTS];
  float out[512];
  double moved = 0, apart = 0;
  for (uint32_t m = 3; m <= 4; m++) {
    fixture f;
    open_fixture(&f, "sgdm", m, PLR_DELAYED_NEWEST, 1);
    read_all(f.shard, PLR_PARAMETER_WEIGHT, begin);
    for (uint32_t i = 0; i < 3; i++) {
      float g[512], a[512];
      plr_tensor in, grad;
      forward(&f, f.shard, i, i, out);
      fill(g, f.values, i + 1000);
      /* what the last shard's scale would have made of it */
      for (size_t j = 0; j < f.values; j++) g[j] = g[j] / (float)m * 0.01f;
      matrix(&f, &grad, g), matrix(&f, &in, a);
      assert_int_equal(plr_shard_backward(f.shard, i, &grad, &in), PLR_OK);
    }
    assert_int_equal(plr_shard_step(f.shard), PLR_OK);
    size_t n = read_all(f.shard, PLR_PARAMETER_WEIGHT, m == 3 ? three : four);
    for (size_t i = 0; m == 4 && i < n; i++)
      moved += fabs((double)three[i] - (double)begin[i]),
          apart += fabs((double)three[i] - (double)four[i]);
    close_fixture(&f);
  }
  assert_true(moved > 1e-3);
  assert_true(apart < 1e-3 * moved);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stash),
      cmocka_unit_test(test_versions_run_out),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_corrections),
      cmocka_unit_test(test_fewer_micro_batches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

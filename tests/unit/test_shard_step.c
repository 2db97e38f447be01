/* The optimizer step against float64: schedule, clipping per block, weight decay on matrices only, AdamW. */
#include "shard_common.h"

#include <math.h>

#include "shard/shard_int.h"

static const double pi = 3.14159265358979323846;

static void test_schedule(void **state) {
  (void)state;
  plr_model_info info = {.lr = 3e-3f, .min_lr_ratio = 0.1f, .steps = 50, .warmup_steps = 10};
  double lr = (double)info.lr, floor = (double)info.min_lr_ratio;
  for (uint32_t schedule = 0; schedule < 3; schedule++) {
    info.schedule = schedule;
    for (uint64_t t = 0; t < 60; t++) {
      double p = t < 10 ? 0.0 : t < 50 ? (double)(t - 10) / 40 : 1.0, want = lr;
      if (schedule == PLR_SCHEDULE_LINEAR) want = lr * (1 - (1 - floor) * p);
      if (schedule == PLR_SCHEDULE_COSINE)
        want = lr * (floor + (1 - floor) * (1 + cos(pi * p)) / 2);
      if (t < 10) want = lr * (double)(t + 1) / 10;
      assert_true(fabs((double)plr__learning_rate(&info, t) - want) <= 1e-7 * want);
    }
  }
  /* constant, then down in the last steps; never down */
  info.schedule = PLR_SCHEDULE_WSD, info.decay_steps = 10;
  for (uint64_t t = 0; t < 60; t++) {
    double p = t < 40 ? 0.0 : t < 50 ? (double)(t - 40) / 10 : 1.0;
    double want = t < 10 ? lr * (double)(t + 1) / 10 : lr * (1 - (1 - floor) * p);
    assert_true(fabs((double)plr__learning_rate(&info, t) - want) <= 1e-7 * want);
  }
  info.decay_steps = 0;
  assert_true(plr__learning_rate(&info, 49) == info.lr);
  /* no warm-up; warm-up until the very end; a count of steps far beyond the manifest's */
  info.warmup_steps = 0, info.schedule = PLR_SCHEDULE_COSINE;
  assert_true(plr__learning_rate(&info, 0) == info.lr);
  info.warmup_steps = info.steps = 50;
  assert_true(plr__learning_rate(&info, 49) == info.lr);
  assert_true(fabs((double)plr__learning_rate(&info, UINT64_MAX) - lr * floor) < 1e-9);
}

/* What AdamW makes of one parameter, in double. */
typedef struct adam {
  double w, m, v;
} adam;

static void adam_step(adam *a, double g, double lr, double decay, int t, const plr_model_info *i) {
  double b1 = (double)i->beta1, b2 = (double)i->beta2;
  a->m = b1 * a->m + (1 - b1) * g;
  a->v = b2 * a->v + (1 - b2) * g * g;
  double m = a->m / (1 - pow(b1, t)), v = a->v / (1 - pow(b2, t));
  a->w -= lr * (m / (sqrt(v) + (double)i->eps) + decay * a->w);
}

static double block_norm(const plr_shard *s, uint32_t block) {
  double sum = 0.0;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    const float *g = s->grads + s->param_offset[i];
    for (int64_t j = 0; p->block == block && j < p->rows * p->cols; j++)
      sum += (double)g[j] * (double)g[j];
  }
  return sqrt(sum);
}

/* clip as text for the manifest; returns how many blocks were clipped in the last step. */
static int check_adamw(const char *clip) {
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_corpus *corpus = NULL;
  char json[4096];
  const char *at = strstr(DENSE_JSON, "\"clip\": 1.0");
  snprintf(json, sizeof json, "%.*s\"clip\": %s%s", (int)(at - DENSE_JSON), DENSE_JSON, clip,
           at + strlen("\"clip\": 1.0"));
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  row_init(&r, ctx, json, NULL, 1);
  plr_shard *s = r.shards[0];
  adam *ref = calloc((size_t)s->param_elements, sizeof *ref);
  for (int64_t j = 0; j < s->param_elements; j++) ref[j].w = (double)s->state.w[j];
  int clipped = 0;
  for (int t = 1; t <= 3; t++) {
    double lr = (double)plr__learning_rate(&r.info, (uint64_t)t - 1), limit = (double)r.info.clip;
    for (uint32_t b = 0; b < 2; b++) {
      assert_int_equal(plr_corpus_batch(corpus, 0, 3, (uint64_t)t * 2 + b, r.info.micro_batch,
                                        r.info.seq_len, r.tokens, NULL),
                       PLR_OK);
      row_forward(&r);
      row_backward(&r);
    }
    clipped = 0;
    for (uint32_t b = 0; b < 8; b++) {
      double norm = block_norm(s, b), scale = limit > 0 && norm > limit ? limit / norm : 1.0;
      clipped += scale < 1.0;
      for (uint32_t i = 0; i < s->graph.param_count; i++) {
        const plr_param *p = &s->graph.params[i];
        int64_t first = s->param_offset[i];
        double decay = strstr(p->name, "norm") ? 0.0 : (double)r.info.weight_decay;
        for (int64_t j = 0; p->block == b && j < p->rows * p->cols; j++)
          adam_step(&ref[first + j], (double)s->grads[first + j] * scale, lr, decay, t, &r.info);
      }
    }
    assert_int_equal(plr_shard_step(s), PLR_OK);
    for (uint32_t i = 0; i < s->graph.param_count; i++)
      for (int64_t j = 0; j < s->graph.params[i].rows * s->graph.params[i].cols; j++) {
        int64_t k = s->param_offset[i] + j;
        double error = fabs((double)s->state.w[k] - ref[k].w);
        if (error > 1e-6 * (fabs(ref[k].w) + lr))
          fail_msg("step %d, %s[%lld]: %.9g, should be %.9g", t, s->graph.params[i].name,
                   (long long)j, (double)s->state.w[k], ref[k].w);
        ref[k].w = (double)s->state.w[k]; /* errors of a step, not of all */
        ref[k].m = (double)s->state.m[k], ref[k].v = (double)s->state.v[k];
      }
  }
  free(ref);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
  return clipped;
}

static void test_adamw(void **state) {
  (void)state;
  assert_int_equal(check_adamw("0"), 0);
  assert_int_equal(check_adamw("0.001"), 8);
  int some = check_adamw("0.3");
  assert_true(some > 0 && some < 8); /* blocks are clipped one by one */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schedule),
      cmocka_unit_test(test_adamw),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

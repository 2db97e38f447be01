/* Two threads on one stage or one job (see test_base_guard.c). */
#include "guard_test.h"

#include "stage/stage_int.h"

#ifdef NDEBUG

int main(void) {
  return no_guards_main();
}

#else

static const uint8_t seed[32] = {7};
static const char text[400];

static void test_stage(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_identity *identity;
  plr_corpus *corpus;
  plr_stage_options o;
  plr_stage *stage;
  plr_stage_event event = {0};
  plr_stage_stats stats = {0};
  plr_job *job;
  standing s;
  pthread_t thread;
  uint8_t buf[64];
  const int32_t prompt = 1;
  size_t len;
  assert_int_equal(plr_identity_create(ctx, seed, &identity, NULL), PLR_OK);
  assert_int_equal(plr_corpus_create(ctx, text, sizeof text, &corpus, NULL), PLR_OK);
  plr_stage_options_init(&o, sizeof o);
  o.role = PLR_STAGE_FEEDER, o.count = 1, o.origin = "example.org/guard", o.identity = identity;
  o.model = model, o.corpus = corpus;
  assert_int_equal(plr_stage_create(ctx, &o, &stage, NULL), PLR_OK);
  const char *inside = "plr_stage_advance";
  stand_inside(&s, &stage->guard, inside, &thread);
  REFUSED(plr_stage_attach(stage, PLR_SIDE_UPSTREAM, (plr_link *)stage), "plr_stage_attach",
          inside);
  REFUSED(plr_stage_advance(stage, 1), "plr_stage_advance", inside);
  REFUSED(plr_stage_next_job(stage, &job), "plr_stage_next_job", inside);
  REFUSED(plr_stage_complete(stage, &stage->job, 1), "plr_stage_complete", inside);
  REFUSED(plr_stage_next_event(stage, &event), "plr_stage_next_event", inside);
  REFUSED(plr_stage_train(stage, 5), "plr_stage_train", inside);
  REFUSED(plr_stage_evaluate(stage, 1), "plr_stage_evaluate", inside);
  REFUSED(plr_stage_generate(stage, &prompt, 1, 1, 0, 0, 0), "plr_stage_generate", inside);
  REFUSED(plr_stage_stop(stage), "plr_stage_stop", inside);
  REFUSED(plr_stage_submit(stage, buf, sizeof buf), "plr_stage_submit", inside);
  REFUSED(plr_stage_set_epoch(stage, 3), "plr_stage_set_epoch", inside);
  REFUSED(plr_stage_read_journal(stage, buf, sizeof buf, &len), "plr_stage_read_journal", inside);
  REFUSED(plr_stage_get_stats(stage, &stats), "plr_stage_get_stats", inside);
  plr_stage_destroy(stage);
  assert_line(&k, "plr_stage_destroy", inside);
  stand_end(&s, thread);
  assert_int_equal(plr_stage_advance(stage, 1), PLR_OK);

  /* A job runs beside its stage, but on one thread only. */
  stage->job = (plr_job){.stage = stage};
  stand_inside(&s, &stage->job.guard, "plr_job_run", &thread);
  REFUSED(plr_job_run(&stage->job), "plr_job_run", "plr_job_run");
  REFUSED(plr_stage_complete(stage, &stage->job, 1), "plr_stage_complete", "plr_job_run");
  assert_int_equal(plr_stage_advance(stage, 1), PLR_OK);
  stand_end(&s, thread);
  plr_stage_destroy(stage);
  plr_corpus_destroy(corpus);
  plr_identity_destroy(identity);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_stage)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

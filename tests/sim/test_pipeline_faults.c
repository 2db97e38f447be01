/* A pipeline that breaks: every stage says so once, in bounded time, with the reason of the first. */
#include "sim/pipeline.h"

#include "stage/stage_int.h"

/* Every node failed once; virtual time stayed below the limit. */
static void expect_all_failed(const pipeline *p, double seconds) {
  for (uint32_t i = 0; i <= p->config.stages; i++)
    if (p->failure_status[i] == 0) fail_msg("node %u did not fail", i);
  assert_int_equal(p->failed, p->config.stages + 1);
  assert_true((double)sim_now(p->net) <= seconds * 1e9);
}

static uint32_t cut_wire;

static void cut_at_second_step(pipeline *p, uint32_t node, const plr_stage_event *e) {
  if (node == p->feeder && e->type == PLR_STAGE_STEP && e->step == 2) sim_cut(p->net, cut_wire);
}

/* A wire falls silent: its ends time out, the others hear of it from them. Wire i is below node i. */
static void check_cut(uint32_t stages, uint32_t wire) {
  static pipeline p;
  pipe_config c = pipe_defaults(stages);
  c.link_timeout_ns = 4 * SECOND;
  pipe_open(&p, &c);
  cut_wire = wire;
  p.on_event = cut_at_second_step;
  assert_int_equal(plr_stage_train(p.stage[p.feeder], 1000), PLR_OK);
  sim_run(p.net, 60 * SECOND, NULL, NULL);
  expect_all_failed(&p, 61);
  assert_in_range(p.steps, 2, 4);
  uint32_t above = wire, below = (wire + 1) % (stages + 1);
  assert_non_null(strstr(p.failure[above], "downstream: the link ended"));
  assert_non_null(strstr(p.failure[below], "upstream: the link ended"));
  pipe_close(&p);
}

static void test_cut(void **state) {
  (void)state;
  for (uint32_t wire = 0; wire <= 4; wire++) check_cut(4, wire);
  check_cut(1, 0);
  check_cut(1, 1);
}

/* A host that dies takes its connections with it: no need to wait for a time-out. */
static void die_at_second_step(pipeline *p, uint32_t node, const plr_stage_event *e) {
  if (node != p->feeder || e->type != PLR_STAGE_STEP || e->step != 2) return;
  plr_link_close(p->link[1][PLR_SIDE_DOWNSTREAM], PLR_ERR_CLOSED);
  plr_link_close(p->link[3][PLR_SIDE_UPSTREAM], PLR_ERR_CLOSED);
}

static void test_dead_host(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(4);
  pipe_open(&p, &c);
  p.on_event = die_at_second_step;
  assert_int_equal(plr_stage_train(p.stage[p.feeder], 1000), PLR_OK);
  sim_run(p.net, 10 * SECOND, NULL, NULL);
  assert_int_equal(p.failure_status[1], PLR_ERR_CLOSED);
  assert_int_equal(p.failure_status[3], PLR_ERR_CLOSED);
  assert_int_equal(p.failure_status[0], PLR_ERR_CLOSED);
  assert_int_equal(p.failure_status[4], PLR_ERR_CLOSED);
  assert_non_null(strstr(p.failure[0], "stage 1: downstream: the link ended")); /* who said what */
  assert_non_null(strstr(p.failure[4], "stage "));
  pipe_close(&p);
}

/* ---- a job that goes wrong -------------------------------------------------------------------- */

static uint32_t bad_kind;

static void spoil(pipeline *p, uint32_t node, plr_job *job) {
  (void)p;
  if (node == 2 && job->kind == bad_kind && (job->step == 1 || bad_kind == PLR_JOB_INFER))
    plr__fail(&job->error, job->status = PLR_ERR_NON_FINITE, "shard", "test");
}

static void check_spoilt(uint32_t kind, const char *text) {
  static pipeline p;
  pipe_config c = pipe_defaults(4);
  c.snapshot_every = 1;
  pipe_open(&p, &c);
  bad_kind = kind;
  p.before_complete = spoil;
  if (kind == PLR_JOB_INFER) {
    assert_int_equal(plr_stage_evaluate(p.stage[p.feeder], 4), PLR_OK);
  } else {
    assert_int_equal(plr_stage_train(p.stage[p.feeder], 10), PLR_OK);
  }
  sim_run(p.net, 30 * SECOND, NULL, NULL);
  expect_all_failed(&p, 31);
  assert_int_equal(p.failure_status[2], PLR_ERR_NON_FINITE);
  assert_non_null(strstr(p.failure[2], text));
  assert_non_null(strstr(p.failure[p.feeder], text));
  pipe_close(&p);
}

static void test_spoilt_jobs(void **state) {
  (void)state;
  check_spoilt(PLR_JOB_FORWARD, "stage 2: forward of step 1, micro-batch 0: shard: test");
  check_spoilt(PLR_JOB_BACKWARD, "stage 2: backward of step 1, micro-batch 0: shard: test");
  check_spoilt(PLR_JOB_STEP, "stage 2: step of step 1, micro-batch 0: shard: test");
  check_spoilt(PLR_JOB_SNAPSHOT, "stage 2: snapshot of step 1, micro-batch 0: shard: test");
  check_spoilt(PLR_JOB_INFER, "stage 2: inference of step 0, micro-batch 0: shard: test");
}

/* Shards at different steps are found out before anything is trained. */
static void test_other_steps(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  c.start_step = 3;
  pipe_open(&p, &c);
  assert_int_equal(plr_stage_train(p.stage[p.feeder], 10), PLR_OK);
  sim_run(p.net, 30 * SECOND, NULL, NULL);
  assert_int_equal(p.failure_status[0], PLR_ERR_SEQUENCE);
  assert_non_null(
      strstr(p.failure[0], "the feeder starts at step 3, this stage's shard is at step 0"));
  expect_all_failed(&p, 31);
  assert_int_equal(p.steps, 0);
  pipe_close(&p);
}

/* ---- destroy in the middle -------------------------------------------------------------------- */

static void test_destroy_with_job_out(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  c.job_ns = 5 * SECOND;
  pipe_open(&p, &c);
  assert_int_equal(plr_stage_train(p.stage[p.feeder], 10), PLR_OK);
  sim_run(p.net, 7 * SECOND, NULL, NULL);
  assert_true(p.stage[0]->job_out || p.stage[1]->job_out);
  pipe_close(&p);
}

/* The same job cannot be given back twice, nor another stage's. */
static void test_wrong_job(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  pipe_train(&p, 1);
  plr_job *job = &p.stage[0]->job, *none;
  assert_int_equal(plr_stage_complete(p.stage[0], job, 0), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_complete(p.stage[1], job, 0), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_next_job(p.stage[0], &none), PLR_ERR_AGAIN);
  assert_null(none);
  assert_int_equal(plr_stage_next_job(p.stage[p.feeder], &none), PLR_ERR_AGAIN);
  pipe_close(&p);
}

/* Events that nobody reads stop the stage from taking more in; nothing grows, nothing is lost. */
static void test_unread_events(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  plr_stage *feeder = p.stage[p.feeder];
  plr_stage_event big = {.type = PLR_STAGE_ENTRY};
  static uint8_t filler[60000];
  big.data = filler, big.len = sizeof filler;
  pipe_train(&p, 1);
  while (plr__stage_has_room(feeder)) plr__event(feeder, &big, NULL);
  uint64_t now = sim_now(p.net);
  assert_int_equal(plr_stage_submit(p.stage[0], "entry", 5), PLR_OK);
  for (int i = 0; i < 10; i++) assert_int_equal(plr_stage_advance(feeder, now), PLR_OK);
  assert_int_equal(plr_stage_train(feeder, 2), PLR_OK);
  assert_int_equal(feeder->feeder.step, 1); /* nothing was fed */
  p.want_idle = 2;
  plr_stage_event e = {.struct_size = sizeof e};
  uint32_t read = 0;
  for (; plr_stage_next_event(feeder, &e) == PLR_OK; read++) assert_int_equal(e.len, sizeof filler);
  assert_true(read > 1);
  pipe_run_for(&p, 30);
  assert_int_equal(p.steps, 2);
  assert_int_equal(p.entries, 1);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cut),
      cmocka_unit_test(test_dead_host),
      cmocka_unit_test(test_spoilt_jobs),
      cmocka_unit_test(test_other_steps),
      cmocka_unit_test(test_destroy_with_job_out),
      cmocka_unit_test(test_wrong_job),
      cmocka_unit_test(test_unread_events),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

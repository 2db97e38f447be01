/* Pipelines without a flush: delays are what the schedule says, one stage alone does what sync does, and the pipeline
 * runs empty where it takes snapshots. */
#include "sim/pipeline.h"

#include "stage/stage_int.h"

static pipe_config async_config(uint32_t stages, uint32_t newest) {
  pipe_config c = pipe_defaults(stages);
  c.schedule = PLR_PIPELINE_ASYNC;
  c.newest = newest;
  c.wire.delay_ns = 1000;
  c.wire.bytes_per_second = 0;
  c.job_ns = 2000000;
  return c;
}

static plr_stage_stats stats_of(const pipeline *p, uint32_t node) {
  plr_stage_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_stage_get_stats(p->stage[node], &s), PLR_OK);
  return s;
}

/* One stage has no delay: whatever the schedule is called, the same bits. */
static void test_one_stage(void **state) {
  (void)state;
  static pipeline p;
  static pipe_reference want;
  pipe_reference_run(1, 6, 3, 4, 0.8f, &want);
  for (uint32_t newest = 0; newest < 2; newest++) {
    pipe_config c = async_config(1, newest);
    pipe_open(&p, &c);
    pipe_train(&p, 6);
    assert_int_equal(p.steps, 6);
    assert_memory_equal(p.losses, want.losses, 6 * sizeof(double));
    assert_int_equal(stats_of(&p, 0).max_delay, 0);
    assert_int_equal(p.receipts, 24);
    pipe_evaluate(&p, 3);
    assert_memory_equal(&p.eval, &want.eval, sizeof(double));
    pipe_stop(&p);
    assert_int_equal(p.stop_step, 6);
    assert_memory_equal(&p.stop_root, &want.root, sizeof(plr_hash));
    pipe_close(&p);
  }
}

/* A step for every micro-batch and as many in flight as there are stages behind: stage s has a delay of P - 1 - s. */
static void test_delays(void **state) {
  (void)state;
  static pipeline p;
  for (uint32_t newest = 0; newest < 2; newest++) {
    pipe_config c = async_config(4, newest);
    c.micro_batches = 1;
    pipe_open(&p, &c);
    pipe_train(&p, 30);
    assert_int_equal(p.steps, 30);
    assert_int_equal(p.receipts, 4 * 30);
    assert_int_equal(p.refused, 0);
    pipe_run_for(&p, 0.1); /* the last step of stage 0 comes after its last receipt */
    for (uint32_t i = 0; i < 4; i++) {
      plr_stage_stats s = stats_of(&p, i);
      assert_int_equal(s.backwards, 30);
      assert_int_equal(s.steps, 30);
      assert_int_equal(s.max_delay, 3 - i);
      assert_in_range(s.delays, (3 - i) * 24, (3 - i) * 30);
    }
    assert_true(p.losses[29] < p.losses[0]);
    pipe_stop(&p);
    assert_int_equal(p.stop_step, 30);
    pipe_close(&p);
  }
}

/* With windows of several micro-batches the delay is at most one step here, and the same run gives the same bits. */
static void test_windows(void **state) {
  (void)state;
  static pipeline p;
  plr_hash root[2];
  for (uint32_t again = 0; again < 2; again++) {
    pipe_config c = async_config(4, 0);
    c.wire.delay_ns = 3000000;
    pipe_open(&p, &c);
    pipe_train(&p, 12);
    assert_int_equal(stats_of(&p, 0).max_delay, 1);
    assert_int_equal(stats_of(&p, 0).steps, 12);
    pipe_stop(&p);
    root[again] = p.stop_root;
    pipe_close(&p);
  }
  assert_memory_equal(&root[0], &root[1], sizeof(plr_hash));
}

/* Slow links: more in flight keep the stages busy, the window bounds what is under way, and delays grow with it. */
static void test_slow_links(void **state) {
  (void)state;
  static pipeline p;
  uint64_t took[2];
  for (uint32_t deep = 0; deep < 2; deep++) {
    pipe_config c = async_config(4, 0);
    c.micro_batches = 1;
    c.wire.delay_ns = 20000000;
    c.max_in_flight = deep ? 24 : 4;
    c.window = 24;
    pipe_open(&p, &c);
    pipe_train(&p, 60);
    took[deep] = sim_now(p.net);
    assert_in_range(stats_of(&p, 0).max_delay, deep ? 10 : 3, deep ? 23 : 3);
    pipe_close(&p);
  }
  assert_true(took[1] * 2 < took[0]);
}

typedef struct copy {
  uint8_t *data[4];
  size_t len[4];
} copy;

/* Nothing is under way at a snapshot: whoever begins there again gets the same bits. */
static void test_resume(void **state) {
  (void)state;
  static pipeline p;
  copy at8;
  plr_hash root8, end;
  pipe_config c = async_config(4, 0);
  c.snapshot_every = 4;
  pipe_open(&p, &c);
  pipe_train(&p, 8);
  assert_int_equal(p.root_step, 8);
  root8 = p.root;
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(p.snapshot_step[i], 8);
    at8.len[i] = p.snapshot[i].len;
    at8.data[i] = malloc(at8.len[i]);
    assert_non_null(at8.data[i]);
    memcpy(at8.data[i], p.snapshot[i].data, at8.len[i]);
  }
  pipe_train(&p, 14);
  assert_int_equal(p.roots, 4); /* of steps 0, 4, 8, 12 */
  pipe_stop(&p);
  end = p.stop_root;
  pipe_close(&p);
  c.snapshots = (const uint8_t *const *)at8.data, c.snapshot_lens = at8.len;
  c.start_step = 8;
  pipe_open(&p, &c);
  pipe_train(&p, 14);
  assert_int_equal(p.steps, 6);
  pipe_stop(&p);
  assert_memory_not_equal(&root8, &end, sizeof end);
  assert_memory_equal(&p.stop_root, &end, sizeof end);
  pipe_close(&p);
  for (uint32_t i = 0; i < 4; i++) free(at8.data[i]);
}

/* Commands one after the other, and a stop in the middle of one. */
static void test_commands(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = async_config(2, 0);
  c.window = 3;
  c.wire.delay_ns = 5000000;
  pipe_open(&p, &c);
  pipe_train(&p, 3);
  pipe_evaluate(&p, 2);
  pipe_train(&p, 5);
  pipe_generate(&p, pipe_prompt, 5, 4, 0.8f);
  assert_int_equal(p.tokens, 4);
  assert_int_equal(plr_stage_train(p.stage[p.feeder], 100), PLR_OK);
  pipe_run_for(&p, 0.3);
  assert_in_range(p.steps, 6, 60);
  pipe_stop(&p);
  assert_true(p.stop_step >= p.steps && p.stop_step == p.steps);
  pipe_close(&p);
}

/* The memory of frames is taken when it is needed, and then kept. */
static void test_steady_state(void **state) {
  (void)state;
  static pipeline p;
  uint64_t before, after;
  pipe_config c = async_config(4, 0);
  c.wire = pipe_defaults(4).wire;
  c.micro_batches = 1;
  pipe_open(&p, &c);
  pipe_train(&p, 60);
  pipe_train(&p, 150); /* queues and pools have reached their largest size */
  plr_context_memory(p.ctx, NULL, NULL, &before);
  pipe_train(&p, 170);
  plr_context_memory(p.ctx, NULL, NULL, &after);
  assert_int_equal(after, before);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_stage),    cmocka_unit_test(test_delays),
      cmocka_unit_test(test_windows),      cmocka_unit_test(test_slow_links),
      cmocka_unit_test(test_resume),       cmocka_unit_test(test_commands),
      cmocka_unit_test(test_steady_state),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

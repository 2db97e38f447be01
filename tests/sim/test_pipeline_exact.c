/* A pipeline computes what one whole shard computes, bit for bit, whatever the network does. */
#include "sim/pipeline.h"

#include <stdio.h>

#define STEPS 6u

static void same_as_reference(uint32_t stages, int subspace) {
  static pipe_reference references[2];
  static int known[2];
  static pipeline p;
  pipe_reference *want = &references[subspace];
  if (!known[subspace]) pipe_reference_run(subspace, STEPS, 3, 12, 0.8f, want);
  known[subspace] = 1;

  pipe_config c = pipe_defaults(stages);
  c.subspace = subspace;
  pipe_open(&p, &c);
  pipe_train(&p, STEPS);
  assert_int_equal(p.ready, stages + 1);
  assert_int_equal(p.steps, STEPS);
  assert_memory_equal(p.losses, want->losses, STEPS * sizeof(double));
  assert_int_equal(p.receipts, STEPS * stages * p.info.micro_batches);
  pipe_evaluate(&p, 3);
  assert_int_equal(p.evals, 1);
  assert_memory_equal(&p.eval, &want->eval, sizeof(double));
  pipe_generate(&p, pipe_prompt, 5, 12, 0.8f);
  assert_int_equal(p.tokens, 12);
  assert_memory_equal(p.token, want->tokens, 12 * sizeof(int32_t));
  pipe_stop(&p);
  assert_int_equal(p.stop_step, STEPS);
  assert_int_equal(p.root_step, STEPS);
  assert_memory_equal(&p.root, &want->root, sizeof(plr_hash));
  assert_memory_equal(&p.stop_root, &want->root, sizeof(plr_hash));
  pipe_close(&p);
}

static void test_subspace_1(void **state) {
  (void)state;
  same_as_reference(1, 1);
}
static void test_subspace_2(void **state) {
  (void)state;
  same_as_reference(2, 1);
}
static void test_subspace_4(void **state) {
  (void)state;
  same_as_reference(4, 1);
}
static void test_dense_1(void **state) {
  (void)state;
  same_as_reference(1, 0);
}
static void test_dense_2(void **state) {
  (void)state;
  same_as_reference(2, 0);
}
static void test_dense_4(void **state) {
  (void)state;
  same_as_reference(4, 0);
}

/* ---- the network does not matter -------------------------------------------------------------- */

static const sim_wire networks[] = {
    {0, 0, 0, 1},                   /* immediate */
    {25000000, 10000000, 0, 2},     /* 80 Mbit/s, 25 ms */
    {200000000, 125000, 7, 3},      /* 1 Mbit/s, 200 ms, in crumbs */
    {1000000, 1000000000, 1500, 4}, /* a local network */
};
static const uint64_t job_times[] = {0, 2000000, 500000, 50000000};

static void run_on(pipeline *p, const char *codec, size_t network) {
  pipe_config c = pipe_defaults(4);
  c.codec = codec;
  c.wire = networks[network];
  c.job_ns = job_times[network];
  c.snapshot_every = 2;
  pipe_open(p, &c);
  pipe_train(p, 5);
  pipe_evaluate(p, 2);
  pipe_stop(p);
  pipe_sort_receipts(p);
}

static void same_on_every_network(const char *codec) {
  static pipeline first, other;
  run_on(&first, codec, 0);
  for (size_t i = 1; i < PLR_COUNT_OF(networks); i++) {
    run_on(&other, codec, i);
    assert_memory_equal(&other.stop_root, &first.stop_root, sizeof(plr_hash));
    assert_memory_equal(other.losses, first.losses, 5 * sizeof(double));
    assert_memory_equal(&other.eval, &first.eval, sizeof(double));
    assert_int_equal(other.receipts, first.receipts);
    for (uint32_t r = 0; r < first.receipts; r++) {
      assert_int_equal(other.receipt[r].len, first.receipt[r].len);
      assert_memory_equal(other.receipt[r].data, first.receipt[r].data, first.receipt[r].len);
    }
    pipe_close(&other);
  }
  pipe_close(&first);
}

static void test_networks_raw(void **state) {
  (void)state;
  same_on_every_network("raw");
}

static void test_networks_int4(void **state) {
  (void)state;
  same_on_every_network("int4");
}

/* What an encoder learns of its stream depends on its frames alone, not on when they went. */
static void test_networks_trellis(void **state) {
  (void)state;
  same_on_every_network("trellis5+token");
}

/* A lossy codec changes the result, and changes it in the same way for every cut that crosses the wire. */
static void test_codec_matters(void **state) {
  (void)state;
  static pipeline raw, coded;
  pipe_config c = pipe_defaults(2);
  pipe_open(&raw, &c);
  c.codec = "int4+zstd";
  pipe_open(&coded, &c);
  pipe_train(&raw, 2);
  pipe_train(&coded, 2);
  assert_memory_not_equal(raw.losses, coded.losses, 2 * sizeof(double));
  plr_stage_stats a = {.struct_size = sizeof a}, b = {.struct_size = sizeof b};
  assert_int_equal(plr_stage_get_stats(raw.stage[0], &a), PLR_OK);
  assert_int_equal(plr_stage_get_stats(coded.stage[0], &b), PLR_OK);
  assert_int_equal(a.raw_bytes,
                   2 * raw.info.micro_batches * 16 * 16 * 2); /* 16 rows of 16 values in bf16 */
  assert_int_equal(a.raw_bytes, b.raw_bytes);
  assert_true(b.sent_bytes < a.sent_bytes);
  pipe_close(&raw);
  pipe_close(&coded);
}

/* Small windows make every link refuse frames for a while: slower, but the same. */
static void test_small_window(void **state) {
  (void)state;
  static pipeline wide, narrow;
  pipe_config c = pipe_defaults(4);
  c.subspace = 0;
  pipe_open(&wide, &c);
  c.link_window = 4096;
  c.wire.delay_ns = 100000000;
  pipe_open(&narrow, &c);
  pipe_train(&wide, 3);
  pipe_train(&narrow, 3);
  pipe_stop(&wide);
  pipe_stop(&narrow);
  assert_memory_equal(&wide.stop_root, &narrow.stop_root, sizeof(plr_hash));
  pipe_close(&wide);
  pipe_close(&narrow);
}

/* ---- commands in pieces ----------------------------------------------------------------------- */

static void test_train_in_pieces(void **state) {
  (void)state;
  static pipeline whole, pieces;
  pipe_config c = pipe_defaults(2);
  c.snapshot_every = 3;
  pipe_open(&whole, &c);
  pipe_open(&pieces, &c);
  pipe_train(&whole, 5);
  pipe_train(&pieces, 0); /* only the first snapshot */
  assert_int_equal(pieces.roots, 1);
  assert_int_equal(pieces.steps, 0);
  pipe_train(&pieces, 1);
  pipe_evaluate(&pieces, 1);
  pipe_train(&pieces, 1); /* nothing to do */
  pipe_train(&pieces, 4);
  pipe_generate(&pieces, pipe_prompt, 1, 2, 0);
  pipe_train(&pieces, 5);
  pipe_stop(&whole);
  pipe_stop(&pieces);
  assert_int_equal(whole.receipts, pieces.receipts);
  pipe_sort_receipts(&whole);
  pipe_sort_receipts(&pieces);
  for (uint32_t r = 0; r < whole.receipts; r++)
    assert_memory_equal(whole.receipt[r].data, pieces.receipt[r].data, whole.receipt[r].len);
  assert_memory_equal(&whole.stop_root, &pieces.stop_root, sizeof(plr_hash));
  pipe_close(&whole);
  pipe_close(&pieces);
}

static void stop_at_second_step(pipeline *p, uint32_t node, const plr_stage_event *e) {
  if (node == p->feeder && e->type == PLR_STAGE_STEP && e->step == 2)
    assert_int_equal(plr_stage_stop(p->stage[node]), PLR_OK);
}

/* Stopped in the middle of a command, started again from the snapshots: as if nothing had happened. */
static void test_stop_and_resume(void **state) {
  (void)state;
  static pipeline whole, first, second;
  const uint8_t *snapshots[PIPE_MAX_STAGES];
  size_t lens[PIPE_MAX_STAGES];
  pipe_config c = pipe_defaults(4);
  pipe_open(&whole, &c);
  pipe_train(&whole, 8);
  pipe_stop(&whole);

  pipe_open(&first, &c);
  first.on_event = stop_at_second_step;
  assert_int_equal(plr_stage_train(first.stage[first.feeder], 8), PLR_OK);
  pipe_run_for(&first, 600);
  assert_int_equal(first.stopped, 5);
  assert_in_range(first.stop_step, 2, 4); /* what was fed is finished */
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(first.snapshot_step[i], first.stop_step);
    snapshots[i] = first.snapshot[i].data;
    lens[i] = first.snapshot[i].len;
  }
  c.snapshots = snapshots, c.snapshot_lens = lens, c.start_step = first.stop_step;
  pipe_open(&second, &c);
  pipe_train(&second, 8);
  assert_int_equal(second.steps, 8 - first.stop_step);
  assert_memory_equal(second.losses, whole.losses + first.stop_step, second.steps * sizeof(double));
  pipe_stop(&second);
  assert_memory_equal(&second.stop_root, &whole.stop_root, sizeof(plr_hash));
  pipe_close(&whole);
  pipe_close(&first);
  pipe_close(&second);
}

static void test_command_states(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  plr_stage *feeder = p.stage[p.feeder], *worker = p.stage[0];
  int32_t outside = 256;
  assert_int_equal(plr_stage_train(worker, 1), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_stop(worker), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_set_epoch(worker, 1), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_train(feeder, UINT64_C(1) << 33), PLR_ERR_LIMIT);
  assert_int_equal(plr_stage_evaluate(feeder, 0), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_generate(feeder, pipe_prompt, 9, 1, 0, 0, 1),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_generate(feeder, &outside, 1, 1, 0, 0, 1), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_generate(feeder, pipe_prompt, 1, 1, -1, 0, 1),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_submit(feeder, "x", 1), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_train(feeder, 1), PLR_OK); /* before the links are up */
  assert_int_equal(plr_stage_evaluate(feeder, 1), PLR_ERR_AGAIN);
  pipe_run_for(&p, 60);
  assert_int_equal(p.idle, 1);
  pipe_stop(&p);
  assert_int_equal(plr_stage_train(feeder, 2), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_advance(worker, sim_now(p.net)), PLR_OK);
  pipe_close(&p);
}

/* What the feeder says reaches stages whose links are not up yet, whichever comes last. */
static void test_late_links(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  for (uint32_t wire = 0; wire < 3; wire++) {
    pipe_open(&p, &c);
    sim_set_rate(p.net, wire, 300); /* its hellos take a second or so */
    assert_int_equal(plr_stage_train(p.stage[p.feeder], 1), PLR_OK);
    pipe_run_for(&p, 3);
    sim_set_rate(p.net, wire, 0);
    pipe_run_for(&p, 60);
    assert_int_equal(p.idle, 1);
    pipe_stop(&p);
    pipe_close(&p);
  }
}

/* Without training there is nothing to snapshot. */
static void test_inference_only(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(2);
  c.start_step = 40; /* the shards stand at 0, which no inference asks about */
  pipe_open(&p, &c);
  pipe_evaluate(&p, 2);
  pipe_stop(&p);
  assert_int_equal(p.roots, 0);
  assert_null(p.snapshot[0].data);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_subspace_1),       cmocka_unit_test(test_subspace_2),
      cmocka_unit_test(test_subspace_4),       cmocka_unit_test(test_dense_1),
      cmocka_unit_test(test_dense_2),          cmocka_unit_test(test_dense_4),
      cmocka_unit_test(test_networks_raw),     cmocka_unit_test(test_networks_int4),
      cmocka_unit_test(test_networks_trellis), cmocka_unit_test(test_codec_matters),
      cmocka_unit_test(test_small_window),     cmocka_unit_test(test_train_in_pieces),
      cmocka_unit_test(test_stop_and_resume),  cmocka_unit_test(test_command_states),
      cmocka_unit_test(test_late_links),       cmocka_unit_test(test_inference_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

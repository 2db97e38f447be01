/* What the neighbours of a worker may send and may not. */
#include <math.h>

#include "sim/rig.h"

typedef void (*sender)(rig *r);

/* ---- a worker in the middle: stage 1 of 4, boundary width 4 ----------------------------------- */

static void worker_fault(sender send, plr_status status, const char *text) {
  rig r;
  plr_job *job;
  rig_open(&r, PLR_STAGE_WORKER, 1, 4);
  assert_int_equal(r.failures, 0);
  send(&r);
  rig_expect_failure(&r, status, text);
  assert_int_equal(strncmp(r.message, "stage 1: ", 9), 0);
  /* Everything else refuses, and both sides have heard of it. */
  assert_int_equal(plr_stage_advance(r.stage, r.now), status);
  assert_int_equal(plr_stage_next_job(r.stage, &job), status);
  assert_int_equal(plr_stage_submit(r.stage, "x", 1), status);
  for (uint32_t side = 0; side < 2; side++) {
    assert_int_equal(r.controls[side][PLR__CONTROL_FAIL], 1);
    assert_non_null(strstr(r.fail_text[side], "stage 1: "));
    assert_int_equal(r.last[side].status, status);
  }
  rig_pump(&r);
  assert_int_equal(r.failures, 1);
  rig_close(&r);
}

static void garbage(rig *r) {
  memset(rig_frame, 0x5a, 100);
  rig_frame_len = 100;
  rig_give(r, PLR__UP);
}
static void flipped_header(rig *r) {
  rig_make_tokens(r, 0, 0, 0, 2, 9);
  rig_frame[28] ^= 1;
  rig_give(r, PLR__UP);
}
static void flipped_control(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  rig_make_control(r, &c);
  rig_frame[rig_frame_len - 1] ^= 1;
  rig_give(r, PLR__DOWN);
}
static void flipped_tokens(rig *r) {
  rig_give_open(r, 0);
  rig_make_tokens(r, 0, 0, 0, 2, 9);
  rig_frame[rig_frame_len - 1] ^= 1;
  rig_give(r, PLR__UP);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void flipped_activation(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  rig_frame[rig_frame_len - 5] ^= 1;
  rig_give(r, PLR__UP);
}
static void not_a_number(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, NAN);
  rig_give(r, PLR__UP);
}
static void tokens_unopened(rig *r) {
  rig_give_tokens(r, 0, 0);
}
static void tokens_wrong_batch(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 1);
}
static void tokens_wrong_shape(rig *r) {
  rig_give_open(r, 0);
  rig_make_tokens(r, 0, 0, 0, 2, 8);
  rig_give(r, PLR__UP);
}
static void tokens_wrong_stream(rig *r) {
  rig_give_open(r, 0);
  rig_make_tokens(r, 3, 0, 0, 2, 9);
  rig_give(r, PLR__UP);
}
static void tokens_without_activation(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_give_tokens(r, 0, 1);
}
static void tokens_from_below(rig *r) {
  rig_make_tokens(r, 0, 0, 0, 2, 9);
  rig_give(r, PLR__DOWN);
}
static void generate_without_sample(rig *r) {
  rig_make_tokens(r, PLR__KIND_GENERATE, 0, 0, 1, 5);
  rig_give(r, PLR__UP);
}
static void sample_twice(rig *r) {
  plr__control c = {.type = PLR__CONTROL_SAMPLE};
  rig_give_control(r, PLR__UP, &c);
  rig_give_control(r, PLR__UP, &c);
}
static void activation_alone(rig *r) {
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void activation_of_another(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 1, 4, 0);
  rig_give(r, PLR__UP);
}
static void activation_wrong_boundary(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 2, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void activation_too_wide(rig *r) {
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 5, 0);
  rig_give(r, PLR__UP);
}
static void gradient_too_early(rig *r) {
  rig_make_tensor(r, PLR_ROLE_GRADIENT, 2, 0, 0, 4, 0);
  rig_give(r, PLR__DOWN);
}
static void gradient_from_above(rig *r) {
  rig_make_tensor(r, PLR_ROLE_GRADIENT, 2, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void delta_frame(rig *r) {
  rig_make_tensor(r, PLR_ROLE_DELTA, 1, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void too_far_ahead(rig *r) {
  rig_give_open(r, 0);
  for (uint32_t mb = 0; mb < 4; mb++) {
    rig_give_tokens(r, 0, mb);
    rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, mb, 4, 0);
    rig_give(r, PLR__UP);
  }
  assert_int_equal(r->frames[PLR__DOWN][PLR_ROLE_ACTIVATION], 3); /* min(P - s, M) are under way */
  rig_give_open(r, 1);
  for (uint32_t mb = 0; mb < 4; mb++) {
    rig_give_tokens(r, 1, mb);
    rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 1, mb, 4, 0);
    rig_give(r, PLR__UP);
  }
}
static void open_wrong_step(rig *r) {
  rig_give_open(r, 1);
}
static void open_too_many(rig *r) {
  for (uint64_t step = 0; step < 4; step++) rig_give_open(r, step);
}
static void snapshot_elsewhere(rig *r) {
  plr__control c = {.type = PLR__CONTROL_SNAPSHOT, .step = 3};
  rig_give_control(r, PLR__UP, &c);
}
static void stop_elsewhere(rig *r) {
  plr__control c = {.type = PLR__CONTROL_STOP, .step = 3, .flags = PLR__CONTROL_FLAG_SNAPSHOT};
  rig_give_control(r, PLR__UP, &c);
}
static void done_unasked(rig *r) {
  plr__control c = {.type = PLR__CONTROL_DONE};
  rig_give_control(r, PLR__UP, &c);
}
static void loss_to_worker(rig *r) {
  plr__control c = {.type = PLR__CONTROL_LOSS};
  rig_give_control(r, PLR__UP, &c);
}
static void open_from_below(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  rig_give_control(r, PLR__DOWN, &c);
}
static void lost_stream(rig *r) {
  plr_link_close(r->mine[PLR__UP], PLR_ERR_IO);
  rig_pump(r);
}

static void test_worker_faults(void **state) {
  (void)state;
  worker_fault(garbage, PLR_ERR_MALFORMED, "upstream: frame of 100 bytes");
  worker_fault(flipped_header, PLR_ERR_CHECKSUM, "upstream: frame of ");
  worker_fault(flipped_control, PLR_ERR_CHECKSUM, "downstream: control frame");
  worker_fault(flipped_tokens, PLR_ERR_CHECKSUM,
               "forward of step 0, micro-batch 0: upstream's token frame");
  worker_fault(flipped_activation, PLR_ERR_CHECKSUM,
               "forward of step 0, micro-batch 0: upstream's activation frame");
  worker_fault(not_a_number, PLR_ERR_NON_FINITE, "forward of step 0, micro-batch 0: ");
  worker_fault(tokens_unopened, PLR_ERR_SEQUENCE, "upstream: token frame of step 0, micro-batch 0");
  worker_fault(tokens_wrong_batch, PLR_ERR_SEQUENCE, "not the one that is due");
  worker_fault(tokens_wrong_shape, PLR_ERR_MALFORMED, "2 x 8 ids");
  worker_fault(tokens_wrong_stream, PLR_ERR_MALFORMED, "stream 0x30000");
  worker_fault(tokens_without_activation, PLR_ERR_SEQUENCE, "has not come");
  worker_fault(tokens_from_below, PLR_ERR_MALFORMED, "downstream: a token frame has no business");
  worker_fault(generate_without_sample, PLR_ERR_SEQUENCE, "not the one that is due");
  worker_fault(sample_twice, PLR_ERR_SEQUENCE, "unexpected sample");
  worker_fault(activation_alone, PLR_ERR_SEQUENCE, "no token frame");
  worker_fault(activation_of_another, PLR_ERR_SEQUENCE, "no token frame");
  worker_fault(activation_wrong_boundary, PLR_ERR_SEQUENCE, "stream 0x2");
  worker_fault(activation_too_wide, PLR_ERR_SHAPE, "16 x 5 values");
  worker_fault(gradient_too_early, PLR_ERR_SEQUENCE, "downstream: gradient frame");
  worker_fault(gradient_from_above, PLR_ERR_MALFORMED,
               "upstream: a gradient frame has no business");
  worker_fault(delta_frame, PLR_ERR_MALFORMED, "no business");
  worker_fault(too_far_ahead, PLR_ERR_SEQUENCE, "further ahead than the schedule allows");
  worker_fault(open_wrong_step, PLR_ERR_SEQUENCE, "step 1 is opened");
  worker_fault(open_too_many, PLR_ERR_SEQUENCE, "step 3 is opened");
  worker_fault(snapshot_elsewhere, PLR_ERR_SEQUENCE, "the feeder starts at step 3");
  worker_fault(stop_elsewhere, PLR_ERR_SEQUENCE, "stop at step 3");
  worker_fault(done_unasked, PLR_ERR_SEQUENCE, "all is done");
  worker_fault(loss_to_worker, PLR_ERR_SEQUENCE, "unexpected loss");
  worker_fault(open_from_below, PLR_ERR_SEQUENCE, "downstream: unexpected open");
}

static void test_lost_stream(void **state) {
  (void)state;
  rig r;
  rig_open(&r, PLR_STAGE_WORKER, 1, 4);
  lost_stream(&r);
  rig_expect_failure(&r, PLR_ERR_IO, "upstream: the link ended at step 0");
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_FAIL], 1);
  rig_close(&r);
}

/* Word of a failure elsewhere: passed on, with what was said, cleaned. */
static void test_failure_elsewhere(void **state) {
  (void)state;
  rig r;
  plr__control c = {.type = PLR__CONTROL_FAIL, .stage = 3, .status = PLR_ERR_NO_MEMORY};
  rig_open(&r, PLR_STAGE_WORKER, 1, 4);
  c.data = (const uint8_t *)"stage 3: no\x1b[2Jmemory", c.data_len = 21;
  rig_give_control(&r, PLR__DOWN, &c);
  rig_expect_failure(&r, PLR_ERR_CLOSED, "downstream: stage 3: no?[2Jmemory (PLR_ERR_NO_MEMORY)");
  assert_int_equal(r.controls[PLR__UP][PLR__CONTROL_FAIL], 1);
  assert_non_null(strstr(r.fail_text[PLR__UP], "stage 3: no?[2Jmemory"));
  rig_close(&r);
}

/* Late or foreign signatures and refusals change nothing. */
static void test_stray_signatures(void **state) {
  (void)state;
  rig r;
  plr__control c = {.type = PLR__CONTROL_SIGNATURE, .stage = 1};
  rig_open(&r, PLR_STAGE_WORKER, 1, 4);
  rig_give_control(&r, PLR__UP, &c);
  c.type = PLR__CONTROL_REFUSAL, c.micro_batch = 77;
  rig_give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.failures, 0);
  c.type = PLR__CONTROL_PROPOSAL;
  rig_give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.failures, 0);
  assert_int_equal(r.refusals, 1);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_REFUSAL], 1);
  rig_close(&r);
}

/* ---- signatures by hand ----------------------------------------------------------------------- */

static uint8_t proposal[PLR__RECEIPT_BYTES];
static uint32_t proposal_len;

/* Lets the stage work on one micro-batch, so that its receipt waits for two signatures. */
static void until_proposal(rig *r) {
  rig_open(r, PLR_STAGE_WORKER, 1, 4);
  rig_give_open(r, 0);
  rig_give_tokens(r, 0, 0);
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
  rig_make_tensor(r, PLR_ROLE_GRADIENT, 2, 0, 0, 4, 0);
  rig_give(r, PLR__DOWN);
  for (uint32_t side = 0; side < 2; side++)
    assert_int_equal(r->controls[side][PLR__CONTROL_PROPOSAL], 1);
  const plr__proposal *own = &plr__record_of(r->stage, 0, 0)->own;
  assert_int_equal(own->present, 1);
  memcpy(proposal, own->bytes, proposal_len = own->len);
}

static void give_signature(rig *r, uint32_t side, const plr_identity *by) {
  plr_entry_signature s;
  plr__control c = {.type = PLR__CONTROL_SIGNATURE, .stage = 1};
  plr__entry_sign(by, PLR_SIGN_UPSTREAM, PIPE_ORIGIN, proposal, proposal_len, &s);
  memcpy(c.signature, s.signature, 64);
  rig_give_control(r, side, &c);
}

static void test_two_signatures(void **state) {
  (void)state;
  rig r;
  until_proposal(&r);
  give_signature(&r, PLR__DOWN, r.other[PLR__DOWN]);
  give_signature(&r, PLR__DOWN, r.other[PLR__DOWN]); /* twice is once */
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_RECEIPT], 0);
  give_signature(&r, PLR__UP, r.other[PLR__UP]);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_RECEIPT], 1);
  assert_int_equal(r.controls[PLR__UP][PLR__CONTROL_RECEIPT], 0);
  assert_int_equal(r.refusals, 0);
  assert_int_equal(r.failures, 0);
  rig_close(&r);
}

/* Somebody else's signature: no receipt, and the feeder hears of it. */
static void test_wrong_signature(void **state) {
  (void)state;
  rig r;
  until_proposal(&r);
  give_signature(&r, PLR__UP, r.other[PLR__DOWN]);
  assert_int_equal(r.refusals, 1);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_MISSING], 1);
  give_signature(&r, PLR__UP, r.other[PLR__UP]);
  give_signature(&r, PLR__DOWN, r.other[PLR__DOWN]);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_RECEIPT], 0);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_MISSING], 1);
  assert_int_equal(r.failures, 0);
  rig_close(&r);
}

static void test_refused_by_peer(void **state) {
  (void)state;
  rig r;
  plr__control c = {.type = PLR__CONTROL_REFUSAL, .stage = 1};
  until_proposal(&r);
  c.data = (const uint8_t *)"no", c.data_len = 2;
  rig_give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.refusals, 1);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_MISSING], 1);
  rig_give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.refusals, 1);
  assert_int_equal(r.failures, 0);
  rig_close(&r);
}

/* ---- anything at all -------------------------------------------------------------------------- */

/* Random damage to valid frames, with the checksums made right again: no crash, no hang, no job left behind. */
static void test_random_damage(void **state) {
  (void)state;
  uint32_t x = 2463534242u, failed = 0;
  for (uint32_t round = 0; round < 60; round++) {
    rig r;
    rig_open(&r, PLR_STAGE_WORKER, 1, 4);
    rig_give_open(&r, 0);
    for (uint32_t i = 0; i < 12 && !r.failures; i++) {
      x ^= x << 13, x ^= x >> 17, x ^= x << 5;
      uint32_t what = x % 4, side = what == 2 || (x >> 8) % 7 == 0 ? PLR__DOWN : PLR__UP;
      if (what == 0) rig_make_tokens(&r, 0, 0, i / 2, 2, 9);
      if (what == 1) rig_make_tensor(&r, PLR_ROLE_ACTIVATION, 1, 0, i / 2, 4, 0);
      if (what == 2) rig_make_tensor(&r, PLR_ROLE_GRADIENT, 2, 0, i / 2, 4, 0);
      if (what == 3) {
        plr__control c = {.type = 1 + (x >> 12) % (PLR__CONTROL_TYPES - 1), .step = (x >> 20) % 2};
        rig_make_control(&r, &c);
      }
      if ((x >> 5) % 3 == 0) {
        size_t at = 16 + (x >> 7) % (PLR_FRAME_HEADER - 20);
        rig_frame[at] ^= (uint8_t)(1u << (x >> 29));
        uint32_t header = plr__load_le16(rig_frame + 6);
        plr__store_le32(rig_frame + 60, 0);
        plr__store_le32(rig_frame + 60, plr__crc32c(0, rig_frame, header));
      }
      rig_give(&r, side);
    }
    failed += r.failures;
    rig_close(&r);
  }
  assert_in_range(failed, 30, 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_worker_faults),     cmocka_unit_test(test_lost_stream),
      cmocka_unit_test(test_failure_elsewhere), cmocka_unit_test(test_stray_signatures),
      cmocka_unit_test(test_two_signatures),    cmocka_unit_test(test_wrong_signature),
      cmocka_unit_test(test_refused_by_peer),   cmocka_unit_test(test_random_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a pipeline may send its feeder and may not. */
#include "sim/rig.h"

typedef void (*sender)(rig *r);

/* ---- a feeder of two stages ------------------------------------------------------------------- */

static void feeder_fault(sender send, plr_status status, const char *text) {
  rig r;
  rig_open(&r, PLR_STAGE_FEEDER, 0, 2);
  send(&r);
  rig_expect_failure(&r, status, text);
  assert_int_equal(strncmp(r.message, "feeder: ", 8), 0);
  assert_int_equal(plr_stage_train(r.stage, 9), status);
  rig_close(&r);
}

static void give_leaves(rig *r, uint64_t step, uint32_t first, uint32_t count) {
  static const uint8_t leaves[5 * 32];
  plr__control c = {.type = PLR__CONTROL_LEAVES, .step = step, .first_block = first};
  c.data = leaves, c.data_len = count * 32;
  rig_give_control(r, PLR__UP, &c);
}

static void begin_training(rig *r) {
  assert_int_equal(plr_stage_train(r->stage, 3), PLR_OK);
  rig_pump(r);
  assert_int_equal(r->controls[PLR__DOWN][PLR__CONTROL_SNAPSHOT], 1);
  assert_int_equal(r->frames[PLR__DOWN][PLR_ROLE_TOKENS], 0); /* not before the root is known */
  give_leaves(r, 0, 0, 2);
  give_leaves(r, 0, 2, 2);
  assert_int_equal(r->frames[PLR__DOWN][PLR_ROLE_TOKENS], 8); /* two steps */
}

static void give_loss(rig *r, uint32_t kind, uint64_t step, uint32_t mb) {
  plr__control c = {
      .type = PLR__CONTROL_LOSS, .kind = kind, .step = step, .micro_batch = mb, .loss = 3};
  rig_give_control(r, PLR__UP, &c);
}

static void loss_unasked(rig *r) {
  give_loss(r, PLR__KIND_TRAIN, 0, 0);
}
static void loss_out_of_order(rig *r) {
  begin_training(r);
  give_loss(r, PLR__KIND_TRAIN, 0, 1);
}
static void loss_twice(rig *r) {
  begin_training(r);
  give_loss(r, PLR__KIND_TRAIN, 0, 0);
  give_loss(r, PLR__KIND_TRAIN, 0, 0);
}
static void loss_of_evaluation(rig *r) {
  begin_training(r);
  give_loss(r, PLR__KIND_EVALUATE, 0, 0);
}
static void token_unasked(rig *r) {
  plr__control c = {.type = PLR__CONTROL_TOKEN};
  rig_give_control(r, PLR__UP, &c);
}
static void token_outside(rig *r) {
  plr__control c = {.type = PLR__CONTROL_TOKEN, .token = 256};
  assert_int_equal(plr_stage_generate(r->stage, pipe_prompt, 5, 1, 0, 0, 1), PLR_OK);
  rig_give_control(r, PLR__UP, &c);
}
static void leaves_unasked(rig *r) {
  give_leaves(r, 0, 0, 2);
}
static void leaves_twice(rig *r) {
  assert_int_equal(plr_stage_train(r->stage, 3), PLR_OK);
  give_leaves(r, 0, 0, 2);
  give_leaves(r, 0, 1, 1);
}
static void leaves_outside(rig *r) {
  assert_int_equal(plr_stage_train(r->stage, 3), PLR_OK);
  give_leaves(r, 0, 3, 2);
}
static void leaves_of_another_step(rig *r) {
  assert_int_equal(plr_stage_train(r->stage, 3), PLR_OK);
  give_leaves(r, 1, 0, 4);
}
static void junk_receipt(rig *r) {
  plr__control c = {.type = PLR__CONTROL_RECEIPT};
  c.data = (const uint8_t *)"junk", c.data_len = 4;
  begin_training(r);
  rig_give_control(r, PLR__UP, &c);
}
static void missing_of_nothing(rig *r) {
  plr__control c = {.type = PLR__CONTROL_MISSING, .step = 50};
  begin_training(r);
  rig_give_control(r, PLR__UP, &c);
}
static void missing_of_nobody(rig *r) {
  plr__control c = {.type = PLR__CONTROL_MISSING, .stage = 2};
  begin_training(r);
  rig_give_control(r, PLR__UP, &c);
}
static void done_unasked(rig *r) {
  plr__control c = {.type = PLR__CONTROL_DONE};
  rig_give_control(r, PLR__UP, &c);
}
static void tensor_to_feeder(rig *r) {
  rig_make_tensor(r, PLR_ROLE_ACTIVATION, 2, 0, 0, 4, 0);
  rig_give(r, PLR__UP);
}
static void loss_from_below(rig *r) {
  plr__control c = {.type = PLR__CONTROL_LOSS};
  rig_give_control(r, PLR__DOWN, &c);
}
static void open_to_feeder(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  rig_give_control(r, PLR__UP, &c);
}

static void test_feeder_faults(void **state) {
  (void)state;
  feeder_fault(loss_unasked, PLR_ERR_SEQUENCE, "loss message of step 0");
  feeder_fault(loss_out_of_order, PLR_ERR_SEQUENCE, "micro-batch 1: not the one that is due");
  feeder_fault(loss_twice, PLR_ERR_SEQUENCE, "not the one that is due");
  feeder_fault(loss_of_evaluation, PLR_ERR_SEQUENCE, "not the one that is due");
  feeder_fault(token_unasked, PLR_ERR_SEQUENCE, "token message");
  feeder_fault(token_outside, PLR_ERR_SEQUENCE, "outside the vocabulary");
  feeder_fault(leaves_unasked, PLR_ERR_SEQUENCE, "no snapshot of these blocks is due");
  feeder_fault(leaves_twice, PLR_ERR_SEQUENCE, "came twice");
  feeder_fault(leaves_outside, PLR_ERR_SEQUENCE, "no snapshot");
  feeder_fault(leaves_of_another_step, PLR_ERR_SEQUENCE, "no snapshot");
  feeder_fault(junk_receipt, PLR_ERR_MALFORMED, "receipt of stage 0");
  feeder_fault(missing_of_nothing, PLR_ERR_SEQUENCE, "no such receipt is due");
  feeder_fault(missing_of_nobody, PLR_ERR_SEQUENCE, "no such receipt is due");
  feeder_fault(done_unasked, PLR_ERR_SEQUENCE, "nobody said so");
  feeder_fault(tensor_to_feeder, PLR_ERR_MALFORMED, "a feeder takes no activation frame");
  feeder_fault(loss_from_below, PLR_ERR_SEQUENCE, "downstream: unexpected loss");
  feeder_fault(open_to_feeder, PLR_ERR_SEQUENCE, "not for a feeder");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_feeder_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

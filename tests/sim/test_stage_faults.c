/* What a peer may send and may not. The stage under test stands between two links whose other ends the test holds. */
#include <math.h>
#include <stdio.h>

#include "sim/pipeline.h"

#include "stage/stage_int.h"

typedef struct rig {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_corpus *corpus;
  char *text;
  plr_identity *me, *other[2];
  plr_shard *shard;
  plr_stage *stage;
  plr_link *mine[2], *peer[2];
  uint64_t now;
  /* what came to the peers, and what the stage said */
  plr__control last[2]; /* newest control message, without its data */
  uint32_t frames[2][PLR_ROLE_CONTROL + 1], controls[2][PLR__CONTROL_TYPES];
  char fail_text[2][PLR__CONTROL_MAX_TEXT + 1];
  uint32_t failures, refusals, events;
  plr_status status;
  char message[256];
} rig;

#define TEXT_BYTES 4000u

static plr_link *rig_link(rig *r, const plr_identity *identity, uint32_t initiator) {
  plr_link_options o;
  plr_link *link = NULL;
  plr_link_options_init(&o, sizeof o);
  o.initiator = initiator;
  plr_model_hash(r->model, &o.model);
  plr_profile_hash(&o.profile);
  o.nonce[0] = (uint8_t)(initiator + 1);
  assert_int_equal(plr_link_create(r->ctx, identity, &o, &link, NULL), PLR_OK);
  return link;
}

static void rig_stage(rig *r, uint32_t role, uint32_t index, uint32_t count) {
  plr_stage_options o;
  plr_error err = {.struct_size = sizeof err};
  plr_stage_options_init(&o, sizeof o);
  o.role = role, o.index = index, o.count = count;
  o.origin = PIPE_ORIGIN, o.identity = r->me, o.model = r->model;
  if (role == PLR_STAGE_FEEDER) {
    o.corpus = r->corpus;
  } else {
    plr_shard_options so;
    uint32_t each = r->info.blocks / count;
    plr_shard_options_init(&so, sizeof so);
    so.first_block = index * each, so.end_block = (index + 1) * each, so.slots = count - index;
    assert_int_equal(plr_shard_create(r->ctx, r->model, &so, &r->shard, NULL), PLR_OK);
    o.shard = r->shard;
  }
  if (plr_stage_create(r->ctx, &o, &r->stage, &err) != PLR_OK) fail_msg("%s", err.message);
}

static void rig_pump(rig *r);

static void rig_open(rig *r, uint32_t role, uint32_t index, uint32_t count) {
  char json[1024];
  memset(r, 0, sizeof *r);
  assert_int_equal(plr_context_create(NULL, &r->ctx, NULL), PLR_OK);
  pipe_manifest(json, sizeof json, 1);
  assert_int_equal(plr_model_from_json(r->ctx, json, strlen(json), &r->model, NULL), PLR_OK);
  r->info.struct_size = sizeof r->info;
  assert_int_equal(plr_model_get_info(r->model, &r->info), PLR_OK);
  r->text = pipe_text(TEXT_BYTES);
  assert_int_equal(plr_corpus_create(r->ctx, r->text, TEXT_BYTES, &r->corpus, NULL), PLR_OK);
  for (uint32_t i = 0; i < 3; i++) {
    uint8_t seed[32] = {(uint8_t)(i + 1)};
    plr_identity **to = i < 2 ? &r->other[i] : &r->me;
    assert_int_equal(plr_identity_create(r->ctx, seed, to, NULL), PLR_OK);
  }
  rig_stage(r, role, index, count);
  for (uint32_t side = 0; side < 2; side++) {
    r->mine[side] = rig_link(r, r->me, 0);
    r->peer[side] = rig_link(r, r->other[side], 1);
    assert_int_equal(plr_stage_attach(r->stage, side, r->mine[side]), PLR_OK);
  }
  rig_pump(r);
}

static void rig_close(rig *r) {
  plr_stage_destroy(r->stage);
  for (uint32_t side = 0; side < 2; side++) {
    plr_link_destroy(r->mine[side]);
    plr_link_destroy(r->peer[side]);
    plr_identity_destroy(r->other[side]);
  }
  plr_shard_destroy(r->shard);
  plr_identity_destroy(r->me);
  plr_corpus_destroy(r->corpus);
  plr_model_destroy(r->model);
  plr_context_destroy(r->ctx);
  free(r->text);
}

/* ---- what comes out --------------------------------------------------------------------------- */

static void note_frame(rig *r, uint32_t side, const uint8_t *frame, size_t len) {
  plr_frame_info info = {.struct_size = sizeof info};
  const uint8_t *payload;
  uint32_t n;
  assert_int_equal(plr_frame_parse(r->ctx, frame, len, &info, NULL), PLR_OK);
  r->frames[side][info.role]++;
  if (info.role != PLR_ROLE_CONTROL) return;
  assert_int_equal(plr_control_decode(r->ctx, frame, len, &payload, &n, NULL, NULL), PLR_OK);
  assert_int_equal(plr__control_parse(&r->last[side], payload, n, NULL), PLR_OK);
  const plr__control *c = &r->last[side];
  r->controls[side][c->type]++;
  if (c->type == PLR__CONTROL_FAIL)
    snprintf(r->fail_text[side], 200, "%.*s", (int)c->data_len, (const char *)c->data);
}

static void note_events(rig *r) {
  plr_stage_event e = {.struct_size = sizeof e};
  while (plr_stage_next_event(r->stage, &e) == PLR_OK) {
    r->events++;
    if (e.type == PLR_STAGE_REFUSED) r->refusals++;
    if (e.type != PLR_STAGE_FAILED) continue;
    r->failures++;
    r->status = e.status;
    snprintf(r->message, sizeof r->message, "%s", e.message);
  }
}

static int move_bytes(rig *r, plr_link *from, plr_link *to) {
  static uint8_t bytes[65536];
  size_t n = 0;
  plr_link_transmit(from, r->now, bytes, sizeof bytes, &n);
  if (n) plr_link_receive(to, r->now, bytes, n);
  return n > 0;
}

static void rig_pump(rig *r) {
  for (int more = 1; more;) {
    plr_link_event e;
    plr_job *job;
    more = 0;
    r->now += 1000;
    for (uint32_t side = 0; side < 2; side++) {
      more |= move_bytes(r, r->peer[side], r->mine[side]);
      more |= move_bytes(r, r->mine[side], r->peer[side]);
      while (plr_link_next_event(r->peer[side], &e) == PLR_OK)
        if (e.type == PLR_LINK_FRAME) note_frame(r, side, e.data, e.len);
    }
    plr_stage_advance(r->stage, r->now);
    while (plr_stage_next_job(r->stage, &job) == PLR_OK) {
      plr_job_run(job);
      plr_stage_complete(r->stage, job, r->now);
      more = 1;
    }
    note_events(r);
  }
}

/* ---- what goes in ----------------------------------------------------------------------------- */

static uint8_t frame[70000];
static size_t frame_len;

static void give(rig *r, uint32_t side) {
  assert_int_equal(plr_link_send(r->peer[side], frame, frame_len, 2), PLR_OK);
  rig_pump(r);
}

static void make_control(const rig *r, const plr__control *c) {
  plr_buffer b;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  plr__buffer_init(&b, r->ctx);
  plr__control_write(&b, c);
  frame_len = sizeof frame;
  assert_int_equal(plr_control_encode(&info, b.data, (uint32_t)b.len, frame, &frame_len), PLR_OK);
  plr__buffer_release(&b);
}

static void give_control(rig *r, uint32_t side, const plr__control *c) {
  make_control(r, c);
  give(r, side);
}

static void give_open(rig *r, uint64_t step) {
  plr__control c = {.type = PLR__CONTROL_OPEN, .step = step};
  give_control(r, PLR__UP, &c);
}

static void make_tokens(const rig *r, uint32_t kind, uint32_t step, uint32_t mb, uint32_t rows,
                        uint32_t cols) {
  int32_t tokens[64];
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_TOKENS};
  for (uint32_t i = 0; i < 64; i++) tokens[i] = (int32_t)(i * 3 % 256);
  info.stream = PLR__STREAM(kind, 0), info.step = step, info.micro_batch = mb;
  frame_len = sizeof frame;
  assert_int_equal(
      plr_tokens_encode(r->ctx, &info, tokens, rows, cols, r->info.vocab, frame, &frame_len),
      PLR_OK);
}

static void give_tokens(rig *r, uint32_t step, uint32_t mb) {
  make_tokens(r, PLR__KIND_TRAIN, step, mb, r->info.micro_batch, r->info.seq_len + 1);
  give(r, PLR__UP);
}

static void make_tensor(const rig *r, uint32_t role, uint32_t stream, uint32_t step, uint32_t mb,
                        uint32_t cols, float value) {
  static float x[16 * 16];
  plr_codec codec;
  plr_encoder *e = NULL;
  plr_tensor t;
  plr_frame_info info = {.struct_size = sizeof info, .role = role, .stream = stream};
  uint32_t rows = r->info.micro_batch * r->info.seq_len;
  for (uint32_t i = 0; i < rows * cols; i++) x[i] = value + 0.01f * (float)(i % 7);
  info.step = step, info.micro_batch = mb;
  assert_int_equal(plr_codec_from_name("raw", &codec), PLR_OK);
  assert_int_equal(plr_encoder_create(r->ctx, &codec, rows, cols, &e, NULL), PLR_OK);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, rows, cols);
  assert_int_equal(plr_encoder_encode(e, &info, &t, frame, sizeof frame, &frame_len), PLR_OK);
  plr_encoder_destroy(e);
}

static void expect_failure(const rig *r, plr_status status, const char *text) {
  if (r->failures != 1 || r->status != status || !strstr(r->message, text))
    fail_msg("%u failures, %s: %s (expected %s: %s)", r->failures, plr_status_name(r->status),
             r->message, plr_status_name(status), text);
}

/* ---- a worker in the middle: stage 1 of 4, boundary width 4 ----------------------------------- */

typedef void (*sender)(rig *r);

static void worker_fault(sender send, plr_status status, const char *text) {
  rig r;
  plr_job *job;
  rig_open(&r, PLR_STAGE_WORKER, 1, 4);
  assert_int_equal(r.failures, 0);
  send(&r);
  expect_failure(&r, status, text);
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
  memset(frame, 0x5a, 100);
  frame_len = 100;
  give(r, PLR__UP);
}
static void flipped_header(rig *r) {
  make_tokens(r, 0, 0, 0, 2, 9);
  frame[28] ^= 1;
  give(r, PLR__UP);
}
static void flipped_control(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  make_control(r, &c);
  frame[frame_len - 1] ^= 1;
  give(r, PLR__DOWN);
}
static void flipped_tokens(rig *r) {
  give_open(r, 0);
  make_tokens(r, 0, 0, 0, 2, 9);
  frame[frame_len - 1] ^= 1;
  give(r, PLR__UP);
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void flipped_activation(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  frame[frame_len - 5] ^= 1;
  give(r, PLR__UP);
}
static void not_a_number(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, NAN);
  give(r, PLR__UP);
}
static void tokens_unopened(rig *r) {
  give_tokens(r, 0, 0);
}
static void tokens_wrong_batch(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 1);
}
static void tokens_wrong_shape(rig *r) {
  give_open(r, 0);
  make_tokens(r, 0, 0, 0, 2, 8);
  give(r, PLR__UP);
}
static void tokens_wrong_stream(rig *r) {
  give_open(r, 0);
  make_tokens(r, 3, 0, 0, 2, 9);
  give(r, PLR__UP);
}
static void tokens_without_activation(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  give_tokens(r, 0, 1);
}
static void tokens_from_below(rig *r) {
  make_tokens(r, 0, 0, 0, 2, 9);
  give(r, PLR__DOWN);
}
static void generate_without_sample(rig *r) {
  make_tokens(r, PLR__KIND_GENERATE, 0, 0, 1, 5);
  give(r, PLR__UP);
}
static void sample_twice(rig *r) {
  plr__control c = {.type = PLR__CONTROL_SAMPLE};
  give_control(r, PLR__UP, &c);
  give_control(r, PLR__UP, &c);
}
static void activation_alone(rig *r) {
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void activation_of_another(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 1, 4, 0);
  give(r, PLR__UP);
}
static void activation_wrong_boundary(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  make_tensor(r, PLR_ROLE_ACTIVATION, 2, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void activation_too_wide(rig *r) {
  give_open(r, 0);
  give_tokens(r, 0, 0);
  make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, 0, 5, 0);
  give(r, PLR__UP);
}
static void gradient_too_early(rig *r) {
  make_tensor(r, PLR_ROLE_GRADIENT, 2, 0, 0, 4, 0);
  give(r, PLR__DOWN);
}
static void gradient_from_above(rig *r) {
  make_tensor(r, PLR_ROLE_GRADIENT, 2, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void delta_frame(rig *r) {
  make_tensor(r, PLR_ROLE_DELTA, 1, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void too_far_ahead(rig *r) {
  give_open(r, 0);
  for (uint32_t mb = 0; mb < 4; mb++) {
    give_tokens(r, 0, mb);
    make_tensor(r, PLR_ROLE_ACTIVATION, 1, 0, mb, 4, 0);
    give(r, PLR__UP);
  }
  assert_int_equal(r->frames[PLR__DOWN][PLR_ROLE_ACTIVATION], 3); /* min(P - s, M) are under way */
  give_open(r, 1);
  for (uint32_t mb = 0; mb < 4; mb++) {
    give_tokens(r, 1, mb);
    make_tensor(r, PLR_ROLE_ACTIVATION, 1, 1, mb, 4, 0);
    give(r, PLR__UP);
  }
}
static void open_wrong_step(rig *r) {
  give_open(r, 1);
}
static void open_too_many(rig *r) {
  for (uint64_t step = 0; step < 4; step++) give_open(r, step);
}
static void snapshot_elsewhere(rig *r) {
  plr__control c = {.type = PLR__CONTROL_SNAPSHOT, .step = 3};
  give_control(r, PLR__UP, &c);
}
static void stop_elsewhere(rig *r) {
  plr__control c = {.type = PLR__CONTROL_STOP, .step = 3, .flags = PLR__CONTROL_FLAG_SNAPSHOT};
  give_control(r, PLR__UP, &c);
}
static void done_unasked(rig *r) {
  plr__control c = {.type = PLR__CONTROL_DONE};
  give_control(r, PLR__UP, &c);
}
static void loss_to_worker(rig *r) {
  plr__control c = {.type = PLR__CONTROL_LOSS};
  give_control(r, PLR__UP, &c);
}
static void open_from_below(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  give_control(r, PLR__DOWN, &c);
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
  expect_failure(&r, PLR_ERR_IO, "upstream: the link ended at step 0");
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
  give_control(&r, PLR__DOWN, &c);
  expect_failure(&r, PLR_ERR_CLOSED, "downstream: stage 3: no?[2Jmemory (PLR_ERR_NO_MEMORY)");
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
  give_control(&r, PLR__UP, &c);
  c.type = PLR__CONTROL_REFUSAL, c.micro_batch = 77;
  give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.failures, 0);
  c.type = PLR__CONTROL_PROPOSAL;
  give_control(&r, PLR__DOWN, &c);
  assert_int_equal(r.failures, 0);
  assert_int_equal(r.refusals, 1);
  assert_int_equal(r.controls[PLR__DOWN][PLR__CONTROL_REFUSAL], 1);
  rig_close(&r);
}

/* ---- a feeder of two stages ------------------------------------------------------------------- */

static void feeder_fault(sender send, plr_status status, const char *text) {
  rig r;
  rig_open(&r, PLR_STAGE_FEEDER, 0, 2);
  send(&r);
  expect_failure(&r, status, text);
  assert_int_equal(strncmp(r.message, "feeder: ", 8), 0);
  assert_int_equal(plr_stage_train(r.stage, 9), status);
  rig_close(&r);
}

static void give_leaves(rig *r, uint64_t step, uint32_t first, uint32_t count) {
  static const uint8_t leaves[5 * 32];
  plr__control c = {.type = PLR__CONTROL_LEAVES, .step = step, .first_block = first};
  c.data = leaves, c.data_len = count * 32;
  give_control(r, PLR__UP, &c);
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
  give_control(r, PLR__UP, &c);
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
  give_control(r, PLR__UP, &c);
}
static void token_outside(rig *r) {
  plr__control c = {.type = PLR__CONTROL_TOKEN, .token = 256};
  assert_int_equal(plr_stage_generate(r->stage, pipe_prompt, 5, 1, 0, 0, 1), PLR_OK);
  give_control(r, PLR__UP, &c);
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
  give_control(r, PLR__UP, &c);
}
static void missing_of_nothing(rig *r) {
  plr__control c = {.type = PLR__CONTROL_MISSING, .step = 50};
  begin_training(r);
  give_control(r, PLR__UP, &c);
}
static void missing_of_nobody(rig *r) {
  plr__control c = {.type = PLR__CONTROL_MISSING, .stage = 2};
  begin_training(r);
  give_control(r, PLR__UP, &c);
}
static void done_to_feeder(rig *r) {
  done_unasked(r);
}
static void tensor_to_feeder(rig *r) {
  make_tensor(r, PLR_ROLE_ACTIVATION, 2, 0, 0, 4, 0);
  give(r, PLR__UP);
}
static void loss_from_below(rig *r) {
  plr__control c = {.type = PLR__CONTROL_LOSS};
  give_control(r, PLR__DOWN, &c);
}
static void open_to_feeder(rig *r) {
  plr__control c = {.type = PLR__CONTROL_OPEN};
  give_control(r, PLR__UP, &c);
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
  feeder_fault(done_to_feeder, PLR_ERR_SEQUENCE, "nobody said so");
  feeder_fault(tensor_to_feeder, PLR_ERR_MALFORMED, "a feeder takes no activation frame");
  feeder_fault(loss_from_below, PLR_ERR_SEQUENCE, "downstream: unexpected loss");
  feeder_fault(open_to_feeder, PLR_ERR_SEQUENCE, "not for a feeder");
}

/* ---- anything at all -------------------------------------------------------------------------- */

/* Random damage to valid frames, with the checksums made right again: no crash, no hang, no job left behind. */
static void test_random_damage(void **state) {
  (void)state;
  uint32_t x = 2463534242u, failed = 0;
  for (uint32_t round = 0; round < 60; round++) {
    rig r;
    rig_open(&r, PLR_STAGE_WORKER, 1, 4);
    give_open(&r, 0);
    for (uint32_t i = 0; i < 12 && !r.failures; i++) {
      x ^= x << 13, x ^= x >> 17, x ^= x << 5;
      uint32_t what = x % 4, side = what == 2 || (x >> 8) % 7 == 0 ? PLR__DOWN : PLR__UP;
      if (what == 0) make_tokens(&r, 0, 0, i / 2, 2, 9);
      if (what == 1) make_tensor(&r, PLR_ROLE_ACTIVATION, 1, 0, i / 2, 4, 0);
      if (what == 2) make_tensor(&r, PLR_ROLE_GRADIENT, 2, 0, i / 2, 4, 0);
      if (what == 3) {
        plr__control c = {.type = 1 + (x >> 12) % (PLR__CONTROL_TYPES - 1), .step = (x >> 20) % 2};
        make_control(&r, &c);
      }
      if ((x >> 5) % 3 == 0) {
        size_t at = 16 + (x >> 7) % (PLR_FRAME_HEADER - 20);
        frame[at] ^= (uint8_t)(1u << (x >> 29));
        uint32_t header = plr__load_le16(frame + 6);
        plr__store_le32(frame + 60, 0);
        plr__store_le32(frame + 60, plr__crc32c(0, frame, header));
      }
      give(&r, side);
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
      cmocka_unit_test(test_feeder_faults),     cmocka_unit_test(test_random_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

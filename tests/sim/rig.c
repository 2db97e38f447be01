#include "rig.h"

#include <stdio.h>

#define TEXT_BYTES 4000u

uint8_t rig_frame[70000];
size_t rig_frame_len;

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

void rig_open(rig *r, uint32_t role, uint32_t index, uint32_t count) {
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

void rig_close(rig *r) {
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

static void note_frame(rig *r, uint32_t side, const uint8_t *bytes, size_t len) {
  plr_frame_info info = {.struct_size = sizeof info};
  const uint8_t *payload;
  uint32_t n;
  assert_int_equal(plr_frame_parse(r->ctx, bytes, len, &info, NULL), PLR_OK);
  r->frames[side][info.role]++;
  if (info.role != PLR_ROLE_CONTROL) return;
  assert_int_equal(plr_control_decode(r->ctx, bytes, len, &payload, &n, NULL, NULL), PLR_OK);
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

void rig_pump(rig *r) {
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

void rig_give(rig *r, uint32_t side) {
  assert_int_equal(plr_link_send(r->peer[side], rig_frame, rig_frame_len, 2), PLR_OK);
  rig_pump(r);
}

void rig_make_control(const rig *r, const plr__control *c) {
  plr_buffer b;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  plr__buffer_init(&b, r->ctx);
  plr__control_write(&b, c);
  rig_frame_len = sizeof rig_frame;
  assert_int_equal(plr_control_encode(&info, b.data, (uint32_t)b.len, rig_frame, &rig_frame_len),
                   PLR_OK);
  plr__buffer_release(&b);
}

void rig_give_control(rig *r, uint32_t side, const plr__control *c) {
  rig_make_control(r, c);
  rig_give(r, side);
}

void rig_give_open(rig *r, uint64_t step) {
  plr__control c = {.type = PLR__CONTROL_OPEN, .step = step};
  rig_give_control(r, PLR__UP, &c);
}

void rig_make_tokens(const rig *r, uint32_t kind, uint32_t step, uint32_t mb, uint32_t rows,
                     uint32_t cols) {
  int32_t tokens[64];
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_TOKENS};
  for (uint32_t i = 0; i < 64; i++) tokens[i] = (int32_t)(i * 3 % 256);
  info.stream = PLR__STREAM(kind, 0), info.step = step, info.micro_batch = mb;
  rig_frame_len = sizeof rig_frame;
  assert_int_equal(plr_tokens_encode(r->ctx, &info, tokens, rows, cols, r->info.vocab, rig_frame,
                                     &rig_frame_len),
                   PLR_OK);
}

void rig_give_tokens(rig *r, uint32_t step, uint32_t mb) {
  rig_make_tokens(r, PLR__KIND_TRAIN, step, mb, r->info.micro_batch, r->info.seq_len + 1);
  rig_give(r, PLR__UP);
}

void rig_make_tensor(const rig *r, uint32_t role, uint32_t stream, uint32_t step, uint32_t mb,
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
  assert_int_equal(plr_encoder_encode(e, &info, &t, rig_frame, sizeof rig_frame, &rig_frame_len),
                   PLR_OK);
  plr_encoder_destroy(e);
}

void rig_expect_failure(const rig *r, plr_status status, const char *text) {
  if (r->failures != 1 || r->status != status || !strstr(r->message, text))
    fail_msg("%u failures, %s: %s (expected %s: %s)", r->failures, plr_status_name(r->status),
             r->message, plr_status_name(status), text);
}

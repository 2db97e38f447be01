/* Structs that the library fills, for test_base_records.c: who fills them. */
#ifndef PLR_TESTS_RECORDS_FILLED_H
#define PLR_TESTS_RECORDS_FILLED_H

#include "records_given.h"

/* ---- structs that the library fills -------------------------------------------------------------- */

static plr_status ask_error(kit *k, void *p) {
  plr_model *model;
  plr_status st = plr_model_from_json(k->ctx, "{", 1, &model, p);
  return st == PLR_ERR_MALFORMED ? PLR_OK : PLR_ERR_INTERNAL;
}

static plr_status ask_model(kit *k, void *p) {
  return plr_model_get_info(k->model, p);
}

static plr_status ask_frame(kit *k, void *p) {
  return plr_frame_parse(k->ctx, k->frame, k->frame_len, p, NULL);
}

static plr_status ask_encoder(kit *k, void *p) {
  return plr_encoder_get_stats(k->encoder, p);
}

static plr_status ask_link(kit *k, void *p) {
  return plr_link_get_stats(k->link, p);
}

static plr_status ask_job(kit *k, void *p) {
  (void)k;
  const plr_job job = {.kind = PLR_JOB_BACKWARD, .step = 7, .micro_batch = 3};
  plr_job_get_info(&job, p);
  return PLR_OK;
}

/* A new stage each time, for an event is given once: its links are closed, so it fails. */
static plr_status ask_event(kit *k, void *p) {
  plr_stage_options o;
  plr_link_options l;
  plr_stage *stage;
  plr_link *links[2];
  plr_stage_options_init(&o, sizeof o);
  fill_stage(k, &o, sizeof o);
  assert_int_equal(plr_stage_create(k->ctx, &o, &stage, NULL), PLR_OK);
  plr_link_options_init(&l, sizeof l);
  for (uint32_t side = 0; side < 2; side++) {
    assert_int_equal(plr_link_create(k->ctx, k->identity, &l, &links[side], NULL), PLR_OK);
    assert_int_equal(plr_stage_attach(stage, side, links[side]), PLR_OK);
    plr_link_close(links[side], PLR_ERR_CLOSED);
  }
  plr_stage_advance(stage, 1);
  plr_status st = plr_stage_next_event(stage, p);
  plr_stage_destroy(stage);
  for (uint32_t side = 0; side < 2; side++) plr_link_destroy(links[side]);
  if (st != PLR_OK) return st;
  /* It points into the stage that is gone. */
  SET(plr_stage_event, p, *(uint32_t *)p, message, NULL);
  return st;
}

static plr_status ask_stage(kit *k, void *p) {
  return plr_stage_get_stats(k->stage, p);
}

static plr_status ask_ledger(kit *k, void *p) {
  return plr_ledger_summarize(k->ledger, p);
}

static plr_status ask_totals(kit *k, void *p) {
  return plr_ledger_model(k->ledger, &k->model_hash, p);
}

static plr_status ask_parameter(kit *k, void *p) {
  return plr_shard_parameter(k->shard, 0, p);
}

typedef struct bytes {
  uint8_t data[1 << 20];
  size_t len;
} bytes;

static plr_status bytes_write(void *user, const void *data, size_t len) {
  bytes *b = user;
  assert_true(b->len + len <= sizeof b->data);
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return PLR_OK;
}

static plr_status bytes_commit(void *user) {
  (void)user;
  return PLR_OK;
}

static void bytes_abort(void *user) {
  (void)user;
}

static plr_status bytes_read(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static plr_source bytes_source(bytes *b) {
  plr_source source = {b, b->len, bytes_read, NULL};
  return source;
}

static bytes *saved(kit *k) {
  bytes *b = calloc(1, sizeof *b);
  plr_sink sink = {b, bytes_write, bytes_commit, bytes_abort};
  assert_int_equal(plr_shard_save(k->shard, &sink, NULL), PLR_OK);
  return b;
}

static plr_status ask_snapshot(kit *k, void *p) {
  bytes *b = saved(k);
  plr_source source = bytes_source(b);
  plr_status st = plr_snapshot_inspect(k->ctx, k->model, &source, 1, p, NULL);
  free(b);
  return st;
}

static plr_status ask_tensor(kit *k, void *p) {
  static bytes b;
  static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  plr_weights *weights;
  memset(&b, 0, sizeof b);
  plr__store_le64(b.data, sizeof header - 1);
  memcpy(b.data + 8, header, sizeof header - 1);
  b.len = 8 + sizeof header - 1 + 4;
  plr_source source = bytes_source(&b);
  assert_int_equal(plr_weights_open(k->ctx, &source, &weights, NULL), PLR_OK);
  plr_status st = plr_weights_get(weights, 0, p, NULL);
  plr_weights_destroy(weights);
  if (st != PLR_OK) return st;
  /* It points into the weights that are gone. */
  SET(plr_weights_tensor, p, *(uint32_t *)p, name, NULL);
  SET(plr_weights_tensor, p, *(uint32_t *)p, file, NULL);
  return st;
}

/* In a build without libcurl there is no mirror to ask. */
static plr_status ask_mirror(kit *k, void *p) {
  plr_mirror_options o;
  plr_mirror *mirror;
  plr_mirror_options_init(&o, sizeof o);
  fill_mirror(k, &o, sizeof o);
  plr_status st = plr_mirror_create(k->ctx, &o, &mirror, NULL);
  if (st == PLR_OK) st = plr_mirror_get_stats(mirror, p);
  if (st == PLR_ERR_UNSUPPORTED) st = plr__record_write(p, &(plr_mirror_stats){0}, 40, 40);
  plr_mirror_destroy(mirror);
  return st;
}

static plr_status ask_plan(plr_status (*ask)(const plr_plan *plan, void *p), kit *k, void *p) {
  plr_plan_options o;
  plr_plan *plan;
  plr_plan_options_init(&o, sizeof o);
  fill_plan(k, &o, sizeof o);
  assert_int_equal(plr_plan_create(k->ctx, k->model, &o, &plan, NULL), PLR_OK);
  plr_status st = ask(plan, p);
  plr_plan_destroy(plan);
  return st;
}

static plr_status plan_info(const plr_plan *plan, void *p) {
  return plr_plan_get_info(plan, p);
}

static plr_status plan_stage(const plr_plan *plan, void *p) {
  return plr_plan_get_stage(plan, 0, p);
}

static plr_status ask_plan_info(kit *k, void *p) {
  return ask_plan(plan_info, k, p);
}

static plr_status ask_plan_stage(kit *k, void *p) {
  return ask_plan(plan_stage, k, p);
}

static const struct filled {
  const char *name;
  uint32_t first, now;
  uint32_t zero; /* a struct_size of 0 stands for the first size */
  plr_status (*ask)(kit *k, void *p);
} filleds[] = {
    {"plr_error", 320, sizeof(plr_error), 1, ask_error},
    {"plr_model_info", 160, sizeof(plr_model_info), 0, ask_model},
    {"plr_frame_info", 64, sizeof(plr_frame_info), 1, ask_frame},
    {"plr_encoder_stats", 48, sizeof(plr_encoder_stats), 1, ask_encoder},
    {"plr_link_stats", 48, sizeof(plr_link_stats), 1, ask_link},
    {"plr_job_info", 24, sizeof(plr_job_info), 1, ask_job},
    {"plr_stage_event", 96, sizeof(plr_stage_event), 1, ask_event},
    {"plr_stage_stats", 80, sizeof(plr_stage_stats), 1, ask_stage},
    {"plr_ledger_summary", 168, sizeof(plr_ledger_summary), 0, ask_ledger},
    {"plr_model_totals", 120, sizeof(plr_model_totals), 0, ask_totals},
    {"plr_mirror_stats", 40, sizeof(plr_mirror_stats), 1, ask_mirror},
    {"plr_parameter_info", 32, sizeof(plr_parameter_info), 0, ask_parameter},
    {"plr_snapshot_info", 48, sizeof(plr_snapshot_info), 0, ask_snapshot},
    {"plr_plan_info", 56, sizeof(plr_plan_info), 0, ask_plan_info},
    {"plr_plan_stage", 80, sizeof(plr_plan_stage), 0, ask_plan_stage},
    {"plr_weights_tensor", 104, sizeof(plr_weights_tensor), 0, ask_tensor},
};

#endif

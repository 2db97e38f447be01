/* A model in several shards with sessions on each, as the tests of generation use it. */
#ifndef PLR_TESTS_GENERATE_COMMON_H
#define PLR_TESTS_GENERATE_COMMON_H

#include "shard_common.h"

#include <pluralis/generate.h>

#define MAX_SHARDS   8
#define MAX_SESSIONS 8

typedef struct pipeline {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  uint32_t shards, sessions;
  plr_shard *shard[MAX_SHARDS];
  plr_session *session[MAX_SHARDS][MAX_SESSIONS];
  float *act[2];
} pipeline;

/* One entry of a call: rows of session `session`. */
typedef struct entry {
  uint32_t session, count, first, logits;
  const int32_t *tokens;
} entry;

static inline plr_session *new_session(plr_shard *shard, uint32_t max_tokens) {
  plr_session_options o;
  plr_session_options_init(&o, sizeof o);
  o.max_tokens = max_tokens;
  plr_session *session = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_session_create(shard, &o, &session, &err);
  if (st != PLR_OK) fail_msg("%s: %s", plr_status_name(st), err.message);
  return session;
}

/* cuts: `shards - 1` positions. Takes the model over. */
static inline void pipeline_of(pipeline *p, plr_context *ctx, plr_model *model,
                               const plr_shard_options *base, const uint32_t *cuts, uint32_t shards,
                               uint32_t sessions, uint32_t max_tokens) {
  memset(p, 0, sizeof *p);
  p->ctx = ctx, p->model = model, p->shards = shards, p->sessions = sessions;
  p->info.struct_size = sizeof p->info;
  assert_int_equal(plr_model_get_info(p->model, &p->info), PLR_OK);
  size_t rows = (size_t)p->info.micro_batch * p->info.seq_len;
  for (int i = 0; i < 2; i++) p->act[i] = calloc(rows * p->info.boundary_width, sizeof(float));
  for (uint32_t i = 0; i < shards; i++) {
    plr_shard_options o = *base;
    o.first_block = i > 0 ? cuts[i - 1] : 0;
    o.end_block = i + 1 < shards ? cuts[i] : p->info.blocks;
    plr_error err;
    plr_error_init(&err, sizeof err);
    plr_status st = plr_shard_create(ctx, p->model, &o, &p->shard[i], &err);
    if (st != PLR_OK) fail_msg("%s: %s", plr_status_name(st), err.message);
    for (uint32_t j = 0; j < sessions; j++) p->session[i][j] = new_session(p->shard[i], max_tokens);
  }
}

static inline void pipeline_init(pipeline *p, plr_context *ctx, const char *json,
                                 const plr_shard_options *base, const uint32_t *cuts,
                                 uint32_t shards, uint32_t sessions, uint32_t max_tokens) {
  pipeline_of(p, ctx, new_model(ctx, json), base, cuts, shards, sessions, max_tokens);
}

static inline void pipeline_release(pipeline *p) {
  for (uint32_t i = 0; i < p->shards; i++) {
    for (uint32_t j = 0; j < p->sessions; j++) plr_session_destroy(p->session[i][j]);
    plr_shard_destroy(p->shard[i]);
  }
  for (int i = 0; i < 2; i++) free(p->act[i]);
  plr_model_destroy(p->model);
}

/* Feeds the entries through all shards; logits: rows asked for x V. */
static inline void pipeline_feed(pipeline *p, const entry *e, uint32_t count, float *logits) {
  uint32_t rows = 0, wanted = 0;
  for (uint32_t i = 0; i < count; i++) rows += e[i].count, wanted += e[i].logits;
  for (uint32_t s = 0; s < p->shards; s++) {
    int last = s + 1 == p->shards;
    plr_session_rows r[MAX_SESSIONS];
    plr_tensor in, out;
    plr_error err;
    plr_error_init(&err, sizeof err);
    for (uint32_t i = 0; i < count; i++) {
      plr_session_rows one = {p->session[s][e[i].session],
                              e[i].tokens,
                              e[i].count,
                              e[i].first,
                              last ? e[i].logits : 0,
                              0};
      r[i] = one;
    }
    plr_tensor_matrix(&in, p->act[(s + 1) % 2], PLR_DTYPE_F32, rows, p->info.boundary_width);
    plr_tensor_matrix(&out, p->act[s % 2], PLR_DTYPE_F32, rows, p->info.boundary_width);
    if (last) plr_tensor_matrix(&out, logits, PLR_DTYPE_F32, wanted, p->info.vocab);
    plr_status st = plr_shard_feed(p->shard[s], r, count, s > 0 ? &in : NULL,
                                   last && wanted == 0 ? NULL : &out, &err);
    if (st != PLR_OK) fail_msg("%s: %s", plr_status_name(st), err.message);
  }
}

#endif

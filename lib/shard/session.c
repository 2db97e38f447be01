/* Sessions: created, measured, cut back, destroyed; and what a shard needs once to have any. */
#include "shard/session_int.h"

#include <string.h>

#define MAX_TOKENS (1u << 24)

void plr_session_options_init(plr_session_options *options, uint32_t struct_size) {
  plr_session_options d = {.max_tokens = 0};
  plr__options_init(options, struct_size, &d, (uint32_t)sizeof d);
}

/* ---- what the shard has for all of them ------------------------------------------------------- */

static plr_status find_layers(plr_shard *s, plr_serving *v) {
  const plr_graph *g = &s->graph;
  v->layers = plr__calloc(s->ctx, g->forward_count, sizeof *v->layers);
  if (!v->layers) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < g->forward_count; i++) {
    if (g->forward[i].op != PLR_OP_ATTENTION) continue;
    plr_run run = {.shard = s, .list = PLR_LIST_INFER, .batch = 1, .seq = 1};
    plr_attention_args a;
    plr__run_attention_args(&run, &g->forward[i], &a);
    plr_layer *l = &v->layers[v->layer_count++];
    l->node = i;
    l->heads = (uint32_t)a.heads, l->kv_heads = (uint32_t)a.kv_heads;
    l->head_dim = (uint32_t)a.head_dim;
    l->keys = v->per_position;
    l->values = l->keys + plr_cache_keys(a.kv_heads, a.head_dim, 1);
    v->per_position = l->values + plr_cache_values(a.kv_heads, a.head_dim, 1);
  }
  return PLR_OK;
}

/* Whether only one value made before `node`, fp32 rows, is used from there on. The integers that the host fills count
 * as well. */
static int one_goes_on(const plr_graph *g, const uint32_t *made, uint32_t node, uint32_t *which) {
  uint32_t found = PLR_NO_VALUE;
  for (uint32_t i = node; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    if (n->op == PLR_OP_XENT) continue;
    for (uint32_t j = 0; j < plr__op_args(n->op); j++) {
      uint32_t v = n->arg[j].index;
      if (n->arg[j].kind != PLR_REF_VALUE || made[v] >= node || v == found) continue;
      if (found != PLR_NO_VALUE) return 0;
      found = v;
    }
  }
  *which = found;
  if (found == PLR_NO_VALUE || found == g->ids || found == g->positions) return 0;
  return g->values[found].per_token == 1 && g->values[found].fixed == 0;
}

/* The first node after the last attention from which one value goes on. */
static plr_status find_cut(plr_shard *s, plr_serving *v) {
  const plr_graph *g = &s->graph;
  v->cut = g->forward_count;
  if (s->end_block < s->info->blocks) return PLR_OK;
  uint32_t *made = plr__calloc(s->ctx, g->value_count, sizeof *made);
  if (!made) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = g->forward_count; i-- > 0;)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++)
      if (g->forward[i].arg[j].kind == PLR_REF_VALUE) made[g->forward[i].arg[j].index] = i;
  uint32_t first = v->layer_count > 0 ? v->layers[v->layer_count - 1].node + 1 : 0;
  uint32_t which = PLR_NO_VALUE;
  while (first < g->forward_count && !one_goes_on(g, made, first, &which)) first++;
  plr__free(s->ctx, made);
  if (first < g->forward_count) v->cut = first, v->cut_value = which;
  return PLR_OK;
}

static plr_status make(plr_shard *s, plr_serving *v) {
  size_t rows = (size_t)s->rows;
  PLR_TRY(find_layers(s, v));
  PLR_TRY(find_cut(s, v));
  v->positions = s->device->vt->alloc(s->device, rows * sizeof *v->positions);
  v->chosen = s->device->vt->alloc(s->device, rows * sizeof *v->chosen);
  v->host_ids = plr__calloc(s->ctx, rows, sizeof *v->host_ids);
  v->groups = plr__calloc(s->ctx, rows, sizeof *v->groups);
  if (!v->positions || !v->chosen || !v->host_ids || !v->groups) return PLR_ERR_NO_MEMORY;
  if (v->cut == s->graph.forward_count) return PLR_OK;
  size_t cols = (size_t)s->graph.values[v->cut_value].cols;
  v->gathered = s->device->vt->alloc(s->device, rows * cols * sizeof *v->gathered);
  return v->gathered ? PLR_OK : PLR_ERR_NO_MEMORY;
}

void plr__serving_free(plr_shard *s) {
  plr_serving *v = s->serving;
  if (!v) return;
  void *const device[] = {v->positions, v->chosen, v->gathered};
  for (size_t i = 0; i < PLR_COUNT_OF(device); i++)
    if (device[i]) s->device->vt->free(s->device, device[i]);
  plr__free(s->ctx, v->layers);
  plr__free(s->ctx, v->host_ids);
  plr__free(s->ctx, v->groups);
  plr__free(s->ctx, v);
  s->serving = NULL;
}

int plr__serving_orphan(plr_shard *s) {
  if (!s->serving || s->serving->sessions == 0) return 0;
  s->serving->orphaned = 1;
  return 1;
}

plr_status plr__serving_make(plr_shard *s, plr_error *err) {
  static const char where[] = "session";
  if (s->serving) return PLR_OK;
  if (!s->device->vt->supports(s->device, PLR_OP_ATTENTION_CACHE))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "device %s keeps no sessions",
                     s->device->vt->name);
  s->serving = plr__calloc(s->ctx, 1, sizeof *s->serving);
  plr_status st = s->serving ? make(s, s->serving) : PLR_ERR_NO_MEMORY;
  if (st == PLR_OK) return PLR_OK;
  plr__serving_free(s);
  return st == PLR_ERR_NO_MEMORY ? plr__no_memory(err, where)
                                 : plr__fail(err, st, where, "the device refused");
}

/* ---- one session ------------------------------------------------------------------------------ */

plr_cache_rows plr__session_layer(const plr_session *session, const plr_layer *layer) {
  plr_cache_rows rows = {.k = session->memory + layer->keys * session->capacity,
                         .v = session->memory + layer->values * session->capacity,
                         .capacity = session->capacity};
  return rows;
}

plr_status plr__session_check_weights(const plr_session *session, const char *where,
                                      plr_error *err) {
  if (session->length == 0 || session->weights == session->shard->weights) return PLR_OK;
  return plr__fail(err, PLR_ERR_INVALID_STATE, where,
                   "the weights have changed since the first of the session's %u tokens",
                   session->length);
}

/* Positions that a table of learned ones has; MAX_TOKENS when there is none. */
static uint32_t positions_of(const plr_shard *s) {
  const plr_graph *g = &s->graph;
  int64_t least = MAX_TOKENS, rows, cols;
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    if (n->op != PLR_OP_ROW_ADD || n->arg[2].index != g->positions) continue;
    plr__ref_shape(g, n->arg[1], &rows, &cols);
    least = PLR_MIN(least, rows);
  }
  return (uint32_t)least;
}

/* Scratch of the largest attention the session can ask for, so that feeding allocates nothing. */
static plr_status reserve_work(plr_shard *s, const plr_session *session) {
  const plr_serving *v = s->serving;
  size_t most = 0;
  for (uint32_t i = 0; i < v->layer_count; i++) {
    const plr_layer *l = &v->layers[i];
    plr_cache_rows rows = plr__session_layer(session, l);
    rows.rows = session->capacity;
    int64_t q = (int64_t)l->heads * l->head_dim, kv = (int64_t)l->kv_heads * l->head_dim;
    plr_attention_cache_args a = {.groups = &rows,
                                  .group_count = 1,
                                  .heads = l->heads,
                                  .kv_heads = l->kv_heads,
                                  .head_dim = l->head_dim,
                                  .ldq = q,
                                  .ldk = kv,
                                  .ldv = kv,
                                  .ldo = q};
    most = PLR_MAX(most, s->device->vt->workspace(s->device, PLR_OP_ATTENTION_CACHE, &a));
  }
  return plr__shard_reserve_work(s, most);
}

static plr_status fill(plr_session *session) {
  plr_shard *s = session->shard;
  const int64_t per = s->serving->per_position;
  if (per > 0 && session->capacity > (int64_t)(PTRDIFF_MAX / sizeof(float)) / per)
    return PLR_ERR_NO_MEMORY;
  session->memory =
      s->device->vt->alloc(s->device, (size_t)(session->capacity * per) * sizeof(float));
  if (!session->memory) return PLR_ERR_NO_MEMORY;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = plr__shard_reserve_positions(s, session->max_tokens);
  plr__fpenv_leave(saved);
  return st == PLR_OK ? reserve_work(s, session) : st;
}

plr_status plr_session_create(plr_shard *shard, const plr_session_options *options,
                              plr_session **out, plr_error *err) {
  static const char where[] = "session options";
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "out is NULL");
  *out = NULL;
  PLR_GUARD(shard, err);
  if (!shard) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "shard is NULL");
  plr_session_options o;
  plr_session_options_init(&o, (uint32_t)sizeof o);
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, where, err));
  if (o.max_tokens == 0) o.max_tokens = shard->info->seq_len;
  const uint32_t most = positions_of(shard);
  if (o.max_tokens > most)
    return plr__fail(err, PLR_ERR_LIMIT, where, "max_tokens is %u, at most %u", o.max_tokens, most);
  PLR_TRY(plr__serving_make(shard, err));
  plr_session *session = plr__calloc(shard->ctx, 1, sizeof *session);
  if (!session) return plr__no_memory(err, where);
  session->shard = shard;
  session->max_tokens = o.max_tokens;
  session->capacity = ((int64_t)o.max_tokens + 15) / 16 * 16;
  shard->serving->sessions++;
  plr_status st = fill(session);
  if (st != PLR_OK) {
    plr_session_destroy(session);
    if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "session");
    return plr__fail(err, st, "session", "the device refused an operation");
  }
  *out = session;
  return PLR_OK;
}

/* Whether the shard was waiting for this one to go. */
static int release(plr_session *session, plr_shard *s) {
  PLR_GUARD_LOOK(s);
  if (session->memory) s->device->vt->free(s->device, session->memory);
  plr__free(s->ctx, session);
  s->serving->sessions--;
  return s->serving->orphaned && s->serving->sessions == 0;
}

void plr_session_destroy(plr_session *session) {
  if (!session) return;
  plr_shard *s = session->shard;
  if (release(session, s)) plr_shard_destroy(s);
}

uint32_t plr_session_length(const plr_session *session) {
  return session->length;
}

plr_status plr_session_truncate(plr_session *session, uint32_t length) {
  if (!session) return PLR_ERR_INVALID_ARGUMENT;
  PLR_GUARD(session->shard, NULL);
  if (length > session->length) return PLR_ERR_INVALID_ARGUMENT;
  session->length = length;
  return PLR_OK;
}

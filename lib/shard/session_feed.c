/* Feeding rows of many sessions: the INFER list with attention over the caches. Everything else in the list treats each
 * row for itself, so that rows of any sessions and positions may stand side by side. */
#include "shard/session_int.h"

typedef struct feed {
  plr_shard *s;
  const plr_session_rows *rows;
  uint32_t count;
  int64_t total, logits; /* rows fed, rows that give logits */
  plr_error *err;
} feed;

static const char where_[] = "session rows";

/* ---- checks ----------------------------------------------------------------------------------- */

static plr_status check_positions(const feed *f, uint32_t i) {
  const plr_session_rows *r = &f->rows[i];
  const plr_session *session = r->session;
  if (r->first_position != session->length)
    return plr__fail_at(f->err, PLR_ERR_INVALID_STATE, where_, i,
                        "entry %u: position %u, the session's next one is %u: %s", i,
                        r->first_position, session->length,
                        r->first_position > session->length ? "a gap" : "a repeat");
  if (r->count > session->max_tokens - session->length)
    return plr__fail_at(f->err, PLR_ERR_LIMIT, where_, i,
                        "entry %u: %u rows from position %u, the session ends at %u", i, r->count,
                        r->first_position, session->max_tokens);
  return plr__session_check_weights(session, where_, f->err);
}

static plr_status check_tokens(const feed *f, uint32_t i) {
  const plr_session_rows *r = &f->rows[i];
  if (!r->tokens && f->s->graph.ids != PLR_NO_VALUE)
    return plr__fail_at(f->err, PLR_ERR_INVALID_ARGUMENT, where_, i,
                        "entry %u: this shard needs the tokens", i);
  for (uint32_t t = 0; r->tokens && t < r->count; t++)
    if (r->tokens[t] < 0 || (uint32_t)r->tokens[t] >= f->s->info->vocab)
      return plr__fail_at(f->err, PLR_ERR_INVALID_ARGUMENT, where_, i,
                          "entry %u: token %d at position %u is not in the vocabulary", i,
                          r->tokens[t], r->first_position + t);
  return PLR_OK;
}

static plr_status check_entry(feed *f, uint32_t i) {
  const plr_session_rows *r = &f->rows[i];
  const int last = f->s->end_block == f->s->info->blocks;
  if (!r->session || r->session->shard != f->s)
    return plr__fail_at(f->err, PLR_ERR_INVALID_ARGUMENT, where_, i,
                        "entry %u: not a session of this shard", i);
  if (r->session->last_call == f->s->serving->calls)
    return plr__fail_at(f->err, PLR_ERR_INVALID_ARGUMENT, where_, i,
                        "entry %u: its session is named before", i);
  r->session->last_call = f->s->serving->calls;
  if (r->count == 0 || r->logits > (last ? r->count : 0) || r->reserved)
    return plr__fail_at(f->err, PLR_ERR_INVALID_ARGUMENT, where_, i,
                        "entry %u: %u rows, %u of them give logits", i, r->count, r->logits);
  PLR_TRY(check_positions(f, i));
  PLR_TRY(check_tokens(f, i));
  f->total += r->count, f->logits += r->logits;
  if (f->total > f->s->rows)
    return plr__fail_at(f->err, PLR_ERR_LIMIT, where_, i,
                        "entry %u: with it the call has %lld rows, the shard takes %lld", i,
                        (long long)f->total, (long long)f->s->rows);
  return PLR_OK;
}

static plr_status check(feed *f, const plr_tensor *in, const plr_tensor *out) {
  const plr_model_info *info = f->s->info;
  const int last = f->s->end_block == info->blocks;
  f->s->serving->calls++;
  for (uint32_t i = 0; i < f->count; i++) PLR_TRY(check_entry(f, i));
  if (plr__shard_check_matrix(in, f->total, info->boundary_width, f->s->first_block > 0) != PLR_OK)
    return plr__fail(f->err, PLR_ERR_SHAPE, "in",
                     "must be %lld x %u F32, or NULL on the first shard", (long long)f->total,
                     info->boundary_width);
  const int64_t rows = last ? f->logits : f->total;
  const uint32_t cols = last ? info->vocab : info->boundary_width;
  if (plr__shard_check_matrix(out, rows, cols, rows > 0) != PLR_OK)
    return plr__fail(f->err, PLR_ERR_SHAPE, "out", "must be %lld x %u F32, or NULL for no rows",
                     (long long)rows, cols);
  return PLR_OK;
}

/* ---- the list --------------------------------------------------------------------------------- */

static plr_status put_ids(const feed *f, const plr_run *run) {
  plr_serving *v = f->s->serving;
  plr_device *d = f->s->device;
  const size_t bytes = (size_t)f->total * sizeof *v->host_ids;
  int64_t at = 0;
  for (uint32_t i = 0; i < f->count; i++)
    for (uint32_t t = 0; t < f->rows[i].count; t++)
      v->host_ids[at++] = (int32_t)(f->rows[i].first_position + t);
  PLR_TRY(d->vt->write(d, v->positions, v->host_ids, bytes));
  if (f->s->graph.positions != PLR_NO_VALUE) /* learned ones */
    PLR_TRY(plr__run_put(run, f->s->graph.positions, v->host_ids));
  if (f->s->graph.ids == PLR_NO_VALUE) return PLR_OK;
  at = 0;
  for (uint32_t i = 0; i < f->count; i++)
    for (uint32_t t = 0; t < f->rows[i].count; t++) v->host_ids[at++] = f->rows[i].tokens[t];
  return plr__run_put(run, f->s->graph.ids, v->host_ids);
}

static plr_status attend(const feed *f, const plr_run *run, const plr_layer *layer) {
  plr_serving *v = f->s->serving;
  plr_attention_args from;
  plr__run_attention_args(run, &f->s->graph.forward[layer->node], &from);
  int64_t at = 0;
  for (uint32_t i = 0; i < f->count; i++) {
    const plr_session_rows *r = &f->rows[i];
    plr_cache_rows *g = &v->groups[i];
    *g = plr__session_layer(r->session, layer);
    g->row = at, g->rows = r->count, g->first = r->first_position;
    at += r->count;
  }
  plr_attention_cache_args a = {.q = from.q,
                                .k = from.k,
                                .v = from.v,
                                .out = from.out,
                                .groups = v->groups,
                                .group_count = f->count,
                                .heads = from.heads,
                                .kv_heads = from.kv_heads,
                                .head_dim = from.head_dim,
                                .ldq = from.ldq,
                                .ldk = from.ldk,
                                .ldv = from.ldv,
                                .ldo = from.ldo,
                                .scale = from.scale,
                                .window = from.window,
                                .work = f->s->work};
  return f->s->device->vt->run(f->s->device, PLR_OP_ATTENTION_CACHE, &a);
}

/* Keeps the rows that give logits; from here on the run has only these. */
static plr_status gather(const feed *f, plr_run *run) {
  plr_serving *v = f->s->serving;
  plr_device *d = f->s->device;
  int64_t at = 0, n = 0;
  for (uint32_t i = 0; i < f->count; i++) {
    at += f->rows[i].count;
    for (uint32_t t = f->rows[i].logits; t > 0; t--) v->host_ids[n++] = (int32_t)(at - t);
  }
  PLR_TRY(d->vt->write(d, v->chosen, v->host_ids, (size_t)n * sizeof *v->host_ids));
  plr_embed_args a = {.table = plr__run_value(run, v->cut_value),
                      .ids = v->chosen,
                      .y = v->gathered,
                      .rows = n,
                      .vocab = f->total,
                      .w = f->s->graph.values[v->cut_value].cols};
  PLR_TRY(d->vt->run(d, PLR_OP_EMBED, &a));
  run->moved = v->gathered, run->moved_value = v->cut_value;
  run->seq = n;
  return PLR_OK;
}

static plr_status run_nodes(const feed *f, plr_run *run) {
  const plr_graph *g = &f->s->graph;
  const plr_serving *v = f->s->serving;
  const uint32_t end = g->forward_count - (g->loss != PLR_NO_VALUE); /* XENT is the last one */
  uint32_t layer = 0;
  plr_status st = PLR_OK;
  for (uint32_t i = 0; i < end && st == PLR_OK;) {
    if (i == v->cut) {
      if (f->logits == 0) return PLR_OK;
      PLR_TRY(gather(f, run));
    }
    const uint32_t until = i < v->cut ? PLR_MIN(v->cut, end) : end;
    if (g->forward[i].op == PLR_OP_ATTENTION)
      st = attend(f, run, &v->layers[layer++]), i++;
    else
      i += plr__run_nodes(run, &g->forward[i], until - i, &st);
  }
  return st;
}

/* Of a list without a place to gather at: the rows that give logits out of all. */
static plr_status get_chosen(const feed *f, const plr_run *run, float *out) {
  plr_device *d = f->s->device;
  const int64_t cols = f->s->info->vocab;
  const float *all = plr__run_value(run, f->s->graph.output);
  int64_t at = 0;
  for (uint32_t i = 0; i < f->count; i++) {
    const int64_t rows = f->rows[i].logits;
    at += f->rows[i].count;
    PLR_TRY(d->vt->read(d, out, all + (at - rows) * cols, (size_t)(rows * cols) * sizeof *out));
    out += rows * cols;
  }
  return PLR_OK;
}

static plr_status run_all(const feed *f, const plr_tensor *in, plr_tensor *out) {
  const plr_graph *g = &f->s->graph;
  plr_run run = {.shard = f->s,
                 .list = PLR_LIST_INFER,
                 .batch = 1,
                 .seq = f->total,
                 .positions = f->s->serving->positions};
  PLR_TRY(put_ids(f, &run));
  if (in) {
    PLR_TRY(plr__run_put(&run, g->input, in->data));
    PLR_TRY(plr__run_check_finite(&run, g->input));
  }
  PLR_TRY(run_nodes(f, &run));
  if (!out) return PLR_OK;
  PLR_TRY(plr__run_check_finite(&run, g->output));
  if (g->loss != PLR_NO_VALUE && !run.moved) return get_chosen(f, &run, out->data);
  return plr__run_get(&run, g->output, out->data);
}

plr_status plr_shard_feed(plr_shard *shard, const plr_session_rows *rows, uint32_t count,
                          const plr_tensor *in, plr_tensor *out, plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !rows || count == 0 || !shard->serving)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_,
                     "a shard with sessions and rows of them");
  feed f = {.s = shard, .rows = rows, .count = count, .err = err};
  PLR_TRY(check(&f, in, out));
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = run_all(&f, in, out);
  plr__fpenv_leave(saved);
  if (st == PLR_ERR_NON_FINITE) plr__fail(err, st, where_, "an input or a result is not finite");
  if (st != PLR_OK) return st;
  for (uint32_t i = 0; i < count; i++) {
    if (rows[i].session->length == 0) rows[i].session->weights = shard->weights;
    rows[i].session->length += rows[i].count;
  }
  return PLR_OK;
}

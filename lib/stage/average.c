/* Replicas of a stage average their weights, a keyed mask of them at a time (SWARM; AsyncMesh, arXiv 2601.22442):
 *
 *   every `average_every` steps, round r: s = w[mask r], sent to all replicas with the number of micro-batches since
 *   the last round; the one of the lowest account says whose came (commit); those it names compute
 *   avg = sum of weight · s over the named, in the order of their accounts, / sum of weights
 *   w[mask] = avg + (w[mask] - s): what was learned since stays.
 *
 * All of them compute the same bits of avg. Who misses one that was named, or its commit, changes nothing. */
#include "stage_int.h"

#include "shard/shard.h"

#include <math.h>
#include <string.h>

#define COLS 256u

/* ---- memory ----------------------------------------------------------------------------------- */

plr_status plr__average_init(plr_stage *s, const plr_stage_options *o, plr_error *err) {
  static const char where[] = "stage options";
  plr__average *a = &s->average;
  plr_codec raw = {.dtype = PLR_DTYPE_F32};
  if (!o->average_every) return PLR_OK;
  if (!s->async)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "average_every is for asynchronous pipelines");
  a->every = o->average_every;
  a->parts = o->average_parts ? o->average_parts : 16;
  a->elements = plr__shard_elements(o->shard);
  if ((int64_t)a->parts > a->elements)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "%u parts of %lld weights",
                     (unsigned)a->parts, (long long)a->elements);
  a->rows = (uint32_t)((a->elements / a->parts + 1 + COLS - 1) / COLS);
  if (a->elements / a->parts / COLS >= UINT32_MAX ||
      plr__frame_bound(a->rows, COLS) > plr__max_frame(s->ctx))
    return plr__fail(err, PLR_ERR_LIMIT, where,
                     "a part of %lld weights does not fit a frame: more average_parts",
                     (long long)(a->elements / a->parts));
  plr__permutation_init(&a->permutation, (uint64_t)a->elements,
                        plr__load_le64(s->model_hash.bytes));
  a->round = s->step / a->every;
  a->join_rounds = o->join_rounds;
  size_t values = (size_t)a->rows * COLS;
  a->vector = plr__calloc(s->ctx, (size_t)a->elements, sizeof(float));
  a->mask = plr__calloc(s->ctx, values, sizeof(float));
  a->got = plr__calloc(s->ctx, values, sizeof(float));
  a->sum = plr__calloc(s->ctx, values, sizeof(double));
  if (!a->vector || !a->mask || !a->got || !a->sum) return plr__no_memory(err, where);
  PLR_TRY(plr_decoder_create(s->ctx, a->rows, COLS, &a->decoder, err));
  PLR_TRY(plr_encoder_create(s->ctx, &raw, a->rows, COLS, &a->encoder, err));
  a->own.frame.cap = plr_encoder_bound(a->encoder);
  a->own.frame.data = plr__alloc(s->ctx, a->own.frame.cap);
  return a->own.frame.data ? PLR_OK : plr__no_memory(err, where);
}

void plr__average_release(plr_stage *s) {
  plr__average *a = &s->average;
  plr__free(s->ctx, a->vector);
  plr__free(s->ctx, a->mask);
  plr__free(s->ctx, a->got);
  plr__free(s->ctx, a->sum);
  plr__free(s->ctx, a->own.frame.data);
  for (uint32_t i = 0; i < PLR_STAGE_MAX_PEERS; i++) plr__free(s->ctx, a->theirs[i].frame.data);
  plr_encoder_destroy(a->encoder);
  plr_decoder_destroy(a->decoder);
}

/* ---- the work --------------------------------------------------------------------------------- */

/* The mask of a round: positions [*first, *end) of the permutation. */
static void mask_of(const plr__average *a, uint64_t *first, uint64_t *end) {
  uint64_t part = a->round % a->parts, n = (uint64_t)a->elements;
  *first = n / a->parts * part + PLR_MIN(part, n % a->parts);
  *end = *first + n / a->parts + (part < n % a->parts);
}

plr_status plr__average_share(plr_job *job) {
  plr_stage *s = job->stage;
  plr__average *a = &s->average;
  plr_tensor t;
  uint64_t first, end;
  mask_of(a, &first, &end);
  PLR_TRY(plr__shard_read_vector(s->shard, a->vector));
  memset(a->mask, 0, (size_t)a->rows * COLS * sizeof *a->mask);
  for (uint64_t i = first; i < end; i++)
    a->mask[i - first] = a->vector[plr__permute(&a->permutation, i)];
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_DELTA};
  info.stream = s->index, info.step = (uint32_t)a->round, info.micro_batch = a->own.weight;
  plr_tensor_matrix(&t, a->mask, PLR_DTYPE_F32, a->rows, COLS);
  PLR_TRY(plr_encoder_encode(a->encoder, &info, &t, a->own.frame.data, a->own.frame.cap,
                             &a->own.frame.len));
  plr_sha256(a->own.frame.data, a->own.frame.len, &job->frames[0]);
  return PLR_OK;
}

static const plr__share *share_of(const plr_stage *s, const plr_hash *account) {
  const plr__average *a = &s->average;
  if (plr__hash_equal(account, &s->account)) return &a->own;
  for (uint32_t i = 0; i < PLR_STAGE_MAX_PEERS; i++)
    if (a->theirs[i].frame.len && a->theirs[i].round == a->round &&
        plr__hash_equal(account, &a->theirs[i].account))
      return &a->theirs[i];
  return NULL;
}

/* Its numbers, in a->got unless they are our own. */
static plr_status numbers_of(plr_job *job, const plr__share *share, const float **out) {
  plr__average *a = &job->stage->average;
  plr_tensor t;
  *out = share == &a->own ? a->mask : a->got;
  if (share == &a->own) return PLR_OK;
  plr_tensor_matrix(&t, a->got, PLR_DTYPE_F32, a->rows, COLS);
  job->blame_peer = share->peer;
  PLR_TRY(
      plr_decoder_decode(a->decoder, share->frame.data, share->frame.len, &t, NULL, &job->error));
  for (size_t i = 0; i < (size_t)a->rows * COLS; i++)
    if (!isfinite(a->got[i])) return PLR_ERR_NON_FINITE;
  job->blame_peer = 0;
  return PLR_OK;
}

plr_status plr__average_apply(plr_job *job) {
  plr_stage *s = job->stage;
  plr__average *a = &s->average;
  uint64_t first, end, total = 0;
  mask_of(a, &first, &end);
  memset(a->sum, 0, (size_t)a->rows * COLS * sizeof *a->sum);
  for (uint32_t k = 0; k < a->named; k++) {
    const plr__share *share = share_of(s, &a->names[k]);
    const float *x;
    PLR_TRY(numbers_of(job, share, &x));
    total += share->weight;
    for (uint64_t i = 0; i < end - first; i++) a->sum[i] += (double)share->weight * (double)x[i];
  }
  if (total == 0) return PLR_ERR_AGAIN; /* nobody has done anything */
  PLR_TRY(plr__shard_read_vector(s->shard, a->vector));
  for (uint64_t i = 0; i < end - first; i++) {
    uint64_t at = plr__permute(&a->permutation, first + i);
    float average = (float)(a->sum[i] / (double)total);
    a->got[i] = average;
    a->vector[at] = average + (a->vector[at] - a->mask[i]);
  }
  plr_sha256(a->got, (size_t)(end - first) * sizeof *a->got, &job->frames[0]);
  return plr__shard_write_vector(s->shard, a->vector);
}

/* ---- rounds ----------------------------------------------------------------------------------- */

static uint64_t patience(const plr_stage *s) {
  return s->reply_timeout_ns ? s->reply_timeout_ns : PLR__RECEIPT_PATIENCE;
}

static void give_up_round(plr_stage *s) {
  s->average.phase = PLR__AVERAGE_IDLE;
}

void plr__average_stepped(plr_stage *s) {
  plr__average *a = &s->average;
  if (!a->every || s->step / a->every <= a->round) return;
  a->round = s->step / a->every; /* an unfinished one is given up */
  a->phase = plr__peer_first(s, PLR__MATE) ? PLR__AVERAGE_DUE : PLR__AVERAGE_IDLE;
  a->own.weight = 0;
  if (a->rounds >= a->join_rounds)
    a->own.weight = (uint32_t)PLR_MIN(s->stats.backwards - a->counted, UINT32_MAX);
}

static int is_leader(const plr_stage *s) {
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == PLR__MATE && s->peers[i]->state == PLR__PEER_UP &&
        memcmp(s->peers[i]->account.bytes, s->account.bytes, 32) < 0)
      return 0;
  return 1;
}

static int has_shared(const plr_stage *s, const plr__peer *p) {
  const plr__share *x = &s->average.theirs[p->place];
  return p->side == PLR__MATE && p->state == PLR__PEER_UP && x->peer == p->id && x->frame.len &&
         x->round == s->average.round;
}

static void name(plr__average *a, const plr_hash *account) {
  uint32_t at = a->named++;
  for (; at > 0 && memcmp(a->names[at - 1].bytes, account->bytes, 32) > 0; at--)
    a->names[at] = a->names[at - 1];
  a->names[at] = *account;
}

static void send_mates(plr_stage *s, const plr__control *c) {
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == PLR__MATE && s->peers[i]->state == PLR__PEER_UP)
      plr__stage_send_control(s, s->peers[i], c, PLR__PRIORITY_CONTROL, NULL);
}

/* The leader names those whose weights have come: all, or after a while those there are. */
void plr__average_collect(plr_stage *s) {
  plr__average *a = &s->average;
  uint32_t up = plr__peers_up(s, PLR__MATE), came = 0;
  if (a->phase != PLR__AVERAGE_COLLECT) return;
  for (uint32_t i = 0; i < s->peer_count; i++) came += has_shared(s, s->peers[i]) != 0;
  int late = a->deadline_ns <= s->now;
  if (!is_leader(s)) {
    if (late) give_up_round(s);
    return;
  }
  if (came < up && !late) return;
  if (!came) {
    give_up_round(s);
    return;
  }
  a->named = 0;
  name(a, &s->account);
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (has_shared(s, s->peers[i])) name(a, &s->peers[i]->account);
  plr__control c = {.type = PLR__CONTROL_COMMIT, .step = a->round};
  c.data = a->names[0].bytes, c.data_len = a->named * (uint32_t)sizeof(plr_hash);
  a->phase = PLR__AVERAGE_APPLY;
  send_mates(s, &c);
}

void plr__average_shared(plr_stage *s, const plr_job *job) {
  plr__average *a = &s->average;
  const plr__frame *f = &a->own.frame;
  if (a->phase != PLR__AVERAGE_DUE) return;
  a->phase = PLR__AVERAGE_COLLECT;
  /* The leader decides first. */
  a->deadline_ns = s->now + patience(s) * (is_leader(s) ? 1 : 2);
  for (uint32_t i = 0; i < s->peer_count; i++) {
    plr__peer *p = s->peers[i];
    if (p->side != PLR__MATE || p->state != PLR__PEER_UP) continue;
    plr__journal(s, PLR__JOURNAL_SENT, p->side, PLR_ROLE_DELTA, a->round, a->own.weight, s->now,
                 f->len, &job->frames[0]);
    plr__stage_send(s, p, f->data, f->len, PLR__PRIORITY_FLOW);
  }
  plr__average_collect(s);
}

void plr__average_frame(plr_stage *s, plr__peer *p, const plr_frame_info *f, const void *frame,
                        size_t len) {
  plr__average *a = &s->average;
  plr__share *x = &a->theirs[p->place];
  plr_hash hash;
  if (f->stream != s->index || f->rows != a->rows || f->cols != COLS ||
      len > plr__frame_bound(a->rows, COLS)) {
    plr__peer_fault(s, p, PLR_ERR_SHAPE,
                    "weights of stage %u, %u x %u in %zu bytes: %u x %u are due", f->stream,
                    f->rows, f->cols, len, a->rows, COLS);
    return;
  }
  if (a->phase == PLR__AVERAGE_APPLY) return; /* late */
  if (!plr__frame_keep(s, &x->frame, frame, len)) return;
  plr_sha256(frame, len, &hash);
  plr__journal(s, PLR__JOURNAL_RECEIVED, p->side, PLR_ROLE_DELTA, f->step, f->micro_batch, s->now,
               len, &hash);
  x->peer = p->id, x->account = p->account;
  x->round = f->step, x->weight = f->micro_batch;
  plr__average_collect(s);
}

void plr__average_commit(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__average *a = &s->average;
  uint32_t n = c->data_len / (uint32_t)sizeof(plr_hash), own = 0;
  plr_hash names[PLR_STAGE_MAX_PEERS + 1];
  if (c->data_len % sizeof(plr_hash) || n == 0 || n > PLR_STAGE_MAX_PEERS) {
    plr__peer_fault(s, p, PLR_ERR_MALFORMED, "commit of %u bytes", c->data_len);
    return;
  }
  if (a->phase != PLR__AVERAGE_COLLECT || c->step != a->round) return; /* late */
  memcpy(names, c->data, c->data_len);
  for (uint32_t i = 0; i < n; i++) {
    if (!share_of(s, &names[i]) || (i && memcmp(names[i - 1].bytes, names[i].bytes, 32) >= 0)) {
      give_up_round(s);
      return;
    }
    own |= plr__hash_equal(&names[i], &s->account);
  }
  if (!own) {
    give_up_round(s);
    return;
  }
  memcpy(a->names, names, c->data_len);
  a->named = n;
  a->phase = PLR__AVERAGE_APPLY;
}

void plr__average_applied(plr_stage *s, const plr_job *job) {
  plr__average *a = &s->average;
  plr_stage_event e = {.type = PLR_STAGE_AVERAGED, .step = s->step, .index = a->round};
  a->phase = PLR__AVERAGE_IDLE;
  if (job->status != PLR_OK) { /* nothing has changed */
    plr__peer *p = plr__peer_of(s, job->blame_peer);
    if (p)
      plr__peer_fault(s, p, job->status, "weights of round %llu: %s", (unsigned long long)a->round,
                      plr_status_message(job->status));
    return;
  }
  a->counted = s->stats.backwards;
  a->rounds++;
  e.token = (int32_t)a->named, e.hash = job->frames[0];
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, a->round, a->named, s->now, 0, &job->frames[0]);
  plr__event(s, &e, NULL);
}

uint64_t plr__average_deadline(const plr_stage *s) {
  return s->average.phase == PLR__AVERAGE_COLLECT ? s->average.deadline_ns : PLR_NEVER;
}

/* Which replica of the next stage gets a micro-batch, and what becomes of it when that one fails.
 *
 * Interleaved weighted round robin (SWARM, arXiv 2301.11913): each peer has the cumulative expected time of what it was
 * sent, and the smallest is next. A micro-batch is counted by every stage at most once: one that is sent again says so,
 * whoever gets it finds out who further down has it already, and that one answers with what it did. */
#include "stage_int.h"

#include <string.h>

/* ---- whom ------------------------------------------------------------------------------------- */

/* A peer that answers nothing must not collect everything until it times out. */
static uint32_t share(const plr_stage *s) {
  uint32_t up = plr__peers_up(s, PLR__DOWN);
  return s->window / PLR_MAX(up, 1u) + 2;
}

static int available(const plr_stage *s, const plr__peer *p) {
  return p->side == PLR__DOWN && p->state == PLR__PEER_UP && p->busy_until_ns <= s->now &&
         plr__fifo_has_room(&p->outbox, s->job_room);
}

static plr__peer *choose(plr_stage *s, const plr__record *r) {
  plr__peer *best = NULL;
  uint32_t alone = plr__peers_up(s, PLR__DOWN) == 1;
  for (uint32_t i = 0; i < s->peer_count; i++) {
    plr__peer *p = s->peers[i];
    if (!available(s, p)) continue;
    if (!alone && (p->under_way >= share(s) || p->id == r->refused_by)) continue;
    if (!best || p->due_ns < best->due_ns) best = p;
  }
  return best;
}

/* Expected time of one: its own, else the largest known one. */
static uint64_t expected(const plr_stage *s, const plr__peer *p) {
  uint64_t most = 1000;
  if (p->mean_ns) return p->mean_ns;
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == p->side) most = PLR_MAX(most, s->peers[i]->mean_ns);
  return most;
}

/* ---- sending ---------------------------------------------------------------------------------- */

int plr__frame_keep(plr_stage *s, plr__frame *to, const void *frame, size_t len) {
  if (len > to->cap) {
    size_t cap = len + len / 4; /* entropy-coded frames differ in length */
    uint8_t *larger = plr__realloc(s->ctx, to->data, cap);
    if (!larger) {
      plr__stage_fail(s, PLR_ERR_NO_MEMORY, "no memory for a frame of %zu bytes", len);
      return 0;
    }
    to->data = larger, to->cap = cap;
  }
  memcpy(to->data, frame, len);
  to->len = len;
  return 1;
}

static void note_sent(plr_stage *s, const plr__record *r, uint32_t role, const plr__frame *f,
                      uint32_t which) {
  plr__journal(s, PLR__JOURNAL_SENT, PLR__DOWN, role, r->step, r->micro_batch, s->now, f->len,
               &r->frames[which]);
}

static void hand_over(plr_stage *s, plr__record *r, plr__peer *p) {
  r->peer[PLR__DOWN] = p->id;
  r->account[PLR__DOWN] = p->account;
  r->sent_ns = s->now;
  p->due_ns += expected(s, p);
  if (!s->tail && p->under_way++ == 0) p->since_ns = s->now;
  plr__journal(s, PLR__JOURNAL_ROUTE, PLR__DOWN, PLR_ROLE_TOKENS, r->step, r->micro_batch, s->now,
               p->id, NULL);
  if (r->again && !s->tail) {
    plr__control c = {.type = PLR__CONTROL_AGAIN, .step = r->step, .micro_batch = r->micro_batch};
    s->stats.resent++;
    plr__stage_send_control(s, p, &c, PLR__PRIORITY_FLOW, NULL);
  }
  if (s->tail) {
    note_sent(s, r, PLR_ROLE_CONTROL, &r->out, PLR__FRAME_OUT);
    plr__stage_send(s, p, r->out.data, r->out.len, PLR__PRIORITY_CONTROL);
    return;
  }
  note_sent(s, r, PLR_ROLE_TOKENS, &r->tokens, PLR__FRAME_TOKENS);
  plr__stage_send(s, p, r->tokens.data, r->tokens.len, PLR__PRIORITY_FLOW);
  if (s->role == PLR_STAGE_FEEDER) return;
  note_sent(s, r, PLR_ROLE_ACTIVATION, &r->out, PLR__FRAME_OUT);
  plr__stage_send(s, p, r->out.data, r->out.len, PLR__PRIORITY_FLOW);
}

static void ask_all(plr_stage *s, plr__record *r) {
  plr__control c = {.type = PLR__CONTROL_ASK, .step = r->step, .micro_batch = r->micro_batch};
  for (uint32_t i = 0; i < s->peer_count; i++) {
    plr__peer *p = s->peers[i];
    if (p->side != PLR__DOWN || p->state != PLR__PEER_UP) continue;
    r->asking |= UINT64_C(1) << p->place;
    plr__stage_send_control(s, p, &c, PLR__PRIORITY_CONTROL, NULL);
  }
}

void plr__route(plr_stage *s, plr__record *r) {
  plr__peer *p = choose(s, r);
  r->peer[PLR__DOWN] = 0;
  if (!p || r->asking || s->failed != PLR_OK) return;
  if (r->again == 1 && !s->tail && plr__peers_up(s, PLR__DOWN) > 1) {
    r->again = 2; /* asked */
    ask_all(s, r);
    return;
  }
  hand_over(s, r, p);
}

static int waits(const plr_stage *s, const plr__record *r) {
  if (r->peer[PLR__DOWN] || r->asking || r->state == PLR__RECORD_EMPTY) return 0;
  if (s->role == PLR_STAGE_FEEDER) return r->tokens.len > 0 && !r->finished;
  return r->state == PLR__RECORD_FORWARD || (s->tail && r->state == PLR__RECORD_DONE);
}

void plr__route_waiting(plr_stage *s) {
  uint32_t first = (uint32_t)(s->open_next % s->steps_kept) * s->info.micro_batches;
  for (uint32_t i = 0; i < s->record_count && s->failed == PLR_OK; i++) { /* oldest first */
    plr__record *r = &s->records[(first + i) % s->record_count];
    if (waits(s, r)) plr__route(s, r);
  }
}

/* ---- answers ---------------------------------------------------------------------------------- */

void plr__route_answered(plr_stage *s, plr__record *r) {
  plr__peer *p = plr__peer_of(s, r->peer[PLR__DOWN]);
  if (!p || s->tail || !p->under_way) return;
  uint64_t begin = PLR_MAX(r->sent_ns, p->done_ns);
  uint64_t took = s->now > begin ? s->now - begin : 1;
  p->mean_ns = p->mean_ns ? (7 * p->mean_ns + took) / 8 : took;
  p->done_ns = p->since_ns = s->now;
  p->under_way--;
  if (p->under_way + 1 == share(s)) plr__route_waiting(s);
}

static void give_up(plr_stage *s, plr__record *r, plr_status why) {
  if (s->role == PLR_STAGE_FEEDER) {
    plr__feeder_void(s, r, why);
    return;
  }
  plr__peer *from = plr__peer_of(s, r->peer[PLR__UP]);
  plr__worker_cancel(s, r);
  if (from) plr__route_refuse(s, from, r->step, r->micro_batch, why);
}

void plr__route_refuse(plr_stage *s, plr__peer *to, uint64_t step, uint32_t mb, plr_status why) {
  plr__control c = {.type = PLR__CONTROL_DROP, .step = step, .micro_batch = mb, .status = why};
  plr__stage_send_control(s, to, &c, PLR__PRIORITY_CONTROL, NULL);
}

static int on_its_way(const plr_stage *s, const plr__record *r) {
  if (!r) return 0;
  return s->role == PLR_STAGE_FEEDER ? !r->finished : r->state == PLR__RECORD_FORWARD;
}

/* It comes back undone. Busy: somebody else, or the same later. Otherwise somebody else, and nobody after that. */
void plr__route_drop(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  if (!s->async || p->side != PLR__DOWN || s->tail) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected drop message");
    return;
  }
  if (!on_its_way(s, r) || r->peer[PLR__DOWN] != p->id) return; /* late: it is elsewhere */
  if (c->status == PLR_ERR_EXISTS) { /* it has come there another way: we were given up */
    if (s->role == PLR_STAGE_WORKER) plr__worker_cancel(s, r);
    return;
  }
  if (p->under_way) p->under_way--;
  p->since_ns = s->now;
  r->peer[PLR__DOWN] = 0;
  if (c->status == PLR_ERR_AGAIN) {
    p->busy_until_ns = s->now + PLR_MAX(expected(s, p), UINT64_C(10000000));
  } else if (++r->drops > 1 || plr__peers_up(s, PLR__DOWN) < 2) {
    give_up(s, r, (plr_status)c->status);
    return;
  } else {
    r->refused_by = p->id;
  }
  plr__route(s, r);
}

void plr__route_lost(plr_stage *s, const plr__peer *p) {
  for (uint32_t i = 0; i < s->record_count; i++) {
    plr__record *r = &s->records[i];
    uint64_t bit = UINT64_C(1) << p->place;
    if (r->state == PLR__RECORD_EMPTY) continue;
    r->asking &= ~bit;
    if (r->peer[PLR__DOWN] != p->id || !on_its_way(s, r)) continue;
    r->peer[PLR__DOWN] = 0;
    if (!r->again) r->again = 2; /* whoever had it is gone: nobody to ask here, but further down */
    if (s->role == PLR_STAGE_WORKER && !plr__peer_of(s, r->peer[PLR__UP]))
      plr__worker_cancel(s, r); /* it is sent again from above */
  }
  plr__route_waiting(s);
}

/* ---- who has it already ----------------------------------------------------------------------- */

void plr__route_ask(plr_stage *s, plr__peer *p, const plr__control *c) {
  const plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  if (!s->async || p->side != PLR__UP || s->role == PLR_STAGE_FEEDER) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected ask message");
    return;
  }
  plr__control answer = {.type = PLR__CONTROL_HAVE, .step = c->step, .kind = r != NULL};
  answer.micro_batch = c->micro_batch;
  plr__stage_send_control(s, p, &answer, PLR__PRIORITY_CONTROL, NULL);
}

void plr__route_have(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  uint64_t bit = UINT64_C(1) << p->place;
  if (!r || !(r->asking & bit) || p->side != PLR__DOWN) return; /* late */
  r->asking &= ~bit;
  if (!on_its_way(s, r) || r->peer[PLR__DOWN]) return;
  if (c->kind) {
    r->asking = 0;
    hand_over(s, r, p);
  } else {
    plr__route(s, r);
  }
}

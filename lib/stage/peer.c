/* Who is at the other ends: links are attached, say what they are, and are given up. In a sync pipeline there is one
 * neighbour a side and without it everything ends; in an asynchronous one others take its place. */
#include "stage_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

/* ---- who there is ----------------------------------------------------------------------------- */

plr__peer *plr__peer_of(const plr_stage *s, uint64_t id) {
  for (uint32_t i = 0; id && i < s->peer_count; i++)
    if (s->peers[i]->id == id) return s->peers[i]->state == PLR__PEER_UP ? s->peers[i] : NULL;
  return NULL;
}

plr__peer *plr__peer_first(const plr_stage *s, uint32_t side) {
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == side && s->peers[i]->state == PLR__PEER_UP) return s->peers[i];
  return NULL;
}

uint32_t plr__peers_up(const plr_stage *s, uint32_t side) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->peer_count; i++)
    n += s->peers[i]->side == side && s->peers[i]->state == PLR__PEER_UP;
  return n;
}

static int attached_on(const plr_stage *s, uint32_t side) {
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == side && s->peers[i]->link) return 1;
  return 0;
}

/* ---- attach, detach --------------------------------------------------------------------------- */

static void peer_free(plr_stage *s, plr__peer *p) {
  s->places &= ~(UINT64_C(1) << p->place);
  plr__fifo_release(&p->outbox);
  plr__free(s->ctx, p);
}

void plr__peers_reap(plr_stage *s) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->peer_count; i++) {
    if (s->peers[i]->state == PLR__PEER_GONE)
      peer_free(s, s->peers[i]);
    else
      s->peers[kept++] = s->peers[i];
  }
  s->peer_count = kept;
}

void plr__peers_release(plr_stage *s) {
  for (uint32_t i = 0; i < s->peer_count; i++) peer_free(s, s->peers[i]);
  s->peer_count = 0;
}

/* An outbox holds what the schedule can put into it while its link takes nothing: the messages about every receipt
 * that is kept, and twice what one job or message adds. */
static plr__peer *peer_new(plr_stage *s, uint32_t side, plr_link *link) {
  size_t receipts = (size_t)s->record_count * (s->count + 2u) * 1024u;
  plr__peer *p = plr__calloc(s->ctx, 1, sizeof *p);
  if (!p) return NULL;
  size_t most = receipts + 2 * (side == PLR__MATE ? s->average.own.frame.cap : s->job_room);
  if (plr__fifo_init(&p->outbox, s->ctx, 4096, most + PLR__ROOM) != PLR_OK) {
    plr__free(s->ctx, p);
    return NULL;
  }
  while (s->places & (UINT64_C(1) << p->place)) p->place++;
  s->places |= UINT64_C(1) << p->place;
  p->side = side, p->link = link;
  p->id = ++s->peer_ids;
  return p;
}

plr_status plr_stage_attach(plr_stage *s, uint32_t side, plr_link *link) {
  PLR_GUARD(s, NULL);
  if (!s || !link || side > PLR__MATE || (side == PLR__MATE && !s->average.every))
    return PLR_ERR_INVALID_ARGUMENT;
  if (s->failed != PLR_OK) return s->failed;
  plr__peers_reap(s);
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->link == link) return PLR_ERR_INVALID_STATE;
  if (!s->async && attached_on(s, side)) return PLR_ERR_INVALID_STATE;
  if (s->peer_count == PLR_STAGE_MAX_PEERS) return PLR_ERR_LIMIT;
  plr__peer *p = peer_new(s, side, link);
  if (!p) return PLR_ERR_NO_MEMORY;
  s->peers[s->peer_count++] = p;
  return PLR_OK;
}

plr_status plr_stage_detach(plr_stage *s, plr_link *link) {
  PLR_GUARD(s, NULL);
  if (!s || !link) return PLR_ERR_INVALID_ARGUMENT;
  for (uint32_t i = 0; i < s->peer_count; i++) {
    plr__peer *p = s->peers[i];
    if (p->link != link) continue;
    if (s->failed == PLR_OK && !s->stopped)
      plr__peer_fault(s, p, PLR_ERR_CLOSED, "the host took its link away");
    p->link = NULL;
    p->state = PLR__PEER_GONE;
    return PLR_OK;
  }
  return PLR_ERR_NOT_FOUND;
}

/* ---- up --------------------------------------------------------------------------------------- */

static void tell(plr_stage *s, const plr__peer *p, plr_status st, const char *text) {
  plr_stage_event e = {.type = PLR_STAGE_PEER, .status = st, .index = p->id};
  e.token = (int32_t)p->side, e.hash = p->account;
  e.step = s->role == PLR_STAGE_FEEDER ? s->feeder.steps_done : s->step;
  plr__journal(s, PLR__JOURNAL_PEER, p->side, (uint32_t)(st != PLR_OK), e.step, 0, s->now, p->id,
               &p->account);
  plr__event(s, &e, text);
}

/* What a newcomer downstream has to know before it gets work. */
static void catch_up(plr_stage *s, plr__peer *p) {
  for (uint64_t back = s->steps_kept; back > 0; back--) {
    uint64_t step = s->open_next - back;
    const plr__open *o = &s->opens[step % s->steps_kept];
    plr__control c = {.type = PLR__CONTROL_OPEN, .step = step, .epoch = o->epoch};
    if (back > s->open_next || !o->valid || o->step != step) continue;
    c.root_step = o->root_step, c.root = o->root, c.flags = o->flags;
    plr__stage_send_control(s, p, &c, PLR__PRIORITY_FLOW, NULL);
  }
}

static void up(plr_stage *s, plr__peer *p) {
  uint64_t latest = 0;
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == p->side) latest = PLR_MAX(latest, s->peers[i]->due_ns);
  p->due_ns = latest; /* newcomers begin at the end of the queue */
  p->state = PLR__PEER_UP;
  if (p->side < PLR__SIDES) s->alone_ns[p->side] = PLR_NEVER;
  if (s->async) tell(s, p, PLR_OK, "is up");
  if (!s->ready_reported && plr__peer_first(s, PLR__UP) && plr__peer_first(s, PLR__DOWN)) {
    plr_stage_event e = {.type = PLR_STAGE_READY, .step = s->step};
    s->ready_reported = 1;
    plr__event(s, &e, NULL);
  }
  if (p->side == PLR__DOWN) plr__stage_release_held(s, p);
  if (!s->async || p->side != PLR__DOWN) return;
  catch_up(s, p);
  plr__route_waiting(s);
}

void plr__peer_ready(plr_stage *s, plr__peer *p) {
  plr_link_peer_key(p->link, p->key);
  plr_account_id(p->key, &p->account);
  if (!s->async) {
    up(s, p);
    return;
  }
  plr__control c = {.type = PLR__CONTROL_HELLO, .stage = s->index, .top_k = s->count};
  c.index = s->lane, c.kind = s->window;
  c.step = s->role == PLR_STAGE_FEEDER ? s->feeder.step : s->step;
  p->state = PLR__PEER_READY;
  plr__stage_send_control(s, p, &c, PLR__PRIORITY_CONTROL, NULL);
}

void plr__peer_hello(plr_stage *s, plr__peer *p, const plr__control *c) {
  /* The feeder, past the last stage, is also before the first. */
  uint32_t next = s->index == s->count ? 0 : s->index + 1;
  uint32_t before = s->index == 0 ? s->count : s->index - 1;
  uint32_t want = p->side == PLR__DOWN ? next : p->side == PLR__UP ? before : s->index;
  if (!s->async || p->state != PLR__PEER_READY) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected hello message");
  } else if (c->stage != want || c->top_k != s->count) {
    plr__peer_fault(s, p, PLR_ERR_MISMATCH, "stage %u of %u where stage %u of %u belongs", c->stage,
                    c->top_k, want, s->count);
  } else if (c->kind != s->window) {
    plr__peer_fault(s, p, PLR_ERR_MISMATCH, "a window of %u micro-batches, ours has %u", c->kind,
                    s->window);
  } else {
    p->lane = c->index;
    up(s, p);
  }
}

/* ---- given up --------------------------------------------------------------------------------- */

static int others(const plr_stage *s, const plr__peer *p) {
  if (p->side == PLR__MATE) return 1; /* nobody's work depends on it */
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i] != p && s->peers[i]->side == p->side && s->peers[i]->state != PLR__PEER_GONE)
      return 1;
  return 0;
}

/* It hears of it by the end of its link, if it still listens. */
static void dismiss(plr_stage *s, plr__peer *p, plr_status st, const char *text) {
  p->state = PLR__PEER_GONE;
  s->stats.peers_lost++;
  plr__log(s->ctx, PLR_LOG_WARN, "stage", "%s: %s", plr__side_name(p->side), text);
  tell(s, p, st, text);
  plr_link_close(p->link, st);
  p->link = NULL;
}

void plr__peer_fault(plr_stage *s, plr__peer *p, plr_status st, const char *fmt, ...) {
  char text[256];
  va_list args;
  if (p->state == PLR__PEER_GONE || s->failed != PLR_OK || s->stopped) return;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (!s->async || (!others(s, p) && s->patience_ns == 0)) {
    plr__stage_fail(s, st, "%s: %s", plr__side_name(p->side), text);
    return;
  }
  dismiss(s, p, st, text);
  if (p->side == PLR__MATE) {
    plr__average_collect(s);
    return;
  }
  if (!plr__peer_first(s, p->side)) s->alone_ns[p->side] = s->now;
  plr__receipts_lost(s, p);
  if (s->role == PLR_STAGE_WORKER) plr__worker_lost(s, p);
  if (p->side == PLR__DOWN) plr__route_lost(s, p);
}

/* ---- timers ----------------------------------------------------------------------------------- */

static uint64_t later(uint64_t from, uint64_t by) {
  return by >= PLR_NEVER - from ? PLR_NEVER : from + by;
}

/* Whoever waits for somebody who waits gives the other the time to find out. */
static uint64_t reply_deadline(const plr_stage *s, const plr__peer *p) {
  uint64_t behind = s->role == PLR_STAGE_FEEDER ? s->count : s->count - 1 - s->index;
  if (!s->reply_timeout_ns || p->state != PLR__PEER_UP || !p->under_way) return PLR_NEVER;
  if (s->reply_timeout_ns >= PLR_NEVER / (behind + 1)) return PLR_NEVER;
  return later(p->since_ns, s->reply_timeout_ns * PLR_MAX(behind, 1));
}

uint64_t plr__peers_deadline(const plr_stage *s) {
  uint64_t t = PLR_NEVER;
  if (!s->async || s->failed != PLR_OK || s->stopped) return t;
  for (uint32_t side = 0; side < PLR__SIDES; side++)
    if (s->alone_ns[side] != PLR_NEVER) t = PLR_MIN(t, later(s->alone_ns[side], s->patience_ns));
  t = PLR_MIN(t, plr__average_deadline(s));
  for (uint32_t i = 0; i < s->peer_count; i++) {
    const plr__peer *p = s->peers[i];
    t = PLR_MIN(t, reply_deadline(s, p));
    if (p->state == PLR__PEER_UP && p->busy_until_ns > s->now) t = PLR_MIN(t, p->busy_until_ns);
  }
  return t;
}

void plr__peers_advance(plr_stage *s) {
  if (!s->async) return;
  if (plr__average_deadline(s) <= s->now) plr__average_collect(s);
  for (uint32_t i = 0; i < s->peer_count; i++) {
    plr__peer *p = s->peers[i];
    if (reply_deadline(s, p) <= s->now)
      plr__peer_fault(s, p, PLR_ERR_UNAVAILABLE, "%u micro-batches and no answer for %llu ms",
                      p->under_way, (ull)((s->now - p->since_ns) / 1000000));
    if (p->busy_until_ns && p->busy_until_ns <= s->now) {
      p->busy_until_ns = 0;
      plr__route_waiting(s);
    }
  }
  for (uint32_t side = 0; side < PLR__SIDES; side++)
    if (s->alone_ns[side] != PLR_NEVER && later(s->alone_ns[side], s->patience_ns) <= s->now)
      plr__stage_fail(s, PLR_ERR_CLOSED, "%s: nobody for %llu ms", plr__side_name(side),
                      (ull)((s->now - s->alone_ns[side]) / 1000000));
}

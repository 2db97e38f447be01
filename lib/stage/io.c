/* Links in and out: polling, checking who may send what, back-pressure, and failure. */
#include "stage_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *plr__side_name(uint32_t side) {
  static const char *const names[] = {"upstream", "downstream", "replica"};
  return names[side];
}

const char *plr__role_name(uint32_t role) {
  switch (role) {
  case PLR_ROLE_ACTIVATION:
    return "activation";
  case PLR_ROLE_GRADIENT:
    return "gradient";
  case PLR_ROLE_TOKENS:
    return "token";
  case PLR_ROLE_DELTA:
    return "delta";
  case PLR_ROLE_CONTROL:
    return "control";
  default:
    return "unknown";
  }
}

/* ---- failure ---------------------------------------------------------------------------------- */

/* Best effort: what does not fit is lost, the end of the links will tell the others. */
static void spread_failure(plr_stage *s) {
  plr__control c = {.type = PLR__CONTROL_FAIL, .stage = s->index, .status = s->failed};
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  size_t len = s->scratch_cap;
  c.data = (const uint8_t *)s->failure;
  c.data_len = (uint32_t)PLR_MIN(strlen(s->failure), PLR__CONTROL_MAX_TEXT);
  plr__buffer_clear(&s->payload);
  plr__control_write(&s->payload, &c);
  if (s->payload.failed) return;
  if (plr_control_encode(&info, s->payload.data, (uint32_t)s->payload.len, s->frame, &len) !=
      PLR_OK)
    return;
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->link)
      (void)plr_link_send(s->peers[i]->link, s->frame, len, PLR__PRIORITY_CONTROL);
}

plr_status plr__stage_fail(plr_stage *s, plr_status st, const char *fmt, ...) {
  if (s->failed != PLR_OK || s->stopped) return s->failed;
  int at = s->role == PLR_STAGE_FEEDER
               ? snprintf(s->failure, sizeof s->failure, "feeder: ")
               : snprintf(s->failure, sizeof s->failure, "stage %u: ", (unsigned)s->index);
  va_list args;
  va_start(args, fmt);
  vsnprintf(s->failure + at, sizeof s->failure - (size_t)at, fmt, args);
  va_end(args);
  s->failed = st;
  plr__log(s->ctx, PLR_LOG_ERROR, "stage", "%s", s->failure);
  spread_failure(s);
  return st;
}

/* ---- out -------------------------------------------------------------------------------------- */

/* A side takes more when somebody on it does. */
static int side_has_room(const plr_stage *s, uint32_t side) {
  uint32_t full = 0;
  for (uint32_t i = 0; i < s->peer_count; i++) {
    const plr__peer *p = s->peers[i];
    if (p->side != side || p->state == PLR__PEER_GONE) continue;
    if (plr__fifo_has_room(&p->outbox, s->job_room)) return 1;
    full = 1;
  }
  return !full;
}

int plr__stage_has_room(const plr_stage *s) {
  return side_has_room(s, PLR__UP) && side_has_room(s, PLR__DOWN) &&
         plr__fifo_has_room(&s->events, PLR__ROOM);
}

void plr__stage_send(plr_stage *s, plr__peer *p, const void *frame, size_t len, uint32_t priority) {
  plr_status st = PLR_ERR_AGAIN;
  if (s->failed != PLR_OK || !p || !p->link || p->state == PLR__PEER_GONE) return;
  if (plr__fifo_empty(&p->outbox)) st = plr_link_send(p->link, frame, len, priority);
  if (st == PLR_ERR_AGAIN) st = plr__fifo_push(&p->outbox, priority, frame, len, NULL, 0);
  if (st == PLR_ERR_INVALID_STATE) return; /* the link has ended: its event says why */
  if (st == PLR_OK) {
    s->stats.sent_bytes += len;
  } else {
    plr__peer_fault(s, p, st, "a frame of %zu bytes could not be sent: %s", len,
                    plr_status_message(st));
  }
}

static void flush_peer(plr_stage *s, plr__peer *p) {
  uint32_t priority;
  size_t len;
  const uint8_t *frame;
  while (p->link && (frame = plr__fifo_peek(&p->outbox, &priority, &len)) != NULL) {
    plr_status st = plr_link_send(p->link, frame, len, priority);
    if (st == PLR_ERR_AGAIN) break;
    if (st != PLR_OK && st != PLR_ERR_INVALID_STATE && s->failed == PLR_OK && !s->stopped) {
      plr__peer_fault(s, p, st, "a waiting frame could not be sent: %s", plr_status_message(st));
      return;
    }
    plr__fifo_pop(&p->outbox);
  }
}

/* Gives the links what they would not take before. */
void plr__stage_flush(plr_stage *s) {
  for (uint32_t i = 0; i < s->peer_count; i++) flush_peer(s, s->peers[i]);
}

/* The frame of a message, in s->frame. */
static plr_status make_control(plr_stage *s, const plr__control *c, size_t *len, plr_hash *hash) {
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  *len = s->scratch_cap;
  plr_status st = PLR_ERR_NO_MEMORY;
  plr__buffer_clear(&s->payload);
  plr__control_write(&s->payload, c);
  if (!s->payload.failed)
    st = plr_control_encode(&info, s->payload.data, (uint32_t)s->payload.len, s->frame, len);
  if (st != PLR_OK)
    plr__stage_fail(s, st, "a %s message could not be made: %s", plr__control_name(c->type),
                    plr_status_message(st));
  else
    plr_sha256(s->frame, *len, hash);
  return st;
}

void plr__stage_send_control(plr_stage *s, plr__peer *p, const plr__control *c, uint32_t priority,
                             plr_hash *hash) {
  size_t len;
  plr_hash own;
  if (s->failed != PLR_OK || !p || p->state == PLR__PEER_GONE) return;
  if (make_control(s, c, &len, &own) != PLR_OK) return;
  if (hash) *hash = own;
  plr__journal(s, PLR__JOURNAL_SENT, p->side, PLR_ROLE_CONTROL, c->step, c->micro_batch, s->now,
               len, &own);
  plr__stage_send(s, p, s->frame, len, priority);
}

/* While there is nobody, what is for the feeder waits. */
static void hold(plr_stage *s, const plr__control *c, uint32_t priority) {
  size_t len;
  plr_hash own;
  if (s->failed != PLR_OK || make_control(s, c, &len, &own) != PLR_OK) return;
  plr_status st = plr__fifo_push(&s->held, priority, s->frame, len, NULL, 0);
  if (st != PLR_OK)
    plr__stage_fail(s, st, "downstream: nobody takes what is for the feeder: %s",
                    plr_status_message(st));
}

void plr__stage_release_held(plr_stage *s, plr__peer *p) {
  uint32_t priority;
  size_t len;
  const uint8_t *frame;
  for (; (frame = plr__fifo_peek(&s->held, &priority, &len)) != NULL; plr__fifo_pop(&s->held))
    plr__stage_send(s, p, frame, len, priority);
}

void plr__stage_relay(plr_stage *s, const plr__control *c, uint32_t priority) {
  plr__peer *p = plr__peer_first(s, PLR__DOWN);
  if (p)
    plr__stage_send_control(s, p, c, priority, NULL);
  else
    hold(s, c, priority);
}

/* In a sync pipeline the neighbour upstream may be there before the one downstream is: what he says waits in the
 * outbox. In an asynchronous one a newcomer is told what he needs (catch_up). */
void plr__stage_flood(plr_stage *s, const plr__control *c, uint32_t priority) {
  for (uint32_t i = 0; i < s->peer_count; i++)
    if (s->peers[i]->side == PLR__DOWN && (s->peers[i]->state == PLR__PEER_UP || !s->async))
      plr__stage_send_control(s, s->peers[i], c, priority, NULL);
}

/* ---- in --------------------------------------------------------------------------------------- */

void plr__show_text(const plr__control *c, char out[PLR__CONTROL_MAX_TEXT + 1]) {
  uint32_t n = 0;
  for (; n < c->data_len; n++)
    out[n] = c->data[n] < 0x20 || c->data[n] > 0x7e ? '?' : (char)c->data[n];
  out[n] = 0;
}

static void take_failure(plr_stage *s, plr__peer *p, const plr__control *c) {
  char text[PLR__CONTROL_MAX_TEXT + 1];
  plr__show_text(c, text);
  plr__peer_fault(s, p, PLR_ERR_CLOSED, "%s (%s)", text, plr_status_name((plr_status)c->status));
}

/* Messages that all stages understand alike. */
static int common_control(plr_stage *s, plr__peer *p, const plr__control *c) {
  switch (c->type) {
  case PLR__CONTROL_FAIL:
    take_failure(s, p, c);
    return 1;
  case PLR__CONTROL_PROPOSAL:
    plr__receipt_proposal(s, p, c);
    return 1;
  case PLR__CONTROL_HELLO:
    plr__peer_hello(s, p, c);
    return 1;
  case PLR__CONTROL_DROP:
    plr__route_drop(s, p, c);
    return 1;
  case PLR__CONTROL_ASK:
    plr__route_ask(s, p, c);
    return 1;
  case PLR__CONTROL_HAVE:
    plr__route_have(s, p, c);
    return 1;
  default:
    return 0;
  }
}

static void take_control(plr_stage *s, plr__peer *p, const void *frame, size_t len) {
  const uint8_t *payload;
  uint32_t payload_len;
  plr_frame_info info = {.struct_size = sizeof info};
  plr_error err = {.struct_size = sizeof err};
  plr__control c;
  plr_hash hash;
  plr_status st = plr_control_decode(s->ctx, frame, len, &payload, &payload_len, &info, &err);
  if (st == PLR_OK) st = plr__control_parse(&c, payload, payload_len, &err);
  if (st != PLR_OK) {
    plr__peer_fault(s, p, st, "control frame: %s: %s", err.where, err.message);
    return;
  }
  plr_sha256(frame, len, &hash);
  plr__journal(s, PLR__JOURNAL_RECEIVED, p->side, PLR_ROLE_CONTROL, c.step, c.micro_batch, s->now,
               len, &hash);
  if (p->state != PLR__PEER_UP && c.type != PLR__CONTROL_HELLO && c.type != PLR__CONTROL_FAIL) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "%s message before its hello",
                    plr__control_name(c.type));
  } else if (p->side == PLR__MATE && c.type == PLR__CONTROL_COMMIT) {
    plr__average_commit(s, p, &c);
  } else if (p->side == PLR__MATE && c.type != PLR__CONTROL_HELLO && c.type != PLR__CONTROL_FAIL) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected %s message", plr__control_name(c.type));
  } else if (common_control(s, p, &c)) {
    return;
  } else if (s->role == PLR_STAGE_FEEDER) {
    plr__feeder_control(s, p, &c, &hash);
  } else {
    plr__worker_control(s, p, &c);
  }
}

static void take_frame(plr_stage *s, plr__peer *p, const void *frame, size_t len) {
  plr_frame_info info = {.struct_size = sizeof info};
  plr_error err = {.struct_size = sizeof err};
  plr_status st = plr_frame_parse(s->ctx, frame, len, &info, &err);
  if (st != PLR_OK) {
    plr__peer_fault(s, p, st, "frame of %zu bytes: %s: %s", len, err.where, err.message);
  } else if (info.role == PLR_ROLE_CONTROL) {
    take_control(s, p, frame, len);
  } else if (s->role == PLR_STAGE_FEEDER || p->state != PLR__PEER_UP) {
    plr__peer_fault(s, p, PLR_ERR_MALFORMED, "%s takes no %s frame",
                    s->role == PLR_STAGE_FEEDER ? "a feeder" : "a stage that has had no hello",
                    plr__role_name(info.role));
  } else if (p->side == PLR__MATE && info.role == PLR_ROLE_DELTA) {
    plr__average_frame(s, p, &info, frame, len);
  } else {
    plr__worker_tensor_frame(s, p, &info, frame, len);
  }
}

static int poll_peer(plr_stage *s, plr__peer *p) {
  plr_link_event e;
  memset(&e, 0, sizeof e);
  if (!p->link || plr_link_next_event(p->link, &e) != PLR_OK) return 0;
  if (e.type == PLR_LINK_READY) plr__peer_ready(s, p);
  if (e.type == PLR_LINK_FRAME) take_frame(s, p, e.data, e.len);
  if (e.type == PLR_LINK_CLOSED && !s->stopped)
    plr__peer_fault(
        s, p, e.status < 0 ? (plr_status)e.status : PLR_ERR_CLOSED,
        "the link ended at step %llu: %s",
        (unsigned long long)(s->role == PLR_STAGE_FEEDER ? s->feeder.steps_done : s->step),
        e.message ? e.message : plr_status_message((plr_status)e.status));
  return 1;
}

void plr__stage_poll(plr_stage *s) {
  int more = 1;
  plr__peers_reap(s);
  while (more) {
    more = 0;
    for (uint32_t i = 0; i < s->peer_count; i++)
      if (s->failed == PLR_OK && !s->stopped && plr__stage_has_room(s))
        more |= poll_peer(s, s->peers[i]);
  }
}

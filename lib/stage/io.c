/* Links in and out: polling, checking who may send what, back-pressure, and failure. */
#include "stage_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *plr__side_name(uint32_t side) {
  return side == PLR__UP ? "upstream" : "downstream";
}

const char *plr__role_name(uint32_t role) {
  switch (role) {
  case PLR_ROLE_ACTIVATION:
    return "activation";
  case PLR_ROLE_GRADIENT:
    return "gradient";
  case PLR_ROLE_TOKENS:
    return "token";
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
  c.data = (const uint8_t *)s->failure;
  c.data_len = (uint32_t)PLR_MIN(strlen(s->failure), PLR__CONTROL_MAX_TEXT);
  for (uint32_t side = 0; side < PLR__SIDES; side++) {
    plr__buffer_clear(&s->payload);
    plr__control_write(&s->payload, &c);
    plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
    size_t len = s->scratch_cap;
    if (!s->peer[side].link || s->payload.failed) continue;
    if (plr_control_encode(&info, s->payload.data, (uint32_t)s->payload.len, s->frame, &len) !=
        PLR_OK)
      continue;
    (void)plr_link_send(s->peer[side].link, s->frame, len, PLR__PRIORITY_CONTROL);
  }
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

int plr__stage_has_room(const plr_stage *s) {
  return plr__fifo_has_room(&s->peer[PLR__UP].outbox, s->job_room) &&
         plr__fifo_has_room(&s->peer[PLR__DOWN].outbox, s->job_room) &&
         plr__fifo_has_room(&s->events, PLR__ROOM);
}

void plr__stage_send(plr_stage *s, uint32_t side, const void *frame, size_t len,
                     uint32_t priority) {
  plr__peer *p = &s->peer[side];
  plr_status st = PLR_ERR_AGAIN;
  if (s->failed != PLR_OK) return;
  if (plr__fifo_empty(&p->outbox)) st = plr_link_send(p->link, frame, len, priority);
  if (st == PLR_ERR_AGAIN) st = plr__fifo_push(&p->outbox, priority, frame, len, NULL, 0);
  if (st == PLR_ERR_INVALID_STATE) return; /* the link has ended: its event says why */
  if (st == PLR_OK) {
    s->stats.sent_bytes += len;
  } else {
    plr__stage_fail(s, st, "%s: a frame of %zu bytes could not be sent: %s", plr__side_name(side),
                    len, plr_status_message(st));
  }
}

/* Gives the links what they would not take before. */
void plr__stage_flush(plr_stage *s) {
  for (uint32_t side = 0; side < PLR__SIDES; side++) {
    plr__peer *p = &s->peer[side];
    uint32_t priority;
    size_t len;
    const uint8_t *frame;
    while (p->link && (frame = plr__fifo_peek(&p->outbox, &priority, &len)) != NULL) {
      plr_status st = plr_link_send(p->link, frame, len, priority);
      if (st == PLR_ERR_AGAIN) break;
      if (st != PLR_OK && st != PLR_ERR_INVALID_STATE && s->failed == PLR_OK && !s->stopped) {
        plr__stage_fail(s, st, "%s: a waiting frame could not be sent: %s", plr__side_name(side),
                        plr_status_message(st));
        return;
      }
      plr__fifo_pop(&p->outbox);
    }
  }
}

void plr__stage_send_control(plr_stage *s, uint32_t side, const plr__control *c, uint32_t priority,
                             plr_hash *hash) {
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  size_t len = s->scratch_cap;
  plr_status st = PLR_ERR_NO_MEMORY;
  plr_hash own;
  if (s->failed != PLR_OK) return;
  plr__buffer_clear(&s->payload);
  plr__control_write(&s->payload, c);
  if (!s->payload.failed)
    st = plr_control_encode(&info, s->payload.data, (uint32_t)s->payload.len, s->frame, &len);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "%s: a %s message could not be made: %s", plr__side_name(side),
                    plr__control_name(c->type), plr_status_message(st));
    return;
  }
  plr_sha256(s->frame, len, &own);
  if (hash) *hash = own;
  plr__journal(s, PLR__JOURNAL_SENT, side, PLR_ROLE_CONTROL, c->step, c->micro_batch, s->now, len,
               &own);
  plr__stage_send(s, side, s->frame, len, priority);
}

void plr__stage_relay(plr_stage *s, const plr__control *c, uint32_t priority) {
  plr__stage_send_control(s, PLR__DOWN, c, priority, NULL);
}

/* ---- in --------------------------------------------------------------------------------------- */

static void take_failure(plr_stage *s, uint32_t side, const plr__control *c) {
  char text[PLR__CONTROL_MAX_TEXT + 1];
  uint32_t n = 0;
  for (; n < c->data_len; n++)
    text[n] = c->data[n] < 0x20 || c->data[n] > 0x7e ? '?' : (char)c->data[n];
  text[n] = 0;
  plr__stage_fail(s, PLR_ERR_CLOSED, "%s: %s (%s)", plr__side_name(side), text,
                  plr_status_name((plr_status)c->status));
}

static void take_control(plr_stage *s, uint32_t side, const void *frame, size_t len) {
  const uint8_t *payload;
  uint32_t payload_len;
  plr_frame_info info = {.struct_size = sizeof info};
  plr_error err = {.struct_size = sizeof err};
  plr__control c;
  plr_hash hash;
  plr_status st = plr_control_decode(s->ctx, frame, len, &payload, &payload_len, &info, &err);
  if (st == PLR_OK) st = plr__control_parse(&c, payload, payload_len, &err);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "%s: control frame: %s: %s", plr__side_name(side), err.where,
                    err.message);
    return;
  }
  plr_sha256(frame, len, &hash);
  plr__journal(s, PLR__JOURNAL_RECEIVED, side, PLR_ROLE_CONTROL, c.step, c.micro_batch, s->now, len,
               &hash);
  if (c.type == PLR__CONTROL_FAIL) {
    take_failure(s, side, &c);
  } else if (c.type == PLR__CONTROL_PROPOSAL) {
    plr__receipt_proposal(s, side, &c);
  } else if (s->role == PLR_STAGE_FEEDER) {
    plr__feeder_control(s, side, &c, &hash);
  } else {
    plr__worker_control(s, side, &c);
  }
}

static void take_frame(plr_stage *s, uint32_t side, const void *frame, size_t len) {
  plr_frame_info info = {.struct_size = sizeof info};
  plr_error err = {.struct_size = sizeof err};
  plr_status st = plr_frame_parse(s->ctx, frame, len, &info, &err);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "%s: frame of %zu bytes: %s: %s", plr__side_name(side), len, err.where,
                    err.message);
  } else if (info.role == PLR_ROLE_CONTROL) {
    take_control(s, side, frame, len);
  } else if (s->role == PLR_STAGE_WORKER) {
    plr__worker_tensor_frame(s, side, &info, frame, len);
  } else {
    plr__stage_fail(s, PLR_ERR_MALFORMED, "%s: a feeder takes no %s frame", plr__side_name(side),
                    plr__role_name(info.role));
  }
}

static void take_ready(plr_stage *s, uint32_t side) {
  plr__peer *p = &s->peer[side];
  plr_link_peer_key(p->link, p->key);
  plr_account_id(p->key, &p->account);
  p->ready = 1;
  if (s->peer[PLR__UP].ready && s->peer[PLR__DOWN].ready && !s->ready_reported) {
    plr_stage_event e = {.type = PLR_STAGE_READY, .step = s->step};
    s->ready_reported = 1;
    plr__event(s, &e, NULL);
  }
}

static int poll_side(plr_stage *s, uint32_t side) {
  plr_link_event e;
  memset(&e, 0, sizeof e);
  if (plr_link_next_event(s->peer[side].link, &e) != PLR_OK) return 0;
  if (e.type == PLR_LINK_READY) take_ready(s, side);
  if (e.type == PLR_LINK_FRAME) take_frame(s, side, e.data, e.len);
  if (e.type == PLR_LINK_CLOSED && !s->stopped)
    plr__stage_fail(
        s, e.status < 0 ? (plr_status)e.status : PLR_ERR_CLOSED,
        "%s: the link ended at step %llu: %s", plr__side_name(side),
        (unsigned long long)(s->role == PLR_STAGE_FEEDER ? s->feeder.steps_done : s->step),
        e.message ? e.message : plr_status_message((plr_status)e.status));
  return 1;
}

void plr__stage_poll(plr_stage *s) {
  int more = 1;
  while (more) {
    more = 0;
    for (uint32_t side = 0; side < PLR__SIDES; side++)
      if (s->failed == PLR_OK && !s->stopped && plr__stage_has_room(s)) more |= poll_side(s, side);
  }
}

#include "stage_int.h"

#include <string.h>

/* An event is kept as its struct followed by its bytes, or by its text and a NUL. */
void plr__event(plr_stage *s, const plr_stage_event *e, const char *message) {
  plr_stage_event copy = *e;
  const void *body = e->data;
  size_t len = e->len;
  if (message) body = message, len = strlen(message) + 1;
  copy.message = NULL, copy.data = NULL;
  plr_status st = plr__fifo_push(&s->events, message != NULL, &copy, sizeof copy, body, len);
  if (st != PLR_OK)
    plr__stage_fail(s, st, "an event could not be kept: %s", plr_status_message(st));
}

static plr_status give(plr_stage_event *out, const plr_stage_event *e) {
  return plr__record_write(out, e, sizeof *e, 96);
}

plr_status plr_stage_next_event(plr_stage *s, plr_stage_event *event) {
  PLR_GUARD(s, NULL);
  if (!s || !event) return PLR_ERR_INVALID_ARGUMENT;
  if (s->event_shown) plr__fifo_pop(&s->events);
  s->event_shown = 0;
  uint32_t is_text;
  size_t len;
  plr_stage_event e;
  const uint8_t *p = plr__fifo_peek(&s->events, &is_text, &len);
  if (p) {
    memcpy(&e, p, sizeof e);
    if (is_text) e.message = (const char *)(p + sizeof e), e.len = 0;
    if (!is_text && e.len) e.data = p + sizeof e;
    PLR_TRY(give(event, &e));
    s->event_shown = 1;
    return PLR_OK;
  }
  if (s->failed == PLR_OK || s->failure_reported) return PLR_ERR_AGAIN;
  memset(&e, 0, sizeof e);
  e.type = PLR_STAGE_FAILED, e.status = s->failed, e.message = s->failure;
  e.step = s->role == PLR_STAGE_FEEDER ? s->feeder.steps_done : s->step;
  PLR_TRY(give(event, &e));
  s->failure_reported = 1;
  return PLR_OK;
}

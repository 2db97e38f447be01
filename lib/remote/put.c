/* Publication by PUT. Files that never change go several at a time; the checkpoint waits for all of them. */
#include "ledger/copy.h"
#include "remote/remote_int.h"

#include <string.h>

#define ANSWER_MOST 65536u /* what a server says to a PUT is not looked at */

typedef struct putting {
  plr_context *ctx;
  plr__http *http;
  plr__transfer *slots;
  plr_buffer *bodies;
  uint32_t count, next;
  plr_error why; /* of a transfer that failed: plr_ledger_publish has less to say */
} putting;

/* Waits for what is in a slot, if anything. */
static plr_status empty(putting *p, plr__transfer *t) {
  if (!t->method) return PLR_OK;
  t->method = NULL;
  return plr__http_wait(p->http, t, &p->why);
}

static plr_status empty_all(putting *p) {
  for (uint32_t i = 0; i < p->count; i++) PLR_TRY(empty(p, &p->slots[i]));
  return PLR_OK;
}

static plr_status put(void *user, const char *path, const void *data, size_t len,
                      int32_t immutable) {
  putting *p = user;
  uint32_t slot = p->next++ % p->count;
  plr__transfer *t = &p->slots[slot];
  if (!immutable) PLR_TRY(empty_all(p));
  PLR_TRY(empty(p, t));
  plr_buffer *body = &p->bodies[slot];
  plr__buffer_clear(body);
  plr__buffer_put(body, data, len);
  if (body->failed) return plr__no_memory(&p->why, path);
  memcpy(t->path, path, strlen(path) + 1);
  t->method = "PUT";
  t->content_type = immutable ? "application/octet-stream" : "text/plain; charset=utf-8";
  t->body = body->data, t->body_len = body->len;
  t->limit = ANSWER_MOST;
  plr__http_begin(p->http, t);
  return immutable ? PLR_OK : empty(p, t);
}

static plr_status run(putting *p, plr_ledger *ledger, const char *url,
                      const plr_remote_options *remote, uint64_t *size, plr_error *err) {
  PLR_TRY(plr__http_create(p->ctx, url, remote, NULL, NULL, &p->http, err));
  uint32_t count = 2 * plr__http_parallel(p->http);
  p->slots = plr__calloc(p->ctx, count, sizeof *p->slots);
  p->bodies = plr__calloc(p->ctx, count, sizeof *p->bodies);
  if (!p->slots || !p->bodies) return plr__no_memory(err, "publish");
  p->count = count;
  for (uint32_t i = 0; i < count; i++) {
    plr__buffer_init(&p->slots[i].answer, p->ctx);
    plr__buffer_init(&p->bodies[i], p->ctx);
  }
  plr_publisher publisher = {p, put};
  plr_status st = plr_ledger_publish(ledger, &publisher, size, err);
  if (st != PLR_OK && p->why.status) plr__fail(err, st, p->why.where, "%s", p->why.message);
  return st;
}

plr_status plr_ledger_publish_url(plr_ledger *ledger, const char *url,
                                  const plr_remote_options *remote, uint64_t *size,
                                  plr_error *err) {
  if (!ledger || !url)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "publish", "ledger or url is NULL");
  putting p = {.ctx = plr__ledger_context(ledger)};
  plr_error_init(&p.why, sizeof p.why);
  plr_status st = run(&p, ledger, url, remote, size, err);
  plr__http_destroy(p.http);
  for (uint32_t i = 0; i < p.count; i++) {
    plr__buffer_release(&p.slots[i].answer);
    plr__buffer_release(&p.bodies[i]);
  }
  plr__free(p.ctx, p.slots);
  plr__free(p.ctx, p.bodies);
  return st;
}

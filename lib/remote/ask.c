/* The client of a witness (C2SP tlog-witness v1.0.0): add-checkpoint, and the checkpoint it shows. */
#include "ledger/copy.h"
#include "remote/remote_int.h"

#include <string.h>

#define REQUEST_MOST (80u << 10)
#define ANSWER_MOST  65536u

typedef struct asking {
  plr_context *ctx;
  plr_ledger *ledger;
  plr__http *http;
  plr__transfer t;
  char *body;
  plr_error *err;
} asking;

static plr_status refused(const asking *a, plr_status st, const char *why) {
  return plr__fail(a->err, st, "witness", "it answered %u: %s", a->t.http_status, why);
}

static plr_status post(asking *a, uint64_t old_size) {
  plr__transfer *t = &a->t;
  size_t len;
  PLR_TRY(plr_ledger_witness_request(a->ledger, old_size, a->body, REQUEST_MOST, &len, a->err));
  memcpy(t->path, "add-checkpoint", 15);
  t->method = "POST", t->content_type = "text/plain; charset=utf-8";
  t->body = a->body, t->body_len = len;
  t->limit = ANSWER_MOST;
  t->any_answer = 1;
  return plr__http_run(a->http, t, a->err);
}

/* The size in the answer to a request that names another one than the witness has: digits and a newline. */
static int read_answer_size(const plr_buffer *answer, uint64_t *out) {
  uint64_t v = 0;
  if (answer->len < 2 || answer->len > 20 || answer->data[answer->len - 1] != '\n') return 0;
  for (size_t i = 0; i + 1 < answer->len; i++) {
    uint8_t c = answer->data[i];
    if (c < '0' || c > '9' || v > (INT64_MAX - 9) / 10) return 0;
    v = v * 10 + (uint64_t)(c - '0');
  }
  *out = v;
  return 1;
}

static plr_status judge(asking *a, const plr_witness_key *witness) {
  const plr_buffer *answer = &a->t.answer;
  switch (a->t.http_status) {
  case 200:
    return plr_ledger_cosign(a->ledger, witness, answer->data ? (const char *)answer->data : "",
                             answer->len, a->err);
  case 400:
    return refused(a, PLR_ERR_MALFORMED, "our request has no form it knows");
  case 403:
    return refused(a, PLR_ERR_SIGNATURE, "no signature of ours that it takes");
  case 404:
  case 410:
    return refused(a, PLR_ERR_NOT_FOUND, "it does not know this log");
  case 422:
    return refused(a, PLR_ERR_PROOF, "it does not take our proof");
  default:
    return refused(a, PLR_ERR_IO, "no answer that a witness gives");
  }
}

/* The first guess is that the witness has seen nothing; if not, it says what. A second 409 for the size it named
 * itself can only mean that it has another root. */
static plr_status ask(asking *a, const plr_witness_key *witness) {
  uint64_t seen = 0, size;
  for (int tries = 0; tries < 3; tries++) {
    PLR_TRY(post(a, seen));
    if (a->t.http_status != 409) return judge(a, witness);
    uint64_t before = seen;
    if (!read_answer_size(&a->t.answer, &seen))
      return tries && a->t.answer.len == 0
                 ? refused(a, PLR_ERR_MISMATCH, "it has signed another history of this size")
                 : refused(a, PLR_ERR_MALFORMED, "without the size that it has");
    size = plr__ledger_signed_size(a->ledger);
    if (seen > size)
      return plr__fail(a->err, PLR_ERR_SEQUENCE, "witness",
                       "it has seen %llu entries, our checkpoint has %llu",
                       (unsigned long long)seen, (unsigned long long)size);
    if (tries && seen == before)
      return refused(a, PLR_ERR_MISMATCH, "it has signed another history of this size");
  }
  return refused(a, PLR_ERR_UNAVAILABLE, "its size does not stand still");
}

static plr_status asking_begin(asking *a, const char *url, const plr_remote_options *remote) {
  a->ctx = plr__ledger_context(a->ledger);
  plr__buffer_init(&a->t.answer, a->ctx);
  return plr__http_create(a->ctx, url, remote, NULL, NULL, &a->http, a->err);
}

static void asking_end(asking *a) {
  plr__http_destroy(a->http);
  plr__buffer_release(&a->t.answer);
  plr__free(a->ctx, a->body);
}

plr_status plr_ledger_cosign_url(plr_ledger *ledger, const plr_witness_key *witness,
                                 const char *url, const plr_remote_options *remote,
                                 plr_error *err) {
  if (!ledger || !witness || !witness->name || !url)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness", "ledger, witness or url is NULL");
  asking a = {.ledger = ledger, .err = err};
  plr_status st = asking_begin(&a, url, remote);
  if (st == PLR_OK) {
    a.body = plr__alloc(a.ctx, REQUEST_MOST);
    st = a.body ? ask(&a, witness) : plr__no_memory(err, "witness");
  }
  asking_end(&a);
  return st;
}

static plr_status look(asking *a) {
  plr__transfer *t = &a->t;
  plr_hash id;
  char hex[65];
  const char *origin = plr_ledger_origin(a->ledger, NULL);
  plr_sha256(origin, strlen(origin), &id);
  plr__hex_encode(id.bytes, 32, hex);
  memcpy(t->path, hex, 64);
  memcpy(t->path + 64, "/checkpoint", 12);
  t->method = "GET", t->limit = PLR__CHECKPOINT_MAX;
  PLR_TRY(plr__http_run(a->http, t, a->err));
  return plr_ledger_guard(a->ledger, t->answer.data ? (const char *)t->answer.data : "",
                          t->answer.len, a->err);
}

plr_status plr_ledger_guard_url(plr_ledger *ledger, const char *url,
                                const plr_remote_options *remote, plr_error *err) {
  if (!ledger || !url)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "guard", "ledger or url is NULL");
  asking a = {.ledger = ledger, .err = err};
  plr_status st = asking_begin(&a, url, remote);
  if (st == PLR_OK) st = look(&a);
  asking_end(&a);
  return st;
}

/* Commit, Assign, AuditResult: who replays which receipt is drawn from secrets that were committed to before the
 * receipts were complete, and from the state root that covers them; neither sequencer nor auditor can choose alone. */
#include "ledger/ledger_int.h"

#include <string.h>

#define MAX_AUDITORS 1024u

/* ---- Commit ----------------------------------------------------------------------------------- */

static plr_status reveal(plr__state *s, const plr_entry *e, const plr__key *key, uint64_t open,
                         plr_error *err) {
  const plr_commit *x = &e->as.commit;
  plr__key seed = plr__key_epoch('S', x->epoch, NULL);
  plr__commitment c;
  plr_hash author, hash;
  if (x->epoch >= open)
    return plr__fail(err, PLR_ERR_SEQUENCE, "commit", "revealed before its epoch is closed");
  plr_status st = plr__record_get(s, key, &plr__record_commitment, &c);
  if (st == PLR_ERR_NOT_FOUND) return plr__fail(err, st, "commit", "nothing was committed to");
  PLR_TRY(st);
  if (c.revealed) return plr__fail(err, PLR_ERR_EXISTS, "commit", "revealed before");
  if (plr__record_has(s, &seed))
    return plr__fail(err, PLR_ERR_SEQUENCE, "commit", "the auditors of that epoch are drawn");
  memcpy(author.bytes, e->author, 32);
  plr_commit_hash(&author, x->epoch, &x->value, &hash);
  if (memcmp(hash.bytes, c.commitment, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "commit", "not what was committed to");
  c.revealed = 1;
  memcpy(c.secret, x->value.bytes, 32);
  return plr__record_put(s, key, &plr__record_commitment, &c);
}

plr_status plr__apply_commit(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_commit *x = &e->as.commit;
  plr__key key = plr__key_epoch('C', x->epoch, e->author);
  plr__globals g;
  plr__commitment c;
  PLR_TRY(plr__get_globals(s, &g));
  if (x->phase == 1) return reveal(s, e, &key, g.epoch, err);
  if (x->epoch != g.epoch)
    return plr__fail(err, PLR_ERR_SEQUENCE, "commit", "for epoch %llu, epoch %llu is open",
                     (unsigned long long)x->epoch, (unsigned long long)g.epoch);
  if (plr__record_has(s, &key)) return plr__fail(err, PLR_ERR_EXISTS, "commit", "committed before");
  memset(&c, 0, sizeof c);
  memcpy(c.commitment, x->value.bytes, 32);
  return plr__record_put(s, &key, &plr__record_commitment, &c);
}

/* ---- Assign ----------------------------------------------------------------------------------- */

/* The seed, and behind it the auditors as the record lists them. */
static plr_status collect(plr__state *s, uint64_t epoch, plr_hash *seed, plr_buffer *auditors) {
  static const char tag[] = "pluralis.audit/v1";
  plr__key prefix = plr__key_epoch('C', epoch, NULL), last = plr__key_of('Z', NULL, NULL);
  plr__cursor c;
  plr_sha256_state sha;
  size_t len;
  const uint8_t *root = plr__map_get(&s->map, last.bytes, last.len, &len);
  if (!root || len != 32) return PLR_ERR_CORRUPT;
  plr__sha256_init(&sha);
  plr__sha256_update(&sha, tag, 17);
  plr__sha256_update(&sha, prefix.bytes + 1, 8);
  plr__sha256_update(&sha, root, 32);
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (auditors->len < 32 * (size_t)MAX_AUDITORS &&
         plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__commitment x;
    if (c.key_len != prefix.len + 32) return PLR_ERR_CORRUPT;
    PLR_TRY(plr__record_decode(&plr__record_commitment, c.value, c.value_len, &x));
    if (!x.revealed) continue;
    plr__sha256_update(&sha, c.key + prefix.len, 32);
    plr__sha256_update(&sha, x.secret, 32);
    plr__buffer_put(auditors, c.key + prefix.len, 32);
    if (auditors->failed) return PLR_ERR_NO_MEMORY;
  }
  plr__sha256_final(&sha, seed);
  return PLR_OK;
}

static plr_status put_seed(plr__state *s, uint64_t epoch, const plr_hash *seed,
                           const plr_buffer *auditors) {
  plr__key key = plr__key_epoch('S', epoch, NULL);
  plr__params p;
  PLR_TRY(plr__get_params(s, &p));
  plr__buffer_clear(&s->scratch);
  plr__buffer_put(&s->scratch, seed->bytes, 32);
  plr__buffer_be16(&s->scratch, (uint16_t)p.value[PLR_PARAM_AUDIT_BPS - 1]);
  plr__buffer_be16(&s->scratch, (uint16_t)(auditors->len / 32));
  plr__buffer_put(&s->scratch, auditors->data, auditors->len);
  if (s->scratch.failed) return PLR_ERR_NO_MEMORY;
  return plr__map_put(&s->map, key.bytes, key.len, s->scratch.data, s->scratch.len);
}

plr_status plr__apply_assign(plr__state *s, const plr_entry *e, plr_error *err) {
  uint64_t epoch = e->as.assign.epoch;
  plr__key key = plr__key_epoch('S', epoch, NULL);
  plr__globals g;
  plr_hash seed;
  plr_buffer auditors;
  PLR_TRY(plr__need_sequencer(s, e, "assign", err));
  PLR_TRY(plr__get_globals(s, &g));
  if (epoch >= g.epoch)
    return plr__fail(err, PLR_ERR_SEQUENCE, "assign", "the epoch is not closed");
  if (plr__record_has(s, &key)) return plr__fail(err, PLR_ERR_EXISTS, "assign", "drawn before");
  plr__buffer_init(&auditors, s->ctx);
  plr_status st = collect(s, epoch, &seed, &auditors);
  if (st == PLR_OK && auditors.len == 0)
    st = plr__fail(err, PLR_ERR_NOT_FOUND, "assign", "no auditor has revealed a secret");
  if (st == PLR_OK) st = put_seed(s, epoch, &seed, &auditors);
  plr__buffer_release(&auditors);
  return st;
}

/* ---- AuditResult ------------------------------------------------------------------------------ */

typedef struct drawing {
  plr_hash hash; /* of seed and receipt */
  const uint8_t *auditors;
  uint32_t count, audit_bps;
} drawing;

static plr_status draw(const plr__state *s, const plr__key *receipt, drawing *d) {
  plr__key key = plr__key_epoch('S', plr__load_be64(receipt->bytes + 1), NULL);
  plr_sha256_state sha;
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key.bytes, key.len, &len);
  if (!value) return PLR_ERR_NOT_FOUND;
  if (len < 36) return PLR_ERR_CORRUPT;
  d->audit_bps = plr__load_be16(value + 32);
  d->count = plr__load_be16(value + 34);
  d->auditors = value + 36;
  if (len != 36 + 32 * (size_t)d->count) return PLR_ERR_CORRUPT;
  plr__sha256_init(&sha);
  plr__sha256_update(&sha, value, 32);
  plr__sha256_update(&sha, receipt->bytes + 1, receipt->len - 1);
  plr__sha256_final(&sha, &d->hash);
  return PLR_OK;
}

static int is_drawn(const drawing *d) {
  return plr__mulhi64(plr__load_be64(d->hash.bytes), 10000) < d->audit_bps;
}

/* The auditor of a receipt in a round; NULL when there is none but the worker itself. */
static const uint8_t *auditor_of(const drawing *d, const uint8_t worker[32], uint32_t round) {
  uint32_t others = 0;
  for (uint32_t i = 0; i < d->count; i++)
    others += memcmp(d->auditors + 32 * (size_t)i, worker, 32) != 0;
  if (others == 0) return NULL;
  uint64_t first = plr__mulhi64(plr__load_be64(d->hash.bytes + 8), others);
  uint64_t at = (first + round) % others;
  for (uint32_t i = 0; i < d->count; i++) {
    const uint8_t *a = d->auditors + 32 * (size_t)i;
    if (memcmp(a, worker, 32) != 0 && at-- == 0) return a;
  }
  return NULL;
}

typedef struct auditing {
  plr__state *s;
  const uint8_t *model, *author;
  uint64_t epoch; /* open */
  plr__receipt_record r;
  plr__contest j;
  int disputed;
} auditing;

static plr_status blame(const auditing *a, const uint8_t account[32], const uint8_t reporter[32]) {
  return plr__fault(a->s, a->model, account, reporter);
}

/* The auditor before, whose verdict turned out wrong. */
static plr_status blame_auditor(const auditing *a) {
  if (memcmp(a->j.auditor, a->author, 32) == 0) return PLR_OK;
  return blame(a, a->j.auditor, a->j.disputer);
}

static plr_status blame_refusers(const auditing *a) {
  const uint8_t *up = a->j.upstream, *down = a->j.downstream;
  if (!plr__is_zero(up, 32)) PLR_TRY(blame(a, up, a->r.worker));
  if (plr__is_zero(down, 32) || memcmp(up, down, 32) == 0) return PLR_OK;
  return blame(a, down, a->r.worker);
}

static plr_status passed(auditing *a) {
  uint32_t before = a->r.standing;
  a->r.standing = PLR__PASSED;
  if (a->r.counted == PLR__NOT_COUNTED)
    PLR_TRY(plr__receipt_count(a->s, a->model, a->epoch, &a->r));
  if (before == PLR__WAITS) return blame_refusers(a);
  if (before == PLR__FAILED) {
    PLR_TRY(plr__fault_withdraw(a->s, a->model, a->r.worker));
    return blame_auditor(a);
  }
  return a->disputed ? blame(a, a->j.disputer, a->r.worker) : PLR_OK;
}

static plr_status failed(auditing *a) {
  uint32_t before = a->r.standing;
  a->r.standing = PLR__FAILED;
  PLR_TRY(plr__receipt_uncount(a->s, a->model, a->epoch, &a->r));
  if (before == PLR__FAILED) return blame(a, a->j.disputer, a->author);
  PLR_TRY(blame(a, a->r.worker, a->disputed ? a->j.disputer : a->author));
  return before == PLR__PASSED ? blame_auditor(a) : PLR_OK;
}

static plr_status check_audit(auditing *a, const plr__key *key, plr_error *err) {
  const char *where = "audit_result";
  plr__key contest = *key;
  drawing d;
  plr_status st = draw(a->s, key, &d);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, PLR_ERR_SEQUENCE, where, "the auditors of its epoch are not drawn");
  PLR_TRY(st);
  st = plr__record_get(a->s, key, &plr__record_receipt, &a->r);
  if (st == PLR_ERR_NOT_FOUND) return plr__fail(err, st, where, "no such receipt, or too old");
  PLR_TRY(st);
  contest.bytes[0] = 'J';
  PLR_TRY(plr__record_find(a->s, &contest, &plr__record_contest, &a->j, sizeof a->j, NULL));
  a->disputed = !plr__is_zero(a->j.disputer, 32);
  if (!a->disputed && a->r.standing != PLR__ACCEPTED && a->r.standing != PLR__WAITS)
    return plr__fail(err, PLR_ERR_EXISTS, where, "it has a verdict");
  if (!a->disputed && a->r.standing != PLR__WAITS && !is_drawn(&d))
    return plr__fail(err, PLR_ERR_MISMATCH, where, "the receipt is not drawn");
  const uint8_t *auditor = auditor_of(&d, a->r.worker, a->j.rounds);
  if (!auditor || memcmp(auditor, a->author, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "the author is not its auditor");
  return PLR_OK;
}

plr_status plr__apply_audit_result(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_receipt_key *k = &e->as.audit.receipt;
  plr_receipt named = {.model = k->model, .epoch = k->epoch, .step = k->step, .lane = k->lane};
  named.block_first = k->block_first, named.mb_first = k->mb_first;
  auditing a = {.s = s, .model = k->model.bytes, .author = e->author};
  plr__key key = plr__receipt_key('R', &named), contest = plr__receipt_key('J', &named);
  plr__globals g;
  PLR_TRY(plr__get_globals(s, &g));
  a.epoch = g.epoch;
  PLR_TRY(check_audit(&a, &key, err));
  PLR_TRY(e->as.audit.verdict == 1 ? passed(&a) : failed(&a));
  plr__contest after = {.rounds = a.j.rounds + 1};
  memcpy(after.auditor, e->author, 32);
  PLR_TRY(plr__record_put(s, &contest, &plr__record_contest, &after));
  return plr__record_put(s, &key, &plr__record_receipt, &a.r);
}

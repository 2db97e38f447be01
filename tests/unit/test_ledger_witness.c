/* Cosignatures, witnesses, the guard against old copies, forks, and proofs to carry away. */
#include "ledger_kit.h"

#define WITNESS "witness.example/w1"

static void sign(kit *k) {
  char note[1024];
  size_t len;
  assert_int_equal(plr_ledger_checkpoint(k->ledger, note, sizeof note, &len, NULL), PLR_OK);
}

typedef struct rig {
  kit k;
  plr_identity *key;
  plr_witness *witness;
  plr_witness_key name;
  char body[16384], answer[1024];
  size_t body_len, answer_len;
  uint32_t http;
} rig;

static rig *rig_make(void) {
  rig *r = calloc(1, sizeof *r);
  uint8_t log_key[32];
  kit_init(&r->k, 1);
  kit_open(&r->k, NULL);
  kit_populate(&r->k);
  sign(&r->k);
  r->key = kit_identity(r->k.ctx, 99);
  r->name.name = WITNESS;
  plr_identity_public_key(r->key, r->name.public_key);
  assert_int_equal(plr_witness_create(r->k.ctx, WITNESS, r->key, NULL, &r->witness, NULL), PLR_OK);
  plr_identity_public_key(r->k.people[SEQUENCER], log_key);
  assert_int_equal(plr_witness_add_log(r->witness, ORIGIN, log_key, NULL), PLR_OK);
  assert_int_equal(plr_witness_add_log(r->witness, ORIGIN, log_key, NULL), PLR_ERR_EXISTS);
  return r;
}

static void rig_free(rig *r) {
  plr_witness_destroy(r->witness);
  plr_identity_destroy(r->key);
  kit_done(&r->k);
  free(r);
}

static uint32_t ask(rig *r, uint64_t old) {
  assert_int_equal(
      plr_ledger_witness_request(r->k.ledger, old, r->body, sizeof r->body, &r->body_len, NULL),
      PLR_OK);
  return 0;
}

static uint32_t tell(rig *r) {
  assert_int_equal(plr_witness_add_checkpoint(r->witness, 1700000000, r->body, r->body_len,
                                              &r->http, r->answer, sizeof r->answer,
                                              &r->answer_len),
                   PLR_OK);
  return r->http;
}

static void grow(rig *r, uint64_t step) {
  kit_work(&r->k, 0, step, 0, 0);
  assert_int_equal(kit_append(&r->k), PLR_OK);
  sign(&r->k);
}

static void growing_log(void **state) {
  (void)state;
  rig *r = rig_make();
  uint64_t seen = 0, time;
  uint32_t good;
  for (uint64_t step = 0; step < 5; step++) {
    ask(r, seen);
    assert_int_equal(tell(r), 200);
    assert_int_equal(plr_ledger_cosign(r->k.ledger, &r->name, r->answer, r->answer_len, NULL),
                     PLR_OK);
    assert_int_equal(plr_ledger_cosign(r->k.ledger, &r->name, r->answer, r->answer_len, NULL),
                     PLR_OK);
    seen = kit_summary(r->k.ledger).entries;
    char note[4096];
    size_t len;
    assert_int_equal(plr_ledger_resource(r->k.ledger, "checkpoint", note, sizeof note, &len, NULL),
                     PLR_OK);
    assert_int_equal(
        plr_log_count_cosignatures(r->k.ctx, note, len, &r->name, 1, &good, &time, NULL), PLR_OK);
    assert_int_equal(good, 1);
    assert_int_equal(time, 1700000000);
    assert_int_equal(plr_ledger_guard(r->k.ledger, note, len, NULL), PLR_OK);
    grow(r, step);
  }
  rig_free(r);
}

static void every_status(void **state) {
  (void)state;
  rig *r = rig_make();
  ask(r, 0);
  size_t whole = r->body_len;
  for (size_t cut = 0; cut < whole; cut++) { /* not a request, or its signature is not whole */
    r->body_len = cut;
    uint32_t st = tell(r);
    assert_true(st == 400 || st == 403);
  }
  r->body_len = whole;
  assert_int_equal(tell(r), 200);
  assert_int_equal(tell(r), 409); /* old 0 again: it has seen more now */
  char size[32];
  snprintf(size, sizeof size, "%llu\n", (unsigned long long)kit_summary(r->k.ledger).entries);
  assert_int_equal(r->answer_len, strlen(size));
  assert_memory_equal(r->answer, size, strlen(size));
  uint64_t seen = kit_summary(r->k.ledger).entries;
  ask(r, seen); /* the same checkpoint again is fine */
  assert_int_equal(tell(r), 200);
  grow(r, 0);
  grow(r, 1);
  ask(r, seen);
  char *proof = strchr(r->body, '\n') + 1;
  char saved = *proof;
  *proof = saved == 'A' ? 'B' : 'A';
  assert_int_equal(tell(r), 422);
  *proof = saved;
  r->body[r->body_len - 4] ^= 1; /* the signature */
  assert_true(tell(r) == 403 || r->http == 400);
  r->body[r->body_len - 4] ^= 1;
  ask(r, seen + 1);
  assert_int_equal(tell(r), 409);
  ask(r, seen);
  assert_int_equal(tell(r), 200);
  plr_witness *other; /* one that does not know the log */
  assert_int_equal(plr_witness_create(r->k.ctx, WITNESS, r->key, NULL, &other, NULL), PLR_OK);
  plr_witness *ours = r->witness;
  r->witness = other;
  assert_int_equal(tell(r), 404);
  r->witness = ours;
  plr_witness_destroy(other);
  /* old above the checkpoint's own size */
  snprintf(r->body, sizeof r->body, "old 9999\n\n");
  r->body_len = strlen(r->body);
  size_t len;
  assert_int_equal(plr_ledger_resource(r->k.ledger, "checkpoint", r->body + r->body_len,
                                       sizeof r->body - r->body_len, &len, NULL),
                   PLR_OK);
  r->body_len += len;
  assert_int_equal(tell(r), 400);
  /* 64 lines of proof are one too many */
  int n = snprintf(r->body, sizeof r->body, "old 1\n");
  for (int i = 0; i < 64; i++)
    n += snprintf(r->body + n, sizeof r->body - (size_t)n,
                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
  n += snprintf(r->body + n, sizeof r->body - (size_t)n, "\n");
  assert_int_equal(plr_ledger_resource(r->k.ledger, "checkpoint", r->body + n,
                                       sizeof r->body - (size_t)n, &len, NULL),
                   PLR_OK);
  r->body_len = (size_t)n + len;
  assert_int_equal(tell(r), 400);
  assert_int_equal(plr_witness_add_checkpoint(r->witness, 0, r->body, r->body_len, &r->http,
                                              r->answer, 100, &r->answer_len),
                   PLR_ERR_BUFFER_TOO_SMALL);
  rig_free(r);
}

/* A log of no entries has one root. */
static void empty_log(void **state) {
  (void)state;
  rig *r = rig_make();
  plr_hash root;
  plr_buffer b;
  for (int right = 0; right < 2; right++) {
    plr_sha256("x", right ? 0 : 1, &root);
    plr__buffer_init(&b, r->k.ctx);
    plr__buffer_printf(&b, "old 0\n\n");
    assert_int_equal(plr__checkpoint_sign(&b, ORIGIN, 0, &root, r->k.people[SEQUENCER]), PLR_OK);
    memcpy(r->body, b.data, r->body_len = b.len);
    plr__buffer_release(&b);
    assert_int_equal(tell(r), right ? 200 : 422);
  }
  rig_free(r);
}

static plr_status failing_load(void *user, const plr_hash *origin, uint64_t *size, plr_hash *root) {
  (void)origin, (void)size, (void)root;
  return *(int *)user == 0 ? PLR_ERR_IO : PLR_ERR_NOT_FOUND;
}
static plr_status failing_swap(void *user, const plr_hash *origin, uint64_t old_size,
                               const plr_hash *old_root, uint64_t new_size,
                               const plr_hash *new_root) {
  (void)origin, (void)old_size, (void)old_root, (void)new_size, (void)new_root, (void)user;
  return PLR_ERR_IO;
}

static void store_fails(void **state) {
  (void)state;
  rig *r = rig_make();
  uint8_t log_key[32];
  plr_identity_public_key(r->k.people[SEQUENCER], log_key);
  for (int which = 0; which < 2; which++) {
    plr_witness_store store = {&which, failing_load, failing_swap};
    plr_witness *w, *ours = r->witness;
    assert_int_equal(plr_witness_create(r->k.ctx, WITNESS, r->key, &store, &w, NULL), PLR_OK);
    assert_int_equal(plr_witness_add_log(w, ORIGIN, log_key, NULL), PLR_OK);
    ask(r, 0);
    r->witness = w;
    assert_int_equal(tell(r), 500);
    assert_int_equal(r->answer_len, 0);
    r->witness = ours;
    plr_witness_destroy(w);
  }
  rig_free(r);
}

static void wrong_cosignatures(void **state) {
  (void)state;
  rig *r = rig_make();
  ask(r, 0);
  assert_int_equal(tell(r), 200);
  plr_witness_key other = r->name;
  other.name = "witness.example/w2";
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_cosign(r->k.ledger, &other, r->answer, r->answer_len, &err),
                   PLR_ERR_SIGNATURE);
  assert_int_equal(plr_ledger_cosign(r->k.ledger, &r->name, r->answer, r->answer_len - 1, &err),
                   PLR_ERR_MALFORMED);
  char *base64 = strrchr(r->answer, ' ') + 1; /* time and signature are behind the key id */
  base64[20] = base64[20] == 'A' ? 'B' : 'A';
  assert_int_equal(plr_ledger_cosign(r->k.ledger, &r->name, r->answer, r->answer_len, &err),
                   PLR_ERR_SIGNATURE);
  char note[4096];
  size_t len;
  uint32_t good = 7;
  assert_int_equal(plr_ledger_resource(r->k.ledger, "checkpoint", note, sizeof note, &len, NULL),
                   PLR_OK);
  assert_int_equal(plr_log_count_cosignatures(r->k.ctx, note, len, &r->name, 1, &good, NULL, NULL),
                   PLR_OK);
  assert_int_equal(good, 0);
  memcpy(note + len, r->answer, r->answer_len); /* a bad line in the note refuses it whole */
  assert_int_equal(plr_log_count_cosignatures(r->k.ctx, note, len + r->answer_len, &r->name, 1,
                                              &good, NULL, &err),
                   PLR_ERR_SIGNATURE);
  rig_free(r);
}

/* Two ledgers of one sequencer that differ in their last entry: what a restored backup or a cheat looks like. */
static void forks(void **state) {
  (void)state;
  rig *a = rig_make(), *b = rig_make();
  char note_a[2048], note_b[2048];
  size_t len_a, len_b;
  uint8_t key[32];
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_identity_public_key(a->k.people[SEQUENCER], key);
  assert_int_equal(plr_ledger_checkpoint(a->k.ledger, note_a, sizeof note_a, &len_a, NULL), PLR_OK);
  assert_int_equal(plr_log_verify_fork(note_a, len_a, note_a, len_a, ORIGIN, key, &err),
                   PLR_ERR_PROOF);
  grow(a, 0);
  grow(b, 1);
  assert_int_equal(plr_ledger_checkpoint(b->k.ledger, note_b, sizeof note_b, &len_b, NULL), PLR_OK);
  assert_int_equal(plr_log_verify_fork(note_a, len_a, note_b, len_b, ORIGIN, key, &err),
                   PLR_ERR_PROOF); /* different sizes */
  assert_int_equal(plr_ledger_checkpoint(a->k.ledger, note_a, sizeof note_a, &len_a, NULL), PLR_OK);
  assert_int_equal(plr_log_verify_fork(note_a, len_a, note_b, len_b, ORIGIN, key, &err), PLR_OK);
  /* a witness that has seen one does not sign the other */
  ask(a, 0);
  assert_int_equal(tell(a), 200);
  b->body_len = 0;
  ask(b, kit_summary(b->k.ledger).entries);
  plr_witness *own = b->witness;
  b->witness = a->witness;
  assert_int_equal(tell(b), 409);
  b->witness = own;
  /* the guard: the other history, and an old copy */
  assert_int_equal(plr_ledger_guard(b->k.ledger, note_a, len_a, &err), PLR_ERR_MISMATCH);
  assert_int_equal(plr_ledger_checkpoint(b->k.ledger, note_b, sizeof note_b, &len_b, &err),
                   PLR_ERR_MISMATCH);
  rig *c = rig_make();
  assert_int_equal(plr_ledger_guard(c->k.ledger, note_a, len_a, &err), PLR_ERR_SEQUENCE);
  kit_work(&c->k, 0, 5, 0, 0);
  assert_int_equal(kit_append(&c->k), PLR_ERR_SEQUENCE);
  plr_publisher none = {NULL, NULL};
  assert_int_equal(plr_ledger_publish(c->k.ledger, &none, NULL, &err), PLR_ERR_INVALID_ARGUMENT);
  rig_free(a), rig_free(b), rig_free(c);
}

static void proofs(void **state) {
  (void)state;
  rig *r = rig_make();
  grow(r, 0);
  ask(r, 0);
  assert_int_equal(tell(r), 200);
  assert_int_equal(plr_ledger_cosign(r->k.ledger, &r->name, r->answer, r->answer_len, NULL),
                   PLR_OK);
  uint8_t log_key[32], entry[PLR_ENTRY_MAX];
  plr_identity_public_key(r->k.people[SEQUENCER], log_key);
  plr_proof_policy policy;
  plr_proof_policy_init(&policy, sizeof policy);
  policy.origin = ORIGIN, policy.public_key = log_key;
  policy.witnesses = &r->name, policy.witness_count = 1, policy.quorum = 1;
  uint64_t size = kit_summary(r->k.ledger).entries;
  char proof[8192];
  size_t len, entry_len;
  plr_error err;
  plr_error_init(&err, sizeof err);
  for (uint64_t i = 0; i < size; i++) {
    uint64_t index = 99, at = 0;
    assert_int_equal(plr_ledger_proof(r->k.ledger, i, proof, sizeof proof, &len, NULL), PLR_OK);
    assert_int_equal(plr_ledger_entry(r->k.ledger, i, entry, sizeof entry, &entry_len, NULL),
                     PLR_OK);
    assert_int_equal(
        plr_log_verify_proof(r->k.ctx, proof, len, entry, entry_len, &policy, &index, &at, NULL),
        PLR_OK);
    assert_true(index == i && at == size);
    entry[entry_len - 1] ^= 1;
    assert_int_equal(
        plr_log_verify_proof(r->k.ctx, proof, len, entry, entry_len, &policy, NULL, NULL, &err),
        PLR_ERR_PROOF);
    entry[entry_len - 1] ^= 1;
  }
  for (size_t cut = 0; cut < len; cut++) /* every byte is needed */
    assert_int_not_equal(
        plr_log_verify_proof(r->k.ctx, proof, cut, entry, entry_len, &policy, NULL, NULL, NULL),
        PLR_OK);
  for (size_t at = 0; at < len; at++) { /* and every byte counts */
    proof[at] ^= 1;
    assert_int_not_equal(
        plr_log_verify_proof(r->k.ctx, proof, len, entry, entry_len, &policy, NULL, NULL, NULL),
        PLR_OK);
    proof[at] ^= 1;
  }
  policy.quorum = 2;
  assert_int_equal(
      plr_log_verify_proof(r->k.ctx, proof, len, entry, entry_len, &policy, NULL, NULL, &err),
      PLR_ERR_SIGNATURE);
  assert_int_equal(plr_ledger_proof(r->k.ledger, size, proof, sizeof proof, &len, &err),
                   PLR_ERR_NOT_FOUND);
  rig_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(growing_log),
      cmocka_unit_test(every_status),
      cmocka_unit_test(empty_log),
      cmocka_unit_test(store_fails),
      cmocka_unit_test(wrong_cosignatures),
      cmocka_unit_test(forks),
      cmocka_unit_test(proofs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

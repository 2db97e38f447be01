/* A life of a ledger as a list of entries, made once in memory, that tests of crashes play to a store again and again:
 * what a store holds can then be compared with what it should hold, byte for byte. */
#ifndef PLR_TESTS_LEDGER_SCRIPT_H
#define PLR_TESTS_LEDGER_SCRIPT_H

#include "ledger_store_kit.h"

#define SCRIPT_MAX 400u

typedef struct script {
  kit made; /* the ledger in memory */
  uint8_t *entry[SCRIPT_MAX];
  size_t len[SCRIPT_MAX];
  plr_hash root[SCRIPT_MAX + 1]; /* of the first i entries */
  uint32_t count;
} script;

/* Epochs of so many receipts each, with money after each, and `large` entries of no effect and 60,000 bytes. To be
 * played to ledgers that log such entries. */
static inline void script_make(script *s, uint32_t epochs, uint32_t receipts, uint32_t large) {
  memset(s, 0, sizeof *s);
  kit *k = &s->made;
  kit_init(k, 1);
  plr_ledger_options o = kit_options(k, NULL);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k->ctx, &o, &k->ledger, NULL), PLR_OK);
  kit_populate(k);
  for (uint32_t epoch = 0; epoch < epochs; epoch++) {
    for (uint32_t i = 0; i < receipts; i++) {
      kit_work(k, epoch, i, 2 * i, i % 4);
      assert_int_equal(kit_append(k), PLR_OK);
    }
    kit_close(k);
    kit_deposit(k, 1000 + epoch);
    assert_int_equal(kit_append(k), PLR_OK);
    kit_claim(k, WORKER0, 0);
    assert_int_equal(kit_append(k), PLR_OK);
    for (uint32_t i = 0; i < large; i++) {
      memset(k->entry, (int)i, k->len = 60000);
      assert_int_equal(kit_append(k), PLR_ERR_MALFORMED);
    }
  }
  s->count = (uint32_t)kit_summary(k->ledger).entries;
  assert_true(s->count <= SCRIPT_MAX);
  plr__node_reader nodes = plr__ledger_nodes(k->ledger);
  for (uint32_t i = 0; i < s->count; i++) {
    assert_int_equal(plr_ledger_entry(k->ledger, i, k->entry, sizeof k->entry, &k->len, NULL),
                     PLR_OK);
    s->entry[i] = malloc(k->len);
    memcpy(s->entry[i], k->entry, s->len[i] = k->len);
    assert_int_equal(plr__tree_root(&nodes, i + 1, &s->root[i + 1], NULL), PLR_OK);
  }
}

static inline void script_free(script *s) {
  for (uint32_t i = 0; i < s->count; i++) free(s->entry[i]);
  kit_done(&s->made);
}

/* What was promised while a script was played. */
typedef struct promised {
  uint64_t entries,
      begun; /* acknowledged; and at most, had the call that was cut short come through */
  char note[SCRIPT_MAX][320]; /* checkpoints that were given away */
  size_t note_len[SCRIPT_MAX];
  uint32_t notes;
} promised;

static inline plr_status script_sign(plr_ledger *l, promised *p) {
  plr_status st = plr_ledger_checkpoint(l, p->note[p->notes % SCRIPT_MAX], sizeof p->note[0],
                                        &p->note_len[p->notes % SCRIPT_MAX], NULL);
  if (st == PLR_OK) p->notes++;
  assert_true(p->notes < SCRIPT_MAX);
  return st;
}

static inline plr_status script_open(kit *k, const char *where, plr_ledger **out, plr_error *err) {
  plr_ledger_options o = kit_options(k, where);
  o.log_invalid = 1;
  plr_status st = plr_ledger_open(k->ctx, &o, out, err);
  if (st != PLR_OK) return st;
  (*out)->snapshot_every = 20;        /* so that snapshots are cut short too */
  (*out)->state.trust_signatures = 1; /* they were verified when the script was made */
  return PLR_OK;
}

/* Appends what is missing, one by one and in groups, and signs now and then, until something fails. */
static inline plr_status script_play(const script *s, plr_ledger *l, promised *p) {
  for (uint64_t at; (at = kit_summary(l).entries) < s->count;) {
    plr_append_item items[5] = {{0}};
    uint32_t n = (uint32_t)PLR_MIN(s->count - at, at % 7 == 3 ? 5 : 1);
    for (uint32_t i = 0; i < n; i++)
      items[i] = (plr_append_item){.entry = s->entry[at + i], .len = s->len[at + i]};
    p->begun = at + n;
    PLR_TRY(plr_ledger_append_many(l, items, n, NULL));
    for (uint32_t i = 0; i < n; i++) assert_int_equal(items[i].index, at + i);
    p->entries = at + n;
    if (at % 5 == 2) PLR_TRY(script_sign(l, p));
  }
  return PLR_OK;
}

/* After a crash: all that was acknowledged is there, nothing half done, and every checkpoint that was ever given away
 * is one of this history, as is the next. */
static inline void script_check(const script *s, plr_ledger *l, promised *p) {
  plr_ledger_summary sum = kit_summary(l);
  if (sum.entries < p->entries || sum.entries > p->begun)
    fail_msg("%llu entries, acknowledged were %llu, begun %llu", (unsigned long long)sum.entries,
             (unsigned long long)p->entries, (unsigned long long)p->begun);
  assert_memory_equal(&sum.root, &s->root[sum.entries], sizeof sum.root);
  assert_int_equal(plr__state_audit(&l->state, NULL), PLR_OK);
  assert_int_equal(script_sign(l, p), PLR_OK);
  for (uint32_t i = 0; i < p->notes; i++)
    assert_int_equal(plr_ledger_guard(l, p->note[i], p->note_len[i], NULL), PLR_OK);
}

#endif

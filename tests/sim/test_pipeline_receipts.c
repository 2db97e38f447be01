/* Receipts: three signatures, every field, the ledger takes them; what does not match is refused. */
#include "sim/pipeline.h"

#include "ledger/ledger.h"
#include "stage/stage_int.h"

#include <stdio.h>

static void decode(const pipe_receipt *r, plr_entry *out) {
  plr_error err = {.struct_size = sizeof err};
  if (plr__entry_decode(r->data, r->len, out, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  assert_int_equal(out->type, PLR_ENTRY_RECEIPT);
}

static void node_account(const pipeline *p, uint32_t node, plr_hash *out) {
  uint8_t key[32];
  plr_identity_public_key(p->identity[node], key);
  plr_account_id(key, out);
}

/* The stage that wrote it, by its account. */
static uint32_t author_of(const pipeline *p, const plr_entry *e) {
  for (uint32_t i = 0; i < p->config.stages; i++) {
    plr_hash account;
    node_account(p, i, &account);
    if (memcmp(account.bytes, e->author, 32) == 0) return i;
  }
  fail_msg("nobody's receipt");
  return 0;
}

static void check_signatures(const pipeline *p, const pipe_receipt *r, const plr_entry *e,
                             uint32_t stage) {
  uint32_t nodes = p->config.stages + 1;
  const uint32_t signer[3] = {stage, (stage + nodes - 1) % nodes, (stage + 1) % nodes};
  uint8_t message[PLR__SIGNING_BYTES], key[32];
  plr__entry_signing_bytes(PIPE_ORIGIN, r->data, e->signed_len, message);
  assert_int_equal(e->signature_count, 3);
  for (uint32_t i = 0; i < 3; i++) {
    plr_hash account;
    node_account(p, signer[i], &account);
    plr_identity_public_key(p->identity[signer[i]], key);
    assert_int_equal(e->signatures[i].role, i);
    assert_memory_equal(e->signatures[i].account, account.bytes, 32);
    assert_int_equal(plr_verify(key, message, sizeof message, e->signatures[i].signature), PLR_OK);
  }
}

static void check_fields(const pipeline *p, const plr_receipt *x, uint32_t stage) {
  uint32_t each = p->info.blocks / p->config.stages, tokens = p->info.micro_batch * p->info.seq_len;
  uint64_t units = 0;
  plr_hash model, profile;
  plr_model_hash(p->model, &model);
  plr_profile_hash(&profile);
  assert_memory_equal(&x->model, &model, sizeof model);
  assert_memory_equal(&x->profile, &profile, sizeof profile);
  assert_int_equal(x->block_first, stage * each);
  assert_int_equal(x->block_end, (stage + 1) * each);
  assert_int_equal(x->tokens, tokens);
  for (uint32_t b = x->block_first; b < x->block_end; b++)
    units += plr_model_block_cost(p->model, b);
  assert_int_equal(x->units, units * tokens);
  assert_int_equal(x->mb_count, 1);
  assert_int_equal(x->lane, 0);
}

#define STEPS 7u

static plr_hash roots[STEPS + 1];

static void keep_roots(pipeline *p, uint32_t node, const plr_stage_event *e) {
  if (node == p->feeder && e->type == PLR_STAGE_ROOT) roots[e->step] = e->hash;
}

static void check_all(uint32_t stages) {
  static pipeline p;
  uint8_t seen[PIPE_MAX_STAGES][STEPS][4] = {{{0}}};
  pipe_config c = pipe_defaults(stages);
  c.snapshot_every = 2;
  pipe_open(&p, &c);
  p.on_event = keep_roots;
  pipe_train(&p, 3);
  assert_int_equal(plr_stage_set_epoch(p.stage[p.feeder], 6), PLR_OK);
  pipe_train(&p, STEPS);
  assert_int_equal(p.receipts, STEPS * stages * 4);
  assert_int_equal(p.roots, 4); /* 0, 2, 4, 6 */
  for (uint32_t i = 0; i < p.receipts; i++) {
    plr_entry e;
    decode(&p.receipt[i], &e);
    const plr_receipt *x = &e.as.receipt;
    uint32_t stage = author_of(&p, &e);
    assert_in_range(x->step, 0, STEPS - 1);
    assert_int_equal(seen[stage][x->step][x->mb_first], 0);
    seen[stage][x->step][x->mb_first] = 1;
    check_signatures(&p, &p.receipt[i], &e, stage);
    check_fields(&p, x, stage);
    assert_int_equal(x->epoch, x->step < 3 ? 5 : 6);
    assert_int_equal(x->weight_step, x->step < 2 ? 0 : (x->step - 2) / 2 * 2);
    assert_memory_equal(&x->weight_root, &roots[x->weight_step], sizeof(plr_hash));
  }
  for (uint32_t i = 0; i < stages; i++) {
    plr_stage_stats s = {.struct_size = sizeof s};
    assert_int_equal(p.worker_receipts[i], STEPS * 4);
    assert_int_equal(plr_stage_get_stats(p.stage[i], &s), PLR_OK);
    assert_int_equal(s.receipts, STEPS * 4);
    assert_int_equal(s.receipts_refused, 0);
    assert_int_equal(s.steps, STEPS);
    assert_int_equal(s.forwards, STEPS * 4);
    assert_int_equal(s.backwards, STEPS * 4);
  }
  pipe_close(&p);
}

static void test_one_stage(void **state) {
  (void)state;
  check_all(1);
}
static void test_two_stages(void **state) {
  (void)state;
  check_all(2);
}
static void test_four_stages(void **state) {
  (void)state;
  check_all(4);
}

/* ---- in the ledger ---------------------------------------------------------------------------- */

typedef struct book {
  plr_ledger *ledger;
  uint64_t next;
} book;

static void append(book *b, const void *entry, size_t len, plr_status want) {
  plr_error err = {.struct_size = sizeof err};
  plr_status st = plr_ledger_append(b->ledger, entry, len, NULL, &err);
  if (st != want) fail_msg("%s: %s: %s", plr_status_name(st), err.where, err.message);
}

static void open_account(const pipeline *p, book *b, uint32_t node) {
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  plr_entry_options o;
  plr_entry_options_init(&o, sizeof o);
  o.author = p->identity[node], o.origin = PIPE_ORIGIN, o.nonce = 1;
  assert_int_equal(plr_entry_account_open(p->ctx, &o, entry, sizeof entry, &len, NULL), PLR_OK);
  append(b, entry, len, PLR_OK);
}

static void register_model(const pipeline *p, book *b, const plr_identity *designer) {
  static uint8_t entry[PLR_ENTRY_MAX];
  uint64_t costs[4];
  size_t len;
  plr_entry_options o;
  plr_model_terms t;
  plr_entry_options_init(&o, sizeof o);
  plr_model_terms_init(&t, sizeof t);
  o.author = designer, o.origin = PIPE_ORIGIN, o.nonce = 2; /* Genesis was its first entry */
  plr_model_hash(p->model, &t.model);
  plr_profile_hash(&t.profile);
  t.microbatch_tokens = p->info.micro_batch * p->info.seq_len;
  t.block_count = p->info.blocks;
  for (uint32_t i = 0; i < t.block_count; i++) costs[i] = plr_model_block_cost(p->model, i);
  t.costs = costs;
  t.halving_units.lo = UINT64_C(1) << 50, t.rate = 1, t.rate_divisor = 1000;
  assert_int_equal(plr_entry_model_register(p->ctx, &o, &t, entry, sizeof entry, &len, NULL),
                   PLR_OK);
  append(b, entry, len, PLR_OK);
}

static void test_ledger_takes_them(void **state) {
  (void)state;
  static pipeline p;
  book b = {0};
  plr_ledger_options lo;
  plr_identity *sequencer = NULL;
  uint8_t seed[32] = {77};
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  assert_int_equal(plr_identity_create(p.ctx, seed, &sequencer, NULL), PLR_OK);
  plr_ledger_options_init(&lo, sizeof lo);
  lo.origin = PIPE_ORIGIN, lo.sequencer = sequencer;
  assert_int_equal(plr_ledger_open(p.ctx, &lo, &b.ledger, NULL), PLR_OK);
  for (uint32_t i = 0; i < 3; i++) open_account(&p, &b, i);
  register_model(&p, &b, sequencer);
  assert_int_equal(plr_stage_set_epoch(p.stage[p.feeder], 0), PLR_OK);
  pipe_train(&p, 2);
  assert_int_equal(p.receipts, 16);
  for (uint32_t i = 0; i < p.receipts; i++) append(&b, p.receipt[i].data, p.receipt[i].len, PLR_OK);
  append(&b, p.receipt[3].data, p.receipt[3].len, PLR_ERR_EXISTS);
  assert_int_equal(plr_ledger_close_epoch(b.ledger, NULL, NULL), PLR_OK);
  plr_ledger_destroy(b.ledger);
  plr_identity_destroy(sequencer);
  pipe_close(&p);
}

/* ---- tampering -------------------------------------------------------------------------------- */

static uint32_t tamper_node, tamper_kind, tamper_frame;

/* The worker says of one micro-batch that its frame was another one. */
static void lie(pipeline *p, uint32_t node, plr_job *job) {
  (void)p;
  if (node == tamper_node && job->kind == tamper_kind && job->step == 1 && job->micro_batch == 2)
    job->frames[tamper_frame].bytes[5] ^= 1;
}

static uint64_t refused_by(const pipeline *p, uint32_t node) {
  plr_stage_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_stage_get_stats(p->stage[node], &s), PLR_OK);
  return s.receipts_refused;
}

/* liar's own receipt of (1, 2) is refused by `by`, and training goes on. The neighbour whose receipt the liar then
 * judges by its false record is refused as well: one of the two lies, and nobody else can say which. */
static void check_lie(uint32_t liar, uint32_t kind, uint32_t frame, uint32_t by, const char *why) {
  static pipeline p;
  pipe_config c = pipe_defaults(4);
  pipe_open(&p, &c);
  tamper_node = liar, tamper_kind = kind, tamper_frame = frame;
  p.before_complete = lie;
  pipe_train(&p, 3);
  assert_int_equal(refused_by(&p, by), 1);
  assert_non_null(strstr(p.refusal[by], why));
  assert_non_null(strstr(p.told[liar], why));
  if (by != p.feeder) assert_non_null(strstr(p.told[p.feeder], "will not come"));
  assert_true(p.receipts < 3 * 4 * 4);
  for (uint32_t i = 0; i < p.receipts; i++) {
    plr_entry e;
    decode(&p.receipt[i], &e);
    assert_false(author_of(&p, &e) == liar && e.as.receipt.step == 1 && e.as.receipt.mb_first == 2);
  }
  assert_int_equal(p.steps, 3);
  assert_int_equal(p.failed, 0);
  pipe_close(&p);
}

static void test_false_hashes(void **state) {
  (void)state;
  check_lie(1, PLR_JOB_FORWARD, PLR__FRAME_OUT, 2, "another activation out");
  check_lie(1, PLR_JOB_FORWARD, PLR__FRAME_IN, 0, "another activation in");
  check_lie(2, PLR_JOB_BACKWARD, PLR__FRAME_GRADIN, 3, "another gradient in");
  check_lie(2, PLR_JOB_BACKWARD, PLR__FRAME_GRAD, 1, "another gradient out");
  check_lie(0, PLR_JOB_FORWARD, PLR__FRAME_TOKENS, 4, "another token frame");
  check_lie(3, PLR_JOB_FORWARD, PLR__FRAME_OUT, 4, "another activation out");
  check_lie(3, PLR_JOB_BACKWARD, PLR__FRAME_GRADIN, 4, "another gradient in");
}

/* ---- a false proposal, field by field --------------------------------------------------------- */

typedef struct forgery {
  const char *why;
  void (*change)(plr_receipt *x);
} forgery;

static void more_units(plr_receipt *x) {
  x->units++;
}
static void more_tokens(plr_receipt *x) {
  x->tokens++, x->units = x->units / (x->tokens - 1) * x->tokens;
}
static void more_blocks(plr_receipt *x) {
  x->block_first = 0;
}
static void other_blocks(plr_receipt *x) {
  x->block_first--, x->block_end--;
}
static void other_model(plr_receipt *x) {
  x->model.bytes[0] ^= 1;
}
static void other_profile(plr_receipt *x) {
  x->profile.bytes[0] ^= 1;
}
static void other_epoch(plr_receipt *x) {
  x->epoch++;
}
static void other_lane(plr_receipt *x) {
  x->lane++;
}
static void other_step(plr_receipt *x) {
  x->step++;
}
static void other_batch(plr_receipt *x) {
  x->mb_first++;
}
static void two_batches(plr_receipt *x) {
  x->mb_count = 2;
}
static void other_root(plr_receipt *x) {
  x->weight_root.bytes[0] ^= 1;
}
static void other_worker(plr_receipt *x) {
  x->worker[0] ^= 1;
}
static void other_neighbour(plr_receipt *x) {
  x->downstream[0] ^= 1;
}
static void other_frames(plr_receipt *x) {
  x->frames_root.bytes[0] ^= 1;
}

static const forgery forgeries[] = {
    {"units", more_units},
    {"units", more_tokens},
    {"units", more_blocks},
    {"other blocks", other_blocks},
    {"another model", other_model},
    {"another profile", other_profile},
    {"another epoch", other_epoch},
    {"another lane", other_lane},
    {"another micro-batch", other_step},
    {"another micro-batch", other_batch},
    {"another micro-batch", two_batches},
    {"another weight root", other_root},
    {"not the worker's own", other_worker},
    {"another neighbour is named", other_neighbour},
    {"frames root", other_frames},
};

/* Makes the proposal of stage 1 for (2, 0) anew, with one field changed and properly signed. */
static void propose_again(pipeline *p, const forgery *f, plr_hash *changed_frame,
                          int spoil_signature) {
  plr_stage *liar = p->stage[1], *judge = p->stage[2];
  plr__record *own = plr__record_of(liar, 2, 0), *theirs = plr__record_of(judge, 2, 0);
  plr_receipt x;
  plr_buffer b;
  plr_entry_signature s;
  assert_non_null(own);
  assert_non_null(theirs);
  assert_int_equal(plr__receipt_decode(own->own.bytes, own->own.len, &x, NULL), PLR_OK);
  if (f) f->change(&x);
  plr__buffer_init(&b, p->ctx);
  assert_int_equal(plr__receipt_encode(&b, &x), PLR_OK);
  plr__entry_sign(p->identity[1], PLR_SIGN_AUTHOR, PIPE_ORIGIN, b.data, b.len, &s);
  plr__control c = {.type = PLR__CONTROL_PROPOSAL, .stage = 1, .step = 2};
  memcpy(c.frames, own->frames, sizeof c.frames);
  if (changed_frame) *changed_frame = c.frames[0];
  memcpy(c.signature, s.signature, 64);
  if (spoil_signature) c.signature[0] ^= 1;
  c.data = b.data, c.data_len = (uint32_t)b.len;
  theirs->pending[PLR__UP].len = 0; /* as if it had not come before */
  plr__receipt_proposal(judge, plr__peer_first(judge, PLR__UP), &c);
  plr__buffer_release(&b);
  plr_stage_event e = {.struct_size = sizeof e};
  p->refusal[2][0] = 0;
  while (plr_stage_next_event(judge, &e) == PLR_OK)
    if (e.type == PLR_STAGE_REFUSED) snprintf(p->refusal[2], sizeof p->refusal[2], "%s", e.message);
}

static void test_forged_fields(void **state) {
  (void)state;
  static pipeline p;
  pipe_config c = pipe_defaults(4);
  pipe_open(&p, &c);
  pipe_train(&p, 3);
  propose_again(&p, NULL, NULL, 0); /* as it was: signed */
  assert_string_equal(p.refusal[2], "");
  assert_int_equal(refused_by(&p, 2), 0);
  for (size_t i = 0; i < PLR_COUNT_OF(forgeries); i++) {
    propose_again(&p, &forgeries[i], NULL, 0);
    if (!strstr(p.refusal[2], forgeries[i].why))
      fail_msg("%s, not %s", p.refusal[2], forgeries[i].why);
    assert_int_equal(refused_by(&p, 2), i + 1);
  }
  propose_again(&p, NULL, NULL, 1);
  assert_non_null(strstr(p.refusal[2], "signature"));
  pipe_close(&p);
}

/* Proposed twice, for a micro-batch never seen, or with bytes that are no receipt. */
static void test_strange_proposals(void **state) {
  (void)state;
  static pipeline p;
  uint8_t junk[500] = {0};
  pipe_config c = pipe_defaults(2);
  pipe_open(&p, &c);
  pipe_train(&p, 1);
  plr__control x = {.type = PLR__CONTROL_PROPOSAL, .stage = 0};
  x.data = junk, x.data_len = 100;
  plr__receipt_proposal(p.stage[1], plr__peer_first(p.stage[1], PLR__UP), &x);
  assert_int_equal(refused_by(&p, 1), 1);
  x.step = 9;
  plr__receipt_proposal(p.stage[1], plr__peer_first(p.stage[1], PLR__UP), &x);
  assert_int_equal(refused_by(&p, 1), 2);
  x.step = 0, x.micro_batch = 400;
  plr__receipt_proposal(p.stage[1], plr__peer_first(p.stage[1], PLR__UP), &x);
  assert_int_equal(refused_by(&p, 1), 3);
  x.micro_batch = 0;
  plr__record_of(p.stage[1], 0, 0)->pending[PLR__UP].len = 0;
  plr__receipt_proposal(p.stage[1], plr__peer_first(p.stage[1], PLR__UP), &x);
  assert_int_equal(refused_by(&p, 1), 4);
  x.data_len = sizeof junk;
  plr__record_of(p.stage[1], 0, 0)->pending[PLR__UP].len = 0;
  plr__receipt_proposal(p.stage[1], plr__peer_first(p.stage[1], PLR__UP), &x);
  assert_int_equal(refused_by(&p, 1), 5);
  pipe_run_for(&p, 5);
  assert_int_equal(p.failed, 0);
  pipe_close(&p);
}

/* ---- entries ---------------------------------------------------------------------------------- */

static void test_submit(void **state) {
  (void)state;
  static pipeline p;
  static uint8_t large[PLR__CONTROL_MAX_ENTRY + 1];
  pipe_config c = pipe_defaults(4);
  pipe_open(&p, &c);
  assert_int_equal(plr_stage_submit(p.stage[1], large, 0), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_submit(p.stage[1], large, sizeof large), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_submit(p.stage[1], "an entry of stage 1", 19), PLR_OK);
  pipe_run_for(&p, 2);
  assert_int_equal(p.entries, 1);
  assert_int_equal(p.entry_len, 19);
  assert_memory_equal(p.entry, "an entry of stage 1", 19);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_stage),         cmocka_unit_test(test_two_stages),
      cmocka_unit_test(test_four_stages),       cmocka_unit_test(test_ledger_takes_them),
      cmocka_unit_test(test_false_hashes),      cmocka_unit_test(test_forged_fields),
      cmocka_unit_test(test_strange_proposals), cmocka_unit_test(test_submit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

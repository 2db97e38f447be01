#include "ledger_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void bench_must(plr_status st, const char *what) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_ledger: %s: %s\n", what, plr_status_message(st));
  exit(1);
}

void bench_remove_store(void) {
  unlink(PATH);
  unlink(PATH "-wal");
  unlink(PATH "-shm");
  unlink(PATH "-lock");
}

void bench_people(bench *b) {
  for (uint8_t i = 0; i < PEOPLE; i++) {
    uint8_t seed[32] = {i};
    bench_must(plr_identity_create(b->ctx, seed, &b->people[i], NULL), "identity");
    plr_identity_public_key(b->people[i], b->key[i]);
    plr_account_id(b->key[i], &b->account[i]);
  }
}

void bench_receipt(const bench *b, uint64_t epoch, uint32_t i, int sign, plr_buffer *out) {
  int worker = (int)(3 + i % (PEOPLE - 3)), up = 3 + (worker - 2) % (PEOPLE - 3);
  const int who[3] = {worker, up, 2};
  plr_receipt r = {.model = b->model, .epoch = epoch, .step = i / 8, .mb_first = i % 8};
  plr_entry_signature s[3];
  r.mb_count = r.block_end = 1;
  r.tokens = 1024;
  r.units = 1024 * 1000;
  memcpy(r.worker, b->account[worker].bytes, 32);
  memcpy(r.upstream, b->account[up].bytes, 32);
  memcpy(r.downstream, b->account[2].bytes, 32);
  bench_must(plr__receipt_encode(out, &r), "receipt");
  memset(s, 0, sizeof s);
  for (uint8_t k = 0; k < 3; k++) {
    s[k].role = k;
    memcpy(s[k].account, b->account[who[k]].bytes, 32);
    if (sign) plr__entry_sign(b->people[who[k]], k, ORIGIN, out->data, out->len, &s[k]);
  }
  bench_must(plr__entry_attach_signatures(out, s, 3), "receipt");
}

void bench_open_ledger(bench *b, const char *path) {
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  o.path = path, o.origin = ORIGIN, o.sequencer = b->people[0];
  bench_must(plr_ledger_open(b->ctx, &o, &b->ledger, NULL), "open");
  plr_entry_options e;
  plr_entry_options_init(&e, sizeof e);
  e.origin = ORIGIN;
  for (int i = 1; i < PEOPLE; i++) {
    e.author = b->people[i];
    bench_must(plr_entry_account_open(b->ctx, &e, entry, sizeof entry, &len, NULL), "account");
    bench_must(plr_ledger_append(b->ledger, entry, len, NULL, NULL), "account");
  }
  const uint64_t cost = 1000;
  plr_model_terms t;
  plr_model_terms_init(&t, sizeof t);
  t.model = b->model, t.microbatch_tokens = 1024, t.block_count = 1, t.costs = &cost;
  t.halving_units.lo = 1000000000, t.rate = 1u << 20, t.rate_divisor = 1000;
  e.author = b->people[1], e.nonce = 2;
  bench_must(plr_entry_model_register(b->ctx, &e, &t, entry, sizeof entry, &len, NULL), "model");
  bench_must(plr_ledger_append(b->ledger, entry, len, NULL, NULL), "model");
}

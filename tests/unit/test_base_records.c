/* Every public struct that says its size, as callers of other versions have it: in an allocation of exactly that size,
 * so that a byte read or written behind it is seen by ASan. The sizes are those of 0.1; they never change. */
#include "base_test.h"
#include "model_common.h"

#include <pluralis/pluralis.h>

#include "stage/stage_int.h"

typedef struct kit {
  plr_context *ctx;
  plr_model *model;
  plr_identity *identity;
  plr_corpus *corpus;
  plr_ledger *ledger;
  plr_encoder *encoder;
  plr_link *link;
  plr_stage *stage;
  uint8_t frame[512], entry[4096];
  size_t frame_len;
  plr_hash model_hash;
} kit;

static const char text[400];
static const uint8_t seed[32] = {7};
static const uint8_t no_key[32];
static float values[4 * 8];
static const uint64_t costs[2] = {5, 6};

/* Sets a field, when the struct is long enough to have it. */
#define HAS(type, field, size)                                                                     \
  (offsetof(type, field) + sizeof(((type *)0)->field) <= (size_t)(size))
#define SET(type, p, size, field, value)                                                           \
  do {                                                                                             \
    if (HAS(type, field, size)) ((type *)(p))->field = (value);                                    \
  } while (0)

/* ---- structs that are read: fill what is required, then use ------------------------------------ */

static void fill_nothing(kit *k, void *p, uint32_t size) {
  (void)k, (void)p, (void)size;
}

static plr_status use_context(kit *k, const void *options, plr_error *err) {
  (void)k;
  plr_context *ctx;
  plr_status st = plr_context_create(options, &ctx, err);
  plr_context_destroy(ctx);
  return st;
}

static plr_status use_shard(kit *k, const void *options, plr_error *err) {
  plr_shard *shard;
  plr_status st = plr_shard_create(k->ctx, k->model, options, &shard, err);
  plr_shard_destroy(shard);
  return st;
}

static plr_status use_link(kit *k, const void *options, plr_error *err) {
  plr_link *link;
  plr_status st = plr_link_create(k->ctx, k->identity, options, &link, err);
  plr_link_destroy(link);
  return st;
}

static void fill_stage(kit *k, void *p, uint32_t size) {
  SET(plr_stage_options, p, size, role, PLR_STAGE_FEEDER);
  SET(plr_stage_options, p, size, count, 1);
  SET(plr_stage_options, p, size, origin, "example.org/records");
  SET(plr_stage_options, p, size, identity, k->identity);
  SET(plr_stage_options, p, size, model, k->model);
  SET(plr_stage_options, p, size, corpus, k->corpus);
}

static plr_status use_stage(kit *k, const void *options, plr_error *err) {
  plr_stage *stage;
  plr_status st = plr_stage_create(k->ctx, options, &stage, err);
  plr_stage_destroy(stage);
  return st;
}

static void fill_ledger(kit *k, void *p, uint32_t size) {
  SET(plr_ledger_options, p, size, origin, "example.org/records");
  SET(plr_ledger_options, p, size, sequencer, k->identity);
}

static plr_status use_ledger(kit *k, const void *options, plr_error *err) {
  plr_ledger *ledger;
  plr_status st = plr_ledger_open(k->ctx, options, &ledger, err);
  plr_ledger_destroy(ledger);
  return st;
}

static void fill_entry(kit *k, void *p, uint32_t size) {
  SET(plr_entry_options, p, size, author, k->identity);
  SET(plr_entry_options, p, size, origin, "example.org/records");
}

static plr_status use_entry(kit *k, const void *options, plr_error *err) {
  size_t len;
  return plr_entry_account_open(k->ctx, options, k->entry, sizeof k->entry, &len, err);
}

static void fill_terms(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_model_terms, p, size, microbatch_tokens, 8);
  SET(plr_model_terms, p, size, block_count, 2);
  SET(plr_model_terms, p, size, halving_units, ((plr_units){1000, 0}));
  SET(plr_model_terms, p, size, rate, 1);
  SET(plr_model_terms, p, size, rate_divisor, 1);
  SET(plr_model_terms, p, size, costs, costs);
}

static plr_status use_terms(kit *k, const void *terms, plr_error *err) {
  plr_entry_options o;
  size_t len;
  plr_entry_options_init(&o, sizeof o);
  fill_entry(k, &o, sizeof o);
  return plr_entry_model_register(k->ctx, &o, terms, k->entry, sizeof k->entry, &len, err);
}

static void fill_verify(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_verify_options, p, size, origin, "example.org/records");
  SET(plr_verify_options, p, size, public_key, no_key);
}

static plr_status nothing_there(void *user, uint64_t offset, void *buf, size_t len) {
  (void)user, (void)offset, (void)buf, (void)len;
  return PLR_ERR_IO;
}

/* The options are looked at before the source: good ones get as far as its failure. */
static plr_status use_verify(kit *k, const void *options, plr_error *err) {
  plr_source source = {.size = 5000, .read_at = nothing_there};
  plr_status st = plr_ledger_verify(k->ctx, &source, options, NULL, err);
  return st == PLR_ERR_IO ? PLR_OK : st;
}

static void init_info(void *p, uint32_t size) {
  memset(p, 0, size);
  memcpy(p, &size, sizeof size);
}

static void fill_info(kit *k, void *p, uint32_t size) {
  (void)k;
  SET(plr_frame_info, p, size, role, PLR_ROLE_ACTIVATION);
}

static plr_status use_info(kit *k, const void *info, plr_error *err) {
  plr_tensor x;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, 4, 8);
  uint8_t frame[512];
  size_t len;
  plr_status st = plr_encoder_encode(k->encoder, info, &x, frame, sizeof frame, &len);
  /* A hot function: it says what, and nothing more. */
  if (st == PLR_ERR_UNSUPPORTED) snprintf(err->where, sizeof err->where, "frame info");
  return st;
}

#define INIT(name)                                                                                 \
  static void init_##name(void *p, uint32_t size) {                                                \
    plr_##name##_init(p, size);                                                                    \
  }
INIT(context_options)
INIT(shard_options)
INIT(link_options)
INIT(stage_options)
INIT(ledger_options)
INIT(entry_options)
INIT(model_terms)
INIT(verify_options)

static const struct given {
  const char *name;
  uint32_t first, now;
  void (*init)(void *p, uint32_t size);
  void (*fill)(kit *k, void *p, uint32_t size);
  plr_status (*use)(kit *k, const void *p, plr_error *err);
} givens[] = {
    {"plr_context_options", 104, sizeof(plr_context_options), init_context_options, fill_nothing,
     use_context},
    {"plr_shard_options", 32, sizeof(plr_shard_options), init_shard_options, fill_nothing,
     use_shard},
    {"plr_link_options", 160, sizeof(plr_link_options), init_link_options, fill_nothing, use_link},
    {"plr_stage_options", 96, sizeof(plr_stage_options), init_stage_options, fill_stage, use_stage},
    {"plr_ledger_options", 80, sizeof(plr_ledger_options), init_ledger_options, fill_ledger,
     use_ledger},
    {"plr_entry_options", 40, sizeof(plr_entry_options), init_entry_options, fill_entry, use_entry},
    {"plr_model_terms", 168, sizeof(plr_model_terms), init_model_terms, fill_terms, use_terms},
    {"plr_verify_options", 40, sizeof(plr_verify_options), init_verify_options, fill_verify,
     use_verify},
    {"plr_frame_info", 64, sizeof(plr_frame_info), init_info, fill_info, use_info},
};

/* ---- structs that the library fills -------------------------------------------------------------- */

static plr_status ask_error(kit *k, void *p) {
  plr_model *model;
  plr_status st = plr_model_from_json(k->ctx, "{", 1, &model, p);
  return st == PLR_ERR_MALFORMED ? PLR_OK : PLR_ERR_INTERNAL;
}

static plr_status ask_model(kit *k, void *p) {
  return plr_model_get_info(k->model, p);
}

/* A snapshot of the whole model in memory. */
typedef struct snapshot {
  uint8_t *data;
  size_t len;
} snapshot;

static plr_status snapshot_write(void *user, const void *data, size_t len) {
  snapshot *s = user;
  s->data = realloc(s->data, s->len + len);
  memcpy(s->data + s->len, data, len);
  s->len += len;
  return PLR_OK;
}

static plr_status snapshot_commit(void *user) {
  (void)user;
  return PLR_OK;
}

static plr_status snapshot_read(void *user, uint64_t offset, void *buf, size_t len) {
  const snapshot *s = user;
  if (offset > s->len || len > s->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, s->data + offset, len);
  return PLR_OK;
}

static plr_status ask_snapshot(kit *k, void *p) {
  snapshot s = {NULL, 0};
  plr_sink sink = {&s, snapshot_write, snapshot_commit, NULL};
  plr_shard *shard;
  assert_int_equal(plr_shard_create(k->ctx, k->model, NULL, &shard, NULL), PLR_OK);
  assert_int_equal(plr_shard_save(shard, &sink, NULL), PLR_OK);
  plr_shard_destroy(shard);
  plr_source source = {&s, s.len, snapshot_read, NULL};
  plr_status st = plr_snapshot_inspect(k->ctx, k->model, &source, 1, p, NULL);
  free(s.data);
  return st;
}

static plr_status ask_frame(kit *k, void *p) {
  return plr_frame_parse(k->ctx, k->frame, k->frame_len, p, NULL);
}

static plr_status ask_link(kit *k, void *p) {
  return plr_link_get_stats(k->link, p);
}

static plr_status ask_job(kit *k, void *p) {
  (void)k;
  const plr_job job = {.kind = PLR_JOB_BACKWARD, .step = 7, .micro_batch = 3};
  plr_job_get_info(&job, p);
  return PLR_OK;
}

/* A new stage each time, for an event is given once: its links are closed, so it fails. */
static plr_status ask_event(kit *k, void *p) {
  plr_stage_options o;
  plr_link_options l;
  plr_stage *stage;
  plr_link *links[2];
  plr_stage_options_init(&o, sizeof o);
  fill_stage(k, &o, sizeof o);
  assert_int_equal(plr_stage_create(k->ctx, &o, &stage, NULL), PLR_OK);
  plr_link_options_init(&l, sizeof l);
  for (uint32_t side = 0; side < 2; side++) {
    assert_int_equal(plr_link_create(k->ctx, k->identity, &l, &links[side], NULL), PLR_OK);
    assert_int_equal(plr_stage_attach(stage, side, links[side]), PLR_OK);
    plr_link_close(links[side], PLR_ERR_CLOSED);
  }
  plr_stage_advance(stage, 1);
  plr_status st = plr_stage_next_event(stage, p);
  plr_stage_destroy(stage);
  for (uint32_t side = 0; side < 2; side++) plr_link_destroy(links[side]);
  if (st != PLR_OK) return st;
  /* It points into the stage that is gone. */
  SET(plr_stage_event, p, *(uint32_t *)p, message, NULL);
  return st;
}

static plr_status ask_stage(kit *k, void *p) {
  return plr_stage_get_stats(k->stage, p);
}

static plr_status ask_ledger(kit *k, void *p) {
  return plr_ledger_summarize(k->ledger, p);
}

static plr_status ask_totals(kit *k, void *p) {
  return plr_ledger_model(k->ledger, &k->model_hash, p);
}

static const struct filled {
  const char *name;
  uint32_t first, now;
  uint32_t zero; /* a struct_size of 0 stands for the first size */
  plr_status (*ask)(kit *k, void *p);
} filleds[] = {
    {"plr_error", 320, sizeof(plr_error), 1, ask_error},
    {"plr_model_info", 160, sizeof(plr_model_info), 0, ask_model},
    {"plr_snapshot_info", 48, sizeof(plr_snapshot_info), 0, ask_snapshot},
    {"plr_frame_info", 64, sizeof(plr_frame_info), 1, ask_frame},
    {"plr_link_stats", 48, sizeof(plr_link_stats), 1, ask_link},
    {"plr_job_info", 24, sizeof(plr_job_info), 1, ask_job},
    {"plr_stage_event", 96, sizeof(plr_stage_event), 1, ask_event},
    {"plr_stage_stats", 80, sizeof(plr_stage_stats), 1, ask_stage},
    {"plr_ledger_summary", 168, sizeof(plr_ledger_summary), 0, ask_ledger},
    {"plr_model_totals", 120, sizeof(plr_model_totals), 0, ask_totals},
};

/* ---- the kit -------------------------------------------------------------------------------------- */

static void kit_ledger(kit *k) {
  plr_ledger_options l;
  plr_entry_options e;
  plr_model_terms t;
  size_t len;
  plr_ledger_options_init(&l, sizeof l);
  fill_ledger(k, &l, sizeof l);
  assert_int_equal(plr_ledger_open(k->ctx, &l, &k->ledger, NULL), PLR_OK);
  plr_entry_options_init(&e, sizeof e);
  fill_entry(k, &e, sizeof e);
  plr_model_terms_init(&t, sizeof t);
  fill_terms(k, &t, sizeof t);
  t.model.bytes[0] = k->model_hash.bytes[0] = 9;
  plr_profile_hash(&t.profile);
  uint8_t key[32];
  plr_hash account;
  plr_identity_public_key(k->identity, key);
  plr_account_id(key, &account);
  e.nonce = plr_ledger_next_nonce(k->ledger, &account);
  assert_int_equal(plr_entry_model_register(k->ctx, &e, &t, k->entry, sizeof k->entry, &len, NULL),
                   PLR_OK);
  assert_int_equal(plr_ledger_append(k->ledger, k->entry, len, NULL, NULL), PLR_OK);
}

static int setup(void **state) {
  static kit k;
  plr_codec codec;
  plr_link_options l;
  plr_stage_options s;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  *state = &k;
  k.ctx = new_context();
  k.model = new_model(k.ctx, DENSE_JSON);
  assert_int_equal(plr_identity_create(k.ctx, seed, &k.identity, NULL), PLR_OK);
  assert_int_equal(plr_corpus_create(k.ctx, text, sizeof text, &k.corpus, NULL), PLR_OK);
  assert_int_equal(plr_codec_from_name("raw", &codec), PLR_OK);
  assert_int_equal(plr_encoder_create(k.ctx, &codec, 4, 8, &k.encoder, NULL), PLR_OK);
  plr_tensor x;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, 4, 8);
  assert_int_equal(plr_encoder_encode(k.encoder, &info, &x, k.frame, sizeof k.frame, &k.frame_len),
                   PLR_OK);
  plr_link_options_init(&l, sizeof l);
  assert_int_equal(plr_link_create(k.ctx, k.identity, &l, &k.link, NULL), PLR_OK);
  plr_stage_options_init(&s, sizeof s);
  fill_stage(&k, &s, sizeof s);
  assert_int_equal(plr_stage_create(k.ctx, &s, &k.stage, NULL), PLR_OK);
  kit_ledger(&k);
  return 0;
}

static int teardown(void **state) {
  kit *k = *state;
  plr_stage_destroy(k->stage);
  plr_link_destroy(k->link);
  plr_encoder_destroy(k->encoder);
  plr_ledger_destroy(k->ledger);
  plr_corpus_destroy(k->corpus);
  plr_identity_destroy(k->identity);
  plr_model_destroy(k->model);
  plr_context_destroy(k->ctx);
  return 0;
}

/* The ends of the fields of a struct, from the table that bindings are checked with: the sizes at which a pointer is
 * there or not there, but never cut. Returns how many. */
static uint32_t field_ends(const char *name, uint32_t ends[64]) {
  char line[200], field[120];
  unsigned offset, size;
  uint32_t count = 0;
  FILE *f = fopen(PLR_SOURCE_DIR "/tests/abi/layout.txt", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    size_t len = strlen(name);
    if (sscanf(line, "field %119s %u %u", field, &offset, &size) == 3 &&
        !strncmp(field, name, len) && field[len] == '.' && count < 64)
      ends[count++] = offset + size;
  }
  fclose(f);
  assert_true(count > 1);
  return count;
}

static void *exactly(uint32_t size) {
  void *p = malloc(size);
  assert_non_null(p);
  memset(p, 0xee, size);
  return p;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static plr_status use_sized(kit *k, const struct given *g, uint32_t size, uint32_t filled_size) {
  plr_error err = {.struct_size = sizeof err};
  void *p = exactly(size);
  g->init(p, size);
  g->fill(k, p, filled_size);
  plr_status st = g->use(k, p, &err);
  free(p);
  return st;
}

static void test_older(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    assert_true(g->now >= g->first);
    plr_status st = use_sized(k, g, g->first, g->first);
    if (st != PLR_OK) fail_msg("%s of 0.1: %s", g->name, plr_status_name(st));
    uint32_t ends[64], count = field_ends(g->name, ends);
    for (uint32_t e = 0; e < count; e++) {
      /* A shorter one is a whole one that left the rest as it was. */
      plr_status whole = use_sized(k, g, g->now, ends[e]), part = use_sized(k, g, ends[e], ends[e]);
      if (whole != part)
        fail_msg("%s of %u bytes: %s, not %s", g->name, ends[e], plr_status_name(part),
                 plr_status_name(whole));
    }
  }
}

static void test_newer(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    const uint32_t size = g->now + 24;
    plr_status st = use_sized(k, g, size, size);
    if (st != PLR_OK) fail_msg("%s with a zero tail: %s", g->name, plr_status_name(st));
    for (uint32_t at = g->now; at < size; at++) {
      plr_error err = {.struct_size = sizeof err};
      uint8_t *p = exactly(size);
      g->init(p, size);
      g->fill(k, p, size);
      p[at] = 1;
      st = g->use(k, p, &err);
      if (st != PLR_ERR_UNSUPPORTED || !err.where[0])
        fail_msg("%s with byte %u set: %s", g->name, at, plr_status_name(st));
      free(p);
    }
  }
}

static void test_no_size(void **state) {
  kit *k = *state;
  const uint32_t bad[] = {1, 3, 4097, 0xeeeeeeee, UINT32_MAX};
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    void *p = exactly(g->now);
    for (size_t b = 0; b < PLR_COUNT_OF(bad); b++) {
      plr_error err = {.struct_size = sizeof err};
      g->init(p, g->now);
      g->fill(k, p, g->now);
      memcpy(p, &bad[b], 4);
      assert_int_equal(g->use(k, p, &err), PLR_ERR_INVALID_ARGUMENT);
    }
    free(p);
  }
}

/* Asks with `size` bytes that say `said`, and compares with what a struct of this version gets. */
static void ask_sized(kit *k, const struct filled *f, uint32_t size, uint32_t said) {
  uint8_t *whole = exactly(f->now), *p = exactly(size);
  memcpy(whole, &f->now, 4);
  memcpy(p, &said, 4);
  assert_int_equal(f->ask(k, whole), PLR_OK);
  plr_status st = f->ask(k, p);
  if (st != PLR_OK) fail_msg("%s of %u bytes: %s", f->name, size, plr_status_name(st));
  uint32_t got;
  memcpy(&got, p, 4);
  if (f->ask != ask_error) assert_int_equal(got, size);
  assert_memory_equal(p + 4, whole + 4, PLR_MIN(size, f->now) - 4);
  for (uint32_t at = f->now; at < size && f->ask != ask_error; at++) assert_int_equal(p[at], 0);
  free(whole);
  free(p);
}

static void test_filled(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) {
    const struct filled *f = &filleds[i];
    assert_true(f->now >= f->first);
    uint32_t ends[64], count = field_ends(f->name, ends);
    for (uint32_t e = 0; e < count; e++)
      if (ends[e] >= 8) ask_sized(k, f, ends[e], ends[e]);
    ask_sized(k, f, f->first, f->first);
    ask_sized(k, f, f->now + 24, f->now + 24);
    if (f->zero) ask_sized(k, f, f->first, 0);
  }
}

static void test_filled_no_size(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) {
    const struct filled *f = &filleds[i];
    if (f->ask == ask_error) continue; /* a failure is reported whatever there is to report it in */
    uint8_t *p = exactly(f->now), *before = exactly(f->now);
    const uint32_t bad[] = {3, 5000, 0xeeeeeeee};
    for (size_t b = 0; b < PLR_COUNT_OF(bad); b++) {
      memcpy(p, &bad[b], 4), memcpy(before, &bad[b], 4);
      plr_status st = f->ask(k, p);
      if (f->ask != ask_job && st != PLR_ERR_INVALID_ARGUMENT)
        fail_msg("%s with struct_size %u: %s", f->name, bad[b], plr_status_name(st));
      assert_memory_equal(p, before, f->now);
    }
    free(p);
    free(before);
  }
}

/* A struct added to the headers is added here. */
static void test_all_are_here(void **state) {
  (void)state;
  char line[200], name[120];
  unsigned found = 0;
  FILE *f = fopen(PLR_SOURCE_DIR "/tests/abi/layout.txt", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    char *dot = strstr(line, ".struct_size 0 4");
    if (!dot || sscanf(line, "field %119[^.]", name) != 1) continue;
    int here = 0;
    for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) here |= !strcmp(givens[i].name, name);
    for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) here |= !strcmp(filleds[i].name, name);
    if (!here) fail_msg("no test of %s", name);
    found++;
  }
  fclose(f);
  assert_true(found >= 17);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_older),          cmocka_unit_test(test_newer),
      cmocka_unit_test(test_no_size),        cmocka_unit_test(test_filled),
      cmocka_unit_test(test_filled_no_size), cmocka_unit_test(test_all_are_here),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

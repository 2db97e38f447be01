/* Mirrors of a published log: copies, resumptions, and servers that are slow, broken or not honest. */
#include "mirror_kit.h"

#include "http_site.h"

typedef struct stage {
  kit k;
  http_site site;
  mirrored m;
} stage;

static void begin(stage *s, uint64_t size) {
  kit_init(&s->k, 2);
  if (!has_remote(&s->k)) {
    kit_done(&s->k);
    print_message("skipped: this build has no libcurl\n");
    skip();
  }
  scratch_begin();
  open_long(&s->k, size);
  publish_site(&s->k);
  site_start(&s->site, site_path);
  mirror_options(&s->k, &s->m, s->site.url, NULL);
}

static void end(stage *s) {
  mirror_close(&s->m);
  site_stop(&s->site);
  scratch_end();
  kit_done(&s->k);
}

/* ---- copies -------------------------------------------------------------------------------------- */

/* Growing through sizes around those where tiles fill up, with the copy on disk closed in between. */
static void follows(void **state) {
  (void)state;
  static const uint64_t sizes[] = {45,  46,   255,   256,   257,   512,
                                   700, 5000, 65535, 65536, 65537, 70000};
  stage s;
  begin(&s, sizes[0]);
  s.m.o.path = copy_path;
  for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
    plr_ledger *ours = s.k.ledger;
    plr_append_item item = {.entry = "x", .len = 1};
    for (uint64_t n = kit_summary(ours).entries; n < sizes[i]; n++) {
      enum { MANY = 1024 };
      static plr_append_item many[MANY];
      size_t count = (size_t)PLR_MIN(MANY, sizes[i] - n);
      for (size_t j = 0; j < count; j++) many[j] = item;
      assert_int_equal(plr_ledger_append_many(ours, many, count, NULL), PLR_OK);
      n += count - 1;
    }
    publish_site(&s.k);
    mirror_open(&s.k, &s.m);
    if (s.m.mirror && i == 0) assert_null(plr_mirror_ledger(s.m.mirror));
    mirror_good(&s.m);
    assert_int_equal(kit_summary(plr_mirror_ledger(s.m.mirror)).entries, sizes[i]);
    same_ledger(ours, plr_mirror_ledger(s.m.mirror));
    mirror_good(&s.m); /* and nothing new */
    mirror_close(&s.m);
  }
  assert_int_equal(s.m.seen.total, 70000);
  /* The copy is a ledger file as any other, for reading. */
  plr_ledger_options o = kit_options(&s.k, copy_path);
  plr_ledger *copy;
  o.sequencer = NULL;
  assert_int_equal(plr_ledger_open(s.k.ctx, &o, &copy, NULL), PLR_OK);
  same_ledger(s.k.ledger, copy);
  plr_ledger_destroy(copy);
  end(&s);
}

/* A mirror of a mirror: the copy is published under the checkpoint of the log. */
static void passes_on(void **state) {
  (void)state;
  stage s;
  char second[128];
  http_site again;
  mirrored m;
  begin(&s, 1000);
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  snprintf(second, sizeof second, "%s/second", scratch);
  assert_int_equal(plr_ledger_publish_path(plr_mirror_ledger(s.m.mirror), second, NULL, NULL),
                   PLR_OK);
  site_start(&again, second);
  mirror_options(&s.k, &m, again.url, NULL);
  mirror_open(&s.k, &m);
  mirror_good(&m);
  same_ledger(s.k.ledger, plr_mirror_ledger(m.mirror));
  mirror_close(&m);
  site_stop(&again);
  char note[4096];
  size_t len;
  assert_int_equal(
      plr_ledger_checkpoint(plr_mirror_ledger(s.m.mirror), note, sizeof note, &len, NULL),
      PLR_ERR_INVALID_STATE); /* it signs nothing */
  end(&s);
}

/* Files come over few connections, which are kept. */
static void keeps_connections(void **state) {
  (void)state;
  stage s;
  begin(&s, 20000);
  s.m.r.parallel = 4;
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  plr_mirror_stats st = {.struct_size = sizeof st};
  assert_int_equal(plr_mirror_get_stats(s.m.mirror, &st), PLR_OK);
  assert_true(s.site.connections <= 5);
  assert_int_equal(s.site.requests, st.files);
  assert_true(st.files >= 79 && st.retries == 0 && st.received == st.decoded &&
              st.received > 600000);
  assert_true(s.m.seen.calls > 0 && s.m.seen.bytes == st.received && s.m.seen.done == 20000);
  end(&s);
}

static void believes_when_told(void **state) {
  (void)state;
  stage s;
  begin(&s, 300);
  s.m.o.skip_signatures = 1;
  s.m.o.path = copy_path;
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
  mirror_close(&s.m);
  s.m.o.skip_signatures = 0;
  mirror_open(&s.k, &s.m); /* opens again */
  mirror_good(&s.m);
  end(&s);
}

/* ---- interruptions -------------------------------------------------------------------------------- */

static void host_stops(void **state) {
  (void)state;
  stage s;
  plr_error err;
  begin(&s, 30000);
  s.m.o.path = copy_path;
  s.m.r.parallel = 2;
  s.m.seen.stop_at = 5000, s.m.seen.with = PLR_ERR_AGAIN;
  mirror_open(&s.k, &s.m);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_AGAIN);
  uint64_t have = kit_summary(plr_mirror_ledger(s.m.mirror)).entries;
  assert_true(have >= 5000 && have < 30000);
  mirror_close(&s.m);
  s.m.seen.stop_at = 0;
  int before = s.site.requests;
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  /* Only what was missing was asked for again. */
  assert_true((uint64_t)(s.site.requests - before) < (30000 - have) / 256 + 10);
  same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
  end(&s);
}

/* The server goes away in the middle; the copy goes on later with what it has. */
static void cut_and_resumed(void **state) {
  (void)state;
  stage s;
  plr_error err;
  begin(&s, 20000);
  s.m.r.retries = 1;
  mirror_open(&s.k, &s.m);
  for (int round = 0; round < 3; round++) {
    site_fault_set(
        &s.site,
        (site_fault){.path = "tile/entries", .kind = FAULT_NOISE, .times = -1, .skip = 20});
    assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_IO);
    plr_ledger *copy = plr_mirror_ledger(s.m.mirror);
    assert_non_null(copy);
    assert_true(kit_summary(copy).entries % 256 == 0);
  }
  site_heal(&s.site);
  mirror_good(&s.m);
  same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
  end(&s);
}

/* ---- faults that pass ----------------------------------------------------------------------------- */

static void recovers(void **state) {
  (void)state;
  static const site_fault faults[] = {
      {.path = "/", .kind = FAULT_STATUS, .number = 500, .times = 4},
      {.path = "tile/", .kind = FAULT_STATUS, .number = 503, .times = 7},
      {.path = "tile/", .kind = FAULT_STATUS, .number = 429, .times = 3},
      {.path = "tile/entries", .kind = FAULT_CUT, .times = 3},
      {.path = "tile/", .kind = FAULT_CHUNKED, .times = 3},
      {.path = "checkpoint", .kind = FAULT_CUT, .times = 2},
      {.path = "tile/entries", .kind = FAULT_STALL, .number = 5000, .times = 1},
  };
  stage s;
  begin(&s, 2500);
  s.m.r.timeout_ms = 800;
  s.m.r.retries = 9;
  for (size_t i = 0; i < PLR_COUNT_OF(faults); i++) {
    site_fault_set(&s.site, faults[i]);
    mirror_open(&s.k, &s.m);
    mirror_good(&s.m);
    same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
    plr_mirror_stats st = {.struct_size = sizeof st};
    plr_mirror_get_stats(s.m.mirror, &st);
    assert_int_equal(st.retries, faults[i].times);
    mirror_close(&s.m);
  }
  end(&s);
}

static void obeys_retry_after(void **state) {
  (void)state;
  stage s;
  struct timespec a, b;
  begin(&s, 300);
  site_fault_set(&s.site,
                 (site_fault){.path = "checkpoint", .kind = FAULT_BUSY, .number = 1, .times = 1});
  mirror_open(&s.k, &s.m);
  clock_gettime(CLOCK_MONOTONIC, &a);
  mirror_good(&s.m);
  clock_gettime(CLOCK_MONOTONIC, &b);
  assert_true((double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec) >= 1.0);
  end(&s);
}

/* A file may have moved. */
static void follows_redirections(void **state) {
  (void)state;
  stage s;
  char to[128];
  begin(&s, 300);
  snprintf(to, sizeof to, "%s/tile/entries/000", s.site.url);
  /* The bundle's first answer is a redirection to itself, as a server with another idea of its name gives. */
  site_fault_set(
      &s.site,
      (site_fault){.path = "tile/entries/000", .kind = FAULT_REDIRECT, .text = to, .times = 1});
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  end(&s);
}

/* ---- faults that do not ----------------------------------------------------------------------------- */

static void gives_up(void **state) {
  (void)state;
  static const struct {
    site_fault fault;
    plr_status status;
    const char *where, *says;
  } cases[] = {
      {{.path = "checkpoint", .kind = FAULT_STATUS, .number = 404},
       PLR_ERR_NOT_FOUND,
       "checkpoint",
       "404"},
      {{.path = "entries/003", .kind = FAULT_STATUS, .number = 404},
       PLR_ERR_NOT_FOUND,
       "tile/entries/003",
       "404"},
      {{.path = "entries/003", .kind = FAULT_STATUS, .number = 410},
       PLR_ERR_NOT_FOUND,
       "tile/entries/003",
       "410"},
      {{.path = "entries/003", .kind = FAULT_STATUS, .number = 403},
       PLR_ERR_IO,
       "tile/entries/003",
       "403"},
      {{.path = "entries/003", .kind = FAULT_STATUS, .number = 204},
       PLR_ERR_IO,
       "tile/entries/003",
       "204"},
      {{.path = "tile/1", .kind = FAULT_STATUS, .number = 500},
       PLR_ERR_UNAVAILABLE,
       "tile/1/000.p/9",
       "500"},
      {{.path = "tile/0", .kind = FAULT_STATUS, .number = 429},
       PLR_ERR_UNAVAILABLE,
       "tile/0/009.p/196",
       "429"},
      {{.path = "entries/004", .kind = FAULT_CUT}, PLR_ERR_TRUNCATED, "tile/entries/004", ""},
      {{.path = "entries/004", .kind = FAULT_CHUNKED}, PLR_ERR_TRUNCATED, "tile/entries/004", ""},
      {{.path = "entries/004", .kind = FAULT_STALL, .number = 5000},
       PLR_ERR_UNAVAILABLE,
       "tile/entries/004",
       "timed out"},
      {{.path = "entries/004", .kind = FAULT_NOISE}, PLR_ERR_IO, "tile/entries/004", ""},
      {{.path = "checkpoint", .kind = FAULT_ENDLESS}, PLR_ERR_LIMIT, "checkpoint", "more bytes"},
      {{.path = "tile/0", .kind = FAULT_ENDLESS}, PLR_ERR_LIMIT, "tile/0/009.p/196", "more bytes"},
      {{.path = "entries/004", .kind = FAULT_ENDLESS},
       PLR_ERR_LIMIT,
       "tile/entries/004",
       "more bytes"},
      {{.path = "entries/004", .kind = FAULT_HUGE}, PLR_ERR_LIMIT, "tile/entries/004", ""},
      {{.path = "entries/004", .kind = FAULT_FLIP}, PLR_ERR_CHECKSUM, "bundle", "4 is not"},
      {{.path = "entries/009", .kind = FAULT_FLIP}, PLR_ERR_CHECKSUM, "bundle", "9 is not"},
      {{.path = "entries/004", .kind = FAULT_SHORT}, PLR_ERR_MALFORMED, "bundle", "4 ends in"},
      {{.path = "tile/1", .kind = FAULT_FLIP}, PLR_ERR_CHECKSUM, "rebuild", "root"},
      {{.path = "tile/0", .kind = FAULT_SHORT}, PLR_ERR_MALFORMED, "tile", "0/9 has"},
      {{.path = "checkpoint", .kind = FAULT_SHORT}, PLR_ERR_MALFORMED, "note", ""},
      {{.path = "checkpoint", .kind = FAULT_REDIRECT, .text = "/checkpoint"},
       PLR_ERR_IO,
       "checkpoint",
       "redirect"},
      {{.path = "checkpoint", .kind = FAULT_REDIRECT, .text = "file:///etc/hostname"},
       PLR_ERR_IO,
       "checkpoint",
       ""},
      {{.path = "checkpoint", .kind = FAULT_REDIRECT, .text = "ftp://127.0.0.1/checkpoint"},
       PLR_ERR_IO,
       "checkpoint",
       ""},
  };
  stage s;
  plr_error err;
  begin(&s, 2500);
  s.m.r.retries = 1;
  s.m.r.timeout_ms = 1500;
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    site_fault fault = cases[i].fault;
    fault.times = -1;
    s.m.r.timeout_ms = fault.kind == FAULT_STALL ? 400 : 5000;
    mirror_open(&s.k, &s.m);
    site_fault_set(&s.site, fault);
    plr_status st = mirror_update(&s.m, &err);
    if (st != cases[i].status || strcmp(err.where, cases[i].where) != 0 ||
        !strstr(err.message, cases[i].says))
      fail_msg("case %zu: %s: %s: %s", i, plr_status_name(st), err.where, err.message);
    /* Nothing that is not the log's is kept, and when the server is well again the copy is made. */
    site_heal(&s.site);
    mirror_good(&s.m);
    same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
    mirror_close(&s.m);
  }
  end(&s);
}

static void nobody_there(void **state) {
  (void)state;
  stage s;
  plr_error err;
  begin(&s, 40);
  char url[64];
  strcpy(url, s.site.url);
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  site_stop(&s.site);
  s.m.r.retries = 1;
  mirrored m;
  mirror_options(&s.k, &m, url, NULL);
  m.r.retries = 1;
  mirror_open(&s.k, &m);
  assert_int_equal(mirror_update(&m, &err), PLR_ERR_UNAVAILABLE);
  assert_null(plr_mirror_ledger(m.mirror));
  char note[8];
  size_t len;
  assert_int_equal(plr_mirror_shown(m.mirror, note, sizeof note, &len), PLR_ERR_NOT_FOUND);
  mirror_close(&m);
  site_start(&s.site, site_path);
  end(&s);
}

/* ---- memory --------------------------------------------------------------------------------------- */

typedef struct fading {
  uint64_t left; /* allocations that succeed */
} fading;

static void *fading_alloc(void *user, size_t size, size_t align) {
  fading *f = user;
  if (f->left == 0) return NULL;
  f->left--;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

static void fading_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)size, (void)align;
  free(ptr);
}

/* Each allocation fails in turn: the mirror says so, and goes on when there is memory again. */
static void no_memory(void **state) {
  (void)state;
  stage s;
  fading f = {UINT64_MAX};
  plr_context_options o;
  plr_context *poor;
  begin(&s, 600);
  plr_context_options_init(&o, sizeof o);
  o.allocator = (plr_allocator){&f, fading_alloc, fading_free};
  assert_int_equal(plr_context_create(&o, &poor, NULL), PLR_OK);
  uint64_t failures = 0;
  for (uint64_t n = 0, done = 0; !done; n += 1 + n / 16) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    f.left = n;
    plr_status st = plr_mirror_create(poor, &s.m.o, &s.m.mirror, &err);
    if (st == PLR_OK) st = plr_mirror_update(s.m.mirror, NULL, &err);
    if (st != PLR_OK && st != PLR_ERR_NO_MEMORY)
      fail_msg("%s: %s: %s", plr_status_name(st), err.where, err.message);
    done = st == PLR_OK;
    failures += !done;
    f.left = UINT64_MAX;
    if (s.m.mirror) {
      mirror_good(&s.m);
      same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
    }
    mirror_close(&s.m);
  }
  assert_true(failures > 20);
  plr_context_destroy(poor);
  end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(follows),
      cmocka_unit_test(passes_on),
      cmocka_unit_test(keeps_connections),
      cmocka_unit_test(believes_when_told),
      cmocka_unit_test(host_stops),
      cmocka_unit_test(cut_and_resumed),
      cmocka_unit_test(recovers),
      cmocka_unit_test(obeys_retry_after),
      cmocka_unit_test(follows_redirections),
      cmocka_unit_test(gives_up),
      cmocka_unit_test(nobody_there),
      cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

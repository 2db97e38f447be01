/* What a mirror, a publisher and a sequencer do when the other side is not honest, or not itself any more: forks,
 * logs that were set back, missing witnesses, other logs; and every answer a witness can give. */
#include "mirror_kit.h"

#include "http_site.h"

#define WITNESS "witness.example/w1"

typedef struct stage {
  kit k, other; /* two histories of one log, by one key */
  http_site site;
  mirrored m;
  char second[128];
} stage;

typedef struct judged {
  plr_witness *witness;
  plr_identity *identity;
  plr_witness_key key;
  int instead, times; /* answers `instead` with `says` so many times */
  const char *says;
  int asked;
} judged;

static void witness_end(judged *j) {
  plr_witness_destroy(j->witness);
  plr_identity_destroy(j->identity);
}

static void begin(stage *s) {
  kit_init(&s->k, 1);
  if (!has_remote(&s->k)) {
    kit_done(&s->k);
    print_message("skipped: this build has no libcurl\n");
    skip();
  }
  scratch_begin();
  snprintf(s->second, sizeof s->second, "%s/second", scratch);
  kit_init(&s->other, 1);
  open_long(&s->k, 300);
  open_long(&s->other, 300);
  publish_site(&s->k);
  site_start(&s->site, site_path);
  mirror_options(&s->k, &s->m, s->site.url, NULL);
  s->m.r.retries = 1;
}

static void end(stage *s) {
  mirror_close(&s->m);
  site_stop(&s->site);
  if (s->site.user) witness_end(s->site.user);
  scratch_end();
  kit_done(&s->other);
  kit_done(&s->k);
}

static void add(kit *k, const char *text, size_t times) {
  plr_append_item item = {.entry = text, .len = strlen(text)};
  for (size_t i = 0; i < times; i++)
    assert_int_equal(plr_ledger_append_many(k->ledger, &item, 1, NULL), PLR_OK);
}

static void serve_other(stage *s) {
  sign(&s->other);
  assert_int_equal(plr_ledger_publish_path(s->other.ledger, s->second, NULL, NULL), PLR_OK);
  snprintf(s->site.folder, sizeof s->site.folder, "%s", s->second);
}

/* ---- other histories -------------------------------------------------------------------------------- */

/* The same size with another root: the two checkpoints are a proof that convinces anyone. */
static void fork_of_equal_size(void **state) {
  (void)state;
  stage s;
  plr_error err;
  char ours[4096], theirs[4096];
  size_t ours_len, theirs_len;
  begin(&s);
  add(&s.k, "ours", 1), add(&s.other, "theirs", 1);
  publish_site(&s.k);
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  serve_other(&s);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_MISMATCH);
  assert_non_null(strstr(err.message, "another history"));
  plr_ledger *copy = plr_mirror_ledger(s.m.mirror);
  assert_int_equal(plr_ledger_resource(copy, "checkpoint", ours, sizeof ours, &ours_len, NULL),
                   PLR_OK);
  assert_int_equal(plr_mirror_shown(s.m.mirror, theirs, sizeof theirs, &theirs_len), PLR_OK);
  assert_int_equal(plr_log_verify_fork(ours, ours_len, theirs, theirs_len, ORIGIN, s.m.key, NULL),
                   PLR_OK);
  assert_int_equal(plr_mirror_shown(s.m.mirror, theirs, 10, &theirs_len), PLR_ERR_BUFFER_TOO_SMALL);
  same_ledger(s.k.ledger, copy);
  snprintf(s.site.folder, sizeof s.site.folder, "%s", site_path);
  mirror_good(&s.m);
  end(&s);
}

/* Forks that are larger and smaller than the copy, and differ early or late. */
static void forks_of_other_sizes(void **state) {
  (void)state;
  for (int larger = 0; larger < 2; larger++) {
    stage s;
    plr_error err;
    begin(&s);
    add(&s.k, "ours", larger ? 5 : 900), add(&s.other, "theirs", larger ? 900 : 5);
    publish_site(&s.k);
    mirror_open(&s.k, &s.m);
    mirror_good(&s.m);
    serve_other(&s);
    assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_MISMATCH);
    same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
    end(&s);
  }
}

/* An older state of the same log is refused too, and is not a fork. */
static void set_back(void **state) {
  (void)state;
  stage s;
  plr_error err;
  begin(&s);
  add(&s.k, "ours", 40);
  publish_site(&s.k);
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  serve_other(&s); /* 300 entries, which is how ours began */
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_SEQUENCE);
  same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
  end(&s);
}

static void other_logs(void **state) {
  (void)state;
  stage s;
  plr_error err;
  begin(&s);
  s.m.o.path = copy_path;
  mirror_open(&s.k, &s.m);
  mirror_good(&s.m);
  mirror_close(&s.m);
  uint8_t key[32];
  plr_identity_public_key(s.k.people[DATA], key);
  s.m.o.public_key = key; /* the file is of another */
  assert_int_equal(plr_mirror_create(s.k.ctx, &s.m.o, &s.m.mirror, NULL), PLR_ERR_MISMATCH);
  s.m.o.path = NULL;
  mirror_open(&s.k, &s.m);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_SIGNATURE);
  mirror_close(&s.m);
  s.m.o.public_key = s.m.key;
  s.m.o.origin = "example.org/other";
  mirror_open(&s.k, &s.m);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_SIGNATURE);
  end(&s);
}

static void bad_options(void **state) {
  (void)state;
  stage s;
  begin(&s);
  const plr_mirror_options good = s.m.o;
  static const char *const urls[] = {"",          "example.org", "ftp://example.org", "http://",
                                     "http:///x", "http://a?b",  "https://a#b"};
  for (size_t i = 0; i < PLR_COUNT_OF(urls); i++) {
    s.m.o = good, s.m.o.url = urls[i];
    assert_int_equal(plr_mirror_create(s.k.ctx, &s.m.o, &s.m.mirror, NULL),
                     PLR_ERR_INVALID_ARGUMENT);
  }
#define REFUSED(change)                                                                            \
  do {                                                                                             \
    s.m.o = good;                                                                                  \
    plr_remote_options_init(&s.m.r, sizeof s.m.r);                                                 \
    change;                                                                                        \
    assert_int_equal(plr_mirror_create(s.k.ctx, &s.m.o, &s.m.mirror, NULL),                        \
                     PLR_ERR_INVALID_ARGUMENT);                                                    \
    assert_null(s.m.mirror);                                                                       \
  } while (0)
  REFUSED(s.m.o.url = NULL);
  REFUSED(s.m.o.origin = NULL);
  REFUSED(s.m.o.public_key = NULL);
  REFUSED(s.m.o.origin = "a b");
  REFUSED(s.m.o.path = "");
  REFUSED(s.m.o.quorum = 1);
  REFUSED(s.m.o.witness_count = 1);
  REFUSED(s.m.r.parallel = 0);
  REFUSED(s.m.r.parallel = 65);
  REFUSED(s.m.r.retries = 101);
  REFUSED(s.m.r.timeout_ms = 0);
  REFUSED(s.m.r.stall_timeout_s = 0);
  REFUSED(s.m.r.sigv4 = "aws:amz:x:s3");
  s.m.o = good;
  end(&s);
}

/* ---- witnesses ---------------------------------------------------------------------------------------- */

static int judge(void *user, const char *path, const char *body, size_t len, char *out,
                 size_t cap) {
  judged *j = user;
  uint32_t status;
  size_t n;
  if (strcmp(path, "/add-checkpoint") != 0) return 404;
  j->asked++;
  if (j->times > 0) {
    j->times--;
    snprintf(out, cap, "%s", j->says);
    return j->instead;
  }
  if (plr_witness_add_checkpoint(j->witness, 1700000000, body, len, &status, out, cap - 1, &n))
    return 500;
  out[n] = 0;
  return (int)status;
}

static void witness_begin(stage *s, judged *j) {
  memset(j, 0, sizeof *j);
  j->identity = kit_identity(s->k.ctx, 77);
  j->key.name = WITNESS;
  plr_identity_public_key(j->identity, j->key.public_key);
  assert_int_equal(plr_witness_create(s->k.ctx, WITNESS, j->identity, NULL, &j->witness, NULL),
                   PLR_OK);
  assert_int_equal(plr_witness_add_log(j->witness, ORIGIN, s->m.key, NULL), PLR_OK);
  s->site.user = j;
  s->site.post = judge;
}

static plr_status ask(stage *s, const judged *j, plr_error *err) {
  plr_error_init(err, sizeof *err);
  plr_status st = plr_ledger_cosign_url(s->k.ledger, &j->key, s->site.url, &s->m.r, err);
  assert_int_equal(err->status, st);
  return st;
}

static void quorum(void **state) {
  (void)state;
  stage s;
  judged j;
  plr_error err;
  begin(&s);
  witness_begin(&s, &j);
  plr_witness_key keys[2] = {j.key, {.name = "witness.example/w2", .public_key = {1}}};
  s.m.o.witnesses = keys, s.m.o.witness_count = 2, s.m.o.quorum = 1;
  mirror_open(&s.k, &s.m);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_SIGNATURE); /* nobody has signed */
  assert_non_null(strstr(err.message, "0 witnesses signed it, 1"));
  assert_null(plr_mirror_ledger(s.m.mirror));
  assert_int_equal(ask(&s, &j, &err), PLR_OK);
  publish_site(&s.k);
  mirror_good(&s.m);
  same_ledger(s.k.ledger, plr_mirror_ledger(s.m.mirror));
  mirror_close(&s.m);
  s.m.o.quorum = 2;
  mirror_open(&s.k, &s.m);
  assert_int_equal(mirror_update(&s.m, &err), PLR_ERR_SIGNATURE);
  assert_non_null(strstr(err.message, "1 witnesses signed it, 2"));
  end(&s);
}

static void every_answer(void **state) {
  (void)state;
  stage s;
  judged j;
  plr_error err;
  begin(&s);
  witness_begin(&s, &j);
  static const struct {
    int status;
    const char *says;
    plr_status want;
  } cases[] = {{200, "", PLR_ERR_SIGNATURE},
               {200, "not a line", PLR_ERR_MALFORMED},
               {200, "\xe2\x80\x94 witness.example/w1 AAAAAAAA\n", PLR_ERR_SIGNATURE},
               {400, "", PLR_ERR_MALFORMED},
               {403, "", PLR_ERR_SIGNATURE},
               {404, "", PLR_ERR_NOT_FOUND},
               {422, "", PLR_ERR_PROOF},
               {418, "", PLR_ERR_IO},
               {302, "", PLR_ERR_IO},
               {409, "301\n", PLR_ERR_SEQUENCE},
               {409, "", PLR_ERR_MALFORMED},
               {409, "ten\n", PLR_ERR_MALFORMED},
               {409, "99999999999999999999\n", PLR_ERR_MALFORMED},
               {409, "-1\n", PLR_ERR_MALFORMED},
               {409, "100\n", PLR_ERR_MISMATCH},
               {500, "", PLR_ERR_UNAVAILABLE},
               {429, "", PLR_ERR_UNAVAILABLE}};
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    j.instead = cases[i].status, j.says = cases[i].says, j.times = 10;
    plr_status st = ask(&s, &j, &err);
    if (st != cases[i].want)
      fail_msg("%d \"%s\": %s: %s", cases[i].status, cases[i].says, plr_status_name(st),
               err.message);
  }
  j.instead = 503, j.says = "", j.times = 1; /* and one that passes */
  assert_int_equal(ask(&s, &j, &err), PLR_OK);
  end(&s);
}

/* The real witness: first time, growth, again the same, and a history that it does not follow. */
static void follows_growth(void **state) {
  (void)state;
  stage s;
  judged j;
  plr_error err;
  uint32_t good;
  char note[4096];
  size_t len;
  begin(&s);
  witness_begin(&s, &j);
  assert_int_equal(ask(&s, &j, &err), PLR_OK);
  assert_int_equal(j.asked, 1);
  assert_int_equal(ask(&s, &j, &err), PLR_OK); /* 409, then from there */
  assert_int_equal(j.asked, 3);
  add(&s.k, "more", 500);
  sign(&s.k);
  assert_int_equal(ask(&s, &j, &err), PLR_OK);
  assert_int_equal(plr_ledger_resource(s.k.ledger, "checkpoint", note, sizeof note, &len, NULL),
                   PLR_OK);
  assert_int_equal(plr_log_count_cosignatures(s.k.ctx, note, len, &j.key, 1, &good, NULL, NULL),
                   PLR_OK);
  assert_int_equal(good, 1);
  add(&s.other, "else", 600);
  sign(&s.other);
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_cosign_url(s.other.ledger, &j.key, s.site.url, &s.m.r, &err),
                   PLR_ERR_PROOF);
  /* An unknown log, and one whose key is another. */
  plr_witness_destroy(j.witness);
  assert_int_equal(plr_witness_create(s.k.ctx, WITNESS, j.identity, NULL, &j.witness, NULL),
                   PLR_OK);
  assert_int_equal(ask(&s, &j, &err), PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_witness_add_log(j.witness, ORIGIN, j.key.public_key, NULL), PLR_OK);
  assert_int_equal(ask(&s, &j, &err), PLR_ERR_SIGNATURE);
  end(&s);
}

/* A restored backup sees what was signed before, and signs nothing more. */
static void backup(void **state) {
  (void)state;
  stage s;
  plr_error err;
  char path[256], hex[65], note[4096];
  plr_hash id;
  size_t len;
  begin(&s);
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_guard_url(s.k.ledger, s.site.url, &s.m.r, &err), PLR_ERR_NOT_FOUND);
  add(&s.k, "more", 1);
  sign(&s.k);
  assert_int_equal(plr_ledger_resource(s.k.ledger, "checkpoint", note, sizeof note, &len, NULL),
                   PLR_OK);
  plr_sha256(ORIGIN, strlen(ORIGIN), &id);
  plr__hex_encode(id.bytes, 32, hex);
  snprintf(path, sizeof path, "%s/%s", site_path, hex);
  assert_int_equal(mkdir(path, 0700), 0);
  snprintf(path, sizeof path, "%s/%s/checkpoint", site_path, hex);
  FILE *f = fopen(path, "wb");
  assert_true(f && fwrite(note, 1, len, f) == len && fclose(f) == 0);
  assert_int_equal(plr_ledger_guard_url(s.k.ledger, s.site.url, &s.m.r, &err), PLR_OK);
  assert_int_equal(plr_ledger_guard_url(s.other.ledger, s.site.url, &s.m.r, &err),
                   PLR_ERR_SEQUENCE);
  assert_int_equal(plr_ledger_checkpoint(s.other.ledger, note, sizeof note, &len, &err),
                   PLR_ERR_SEQUENCE);
  end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fork_of_equal_size),
      cmocka_unit_test(forks_of_other_sizes),
      cmocka_unit_test(set_back),
      cmocka_unit_test(other_logs),
      cmocka_unit_test(bad_options),
      cmocka_unit_test(quorum),
      cmocka_unit_test(every_answer),
      cmocka_unit_test(follows_growth),
      cmocka_unit_test(backup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

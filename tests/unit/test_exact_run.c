/* A small training run whose every number is pinned: losses, weight roots and the frames of a boundary are those of
 * tests/golden/run.txt on every machine, instruction set, thread count and split.
 *
 *   test_exact_run               checks the file
 *   test_exact_run --regenerate  writes it anew, from portable code on one thread: where EXACT.md, the initial weights,
 *                                the leaves of a root or the models below have changed
 */
#include "shard_common.h"

#include "exchange_test.h"

#define GOLDEN PLR_SOURCE_DIR "/tests/golden/run.txt"
#define STEPS  3

static const uint32_t cuts[3] = {2, 4, 6};

typedef struct text {
  char data[4096];
  size_t len;
} text;

static void line(text *t, const char *model, const char *what, const void *data, size_t bytes) {
  plr_hash hash;
  char hex[65];
  plr_sha256(data, bytes, &hash);
  plr__hex_encode(hash.bytes, sizeof hash.bytes, hex);
  t->len += (size_t)snprintf(t->data + t->len, sizeof t->data - t->len, "%s %s sha256 %s\n", model,
                             what, hex);
  assert_true(t->len < sizeof t->data);
}

/* What the first boundary carries, as every codec whose bytes do not depend on the version of zstd. */
static void frames(text *t, const char *name, row *r) {
  static const char *const codecs[] = {"raw", "bf16", "int8", "int4"};
  const uint32_t rows = r->info.micro_batch * r->info.seq_len;
  for (size_t i = 0; i < PLR_COUNT_OF(codecs); i++) {
    const plr_codec c = test_codec(codecs[i], 32);
    test_frame f =
        test_encode(r->ctx, &c, PLR_ROLE_ACTIVATION, r->acts[0], rows, r->info.boundary_width);
    char what[32];
    snprintf(what, sizeof what, "frame %s", codecs[i]);
    line(t, name, what, f.data, f.len);
    free(f.data);
  }
}

static void run(text *t, const char *name, const char *json, uint32_t isa, uint32_t threads,
                uint32_t shards) {
  plr_context *ctx = context_with(threads, isa);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  row_init(&r, ctx, json, cuts, shards);
  for (int i = 0; i < STEPS; i++) {
    const double loss = row_step(&r, corpus);
    t->len += (size_t)snprintf(t->data + t->len, sizeof t->data - t->len, "%s step %d loss %a\n",
                               name, i + 1, loss);
  }
  plr_hash root;
  row_root(&r, cuts, &root);
  line(t, name, "root", &root, sizeof root);
  if (shards > 1) frames(t, name, &r);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

static void both(text *t, uint32_t isa, uint32_t threads, uint32_t shards) {
  memset(t, 0, sizeof *t);
  run(t, "dense", DENSE_JSON, isa, threads, shards);
  run(t, "subspace", SUBSPACE_JSON, isa, threads, shards);
}

static void golden(text *t) {
  memset(t, 0, sizeof *t);
  FILE *in = fopen(GOLDEN, "rb");
  if (!in) fail_msg("no %s", GOLDEN);
  t->len = fread(t->data, 1, sizeof t->data - 1, in);
  fclose(in);
}

static void test_four_shards(void **state) {
  (void)state;
  static const uint32_t sets[] = {PLR_ISA_PORTABLE, PLR_ISA_AVX2, PLR_ISA_BEST};
  text want, got;
  golden(&want);
  for (size_t i = 0; i < PLR_COUNT_OF(sets); i++) {
    both(&got, sets[i], 1 + (uint32_t)i, 4);
    assert_string_equal(got.data, want.data);
  }
}

/* The same without boundaries: every line that is not a frame's. */
static void test_one_shard(void **state) {
  (void)state;
  text want, got;
  golden(&want);
  both(&got, PLR_ISA_BEST, 2, 1);
  char *save = NULL;
  size_t lines = 0;
  for (char *l = strtok_r(got.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save), lines++)
    if (!strstr(want.data, l)) fail_msg("%s: not in %s", l, GOLDEN);
  assert_int_equal(lines, 2 * (STEPS + 1));
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--regenerate") == 0) {
    text t;
    both(&t, PLR_ISA_PORTABLE, 1, 4);
    FILE *out = fopen(GOLDEN, "wb");
    return !out || fwrite(t.data, 1, t.len, out) != t.len || fclose(out);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_four_shards),
                                     cmocka_unit_test(test_one_shard)};
  return cmocka_run_group_tests_name("exact run", tests, NULL, NULL);
}

/* Snapshots: a run that stops and resumes ends with the same bits; nothing damaged gets in; a full disk leaves
 * nothing behind. */
#include "snapshot_kit.h"

#include <math.h>
#include <unistd.h>

#include "shard/safetensors.h"
#include "shard/shard_int.h"

static void test_resume_gives_the_same_bits(void **state) {
  (void)state;
  fixture f = set_up();
  const char *texts[] = {DENSE_JSON, SUBSPACE_JSON};
  for (int t = 0; t < 2; t++) {
    row r, fresh;
    plr_hash straight, resumed;
    memory snapshots[4] = {{0}};
    double last = 0.0;
    row_init(&r, f.ctx, texts[t], cuts, 4);
    for (int i = 0; i < 5; i++) row_step(&r, f.corpus);
    for (int i = 0; i < 4; i++) save(r.shards[i], &snapshots[i]);
    for (int i = 0; i < 5; i++) last = row_step(&r, f.corpus);
    row_root(&r, cuts, &straight);
    row_release(&r);

    row_init(&fresh, f.ctx, texts[t], cuts, 4);
    row_step(&fresh, f.corpus); /* some other state, which load replaces */
    for (int i = 0; i < 4; i++)
      assert_int_equal(load(fresh.shards[i], &snapshots[i], NULL), PLR_OK);
    assert_int_equal(plr_shard_steps(fresh.shards[2]), 5);
    double again = 0.0;
    for (int i = 0; i < 5; i++) again = row_step(&fresh, f.corpus);
    row_root(&fresh, cuts, &resumed);
    assert_memory_equal(&last, &again, sizeof last);
    assert_memory_equal(&straight, &resumed, sizeof straight);
    row_release(&fresh);
    for (int i = 0; i < 4; i++) free(snapshots[i].data);
  }
  tear_down(&f);
}

static void says(const plr_st_file *file, const char *key, const char *want) {
  const char *got = plr__st_metadata(file, key);
  if (!got || strcmp(got, want) != 0) fail_msg("%s: %s, not %s", key, got ? got : "nothing", want);
}

static void hex_of(const void *data, size_t len, char hex[65]) {
  plr_hash hash;
  plr_sha256(data, len, &hash);
  plr__hex_encode(hash.bytes, 32, hex);
}

/* The tensors and texts are those of SNAPSHOT.md. */
static void test_format(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  memory m = {0};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  save(r.shards[1], &m);
  plr_shard *s = r.shards[1];
  plr_st_file file;
  plr_source source = source_of(&m);
  assert_int_equal(plr__st_open(f.ctx, &source, "file", &file, NULL), PLR_OK);
  assert_int_equal(file.tensor_count, 3 * 18);
  char hex[65], key[128];
  plr_hash model, leaves[2];
  plr_model_hash(r.model, &model);
  plr__hex_encode(model.bytes, 32, hex);
  says(&file, "format", "pluralis-snapshot/2");
  says(&file, "model", hex);
  says(&file, "steps", "1");
  says(&file, "first_block", "2");
  says(&file, "end_block", "4");
  says(&file, "power1", "3fecccccc0000000");
  assert_int_equal(plr_shard_leaves(s, leaves, 2), PLR_OK);
  for (uint32_t i = 0; i < 2; i++) {
    plr__hex_encode(leaves[i].bytes, 32, hex);
    snprintf(key, sizeof key, "leaf.%u", i + 2);
    says(&file, key, hex);
  }
  const float *parts[3] = {s->state.w, s->state.m, s->state.v};
  const char *before[3] = {"", "optimizer.m.", "optimizer.v."};
  uint64_t at = 0;
  for (int part = 0; part < 3; part++)
    for (uint32_t i = 0; i < 18; i++) {
      const plr_param *p = &s->graph.params[i];
      snprintf(key, sizeof key, "sha256.%s%s", before[part], p->name);
      const plr_st_tensor *t = plr__st_find(&file, key + 7);
      assert_non_null(t);
      assert_true(t->ndim == 2 && t->shape[0] == p->rows && t->shape[1] == p->cols);
      assert_true(t->offset > at); /* weights first, then the moments */
      at = t->offset;
      size_t bytes = (size_t)(p->rows * p->cols) * 4;
      assert_memory_equal(m.data + t->offset, parts[part] + s->param_offset[i], bytes);
      hex_of(m.data + t->offset, bytes, hex);
      says(&file, key, hex);
    }
  plr__st_release(&file);
  free(m.data);
  row_release(&r);
  tear_down(&f);
}

/* A leaf, put together by hand from its definition. */
static void test_leaf(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  plr_shard *s = r.shards[1];
  const float *parts[3] = {s->state.w, s->state.m, s->state.v};
  uint8_t text[4096], *at = text;
  double powers[2] = {(double)0.9f, (double)0.95f};
  memcpy(at, "\0pluralis.leaf/v2\2\0\0\0\1\0\0\0\0\0\0\0", 29);
  memcpy(at + 29, powers, 16);
  memcpy(at + 45, "\x9\0\0\0", 4);
  at += 49;
  for (uint32_t i = 0; i < 9; i++) {
    const plr_param *p = &s->graph.params[i];
    size_t len = strlen(p->name);
    uint64_t shape[2] = {(uint64_t)p->rows, (uint64_t)p->cols};
    at[0] = (uint8_t)len, at[1] = 0;
    memcpy(at + 2, p->name, len);
    memcpy(at + 2 + len, shape, 16);
    at += 18 + len;
    for (int part = 0; part < 3; part++, at += 32) {
      plr_hash hash;
      plr_sha256(parts[part] + s->param_offset[i], (size_t)(p->rows * p->cols) * 4, &hash);
      memcpy(at, hash.bytes, 32);
    }
  }
  plr_hash want, got[2];
  plr_sha256(text, (size_t)(at - text), &want);
  assert_int_equal(plr_shard_leaves(s, got, 2), PLR_OK);
  assert_memory_equal(&want, &got[0], sizeof want);
  row_release(&r);
  tear_down(&f);
}

static void root_of(plr_shard *shard, plr_hash *out) {
  plr_hash leaves[2];
  assert_int_equal(plr_shard_leaves(shard, leaves, 2), PLR_OK);
  assert_int_equal(plr_weight_root(leaves, 2, out), PLR_OK);
}

static void refused(plr_shard *shard, memory *m, plr_status want, const char *what) {
  plr_hash before, after;
  plr_error err;
  plr_error_init(&err, sizeof err);
  root_of(shard, &before);
  plr_status st = load(shard, m, &err);
  root_of(shard, &after);
  if (memcmp(&before, &after, sizeof before) != 0) fail_msg("%s changed the shard", what);
  if (st == PLR_OK || (want != PLR_OK && st != want) || err.status != st ||
      strcmp(err.where, "snapshot") != 0 || !err.message[0])
    fail_msg("%s: %s: %s", what, plr_status_name(st), err.message);
}

static void test_damage_is_refused(void **state) {
  (void)state;
  fixture f = set_up();
  row r, other;
  memory m = {0};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  save(r.shards[1], &m);
  row_step(&r, f.corpus);
  plr_shard *shard = r.shards[1];
  size_t whole = m.len, header = (size_t)m.data[0] + 256u * m.data[1] + 8;
  for (size_t cut = 0; cut < whole; cut += cut < 300 ? 1 : 997) {
    m.len = cut;
    refused(shard, &m, PLR_ERR_TRUNCATED, "truncation");
  }
  m.len = whole;
  for (size_t at = 0; at < whole; at += at < header ? 1 : 991) {
    m.data[at] ^= (uint8_t)(1u << (at % 8));
    refused(shard, &m, at < header ? PLR_OK : PLR_ERR_CHECKSUM, "a flipped bit");
    m.data[at] ^= (uint8_t)(1u << (at % 8));
  }
  m.data = realloc(m.data, m.len + 1);
  m.data[m.len++] = 0;
  refused(shard, &m, PLR_ERR_MALFORMED, "a byte too many");
  m.len--;
  assert_int_equal(load(shard, &m, NULL), PLR_OK); /* and unharmed it loads */
  assert_int_equal(plr_shard_steps(shard), 1);

  refused(r.shards[2], &m, PLR_ERR_MISMATCH, "other blocks");
  row_init(&other, f.ctx, SUBSPACE_JSON, cuts, 4);
  refused(other.shards[1], &m, PLR_ERR_MISMATCH, "another model");
  row_release(&other);
  free(m.data);
  row_release(&r);
  tear_down(&f);
}

/* Whoever can make the hashes right still cannot bring in a NaN. */
static void test_not_finite_is_refused(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  memory m = {0};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  float *first = r.shards[1]->state.m, kept = first[5];
  first[5] = NAN;
  save(r.shards[1], &m);
  first[5] = kept;
  refused(r.shards[1], &m, PLR_ERR_MALFORMED, "a NaN");
  free(m.data);
  row_release(&r);
  tear_down(&f);
}

static void test_version_1_is_refused_by_name(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  plr_error err;
  plr_error_init(&err, sizeof err);
  uint8_t old[112] = "PLR-SNAP\1";
  memory m = {.data = old, .len = sizeof old};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  refused(r.shards[1], &m, PLR_ERR_VERSION, "version 1");
  assert_int_equal(load(r.shards[1], &m, &err), PLR_ERR_VERSION);
  assert_non_null(strstr(err.message, "version 1"));
  row_release(&r);
  tear_down(&f);
}

static void test_full_disk(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  memory m = {0};
  plr_hash before, after;
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  root_of(r.shards[1], &before);
  save(r.shards[1], &m);
  size_t whole = m.len;
  for (size_t room = 0; room < whole; room += room < 200 ? 7 : 2003) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    m.fail_after = room;
    plr_sink sink = sink_of(&m);
    assert_int_equal(plr_shard_save(r.shards[1], &sink, &err), PLR_ERR_NO_SPACE);
    assert_int_equal(m.aborts, 1);
    assert_int_equal(m.commits + m.after_end, 0);
    assert_string_equal(err.where, "snapshot");
  }
  m.fail_after = SIZE_MAX, m.at_commit = PLR_ERR_IO;
  plr_sink sink = sink_of(&m);
  assert_int_equal(plr_shard_save(r.shards[1], &sink, NULL), PLR_ERR_IO);
  assert_int_equal(m.aborts, 0); /* commit was the one last call */
  root_of(r.shards[1], &after);
  assert_memory_equal(&before, &after, sizeof before);
  m.at_commit = PLR_OK;
  save(r.shards[1], &m);
  free(m.data);
  row_release(&r);
  tear_down(&f);
}

static void test_pending_gradients_are_not_saved(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  memory m = {.fail_after = SIZE_MAX};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 1);
  for (int i = 0; i < 2; i++) { /* a forward whose backward is due; a backward whose step is due */
    if (i == 0)
      row_forward(&r);
    else
      row_backward(&r);
    plr_sink sink = sink_of(&m);
    assert_int_equal(plr_shard_save(r.shards[0], &sink, NULL), PLR_ERR_INVALID_STATE);
    assert_int_equal(m.aborts, 1);
    assert_int_equal(m.len, 0);
  }
  assert_int_equal(plr_shard_step(r.shards[0]), PLR_OK);
  save(r.shards[0], &m);
  row_forward(&r);
  assert_int_equal(load(r.shards[0], &m, NULL), PLR_OK); /* drops what was in flight */
  assert_int_equal(plr_shard_backward(r.shards[0], 0, NULL, NULL), PLR_ERR_INVALID_STATE);
  save(r.shards[0], &m);
  free(m.data);
  row_release(&r);
  tear_down(&f);
}

typedef struct limited {
  uint64_t left; /* allocations that still succeed */
} limited;

static void *limited_alloc(void *user, size_t size, size_t align) {
  limited *l = user;
  if (l->left == 0) return NULL;
  l->left--;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

static void limited_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)size, (void)align;
  free(ptr);
}

/* Loading holds two states for a moment; when there is no memory for that the shard stays as it was. */
static void test_no_memory_to_load(void **state) {
  (void)state;
  limited l = {UINT64_MAX};
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.allocator.user = &l;
  co.allocator.alloc = limited_alloc;
  co.allocator.free = limited_free;
  plr_context *ctx = NULL;
  memory m = {0};
  row r;
  assert_int_equal(plr_context_create(&co, &ctx, NULL), PLR_OK);
  row_init(&r, ctx, DENSE_JSON, cuts, 4);
  save(r.shards[1], &m);
  row_forward(&r);
  row_backward(&r);
  for (int i = 0; i < 4; i++) assert_int_equal(plr_shard_step(r.shards[i]), PLR_OK);
  uint64_t before, after;
  plr_context_memory(ctx, &before, NULL, NULL);
  uint64_t n = 0;
  for (;; n++) {
    l.left = n;
    plr_source source = source_of(&m);
    if (plr_shard_load(r.shards[1], &source, NULL) == PLR_OK) break;
    refused(r.shards[1], &m, PLR_ERR_NO_MEMORY, "no memory");
  }
  assert_true(n > 5);
  plr_context_memory(ctx, &after, NULL, NULL);
  assert_int_equal(before, after);
  l.left = UINT64_MAX;
  assert_int_equal(load(r.shards[1], &m, NULL), PLR_OK);
  assert_int_equal(plr_shard_steps(r.shards[1]), 0);
  plr_context_memory(ctx, &after, NULL, NULL);
  assert_int_equal(before, after);
  free(m.data);
  row_release(&r);
  plr_context_destroy(ctx);
}

/* Through real files, and into a shard that only infers. */
static void test_files(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  char path[64];
  snprintf(path, sizeof path, "test_shard_snapshot.%ld.tmp", (long)getpid());
  row_init(&r, f.ctx, SUBSPACE_JSON, NULL, 1);
  for (int i = 0; i < 3; i++) row_step(&r, f.corpus);
  plr_sink sink;
  plr_source source;
  assert_int_equal(plr_sink_open_path(f.ctx, path, &sink, NULL), PLR_OK);
  assert_int_equal(plr_shard_save(r.shards[0], &sink, NULL), PLR_OK);
  assert_int_equal(plr_source_open_path(f.ctx, path, &source, NULL), PLR_OK);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1;
  plr_shard *reader;
  assert_int_equal(plr_shard_create(f.ctx, r.model, &o, &reader, NULL), PLR_OK);
  assert_int_equal(plr_shard_load(reader, &source, NULL), PLR_OK);
  source.close(source.user);
  unlink(path);
  assert_int_equal(plr_shard_steps(reader), 3);
  float *a = calloc(16 * 256, 4), *b = calloc(16 * 256, 4);
  plr_tensor ta, tb;
  plr_tensor_matrix(&ta, a, PLR_DTYPE_F32, 16, 256);
  plr_tensor_matrix(&tb, b, PLR_DTYPE_F32, 16, 256);
  assert_int_equal(plr_shard_infer(r.shards[0], r.tokens, 1, 16, NULL, &ta), PLR_OK);
  assert_int_equal(plr_shard_infer(reader, r.tokens, 1, 16, NULL, &tb), PLR_OK);
  assert_memory_equal(a, b, 16 * 256 * 4);
  free(a);
  free(b);
  plr_shard_destroy(reader);
  row_release(&r);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_resume_gives_the_same_bits),
      cmocka_unit_test(test_format),
      cmocka_unit_test(test_leaf),
      cmocka_unit_test(test_damage_is_refused),
      cmocka_unit_test(test_not_finite_is_refused),
      cmocka_unit_test(test_version_1_is_refused_by_name),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_pending_gradients_are_not_saved),
      cmocka_unit_test(test_no_memory_to_load),
      cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

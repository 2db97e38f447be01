/* Snapshots: a run that stops and resumes ends with the same bits; nothing damaged gets in; a full disk leaves
 * nothing behind. */
#include "shard_common.h"

#include <unistd.h>

#include "shard/shard_int.h"

static const uint32_t cuts[3] = {2, 4, 6};

/* A sink and a source in memory. */
typedef struct memory {
  uint8_t *data;
  size_t len, cap;
  size_t fail_after; /* a write past this many bytes is NO_SPACE */
  plr_status at_commit;
  int commits, aborts, after_end;
} memory;

static plr_status memory_write(void *user, const void *data, size_t len) {
  memory *m = user;
  if (m->commits || m->aborts) m->after_end++;
  if (m->len + len > m->fail_after) return PLR_ERR_NO_SPACE;
  if (m->len + len > m->cap) {
    m->cap = (m->len + len) * 2;
    m->data = realloc(m->data, m->cap);
    assert_non_null(m->data);
  }
  memcpy(m->data + m->len, data, len);
  m->len += len;
  return PLR_OK;
}

static plr_status memory_commit(void *user) {
  memory *m = user;
  m->commits++;
  return m->at_commit;
}

static void memory_abort(void *user) {
  ((memory *)user)->aborts++;
}

static plr_status memory_read(void *user, uint64_t offset, void *buf, size_t len) {
  memory *m = user;
  if (offset > m->len || len > m->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, m->data + offset, len);
  return PLR_OK;
}

static plr_sink sink_of(memory *m) {
  plr_sink s = {m, memory_write, memory_commit, memory_abort};
  m->len = 0;
  m->commits = m->aborts = m->after_end = 0;
  return s;
}

static plr_source source_of(memory *m) {
  plr_source s = {m, m->len, memory_read, NULL};
  return s;
}

static void save(plr_shard *shard, memory *m) {
  m->fail_after = SIZE_MAX;
  plr_sink sink = sink_of(m);
  assert_int_equal(plr_shard_save(shard, &sink, NULL), PLR_OK);
  assert_int_equal(m->commits, 1);
  assert_int_equal(m->aborts + m->after_end, 0);
}

static plr_status load(plr_shard *shard, memory *m, plr_error *err) {
  plr_source source = source_of(m);
  return plr_shard_load(shard, &source, err);
}

typedef struct fixture {
  plr_context *ctx;
  plr_corpus *corpus;
} fixture;

static fixture set_up(void) {
  fixture f = {context_with(1, PLR_ISA_BEST), NULL};
  assert_int_equal(plr_corpus_create(f.ctx, verse, sizeof verse - 1, &f.corpus, NULL), PLR_OK);
  return f;
}

static void tear_down(fixture *f) {
  plr_corpus_destroy(f->corpus);
  plr_context_destroy(f->ctx);
}

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

/* The bytes are those of SNAPSHOT.md. */
static void test_format(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  memory m = {0};
  row_init(&r, f.ctx, DENSE_JSON, cuts, 4);
  row_step(&r, f.corpus);
  save(r.shards[1], &m);
  plr_hash model, hash;
  plr_model_hash(r.model, &model);
  assert_memory_equal(m.data, "PLR-SNAP\1\0\0\0\2\0\0\0\4\0\0\0\x12\0\0\0\1\0\0\0\0\0\0\0", 32);
  double power;
  memcpy(&power, m.data + 32, 8);
  assert_true(power == (double)0.9f);
  assert_memory_equal(m.data + 48, model.bytes, 32);
  plr_sha256(m.data, 80, &hash);
  assert_memory_equal(m.data + 80, hash.bytes, 32);
  assert_memory_equal(m.data + 112,
                      "\x19\0blocks.2.attn_norm.weight\1\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0",
                      2 + 25 + 16);
  float w;
  memcpy(&w, m.data + 112 + 43, 4);
  assert_true(w == r.shards[1]->state.w[0] && w != 1.0f);
  plr_sha256(m.data + 112, 43 + 3 * 128, &hash);
  assert_memory_equal(m.data + 112 + 43 + 3 * 128, hash.bytes, 32);
  size_t weights = 2 * (32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32), names = 0;
  for (uint32_t i = 0; i < 18; i++) names += strlen(r.shards[1]->graph.params[i].name);
  assert_int_equal(m.len, 112 + 12 * weights + 18 * (18 + 32) + names + 32);
  free(m.data);
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
  size_t whole = m.len;
  for (size_t cut = 0; cut < whole; cut += cut < 300 ? 1 : 997) {
    m.len = cut;
    refused(shard, &m, PLR_ERR_TRUNCATED, "truncation");
  }
  m.len = whole;
  for (size_t at = 0; at < whole; at += at < 300 || at + 80 > whole ? 1 : 991) {
    m.data[at] ^= (uint8_t)(1u << (at % 8));
    plr_status want = at < 8 ? PLR_ERR_MALFORMED : at < 12 ? PLR_ERR_VERSION : PLR_OK;
    if (at >= 12 && at < 112) want = PLR_ERR_CHECKSUM;
    refused(shard, &m, want, "a flipped bit");
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
  save(r.shards[1], &m);
  uint32_t nan = 0x7fc00000u;
  plr_hash hash;
  memcpy(m.data + 112 + 43 + 128, &nan, 4); /* a first moment of the first tensor */
  plr_sha256(m.data + 112, 43 + 3 * 128, &hash);
  memcpy(m.data + 112 + 43 + 3 * 128, hash.bytes, 32);
  refused(r.shards[1], &m, PLR_ERR_MALFORMED, "a NaN");
  free(m.data);
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
  for (uint64_t n = 0; n < 3; n++) {
    l.left = n;
    refused(r.shards[1], &m, PLR_ERR_NO_MEMORY, "no memory");
  }
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
      cmocka_unit_test(test_damage_is_refused),
      cmocka_unit_test(test_not_finite_is_refused),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_pending_gradients_are_not_saved),
      cmocka_unit_test(test_no_memory_to_load),
      cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Snapshots in memory, for the tests that write and read them. */
#ifndef PLR_TESTS_SNAPSHOT_KIT_H
#define PLR_TESTS_SNAPSHOT_KIT_H

#include "shard_common.h"

static const uint32_t cuts[3] = {2, 4, 6};

/* A sink and a source in memory. */
typedef struct memory {
  uint8_t *data;
  size_t len, cap;
  size_t fail_after; /* a write past this many bytes is NO_SPACE */
  plr_status at_commit;
  int commits, aborts, after_end;
  uint64_t bytes_read;
} memory;

static inline plr_status memory_write(void *user, const void *data, size_t len) {
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

static inline plr_status memory_commit(void *user) {
  memory *m = user;
  m->commits++;
  return m->at_commit;
}

static inline void memory_abort(void *user) {
  ((memory *)user)->aborts++;
}

static inline plr_status memory_read(void *user, uint64_t offset, void *buf, size_t len) {
  memory *m = user;
  if (offset > m->len || len > m->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, m->data + offset, len);
  m->bytes_read += len;
  return PLR_OK;
}

static inline plr_sink sink_of(memory *m) {
  plr_sink s = {m, memory_write, memory_commit, memory_abort};
  m->len = 0;
  m->commits = m->aborts = m->after_end = 0;
  return s;
}

static inline plr_source source_of(memory *m) {
  plr_source s = {m, m->len, memory_read, NULL};
  return s;
}

static inline void save(plr_shard *shard, memory *m) {
  m->fail_after = SIZE_MAX;
  plr_sink sink = sink_of(m);
  assert_int_equal(plr_shard_save(shard, &sink, NULL), PLR_OK);
  assert_int_equal(m->commits, 1);
  assert_int_equal(m->aborts + m->after_end, 0);
}

static inline plr_status load(plr_shard *shard, memory *m, plr_error *err) {
  plr_source source = source_of(m);
  return plr_shard_load(shard, &source, err);
}

typedef struct fixture {
  plr_context *ctx;
  plr_corpus *corpus;
} fixture;

static inline fixture set_up(void) {
  fixture f = {context_with(1, PLR_ISA_BEST), NULL};
  assert_int_equal(plr_corpus_create(f.ctx, verse, sizeof verse - 1, &f.corpus, NULL), PLR_OK);
  return f;
}

static inline void tear_down(fixture *f) {
  plr_corpus_destroy(f->corpus);
  plr_context_destroy(f->ctx);
}

#endif

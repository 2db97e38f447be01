/* The journal: what one stage says it sent is what the next says it received, and the jobs are all there. */
#include "sim/pipeline.h"

#include "stage/stage_int.h"

#define STEPS 3u

typedef struct record {
  uint32_t kind, side, what, micro_batch;
  uint64_t step, time_ns, len;
  plr_hash hash;
} record;

typedef struct book {
  record records[4096];
  uint32_t count;
} book;

static void read_book(plr_stage *stage, book *b, size_t piece) {
  static uint8_t bytes[4096];
  size_t len;
  b->count = 0;
  assert_int_equal(plr_stage_read_journal(stage, bytes, 63, &len), PLR_ERR_BUFFER_TOO_SMALL);
  while (plr_stage_read_journal(stage, bytes, piece, &len) == PLR_OK) {
    assert_int_equal(len % 64, 0);
    assert_in_range(len, 64, piece);
    for (size_t at = 0; at < len; at += 64) {
      record *r = &b->records[b->count++];
      const uint8_t *p = bytes + at;
      r->kind = p[0], r->side = p[1], r->what = p[2], r->micro_batch = plr__load_le32(p + 4);
      assert_int_equal(p[3], 0);
      r->step = plr__load_le64(p + 8), r->time_ns = plr__load_le64(p + 16),
      r->len = plr__load_le64(p + 24);
      memcpy(&r->hash, p + 32, 32);
    }
  }
}

static uint32_t select_records(const book *b, uint32_t kind, uint32_t side, uint32_t what,
                               const record **out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->count; i++)
    if (b->records[i].kind == kind && b->records[i].side == side && b->records[i].what == what)
      out[n++] = &b->records[i];
  return n;
}

/* Every frame of that role that `from` sent on its side arrived, in order. */
static void same_frames(const book *from, uint32_t side, const book *to, uint32_t role,
                        uint32_t count) {
  static const record *sent[4096], *got[4096];
  uint32_t n = select_records(from, PLR__JOURNAL_SENT, side, role, sent);
  assert_int_equal(n, select_records(to, PLR__JOURNAL_RECEIVED, 1 - side, role, got));
  if (count) assert_int_equal(n, count);
  for (uint32_t i = 0; i < n; i++) {
    assert_memory_equal(&sent[i]->hash, &got[i]->hash, 32);
    assert_int_equal(sent[i]->len, got[i]->len);
    assert_int_equal(sent[i]->step, got[i]->step);
    assert_int_equal(sent[i]->micro_batch, got[i]->micro_batch);
    assert_true(sent[i]->time_ns < got[i]->time_ns);
  }
}

static void count_jobs(const book *b, uint32_t stage, uint32_t stages) {
  static const record *jobs[4096];
  uint32_t in_flight = stages - stage < 4 ? stages - stage : 4, open = 0, done = 0, steps = 0;
  assert_int_equal(select_records(b, PLR__JOURNAL_JOB, 0, PLR_JOB_FORWARD, jobs), STEPS * 4);
  assert_int_equal(select_records(b, PLR__JOURNAL_JOB, 0, PLR_JOB_BACKWARD, jobs), STEPS * 4);
  assert_int_equal(select_records(b, PLR__JOURNAL_JOB, 0, PLR_JOB_STEP, jobs), STEPS);
  /* 1F1B: never more forwards ahead than the schedule says; a step after M backwards. */
  for (uint32_t i = 0; i < b->count; i++) {
    const record *r = &b->records[i];
    if (r->kind != PLR__JOURNAL_JOB) continue;
    if (r->what == PLR_JOB_FORWARD) assert_int_equal(r->micro_batch, done + open++);
    if (r->what == PLR_JOB_BACKWARD) assert_int_equal(r->micro_batch, done), open--, done++;
    assert_in_range(open, 0, in_flight);
    if (r->what != PLR_JOB_STEP) continue;
    assert_int_equal(done, 4);
    assert_int_equal(r->step, steps++);
    done = 0;
  }
}

static void test_frames_match(void **state) {
  (void)state;
  static pipeline p;
  static book b[PIPE_MAX_STAGES + 1];
  pipe_config c = pipe_defaults(4);
  pipe_open(&p, &c);
  pipe_train(&p, STEPS);
  pipe_run_for(&p, 5);
  for (uint32_t i = 0; i <= 4; i++) read_book(p.stage[i], &b[i], 64 * (i + 1) + i);
  for (uint32_t i = 0; i <= 4; i++) {
    uint32_t next = (i + 1) % 5;
    if (next < 4) same_frames(&b[i], PLR__DOWN, &b[next], PLR_ROLE_TOKENS, STEPS * 4);
    if (i < 3) same_frames(&b[i], PLR__DOWN, &b[next], PLR_ROLE_ACTIVATION, STEPS * 4);
    if (i < 3) same_frames(&b[next], PLR__UP, &b[i], PLR_ROLE_GRADIENT, STEPS * 4);
    if (i < 4) count_jobs(&b[i], i, 4);
    size_t len;
    uint8_t byte[64];
    assert_int_equal(plr_stage_read_journal(p.stage[i], byte, sizeof byte, &len), PLR_ERR_AGAIN);
  }
  pipe_close(&p);
}

/* Unread, it keeps the newest and counts what it dropped. */
static void test_bounded(void **state) {
  (void)state;
  static pipeline p;
  static book b;
  pipe_config c = pipe_defaults(1);
  pipe_open(&p, &c);
  pipe_train(&p, 30);
  plr_stage_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_stage_get_stats(p.stage[0], &s), PLR_OK);
  assert_true(s.journal_dropped > 0);
  read_book(p.stage[0], &b, 4096);
  assert_int_equal(b.count, 1024);
  assert_int_equal(b.count + s.journal_dropped, s.journal_records);
  assert_int_equal(b.records[b.count - 1].step, 29);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frames_match),
      cmocka_unit_test(test_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

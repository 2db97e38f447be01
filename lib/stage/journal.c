/* The journal: what came, what went and what was computed, in order (JOURNAL.md). */
#include "stage_int.h"

#include <string.h>

void plr__journal(plr_stage *s, uint32_t kind, uint32_t side, uint32_t what, uint64_t step,
                  uint32_t micro_batch, uint64_t time_ns, uint64_t len, const plr_hash *hash) {
  if (s->journal_count == s->journal_cap) {
    s->journal_head = (s->journal_head + 1) % s->journal_cap;
    s->journal_count--;
    s->stats.journal_dropped++;
  }
  uint32_t at = (s->journal_head + s->journal_count) % s->journal_cap;
  uint8_t *p = s->journal + (size_t)at * PLR__JOURNAL_RECORD;
  memset(p, 0, PLR__JOURNAL_RECORD);
  p[0] = (uint8_t)kind, p[1] = (uint8_t)side, p[2] = (uint8_t)what;
  plr__store_le32(p + 4, micro_batch);
  plr__store_le64(p + 8, step);
  plr__store_le64(p + 16, time_ns);
  plr__store_le64(p + 24, len);
  if (hash) memcpy(p + 32, hash->bytes, 32);
  s->journal_count++;
  s->stats.journal_records++;
}

plr_status plr_stage_read_journal(plr_stage *s, void *buf, size_t cap, size_t *len) {
  PLR_GUARD(s, NULL);
  if (!s || !len || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  *len = 0;
  if (s->journal_count == 0) return PLR_ERR_AGAIN;
  if (cap < PLR__JOURNAL_RECORD) return PLR_ERR_BUFFER_TOO_SMALL;
  uint8_t *out = buf;
  while (s->journal_count && cap - *len >= PLR__JOURNAL_RECORD) {
    memcpy(out + *len, s->journal + (size_t)s->journal_head * PLR__JOURNAL_RECORD,
           PLR__JOURNAL_RECORD);
    *len += PLR__JOURNAL_RECORD;
    s->journal_head = (s->journal_head + 1) % s->journal_cap;
    s->journal_count--;
  }
  return PLR_OK;
}

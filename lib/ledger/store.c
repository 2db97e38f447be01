/* What every store has in common: the form of a row, and what is checked of a host's. */
#include "ledger/ledger_int.h"

#define ROW_HEAD 4u /* status */

plr_status plr__store_host(const plr_ledger_store *host, plr__store *out, plr_error *err) {
  if (!host->begin || !host->append || !host->put || !host->commit || !host->rollback ||
      !host->row || !host->get)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger.store", "a function is missing");
  *out = (plr__store){.v = *host, .persistent = 1};
  return PLR_OK;
}

void plr__store_close(plr__store *s) {
  if (s->close) s->close(s->v.user);
  *s = (plr__store){0};
}

/* The subtrees that entry `index` completes: 1 + trailing zeros of the size after it. */
static uint32_t hashes_of(uint64_t index) {
  return 1 + (uint32_t)__builtin_ctzll(index + 1);
}

/* A host need not say more than a status. */
static plr_status said(plr_status st, plr_error *err) {
  if (st == PLR_OK || !err || err->status == st) return st;
  return plr__fail(err, st, "ledger.store", "the store failed");
}

plr_status plr__store_begin(const plr__store *s, plr_error *err) {
  return said(s->v.begin(s->v.user, err), err);
}

plr_status plr__store_commit(const plr__store *s, plr_error *err) {
  return said(s->v.commit(s->v.user, err), err);
}

plr_status plr__store_put(const plr__store *s, const char *name, const void *data, size_t len,
                          plr_error *err) {
  return said(s->v.put(s->v.user, name, data, len, err), err);
}

plr_status plr__store_compact(const plr__store *s, plr_error *err) {
  return s->v.compact ? said(s->v.compact(s->v.user, err), err) : PLR_OK;
}

plr_status plr__store_append(const plr__store *s, plr_buffer *work, uint64_t index,
                             plr_status status, const void *entry, size_t len,
                             const plr_hash *hashes, uint32_t hash_count, plr_error *err) {
  plr__buffer_clear(work);
  plr__buffer_be32(work, (uint32_t)status);
  plr__buffer_put(work, hashes, hash_count * sizeof *hashes);
  plr__buffer_put(work, entry, len);
  if (work->failed) return plr__no_memory(err, "ledger store");
  return said(s->v.append(s->v.user, index, work->data, work->len, err), err);
}

plr_status plr__store_row(const plr__store *s, uint64_t index, plr__row *out, plr_error *err) {
  const void *data = NULL;
  size_t len = 0;
  PLR_TRY(said(s->v.row(s->v.user, index, &data, &len, err), err));
  uint32_t hashes = hashes_of(index);
  size_t head = ROW_HEAD + hashes * sizeof(plr_hash);
  if (!data || len <= head || len - head > PLR__ENTRY_MAX)
    return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "row %llu has a wrong length",
                     (unsigned long long)index);
  *out = (plr__row){.status = (plr_status)(int32_t)plr__load_be32(data),
                    .hash_count = hashes,
                    .hashes = (const uint8_t *)data + ROW_HEAD,
                    .entry = (const uint8_t *)data + head,
                    .entry_len = (uint32_t)(len - head)};
  return PLR_OK;
}

plr_status plr__store_get(const plr__store *s, const char *name, const void **data, size_t *len,
                          plr_error *err) {
  *data = NULL, *len = 0;
  PLR_TRY(said(s->v.get(s->v.user, name, data, len, err), err));
  if (*data && *len) return PLR_OK;
  return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "record %s is empty", name);
}

plr_status plr__store_record(const plr__store *s, const char *name, const void *data, size_t len,
                             plr_error *err) {
  plr_status st = plr__store_begin(s, err);
  if (st == PLR_OK) st = plr__store_put(s, name, data, len, err);
  if (st == PLR_OK) st = plr__store_commit(s, err);
  if (st != PLR_OK) s->v.rollback(s->v.user);
  return st;
}

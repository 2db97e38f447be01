/* Tiles and entry bundles of the log (C2SP tlog-tiles v0.1.0), made from the stored tree when they are asked for: they
 * are functions of the entries, so nothing is lost when a published copy is. */
#include "ledger/copy.h"
#include "ledger/ledger_int.h"

#include <stdio.h>
#include <string.h>

/* ---- paths ------------------------------------------------------------------------------------- */

/* N in groups of three digits, all but the last after an x; three decimal digits at a time from the left. */
static size_t number_path(char *out, size_t cap, uint64_t n) {
  uint32_t groups[7], count = 0;
  do {
    groups[count++] = (uint32_t)(n % 1000);
    n /= 1000;
  } while (n);
  size_t len = 0;
  while (count-- > 0)
    len += (size_t)snprintf(out + len, cap - len, "%s%03u%s", count ? "x" : "", groups[count],
                            count ? "/" : "");
  return len;
}

void plr__tile_path(const plr__tile *t, char out[PLR_LOG_PATH_MAX]) {
  size_t len = t->level == PLR__TILE_ENTRIES
                   ? (size_t)snprintf(out, PLR_LOG_PATH_MAX, "tile/entries/")
                   : (size_t)snprintf(out, PLR_LOG_PATH_MAX, "tile/%u/", t->level);
  len += number_path(out + len, PLR_LOG_PATH_MAX - len, t->index);
  if (t->width < PLR__TILE_WIDTH) snprintf(out + len, PLR_LOG_PATH_MAX - len, ".p/%u", t->width);
}

/* Decimal, without leading zeros. */
static int take_number(const char **at, uint32_t most, uint32_t *out) {
  const char *p = *at;
  uint32_t v = 0;
  if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9')) return 0;
  for (; *p >= '0' && *p <= '9'; p++) {
    v = v * 10 + (uint32_t)(*p - '0');
    if (v > most) return 0;
  }
  *at = p, *out = v;
  return 1;
}

static int take_group(const char **at, uint64_t *n) {
  for (int i = 0; i < 3; i++)
    if ((*at)[i] < '0' || (*at)[i] > '9') return 0;
  uint32_t v = (uint32_t)((*at)[0] - '0') * 100 + (uint32_t)((*at)[1] - '0') * 10 +
               (uint32_t)((*at)[2] - '0');
  if (*n > ((uint64_t)INT64_MAX - v) / 1000) return 0;
  *n = *n * 1000 + v;
  *at += 3;
  return 1;
}

static int take_path_number(const char **at, uint64_t *n) {
  int groups = 0;
  *n = 0;
  while (**at == 'x') {
    *at += 1;
    if (!take_group(at, n) || **at != '/' || (groups++ == 0 && *n == 0)) return 0;
    *at += 1;
  }
  return take_group(at, n);
}

plr_status plr__tile_parse(const char *path, plr__tile *out) {
  const char *at = path;
  out->width = PLR__TILE_WIDTH;
  if (strncmp(at, "tile/", 5) != 0) return PLR_ERR_MALFORMED;
  at += 5;
  if (strncmp(at, "entries/", 8) == 0)
    at += 7, out->level = PLR__TILE_ENTRIES;
  else if (!take_number(&at, 63, &out->level))
    return PLR_ERR_MALFORMED;
  if (*at++ != '/' || !take_path_number(&at, &out->index)) return PLR_ERR_MALFORMED;
  if (strncmp(at, ".p/", 3) == 0) {
    at += 3;
    if (!take_number(&at, PLR__TILE_WIDTH - 1, &out->width) || out->width == 0)
      return PLR_ERR_MALFORMED;
  }
  return *at ? PLR_ERR_MALFORMED : PLR_OK;
}

_Static_assert(PLR__BUNDLES == PLR__TILE_ENTRIES && PLR__CHECKPOINT_MAX == PLR__NOTE_MAX,
               "one of each");

int plr__log_path_read(const char *path, uint32_t *level, uint64_t *index) {
  plr__tile t;
  if (plr__tile_parse(path, &t) != PLR_OK) return 0;
  *level = t.level, *index = t.index;
  return 1;
}

int plr__log_path(uint32_t level, uint64_t index, uint64_t size, char out[PLR_LOG_PATH_MAX]) {
  uint64_t have = level == PLR__TILE_ENTRIES ? size : level < 8 ? size >> (8 * level) : 0;
  if (index > have / PLR__TILE_WIDTH || have == index * PLR__TILE_WIDTH) return 0;
  plr__tile t = {.level = level,
                 .index = index,
                 .width = (uint32_t)PLR_MIN(have - index * PLR__TILE_WIDTH, PLR__TILE_WIDTH)};
  plr__tile_path(&t, out);
  return 1;
}

/* ---- contents ---------------------------------------------------------------------------------- */

/* Subtrees of 256^level leaves that `size` leaves complete. */
static uint64_t complete(uint64_t size, uint32_t level) {
  return level < 8 ? size >> (8 * level) : 0;
}

static int within(const plr__tile *t, uint64_t size) {
  uint32_t level = t->level == PLR__TILE_ENTRIES ? 0 : t->level;
  uint64_t have = complete(size, level), first = t->index * PLR__TILE_WIDTH;
  return t->index <= have / PLR__TILE_WIDTH && first + t->width <= have;
}

static plr_status read_hashes(plr_ledger *l, const plr__tile *t, plr_buffer *out, plr_error *err) {
  plr__node_reader nodes = plr__ledger_nodes(l);
  for (uint32_t i = 0; i < t->width; i++) {
    plr_hash h;
    PLR_TRY(nodes.read(nodes.user, 8 * t->level, t->index * PLR__TILE_WIDTH + i, &h, err));
    plr__buffer_put(out, h.bytes, sizeof h.bytes);
  }
  return PLR_OK;
}

static plr_status read_entries(plr_ledger *l, const plr__tile *t, plr_buffer *out, plr_error *err) {
  for (uint32_t i = 0; i < t->width; i++) {
    plr__row row;
    PLR_TRY(plr__store_row(&l->store, t->index * PLR__TILE_WIDTH + i, &row, err));
    plr__buffer_be16(out, (uint16_t)row.entry_len);
    plr__buffer_put(out, row.entry, row.entry_len);
  }
  return PLR_OK;
}

plr_status plr__tile_read(plr_ledger *l, const plr__tile *t, plr_buffer *out, plr_error *err) {
  plr__buffer_clear(out);
  if (!within(t, l->head.frontier.size)) {
    char path[PLR_LOG_PATH_MAX];
    plr__tile_path(t, path);
    return plr__fail(err, PLR_ERR_NOT_FOUND, path, "the log of %llu entries does not fill it",
                     (unsigned long long)l->head.frontier.size);
  }
  PLR_TRY(t->level == PLR__TILE_ENTRIES ? read_entries(l, t, out, err)
                                        : read_hashes(l, t, out, err));
  return out->failed ? plr__no_memory(err, "tile") : PLR_OK;
}

static plr_status resource(plr_ledger *l, const char *path, plr_buffer *out, plr_error *err) {
  plr__tile t;
  if (strcmp(path, "checkpoint") == 0) return plr__recorded_checkpoint(l, out, NULL, err);
  if (plr__tile_parse(path, &t) != PLR_OK)
    return plr__fail(err, PLR_ERR_MALFORMED, "resource", "%.48s is not a path of a log's files",
                     path);
  return plr__tile_read(l, &t, out, err);
}

plr_status plr_ledger_resource(plr_ledger *l, const char *path, void *buf, size_t cap, size_t *len,
                               plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !path || !len || (!buf && cap))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "resource", "ledger, path, buf or len is NULL");
  plr_buffer out;
  plr__buffer_init(&out, l->ctx);
  plr_status st = resource(l, path, &out, err);
  /* A path that is right but beyond the log, and no checkpoint yet, are the same to a reader of files. */
  if (st == PLR_ERR_INVALID_STATE) st = plr__fail(err, PLR_ERR_NOT_FOUND, path, "none was signed");
  if (st == PLR_OK) st = plr__copy_out(&out, buf, cap, len, err);
  plr__buffer_release(&out);
  return st;
}

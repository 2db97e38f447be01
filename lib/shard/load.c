/* Reads a snapshot (SNAPSHOT.md) into fresh memory, which replaces the shard's at the very end. */
#include "shard/shard_int.h"

#include <math.h>
#include <string.h>

typedef struct loader {
  plr_shard *s;
  const plr_source *source;
  plr_error *err;
  uint64_t at;
  plr_sha256_state section, file;
  plr_state state;
} loader;

static const char where_[] = "snapshot";

/* The next len bytes, into the current section's hash. */
static plr_status get(loader *l, void *out, size_t len) {
  plr_status st = l->source->read_at(l->source->user, l->at, out, len);
  if (st != PLR_OK) return plr__fail_at(l->err, st, where_, l->at, "%zu bytes cannot be read", len);
  plr__sha256_update(&l->section, out, len);
  l->at += len;
  return PLR_OK;
}

/* The hash that ends a header or section. */
static plr_status check_seal(loader *l, const char *what) {
  plr_hash want, got;
  plr__sha256_final(&l->section, &want);
  PLR_TRY(get(l, got.bytes, sizeof got.bytes));
  plr__sha256_init(&l->section);
  plr__sha256_update(&l->file, got.bytes, sizeof got.bytes);
  if (plr__hash_equal(&want, &got)) return PLR_OK;
  return plr__fail_at(l->err, PLR_ERR_CHECKSUM, where_, l->at - 32, "%s does not match its hash",
                      what);
}

static uint64_t expected_size(const plr_shard *s) {
  uint64_t size = PLR_SNAPSHOT_HEADER + 32 + 32;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    size += strlen(p->name) + 18 + 32 + 8 * (uint64_t)p->rows * (uint64_t)p->cols +
            4 * (uint64_t)plr__optimizer_seconds(s->info, p);
  }
  return size;
}

static double load_double(const uint8_t *p) {
  uint64_t bits = plr__load_le64(p);
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static plr_status check_size(const loader *l) {
  uint64_t want = expected_size(l->s);
  if (l->source->size < want)
    return plr__fail_at(l->err, PLR_ERR_TRUNCATED, where_, l->source->size,
                        "%llu bytes; these blocks need %llu", (unsigned long long)l->source->size,
                        (unsigned long long)want);
  if (l->source->size > want)
    return plr__fail_at(l->err, PLR_ERR_MALFORMED, where_, want, "%llu bytes follow the end",
                        (unsigned long long)(l->source->size - want));
  return PLR_OK;
}

static plr_status read_header(loader *l) {
  uint8_t got[PLR_SNAPSHOT_HEADER], want[PLR_SNAPSHOT_HEADER];
  if (l->source->size < PLR_SNAPSHOT_HEADER + 32)
    return plr__fail_at(l->err, PLR_ERR_TRUNCATED, where_, l->source->size,
                        "%llu bytes do not hold a header", (unsigned long long)l->source->size);
  PLR_TRY(get(l, got, sizeof got));
  if (memcmp(got, PLR_SNAPSHOT_MAGIC, 8) != 0)
    return plr__fail(l->err, PLR_ERR_MALFORMED, where_, "does not begin as a snapshot");
  if (plr__load_le32(got + 8) != PLR_SNAPSHOT_VERSION)
    return plr__fail_at(l->err, PLR_ERR_VERSION, where_, 8, "version %u; this library reads %u",
                        plr__load_le32(got + 8), PLR_SNAPSHOT_VERSION);
  PLR_TRY(check_seal(l, "the header"));
  l->state.steps = plr__load_le64(got + 24);
  l->state.power1 = load_double(got + 32);
  l->state.power2 = load_double(got + 40);
  plr__snapshot_header(l->s, &l->state, want);
  if (memcmp(got + 48, want + 48, 32) != 0)
    return plr__fail_at(l->err, PLR_ERR_MISMATCH, where_, 48, "is of another model");
  if (memcmp(got + 12, want + 12, 12) != 0)
    return plr__fail_at(l->err, PLR_ERR_MISMATCH, where_, 12,
                        "holds blocks %u .. %u, the shard has %u .. %u", plr__load_le32(got + 12),
                        plr__load_le32(got + 16), l->s->first_block, l->s->end_block);
  int powers = l->state.power1 >= 0.0 && l->state.power1 <= 1.0 && l->state.power2 >= 0.0 &&
               l->state.power2 <= 1.0;
  if (!powers)
    return plr__fail_at(l->err, PLR_ERR_MALFORMED, where_, 32, "a power of beta is not in 0 .. 1");
  return check_size(l);
}

static int all_finite(const float *x, size_t n) {
  int finite = 1;
  for (size_t i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
  return finite;
}

/* n floats to device memory; to NULL they are only checked. */
static plr_status read_floats(loader *l, float *to, int64_t n) {
  plr_shard *s = l->s;
  const int64_t piece = PLR_STAGE_BYTES / 4;
  for (int64_t i = 0; i < n; i += piece) {
    size_t count = (size_t)PLR_MIN(piece, n - i);
    uint64_t at = l->at;
    PLR_TRY(get(l, s->host_bytes, count * 4));
    plr__floats_le(s->host_bytes, count);
    if (!all_finite((const float *)(const void *)s->host_bytes, count))
      return plr__fail_at(l->err, PLR_ERR_MALFORMED, where_, at, "a number is not finite");
    if (to) PLR_TRY(s->device->vt->write(s->device, to + i, s->host_bytes, count * 4));
  }
  return PLR_OK;
}

static plr_status read_param(loader *l, uint32_t i) {
  plr_shard *s = l->s;
  const plr_param *p = &s->graph.params[i];
  uint8_t want[PLR_PARAM_HEADER_MAX], got[PLR_PARAM_HEADER_MAX];
  size_t len = plr__param_header(p, want);
  uint64_t at = l->at;
  PLR_TRY(get(l, got, len));
  if (memcmp(want, got, len) != 0)
    return plr__fail_at(l->err, PLR_ERR_MALFORMED, where_, at, "is not the name and shape of %s",
                        p->name);
  for (uint32_t part = 0; part < PLR_PARTS; part++) {
    int64_t count;
    float *to = plr__state_part(s, &l->state, i, part, &count);
    PLR_TRY(read_floats(l, to, count));
  }
  PLR_TRY(plr__pack_done(s, &l->state, i));
  return check_seal(l, p->name);
}

static plr_status read_all(loader *l) {
  plr_hash want, got;
  plr__sha256_init(&l->section);
  plr__sha256_init(&l->file);
  PLR_TRY(read_header(l));
  plr_state header = l->state;
  if (plr__state_alloc(l->s, &l->state) != PLR_OK || plr__pack_begin(l->s) != PLR_OK)
    return plr__no_memory(l->err, where_);
  l->state.steps = header.steps;
  l->state.power1 = header.power1, l->state.power2 = header.power2;
  for (uint32_t i = 0; i < l->s->graph.param_count; i++) PLR_TRY(read_param(l, i));
  plr__sha256_final(&l->file, &want);
  PLR_TRY(get(l, got.bytes, sizeof got.bytes));
  if (plr__hash_equal(&want, &got)) return PLR_OK;
  return plr__fail_at(l->err, PLR_ERR_CHECKSUM, where_, l->at - 32,
                      "the file does not match its hash");
}

plr_status plr_shard_load(plr_shard *shard, const plr_source *source, plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !source)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "shard or source is NULL");
  loader l = {.s = shard, .source = source, .err = err};
  plr_status st = read_all(&l);
  plr__pack_end(shard);
  if (st != PLR_OK) {
    plr__state_free(shard, &l.state);
    return st;
  }
  plr__state_free(shard, &shard->state);
  shard->state = l.state;
  shard->weights++;
  plr__shard_reset(shard);
  return PLR_OK;
}

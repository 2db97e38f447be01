/* A session's state written and read (SESSION.md). */
#include "shard/session_int.h"

#include <math.h>
#include <string.h>

static const char where_[] = "session state";

/* Sixteen positions of one key/value head. Both layouts of keys and values pass through here. */
#define RUN 16

typedef struct copier {
  plr_session *session;
  plr_sink *sink; /* one of these two */
  const plr_source *source;
  plr_error *err;
  uint64_t at;
  plr_sha256_state hash;
  float *tile, *rows; /* RUN x head_dim (rounded up to 16) floats each */
} copier;

static int64_t wide(const plr_layer *l) {
  return ((int64_t)l->head_dim + 15) / 16;
}

/* ---- header ----------------------------------------------------------------------------------- */

static void header_of(const plr_session *session, uint32_t length,
                      uint8_t out[PLR_SESSION_HEADER]) {
  const plr_shard *s = session->shard;
  plr_hash model;
  plr_model_hash(s->model, &model);
  memset(out, 0, PLR_SESSION_HEADER);
  memcpy(out, PLR_SESSION_MAGIC, 8);
  plr__store_le32(out + 8, PLR_SESSION_VERSION);
  plr__store_le32(out + 12, s->first_block);
  plr__store_le32(out + 16, s->end_block);
  plr__store_le32(out + 20, s->weight_format);
  plr__store_le32(out + 24, s->serving->layer_count);
  plr__store_le32(out + 28, length);
  plr__store_le64(out + 32, s->state.steps);
  memcpy(out + 40, model.bytes, sizeof model.bytes);
}

static uint64_t size_of(const plr_session *session, uint32_t length) {
  const plr_serving *v = session->shard->serving;
  uint64_t numbers = 0;
  for (uint32_t i = 0; i < v->layer_count; i++)
    numbers += 2 * (uint64_t)v->layers[i].kv_heads * v->layers[i].head_dim;
  return PLR_SESSION_HEADER + 4 * numbers * length + sizeof(plr_hash);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static plr_status put(copier *c, const void *data, size_t len) {
  plr__sha256_update(&c->hash, data, len);
  return c->sink->write(c->sink->user, data, len);
}

static plr_status get(copier *c, void *data, size_t len) {
  plr_status st = c->source->read_at(c->source->user, c->at, data, len);
  if (st != PLR_OK) return plr__fail_at(c->err, st, where_, c->at, "%zu bytes cannot be read", len);
  c->at += len;
  return PLR_OK;
}

static plr_status put_numbers(copier *c, size_t n) {
  plr__floats_le(c->rows, n);
  return put(c, c->rows, n * sizeof *c->rows);
}

static plr_status get_numbers(copier *c, size_t n) {
  const uint64_t at = c->at;
  PLR_TRY(get(c, c->rows, n * sizeof *c->rows));
  plr__sha256_update(&c->hash, c->rows, n * sizeof *c->rows);
  plr__floats_le(c->rows, n);
  int finite = 1;
  for (size_t i = 0; i < n; i++) finite &= isfinite(c->rows[i]) != 0;
  if (finite) return PLR_OK;
  return plr__fail_at(c->err, PLR_ERR_MALFORMED, where_, at, "a number is not finite");
}

/* ---- layouts ---------------------------------------------------------------------------------- */

/* From the tile, stride floats from position to position and step from number to number, or back. Values lie in
 * pieces of 16 numbers, `piece` floats apart. */
typedef struct layout {
  int64_t step, stride, piece;
} layout;

static void transpose(copier *c, const plr_layer *l, layout t, int64_t n) {
  for (int64_t p = 0; p < n; p++)
    for (int64_t i = 0; i < l->head_dim; i++) {
      float *tile = c->tile + p * t.stride + i / 16 * t.piece + i % 16 * t.step;
      float *row = c->rows + p * l->head_dim + i;
      if (c->sink)
        *row = *tile;
      else
        *tile = *row;
    }
}

static plr_status move(copier *c, float *device, float *host, int64_t n) {
  plr_device *d = c->session->shard->device;
  const size_t bytes = (size_t)n * sizeof(float);
  return c->sink ? d->vt->read(d, host, device, bytes) : d->vt->write(d, device, host, bytes);
}

/* n keys of a head from position p, a multiple of RUN: they lie in one piece. */
static plr_status copy_keys(copier *c, const plr_layer *l, float *keys, int64_t n) {
  const layout t = {RUN, 1, RUN * RUN};
  const size_t numbers = (size_t)(n * l->head_dim);
  if (c->sink) {
    PLR_TRY(move(c, keys, c->tile, (int64_t)RUN * l->head_dim));
    transpose(c, l, t, n);
    return put_numbers(c, numbers);
  }
  PLR_TRY(get_numbers(c, numbers));
  memset(c->tile, 0, sizeof *c->tile * RUN * l->head_dim);
  transpose(c, l, t, n);
  return move(c, keys, c->tile, (int64_t)RUN * l->head_dim);
}

/* The same of values, which lie in as many pieces as the head has panels. */
static plr_status move_values(copier *c, const plr_layer *l, float *values, int64_t n) {
  for (int64_t i = 0; i < wide(l); i++)
    PLR_TRY(move(c, values + i * RUN * c->session->capacity, c->tile + i * RUN * RUN, n * RUN));
  return PLR_OK;
}

static plr_status copy_values(copier *c, const plr_layer *l, float *values, int64_t n) {
  const layout t = {1, RUN, RUN * RUN};
  const size_t numbers = (size_t)(n * l->head_dim);
  if (c->sink) {
    PLR_TRY(move_values(c, l, values, n));
    transpose(c, l, t, n);
    return put_numbers(c, numbers);
  }
  PLR_TRY(get_numbers(c, numbers));
  memset(c->tile, 0, sizeof *c->tile * RUN * RUN * (size_t)wide(l));
  transpose(c, l, t, n);
  return move_values(c, l, values, n);
}

static plr_status copy_layer(copier *c, const plr_layer *l, uint32_t length) {
  const plr_cache_rows cache = plr__session_layer(c->session, l);
  for (int64_t p = 0; p < length; p += RUN)
    for (int64_t h = 0; h < l->kv_heads; h++) {
      const int64_t n = PLR_MIN(RUN, length - p);
      PLR_TRY(copy_keys(c, l, cache.k + (h * cache.capacity + p) * l->head_dim, n));
      PLR_TRY(copy_values(c, l, cache.v + (h * wide(l) * cache.capacity + p) * RUN, n));
    }
  return PLR_OK;
}

static plr_status copy_layers(copier *c, uint32_t length) {
  const plr_serving *v = c->session->shard->serving;
  for (uint32_t i = 0; i < v->layer_count; i++) PLR_TRY(copy_layer(c, &v->layers[i], length));
  return PLR_OK;
}

/* Room for a run of the widest head. */
static plr_status make_room(copier *c) {
  const plr_serving *v = c->session->shard->serving;
  int64_t most = 0;
  for (uint32_t i = 0; i < v->layer_count; i++) most = PLR_MAX(most, wide(&v->layers[i]));
  c->tile = plr__calloc(c->session->shard->ctx, 2 * (size_t)most * RUN * RUN, sizeof *c->tile);
  c->rows = c->tile + most * RUN * RUN;
  plr__sha256_init(&c->hash);
  return c->tile ? PLR_OK : plr__no_memory(c->err, where_);
}

/* ---- save ------------------------------------------------------------------------------------- */

static plr_status write_all(copier *c) {
  uint8_t header[PLR_SESSION_HEADER];
  plr_hash hash;
  PLR_TRY(plr__session_check_weights(c->session, where_, c->err));
  PLR_TRY(make_room(c));
  header_of(c->session, c->session->length, header);
  PLR_TRY(put(c, header, sizeof header));
  PLR_TRY(copy_layers(c, c->session->length));
  plr__sha256_final(&c->hash, &hash);
  return c->sink->write(c->sink->user, hash.bytes, sizeof hash.bytes);
}

plr_status plr_session_save(plr_session *session, plr_sink *sink, plr_error *err) {
  if (!sink) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "sink is NULL");
  if (!session) {
    sink->abort(sink->user);
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "session is NULL");
  }
  PLR_GUARD_OR(session->shard, err, sink->abort(sink->user));
  copier c = {.session = session, .sink = sink, .err = err};
  plr_status st = write_all(&c);
  plr__free(session->shard->ctx, c.tile);
  if (st != PLR_OK) {
    if (st != PLR_ERR_INVALID_STATE && st != PLR_ERR_NO_MEMORY)
      plr__fail(err, st, where_, "writing %u tokens failed", session->length);
    sink->abort(sink->user);
    return st;
  }
  st = sink->commit(sink->user);
  if (st != PLR_OK) plr__fail(err, st, where_, "could not be made durable");
  return st;
}

/* ---- load ------------------------------------------------------------------------------------- */

static plr_status read_header(copier *c, uint32_t *length) {
  uint8_t got[PLR_SESSION_HEADER], want[PLR_SESSION_HEADER];
  if (c->source->size < sizeof got + sizeof(plr_hash))
    return plr__fail_at(c->err, PLR_ERR_TRUNCATED, where_, c->source->size,
                        "%llu bytes do not hold a header", (unsigned long long)c->source->size);
  PLR_TRY(get(c, got, sizeof got));
  plr__sha256_update(&c->hash, got, sizeof got);
  *length = plr__load_le32(got + 28);
  header_of(c->session, *length, want);
  if (memcmp(got, want, 8) != 0)
    return plr__fail(c->err, PLR_ERR_MALFORMED, where_, "does not begin as a session's state");
  if (memcmp(got + 8, want + 8, 4) != 0)
    return plr__fail_at(c->err, PLR_ERR_VERSION, where_, 8, "version %u; this library reads %u",
                        plr__load_le32(got + 8), PLR_SESSION_VERSION);
  if (memcmp(got + 40, want + 40, 32) != 0)
    return plr__fail_at(c->err, PLR_ERR_MISMATCH, where_, 40, "is of another model");
  if (memcmp(got + 12, want + 12, 8) != 0)
    return plr__fail_at(c->err, PLR_ERR_MISMATCH, where_, 12,
                        "is of blocks %u .. %u, the shard has %u .. %u", plr__load_le32(got + 12),
                        plr__load_le32(got + 16), plr__load_le32(want + 12),
                        plr__load_le32(want + 16));
  if (memcmp(got + 20, want + 20, 8) != 0 || memcmp(got + 32, want + 32, 8) != 0)
    return plr__fail_at(c->err, PLR_ERR_MISMATCH, where_, 20,
                        "is of weights in another format or of another step");
  if (memcmp(got + 72, want + 72, 8) != 0)
    return plr__fail_at(c->err, PLR_ERR_MALFORMED, where_, 72, "the header does not end in zeros");
  return PLR_OK;
}

static plr_status check_size(const copier *c, uint32_t length) {
  const uint64_t want = size_of(c->session, length), got = c->source->size;
  if (length > c->session->max_tokens)
    return plr__fail_at(c->err, PLR_ERR_LIMIT, where_, 28, "%u tokens, the session takes %u",
                        length, c->session->max_tokens);
  if (got < want)
    return plr__fail_at(c->err, PLR_ERR_TRUNCATED, where_, got, "%llu bytes; %u tokens need %llu",
                        (unsigned long long)got, length, (unsigned long long)want);
  if (got > want)
    return plr__fail_at(c->err, PLR_ERR_MALFORMED, where_, want, "%llu bytes follow the end",
                        (unsigned long long)(got - want));
  return PLR_OK;
}

static plr_status read_all(copier *c, uint32_t *length) {
  plr_hash want, got;
  PLR_TRY(make_room(c));
  PLR_TRY(read_header(c, length));
  PLR_TRY(check_size(c, *length));
  PLR_TRY(copy_layers(c, *length));
  plr__sha256_final(&c->hash, &want);
  PLR_TRY(get(c, got.bytes, sizeof got.bytes));
  if (plr__hash_equal(&want, &got)) return PLR_OK;
  return plr__fail_at(c->err, PLR_ERR_CHECKSUM, where_, c->at - sizeof got,
                      "the state does not match its hash");
}

plr_status plr_session_load(plr_session *session, const plr_source *source, plr_error *err) {
  if (!session || !source)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "session or source is NULL");
  PLR_GUARD(session->shard, err);
  if (session->length > 0)
    return plr__fail(err, PLR_ERR_INVALID_STATE, where_, "the session holds %u tokens",
                     session->length);
  copier c = {.session = session, .source = source, .err = err};
  uint32_t length = 0;
  plr_status st = read_all(&c, &length);
  plr__free(session->shard->ctx, c.tile);
  if (st != PLR_OK) return st;
  session->length = length;
  session->weights = session->shard->weights;
  return PLR_OK;
}

/* Token ids: packed to the bits the vocabulary needs, or byte planes through zstd where that is shorter. */
#include "exchange/exchange_int.h"

#include <string.h>

#define ALIGN_UP(n) (((n) + 63) & ~(size_t)63)

static void pack_ids(const int32_t *ids, size_t n, uint32_t bits, uint8_t *out) {
  uint64_t window = 0;
  uint32_t held = 0;
  for (size_t i = 0; i < n; i++) {
    window |= (uint64_t)(uint32_t)ids[i] << held;
    for (held += bits; held >= 8; held -= 8, window >>= 8) *out++ = (uint8_t)window;
  }
  if (held) *out = (uint8_t)window;
}

/* 0 when the spare bits at the end are not zero. */
static int unpack_ids(const uint8_t *in, size_t n, uint32_t bits, int32_t *ids) {
  const uint64_t mask = (UINT64_C(1) << bits) - 1;
  uint64_t window = 0;
  uint32_t held = 0;
  for (size_t i = 0; i < n; i++) {
    for (; held < bits; held += 8) window |= (uint64_t)*in++ << held;
    ids[i] = (int32_t)(window & mask);
    window >>= bits;
    held -= bits;
  }
  return window == 0;
}

static void split_ids(const int32_t *ids, size_t n, uint32_t size, uint8_t *planes) {
  for (uint32_t b = 0; b < size; b++)
    for (size_t i = 0; i < n; i++) planes[b * n + i] = (uint8_t)((uint32_t)ids[i] >> 8 * b);
}

static void join_ids(const uint8_t *planes, size_t n, uint32_t size, int32_t *ids) {
  for (size_t i = 0; i < n; i++) {
    uint32_t v = 0;
    for (uint32_t b = 0; b < size; b++) v |= (uint32_t)planes[b * n + i] << 8 * b;
    ids[i] = (int32_t)v; /* a value of 2^31 or more becomes negative, and is refused as such */
  }
}

static plr_status check_ids(const int32_t *ids, size_t n, uint32_t vocab) {
  uint32_t most = 0;
  for (size_t i = 0; i < n; i++) most = PLR_MAX(most, (uint32_t)ids[i]);
  return most < vocab ? PLR_OK : PLR_ERR_MALFORMED;
}

/* ---- encode ----------------------------------------------------------------------------------- */

/* Scratch of one call: the compressor, and the planes of a chunk. */
typedef struct token_encoder {
  plr_frame_info info;
  void *zstd;
  uint8_t *planes;
} token_encoder;

static size_t most_values(uint32_t rows, uint32_t cols) {
  return (size_t)PLR_MIN((uint64_t)rows * cols, PLR_MAX(PLR_CHUNK_VALUES, cols));
}

static plr_status encode_chunk(const token_encoder *e, const int32_t *ids, uint32_t first,
                               uint32_t rows, uint8_t *at, uint32_t *len) {
  const plr_codec *c = &e->info.codec;
  const size_t n = (size_t)rows * e->info.cols, packed = (size_t)plr__packed_len(c, n);
  const uint32_t size = plr__plane_size(c);
  uint8_t *payload = at + PLR_CHUNK_HEADER;
  plr__chunk chunk = {payload, (uint32_t)packed, first, rows, 0};
  size_t written;
  split_ids(ids, n, size, e->planes);
  PLR_TRY(plr__zstd_encode(e->zstd, plr__zstd_window_log(n), e->planes, n * size, payload, packed,
                           &written));
  if (written) {
    chunk.flags = PLR_CHUNK_ZSTD;
    chunk.payload_len = (uint32_t)written;
  } else {
    pack_ids(ids, n, c->bits, payload);
  }
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
  return PLR_OK;
}

static plr_status encode_chunks(token_encoder *e, const int32_t *tokens, uint8_t *out) {
  plr_frame_info *info = &e->info;
  const uint32_t step = plr__chunk_rows(&info->codec, info->cols),
                 header_len = plr__frame_header_len(info);
  for (uint32_t first = 0; first < info->rows; first += step) {
    uint32_t len, rows = PLR_MIN(step, info->rows - first);
    PLR_TRY(encode_chunk(e, tokens + (size_t)first * info->cols, first, rows,
                         out + header_len + info->payload_len, &len));
    info->payload_len += len;
    info->chunks++;
  }
  return PLR_OK;
}

static plr_status encode_in_scratch(plr_context *ctx, token_encoder *e, const int32_t *tokens,
                                    uint8_t *out) {
  const size_t values = most_values(e->info.rows, e->info.cols);
  const size_t zstd = ALIGN_UP(plr__zstd_encoder_size(plr__zstd_window_log(values)));
  uint8_t *scratch = plr__scratch_take(ctx, zstd + values * plr__plane_size(&e->info.codec));
  if (!scratch) return PLR_ERR_NO_MEMORY;
  e->zstd = plr__zstd_encoder_init(scratch, zstd);
  e->planes = scratch + zstd;
  plr_status st = e->zstd ? encode_chunks(e, tokens, out) : PLR_ERR_INTERNAL;
  plr__scratch_give(ctx, scratch);
  return st;
}

plr_status plr_tokens_encode(plr_context *ctx, const plr_frame_info *given, const int32_t *tokens,
                             uint32_t rows, uint32_t cols, uint32_t vocab, void *out, size_t *len) {
  token_encoder e;
  plr_frame_info *info = &e.info;
  if (!ctx || !given || !tokens || !out || !len) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__frame_info_read(info, given));
  if (rows == 0 || cols == 0 || vocab == 0 || vocab > INT32_MAX) return PLR_ERR_INVALID_ARGUMENT;
  const uint64_t n = (uint64_t)rows * cols;
  info->codec = (plr_codec){0};
  if (n > UINT32_MAX / 4 || plr__chunk_count(&info->codec, rows, cols) > UINT16_MAX)
    return PLR_ERR_INVALID_ARGUMENT;
  if (check_ids(tokens, (size_t)n, vocab) != PLR_OK) return PLR_ERR_INVALID_ARGUMENT;
  info->role = PLR_ROLE_TOKENS;
  info->codec = (plr_codec){.entropy = PLR_ENTROPY_ZSTD,
                            .dtype = PLR_DTYPE_TOKENS,
                            .bits = (uint8_t)plr__token_bits(vocab)};
  info->rows = rows, info->cols = cols, info->vocab = vocab;
  info->generation = info->flags = info->chunks = info->payload_len = 0;
  const size_t bound = plr__frame_header_len(info) +
                       (size_t)plr__chunk_count(&info->codec, rows, cols) * (PLR_CHUNK_HEADER + 1) +
                       (size_t)plr__packed_len(&info->codec, n);
  const size_t cap = *len;
  *len = bound;
  if (cap < bound) return PLR_ERR_BUFFER_TOO_SMALL;
  PLR_TRY(encode_in_scratch(ctx, &e, tokens, out));
  const plr__frame f = {.info = *info};
  plr__frame_write_header(out, &f);
  *len = plr__frame_header_len(info) + info->payload_len;
  return PLR_OK;
}

/* ---- decode ----------------------------------------------------------------------------------- */

static plr_status decode_zstd(plr_context *ctx, const plr__chunk *chunk, size_t n, uint32_t size,
                              int32_t *ids) {
  const size_t zstd = ALIGN_UP(plr__zstd_decoder_size());
  uint8_t *scratch = plr__scratch_take(ctx, zstd + n * size);
  if (!scratch) return PLR_ERR_NO_MEMORY;
  void *decoder = plr__zstd_decoder_init(scratch, zstd);
  plr_status st = PLR_ERR_INTERNAL;
  if (decoder)
    st = plr__zstd_decode(decoder, chunk->payload, chunk->payload_len, scratch + zstd, n * size);
  if (st == PLR_OK) join_ids(scratch + zstd, n, size, ids);
  plr__scratch_give(ctx, scratch);
  return st;
}

static plr_status decode_chunk(plr_context *ctx, const plr_frame_info *info,
                               const plr__chunk *chunk, int32_t *ids, const char **why) {
  const size_t n = (size_t)chunk->rows * info->cols;
  if (chunk->flags & PLR_CHUNK_ZSTD) {
    *why = "not one zstd frame of the right length";
    PLR_TRY(decode_zstd(ctx, chunk, n, plr__plane_size(&info->codec), ids));
  } else if (!unpack_ids(chunk->payload, n, info->codec.bits, ids)) {
    *why = "the last bits are not 0";
    return PLR_ERR_MALFORMED;
  }
  *why = "an id is not below the vocabulary";
  return check_ids(ids, n, info->vocab);
}

plr_status plr_tokens_decode(plr_context *ctx, const void *frame, size_t len, int32_t *tokens,
                             size_t capacity, plr_frame_info *info, plr_error *err) {
  plr__frame f;
  if (!tokens) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "token frame", "tokens is NULL");
  PLR_TRY(plr__frame_open(ctx, frame, len, &f, err));
  if (f.info.role != PLR_ROLE_TOKENS)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "frame header", 14,
                        "role %u is not that of a token frame", f.info.role);
  if ((uint64_t)f.info.rows * f.info.cols > capacity)
    return plr__fail_at(err, PLR_ERR_BUFFER_TOO_SMALL, "frame header", 16,
                        "%u x %u ids; there is room for %zu", f.info.rows, f.info.cols, capacity);
  plr__chunk_reader r = {.frame = &f};
  for (uint32_t i = 0; i < f.info.chunks; i++) {
    plr__chunk chunk;
    PLR_TRY(plr__chunk_next(&r, &chunk, err));
    const char *why = "";
    plr_status st =
        decode_chunk(ctx, &f.info, &chunk, tokens + (size_t)chunk.first_row * f.info.cols, &why);
    if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "token frame");
    if (st != PLR_OK) return plr__chunk_fail(err, st, &r, &chunk, why);
  }
  PLR_TRY(plr__chunk_done(&r, err));
  return plr__frame_info_write(info, &f.info, err);
}

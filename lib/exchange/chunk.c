/* Chunks: whole rows of a frame that decode on their own. */
#include "exchange/topk.h"

#include <stdio.h>

uint32_t plr__chunk_rows(const plr_codec *c, uint32_t cols) {
  const uint32_t rows = cols >= PLR_CHUNK_VALUES ? 1 : PLR_CHUNK_VALUES / cols;
  return c->transform == PLR_TRANSFORM_DCT && rows > 64 ? rows & ~63u : rows; /* whole blocks */
}

uint32_t plr__chunk_count(const plr_codec *c, uint32_t rows, uint32_t cols) {
  uint32_t step = plr__chunk_rows(c, cols);
  return rows / step + (rows % step != 0);
}

static uint32_t chunk_crc(const uint8_t *at, uint32_t payload_len) {
  uint32_t crc = plr__crc32c(0, at, 16);
  return plr__crc32c(crc, at + PLR_CHUNK_HEADER, payload_len);
}

void plr__chunk_write_header(uint8_t *at, const plr__chunk *chunk) {
  plr__store_le32(at, chunk->payload_len);
  plr__store_le32(at + 4, chunk->first_row);
  plr__store_le32(at + 8, chunk->rows);
  plr__store_le32(at + 12, chunk->flags);
  plr__store_le32(at + 16, chunk_crc(at, chunk->payload_len));
}

static plr_status fail_at(plr_error *err, plr_status st, uint32_t index, uint64_t offset,
                          const char *why) {
  char where[32];
  snprintf(where, sizeof where, "frame chunk %u", index);
  return plr__fail_at(err, st, where, offset, "%s", why);
}

static plr_status fail(plr_error *err, plr_status st, const plr__chunk_reader *r, const char *why) {
  return fail_at(err, st, r->index, (uint64_t)r->frame->header_len + r->pos, why);
}

plr_status plr__chunk_fail(plr_error *err, plr_status st, const plr__chunk_reader *r,
                           const plr__chunk *chunk, const char *why) {
  return fail_at(err, st, r->index - 1,
                 (uint64_t)r->frame->header_len + r->pos - chunk->payload_len, why);
}

/* Chunks without rows: keys first, then scales, each at most once. */
static plr_status check_front(const plr__chunk_reader *r, const plr__chunk *c, plr_error *err) {
  const plr__frame *f = r->frame;
  const plr_status bad = PLR_ERR_MALFORMED;
  const uint64_t most =
      c->flags == PLR_CHUNK_KEYS ? PLR_KEYS_MOST(f->keys) : PLR_SCALES_MOST(f->coded_cols);
  if (c->first_row || c->rows || r->next_row || r->fronts & c->flags ||
      (c->flags == PLR_CHUNK_KEYS && r->fronts))
    return fail(err, bad, r, "keys and scales of channels stand only before the first rows");
  return c->payload_len <= most ? PLR_OK : fail(err, bad, r, "its length is wrong");
}

/* Place, size and flags; the checksum has been seen to be right. */
static plr_status check_chunk(const plr__chunk_reader *r, const plr__chunk *c, plr_error *err) {
  const plr_frame_info *info = &r->frame->info;
  const plr_codec *codec = &info->codec;
  const plr_status bad = PLR_ERR_MALFORMED;
  if (((c->flags & 0xffffu) == PLR_CHUNK_MODEL && plr__codec_parametric(codec)) ||
      (c->flags == PLR_CHUNK_KEYS && codec->predict))
    return check_front(r, c, err);
  if (codec->predict && !(r->fronts & PLR_CHUNK_KEYS))
    return fail(err, bad, r, "the keys are missing");
  if (c->first_row != r->next_row) return fail(err, bad, r, "its rows are out of order");
  if (c->rows == 0 || c->rows > info->rows - r->next_row)
    return fail(err, bad, r, "it has no rows, or more than are left");
  uint64_t values = (uint64_t)c->rows * r->frame->coded_cols;
  if (c->rows > 1 && values > PLR_CHUNK_VALUES) return fail(err, bad, r, "it is too large");
  if (codec->quant == PLR_QUANT_TOPK) {
    if (c->flags) return fail(err, bad, r, "unknown flags are set");
    return c->payload_len <= plr__topk_bound(codec, values)
               ? PLR_OK
               : fail(err, bad, r, "its length is wrong");
  }
  if (plr__codec_parametric(codec)) {
    if (c->flags & 0xffffu) return fail(err, bad, r, "unknown flags are set");
    if (c->payload_len > PLR_PARAMETRIC_MOST(c->rows, values))
      return fail(err, bad, r, "its length is wrong");
    return PLR_OK;
  }
  const uint32_t packers[] = {[PLR_ENTROPY_HISTOGRAM] = PLR_CHUNK_HISTOGRAM,
                              [PLR_ENTROPY_SPLIT] = PLR_CHUNK_SPLIT,
                              [PLR_ENTROPY_ZSTD] = PLR_CHUNK_ZSTD};
  uint64_t packed = plr__packed_len(codec, values);
  if (!c->flags)
    return c->payload_len == packed ? PLR_OK : fail(err, bad, r, "its length is wrong");
  if (codec->entropy >= PLR_COUNT_OF(packers) || c->flags != packers[codec->entropy])
    return fail(err, bad, r,
                "unknown flags are set, or it is compressed and the header does not say so");
  return c->payload_len < packed ? PLR_OK : fail(err, bad, r, "its length is wrong");
}

int plr__chunk_last(const plr__chunk_reader *r) {
  const plr_frame_info *info = &r->frame->info;
  return r->frame->streamed ? r->next_row == info->rows : r->index == info->chunks;
}

plr_status plr__chunk_read(plr__chunk_reader *r, const uint8_t *at, size_t left, plr__chunk *out,
                           plr_error *err) {
  if (left < PLR_CHUNK_HEADER) return fail(err, PLR_ERR_TRUNCATED, r, "its header is cut off");
  out->payload_len = plr__load_le32(at);
  out->first_row = plr__load_le32(at + 4);
  out->rows = plr__load_le32(at + 8);
  out->flags = plr__load_le32(at + 12);
  out->payload = at + PLR_CHUNK_HEADER;
  if (out->payload_len > left - PLR_CHUNK_HEADER)
    return fail(err, PLR_ERR_TRUNCATED, r, "its payload is cut off");
  if (chunk_crc(at, out->payload_len) != plr__load_le32(at + 16))
    return fail(err, PLR_ERR_CHECKSUM, r, "the checksum does not match");
  PLR_TRY(check_chunk(r, out, err));
  r->pos += PLR_CHUNK_HEADER + out->payload_len;
  r->next_row += out->rows;
  if (out->rows == 0) r->fronts |= out->flags & 0xffffu;
  r->index++;
  return PLR_OK;
}

plr_status plr__chunk_next(plr__chunk_reader *r, plr__chunk *out, plr_error *err) {
  return plr__chunk_read(r, r->frame->payload + r->pos, r->frame->info.payload_len - r->pos, out,
                         err);
}

plr_status plr__chunk_done(const plr__chunk_reader *r, plr_error *err) {
  if (r->next_row != r->frame->info.rows)
    return fail(err, PLR_ERR_MALFORMED, r, "it is missing: rows are not covered");
  if (r->pos != r->frame->info.payload_len)
    return fail(err, PLR_ERR_MALFORMED, r, "bytes follow the last chunk");
  return PLR_OK;
}

/* Chunks: whole rows of a frame that decode on their own. */
#include "exchange/exchange_int.h"

#include <stdio.h>

uint32_t plr__chunk_rows(uint32_t cols) {
  return cols >= PLR_CHUNK_VALUES ? 1 : PLR_CHUNK_VALUES / cols;
}

uint32_t plr__chunk_count(uint32_t rows, uint32_t cols) {
  uint32_t step = plr__chunk_rows(cols);
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

plr_status plr__chunk_fail(plr_error *err, plr_status st, const plr__frame *f, uint32_t index,
                           const plr__chunk *chunk, const char *why) {
  return fail_at(err, st, index, f->header_len + (uint64_t)(chunk->payload - f->payload), why);
}

/* Place, size and flags; the checksum has been seen to be right. */
static plr_status check_chunk(const plr__chunk_reader *r, const plr__chunk *c, plr_error *err) {
  const plr_frame_info *info = &r->frame->info;
  const plr_status bad = PLR_ERR_MALFORMED;
  if (c->flags == PLR_CHUNK_MODEL && plr__codec_parametric(&info->codec)) {
    if (r->index == 0 && c->first_row == 0 && c->rows == 0) return PLR_OK;
    return fail(err, bad, r, "scales of channels stand only before the first rows");
  }
  if (c->first_row != r->next_row) return fail(err, bad, r, "its rows are out of order");
  if (c->rows == 0 || c->rows > info->rows - r->next_row)
    return fail(err, bad, r, "it has no rows, or more than are left");
  uint64_t values = (uint64_t)c->rows * info->cols;
  if (c->rows > 1 && values > PLR_CHUNK_VALUES) return fail(err, bad, r, "it is too large");
  if (info->codec.quant == PLR_QUANT_TOPK)
    return c->flags ? fail(err, bad, r, "unknown flags are set") : PLR_OK;
  if (plr__codec_parametric(&info->codec)) {
    if (c->flags & 0xffffu) return fail(err, bad, r, "unknown flags are set");
    return PLR_OK;
  }
  const uint32_t packer = PLR_CHUNK_ZSTD | PLR_CHUNK_SPLIT;
  if (c->flags & ~packer || c->flags == packer) return fail(err, bad, r, "unknown flags are set");
  uint64_t packed = plr__packed_len(&info->codec, values);
  if (!c->flags)
    return c->payload_len == packed ? PLR_OK : fail(err, bad, r, "its length is wrong");
  if (info->codec.entropy != (c->flags == PLR_CHUNK_ZSTD ? PLR_ENTROPY_ZSTD : PLR_ENTROPY_SPLIT))
    return fail(err, bad, r, "it is compressed, which the header does not say");
  return c->payload_len < packed ? PLR_OK : fail(err, bad, r, "its length is wrong");
}

plr_status plr__chunk_next(plr__chunk_reader *r, plr__chunk *out, plr_error *err) {
  const uint32_t left = r->frame->info.payload_len - r->pos;
  const uint8_t *at = r->frame->payload + r->pos;
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
  r->index++;
  return PLR_OK;
}

plr_status plr__chunk_done(const plr__chunk_reader *r, plr_error *err) {
  if (r->next_row != r->frame->info.rows)
    return fail(err, PLR_ERR_MALFORMED, r, "it is missing: rows are not covered");
  if (r->pos != r->frame->info.payload_len)
    return fail(err, PLR_ERR_MALFORMED, r, "bytes follow the last chunk");
  return PLR_OK;
}

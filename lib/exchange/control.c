/* Opaque bytes as a frame of one chunk. */
#include "exchange/exchange_int.h"

#include <string.h>

plr_status plr_control_encode(const plr_frame_info *given, const void *payload,
                              uint32_t payload_len, void *out, size_t *len) {
  plr_frame_info info;
  if (!given || (!payload && payload_len) || !out || !len) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__frame_info_read(&info, given));
  if (payload_len > UINT32_MAX / 4) return PLR_ERR_INVALID_ARGUMENT;
  info.role = PLR_ROLE_CONTROL;
  info.codec = (plr_codec){.dtype = PLR_DTYPE_CONTROL};
  info.generation = info.vocab = info.flags = 0;
  info.rows = info.chunks = 1;
  info.cols = payload_len;
  info.payload_len = PLR_CHUNK_HEADER + payload_len;
  const size_t need = (size_t)PLR_FRAME_HEADER + info.payload_len, cap = *len;
  *len = need;
  if (cap < need) return PLR_ERR_BUFFER_TOO_SMALL;
  uint8_t *at = (uint8_t *)out + PLR_FRAME_HEADER;
  if (payload_len) memcpy(at + PLR_CHUNK_HEADER, payload, payload_len);
  plr__chunk chunk = {at + PLR_CHUNK_HEADER, payload_len, 0, 1, 0};
  plr__chunk_write_header(at, &chunk);
  const plr__frame f = {.info = info};
  plr__frame_write_header(out, &f);
  return PLR_OK;
}

plr_status plr_control_decode(plr_context *ctx, const void *frame, size_t len,
                              const uint8_t **payload, uint32_t *payload_len, plr_frame_info *info,
                              plr_error *err) {
  plr__frame f;
  if (!payload || !payload_len)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "control frame", "an argument is NULL");
  PLR_TRY(plr__frame_open(ctx, frame, len, &f, err));
  if (f.info.role != PLR_ROLE_CONTROL)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "frame header", 14,
                        "role %u is not that of a control frame", f.info.role);
  plr__chunk_reader r = {.frame = &f};
  plr__chunk chunk;
  PLR_TRY(plr__chunk_next(&r, &chunk, err));
  PLR_TRY(plr__chunk_done(&r, err));
  *payload = chunk.payload;
  *payload_len = chunk.payload_len;
  return plr__frame_info_write(info, &f.info, err);
}

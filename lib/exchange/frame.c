/* The header of a frame: writing it, and reading one that a peer sent. FRAME.md is the norm. */
#include "exchange/exchange_int.h"

#include "tensor/tensor.h"

#include <string.h>

static const uint8_t magic[4] = {'P', 'L', 'R', 'X'};
static const char where_header[] = "frame header";
static const char where_extension[] = "frame extension";

/* Size of plr_frame_info in 0.1, which a struct_size of 0 stands for. */
#define INFO_FIRST_SIZE 64u

plr_hash plr__frame_hash(const void *frame, size_t len) {
  plr_hash h;
  plr_sha256(frame, len, &h);
  return h;
}

plr_status plr__frame_info_read(plr_frame_info *out, const plr_frame_info *in) {
  memset(out, 0, sizeof *out);
  if (in && in->struct_size == 0) {
    memcpy(out, in, INFO_FIRST_SIZE);
  } else {
    PLR_TRY(plr__options_read(out, (uint32_t)sizeof *out, in, "frame info", NULL));
  }
  return out->flags & ~(PLR_FRAME_KEY | PLR_FRAME_PLAIN) ? PLR_ERR_INVALID_ARGUMENT : PLR_OK;
}

plr_status plr__frame_info_write(plr_frame_info *out, const plr_frame_info *in, plr_error *err) {
  plr_status st = out ? plr__record_write(out, in, (uint32_t)sizeof *in, INFO_FIRST_SIZE) : PLR_OK;
  if (st == PLR_OK) return st;
  return plr__fail(err, st, "frame info", "struct_size is %u; set it before the call",
                   (unsigned)out->struct_size);
}

uint64_t plr__frame_raw_len(const plr_frame_info *info) {
  return (uint64_t)info->rows * info->cols * plr_dtype_size(info->codec.dtype);
}

uint32_t plr__frame_header_len(const plr_frame_info *info) {
  return PLR_FRAME_HEADER + (info->role == PLR_ROLE_TOKENS ? PLR_EXT_VOCAB_BYTES : 0) +
         (info->codec.predict ? PLR_EXT_STATE_BYTES : 0) +
         (info->codec.transform == PLR_TRANSFORM_BASIS ? PLR_EXT_BASIS_BYTES : 0);
}

/* CRC with the checksum's own four bytes (60 .. 63) taken as zero. */
static uint32_t header_crc(const uint8_t *p, uint32_t header_len) {
  static const uint8_t zero[4];
  uint32_t crc = plr__crc32c(0, p, 60);
  crc = plr__crc32c(crc, zero, 4);
  return plr__crc32c(crc, p + PLR_FRAME_HEADER, header_len - PLR_FRAME_HEADER);
}

static uint8_t *put_extension(uint8_t *p, uint32_t type, uint32_t len) {
  plr__store_le16(p, (uint16_t)type);
  plr__store_le16(p + 2, (uint16_t)len);
  return p + 4;
}

static void write_extensions(uint8_t *p, const plr__frame *f) {
  const plr_frame_info *info = &f->info;
  if (info->role == PLR_ROLE_TOKENS)
    plr__store_le32(put_extension(p, PLR_EXT_VOCAB, 4), info->vocab);
  if (info->codec.predict) {
    uint8_t *at = put_extension(p, PLR_EXT_STATE, 16);
    plr__store_le64(at, f->state);
    plr__store_le32(at + 8, f->keys);
    plr__store_le32(at + 12, info->flags);
    p += PLR_EXT_STATE_BYTES;
  }
  if (info->codec.transform == PLR_TRANSFORM_BASIS)
    plr__store_le32(put_extension(p, PLR_EXT_BASIS, 4), f->coded_cols);
}

void plr__frame_write_header(uint8_t *p, const plr__frame *f) {
  const plr_frame_info *info = &f->info;
  const plr_codec *c = &info->codec;
  const uint32_t header_len = plr__frame_header_len(info);
  memcpy(p, magic, 4);
  p[4] = PLR_FRAME_MAJOR, p[5] = PLR_FRAME_MINOR;
  plr__store_le16(p + 6, (uint16_t)header_len);
  p[8] = c->predict, p[9] = c->transform, p[10] = c->quant, p[11] = c->entropy;
  p[12] = c->dtype, p[13] = PLR_FRAME_RANK, p[14] = (uint8_t)info->role, p[15] = c->bits;
  plr__store_le32(p + 16, info->rows);
  plr__store_le32(p + 20, info->cols);
  plr__store_le32(p + 24, info->stream);
  plr__store_le32(p + 28, info->step);
  plr__store_le32(p + 32, info->micro_batch);
  plr__store_le32(p + 36, info->generation);
  plr__store_le64(p + 40, info->seed);
  plr__store_le32(p + 48, (uint32_t)plr__frame_raw_len(info));
  plr__store_le32(p + 52, f->streamed ? 0 : info->payload_len);
  plr__store_le16(p + 56, (uint16_t)(f->streamed ? 0 : info->chunks));
  plr__store_le16(p + 58, c->group);
  write_extensions(p + PLR_FRAME_HEADER, f);
  plr__store_le32(p + 60, header_crc(p, header_len));
}

static void load_fields(const uint8_t *p, plr_frame_info *info) {
  plr_codec *c = &info->codec;
  c->predict = p[8], c->transform = p[9], c->quant = p[10], c->entropy = p[11];
  c->dtype = p[12], c->bits = p[15];
  info->role = p[14];
  info->rows = plr__load_le32(p + 16);
  info->cols = plr__load_le32(p + 20);
  info->stream = plr__load_le32(p + 24);
  info->step = plr__load_le32(p + 28);
  info->micro_batch = plr__load_le32(p + 32);
  info->generation = plr__load_le32(p + 36);
  info->seed = plr__load_le64(p + 40);
  info->payload_len = plr__load_le32(p + 52);
  info->chunks = plr__load_le16(p + 56);
  c->group = plr__load_le16(p + 58);
}

/* Version, length and checksum: everything needed before a field may be believed. */
static plr_status check_envelope(const uint8_t *p, size_t len, uint32_t *header_len,
                                 plr_error *err) {
  if (len < PLR_FRAME_HEADER)
    return plr__fail_at(err, PLR_ERR_TRUNCATED, where_header, len, "%zu bytes of at least %u", len,
                        PLR_FRAME_HEADER);
  if (memcmp(p, magic, 4) != 0)
    return plr__fail(err, PLR_ERR_MALFORMED, where_header, "not a frame: the magic is wrong");
  if (p[4] != PLR_FRAME_MAJOR)
    return plr__fail_at(err, PLR_ERR_VERSION, where_header, 4, "version %u, this reads %u", p[4],
                        PLR_FRAME_MAJOR);
  *header_len = plr__load_le16(p + 6);
  if (*header_len < PLR_FRAME_HEADER || *header_len > PLR_FRAME_MAX_HEADER || *header_len % 4)
    return plr__fail_at(err, PLR_ERR_MALFORMED, where_header, 6, "header length %u", *header_len);
  if (*header_len > len)
    return plr__fail_at(err, PLR_ERR_TRUNCATED, where_header, len, "%zu bytes of %u", len,
                        *header_len);
  if (header_crc(p, *header_len) != plr__load_le32(p + 60))
    return plr__fail_at(err, PLR_ERR_CHECKSUM, where_header, 60, "the checksum does not match");
  return PLR_OK;
}

static plr_status bad_extension(plr_error *err, uint32_t at, const char *what) {
  return plr__fail_at(err, PLR_ERR_MALFORMED, where_extension, at, "bad %s", what);
}

static plr_status take_vocab(const uint8_t *value, uint32_t len, uint32_t at, plr__frame *f,
                             plr_error *err) {
  uint32_t vocab = len == 4 ? plr__load_le32(value) : 0;
  if (vocab < 1 || vocab > INT32_MAX || f->info.vocab) return bad_extension(err, at, "vocabulary");
  f->info.vocab = vocab;
  return PLR_OK;
}

/* Keys are never 0; a frame that predicts nothing has no hash. */
static plr_status take_state(const uint8_t *value, uint32_t len, uint32_t at, plr__frame *f,
                             plr_error *err) {
  if (len != 16 || f->keys || plr__load_le32(value + 8) == 0 ||
      plr__load_le32(value + 12) > PLR_FRAME_PLAIN ||
      (plr__load_le32(value + 12) && plr__load_le64(value)))
    return bad_extension(err, at, "state");
  f->state = plr__load_le64(value);
  f->keys = plr__load_le32(value + 8);
  f->info.flags = plr__load_le32(value + 12);
  return PLR_OK;
}

static plr_status take_basis(const uint8_t *value, uint32_t len, uint32_t at, plr__frame *f,
                             plr_error *err) {
  const uint32_t cols = len == 4 ? plr__load_le32(value) : 0;
  if (cols < 1 || cols > f->info.cols || f->coded_cols) return bad_extension(err, at, "basis");
  f->coded_cols = cols;
  return PLR_OK;
}

static plr_status take_extension(uint32_t type, const uint8_t *value, uint32_t len, uint32_t at,
                                 plr__frame *f, plr_error *err) {
  switch (type) {
  case PLR_EXT_VOCAB:
    return take_vocab(value, len, at, f, err);
  case PLR_EXT_STATE:
    return take_state(value, len, at, f, err);
  case PLR_EXT_BASIS:
    return take_basis(value, len, at, f, err);
  default:
    break;
  }
  if (!(type & PLR_EXT_CRITICAL)) return PLR_OK;
  return plr__fail_at(err, PLR_ERR_UNSUPPORTED, where_extension, at,
                      "critical type 0x%04x is not known", type);
}

static plr_status read_extensions(const uint8_t *p, uint32_t header_len, plr__frame *f,
                                  plr_error *err) {
  uint32_t pos = PLR_FRAME_HEADER;
  while (pos < header_len) { /* both are multiples of 4: the four bytes below are there */
    uint32_t type = plr__load_le16(p + pos), len = plr__load_le16(p + pos + 2);
    uint32_t padded = (len + 3u) & ~3u;
    if (padded > header_len - pos - 4)
      return plr__fail_at(err, PLR_ERR_MALFORMED, where_extension, pos,
                          "type 0x%04x of %u bytes passes the header's end", type, len);
    const uint8_t *value = p + pos + 4;
    for (uint32_t i = len; i < padded; i++)
      if (value[i])
        return plr__fail_at(err, PLR_ERR_MALFORMED, where_extension, pos + 4 + i,
                            "padding is not 0");
    PLR_TRY(take_extension(type, value, len, pos, f, err));
    pos += 4 + padded;
  }
  return PLR_OK;
}

uint32_t plr__token_bits(uint32_t vocab) {
  uint32_t bits = 1;
  while (bits < 31 && vocab > UINT32_C(1) << bits) bits++;
  return bits;
}

/* Which ids go with which role. */
static plr_status check_role(const plr_frame_info *info, plr_error *err) {
  const plr_codec *c = &info->codec;
  const plr_codec tokens = {.entropy = PLR_ENTROPY_ZSTD,
                            .dtype = PLR_DTYPE_TOKENS,
                            .bits = (uint8_t)plr__token_bits(info->vocab)};
  const plr_codec control = {.dtype = PLR_DTYPE_CONTROL};
  plr_status st;
  switch (info->role) {
  case PLR_ROLE_ACTIVATION:
  case PLR_ROLE_GRADIENT:
  case PLR_ROLE_DELTA:
  case PLR_ROLE_STATE:
    st = plr__codec_check(c, where_header, err);
    if (st != PLR_OK && err) err->offset = 8;
    PLR_TRY(st);
    break;
  case PLR_ROLE_TOKENS:
    if (!info->vocab)
      return plr__fail(err, PLR_ERR_MALFORMED, where_header, "token frame without vocabulary");
    if (memcmp(c, &tokens, sizeof tokens) != 0)
      return plr__fail_at(err, PLR_ERR_UNSUPPORTED, where_header, 8, "codec of a token frame");
    return PLR_OK;
  case PLR_ROLE_CONTROL:
    if (memcmp(c, &control, sizeof control) != 0)
      return plr__fail_at(err, PLR_ERR_UNSUPPORTED, where_header, 8, "codec of a control frame");
    break;
  default:
    return plr__fail_at(err, PLR_ERR_UNSUPPORTED, where_header, 14, "role %u", info->role);
  }
  if (info->vocab)
    return plr__fail(err, PLR_ERR_MALFORMED, where_header, "vocabulary in a frame without tokens");
  return PLR_OK;
}

/* Which extensions go with which codec. */
static plr_status check_extensions(plr__frame *f, plr_error *err) {
  const plr_codec *c = &f->info.codec;
  const plr_status bad = PLR_ERR_MALFORMED;
  if (!c->predict != !f->keys)
    return plr__fail(err, bad, where_extension, "state and predictor %u do not go together",
                     c->predict);
  if (f->keys && (f->keys > f->info.rows || f->info.rows % f->keys ||
                  (c->predict == PLR_PREDICT_ANCHOR && f->keys != f->info.rows)))
    return plr__fail(err, bad, where_extension, "%u keys of %u rows", f->keys, f->info.rows);
  if ((c->transform == PLR_TRANSFORM_BASIS) != (f->coded_cols != 0))
    return plr__fail(err, bad, where_extension, "basis and transform %u do not go together",
                     c->transform);
  if (!f->coded_cols) f->coded_cols = f->info.cols;
  return PLR_OK;
}

static plr_status check_shape(const uint8_t *p, const plr__frame *f, plr_error *err) {
  const plr_frame_info *info = &f->info;
  const int control = info->role == PLR_ROLE_CONTROL;
  const plr_status bad = PLR_ERR_MALFORMED;
  if (p[13] != PLR_FRAME_RANK)
    return plr__fail_at(err, PLR_ERR_UNSUPPORTED, where_header, 13, "rank %u", p[13]);
  if (info->rows == 0 || (info->cols == 0 && !control) || (control && info->rows != 1))
    return plr__fail_at(err, bad, where_header, 16, "shape %u x %u", info->rows, info->cols);
  if ((uint64_t)info->rows * info->cols > UINT32_MAX / 4 ||
      plr__frame_raw_len(info) != plr__load_le32(p + 48))
    return plr__fail_at(err, bad, where_header, 48, "raw length %u of %u x %u values",
                        plr__load_le32(p + 48), info->rows, info->cols);
  /* chunks may hold scales and keys instead of rows */
  const uint32_t fronts = plr__codec_parametric(&info->codec) + (info->codec.predict != 0);
  if (!f->streamed && (info->chunks == 0 || info->chunks > (uint64_t)info->rows + fronts))
    return plr__fail_at(err, bad, where_header, 56, "%u chunks of %u rows", info->chunks,
                        info->rows);
  if (info->generation && !info->codec.predict && info->codec.transform != PLR_TRANSFORM_BASIS)
    return plr__fail_at(err, bad, where_header, 36, "generation %u of a stateless codec",
                        info->generation);
  return PLR_OK;
}

plr_status plr__frame_head(const void *frame, size_t len, plr__frame *out, plr_error *err) {
  const uint8_t *p = frame;
  memset(out, 0, sizeof *out);
  plr_frame_info *info = &out->info;
  PLR_TRY(check_envelope(p, len, &out->header_len, err));
  load_fields(p, info);
  PLR_TRY(read_extensions(p, out->header_len, out, err));
  PLR_TRY(check_role(info, err));
  /* A tensor's length and chunks may be left open: its frame ends with its last row. */
  out->streamed = info->payload_len == 0 && info->chunks == 0 && info->role != PLR_ROLE_TOKENS &&
                  info->role != PLR_ROLE_CONTROL;
  PLR_TRY(check_shape(p, out, err));
  return check_extensions(out, err);
}

plr_status plr__frame_open(plr_context *ctx, const void *frame, size_t len, plr__frame *out,
                           plr_error *err) {
  if (!ctx || (!frame && len))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "frame", "ctx or frame is NULL");
  if (len > plr__max_frame(ctx))
    return plr__fail(err, PLR_ERR_LIMIT, "frame", "%zu bytes, the limit is %llu", len,
                     (unsigned long long)plr__max_frame(ctx));
  PLR_TRY(plr__frame_head(frame, len, out, err));
  const size_t left = len - out->header_len;
  plr_frame_info *info = &out->info;
  if (out->streamed) {
    if (left == 0) return plr__fail_at(err, PLR_ERR_TRUNCATED, "frame", len, "there are no chunks");
    info->payload_len = (uint32_t)left;
  }
  if (info->payload_len > left)
    return plr__fail_at(err, PLR_ERR_TRUNCATED, "frame", len, "%zu bytes of a payload of %u", left,
                        info->payload_len);
  if (info->payload_len < left)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "frame",
                        (uint64_t)out->header_len + info->payload_len, "%zu bytes follow its end",
                        left - info->payload_len);
  out->payload = (const uint8_t *)frame + out->header_len;
  return PLR_OK;
}

plr_status plr_frame_parse(plr_context *ctx, const void *frame, size_t len, plr_frame_info *info,
                           plr_error *err) {
  plr__frame f;
  PLR_TRY(plr__frame_open(ctx, frame, len, &f, err));
  return plr__frame_info_write(info, &f.info, err);
}

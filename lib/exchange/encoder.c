/* Tensor to frame. Each chunk: rows to one run of values, values to payload, payload through zstd if the
 * codec says so and it helps. */
#include "exchange/exchange_int.h"

#include "base/guard.h"

#include <string.h>

struct plr_encoder {
  plr_context *ctx;
  PLR_GUARDED
  plr_codec codec;
  uint32_t max_rows, max_cols;
  size_t bound;
  float *staging;    /* values of a chunk whose rows are not contiguous */
  uint8_t *packed;   /* zstd: payload of a chunk */
  uint8_t *shuffled; /* zstd: its byte planes */
  void *zstd_memory, *zstd;
};

/* Partial groups and half bytes depend on how rows fall into chunks, hence up to 3 bytes a chunk more than
 * an even split would need. */
static uint64_t frame_bound(const plr_codec *c, uint32_t rows, uint32_t cols) {
  const uint64_t n = (uint64_t)rows * cols, chunks = plr__chunk_count(rows, cols);
  return PLR_FRAME_HEADER + chunks * (PLR_CHUNK_HEADER + 3) + plr__packed_len(c, n);
}

static plr_status check_size(plr_context *ctx, const plr_codec *c, uint32_t rows, uint32_t cols,
                             plr_error *err) {
  if (rows == 0 || cols == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "shape %u x %u", rows, cols);
  if ((uint64_t)rows * cols > UINT32_MAX / 4 || plr__chunk_count(rows, cols) > UINT16_MAX ||
      frame_bound(c, rows, cols) > plr__max_frame(ctx))
    return plr__fail(err, PLR_ERR_LIMIT, "encoder", "frames of %u x %u can pass %llu bytes", rows,
                     cols, (unsigned long long)plr__max_frame(ctx));
  return PLR_OK;
}

static uint32_t most_chunk_values(uint32_t rows, uint32_t cols) {
  return (uint32_t)PLR_MIN((uint64_t)rows * cols, PLR_MAX(PLR_CHUNK_VALUES, cols));
}

static plr_status take_memory(plr_encoder *e) {
  const size_t values = most_chunk_values(e->max_rows, e->max_cols);
  e->staging = plr__alloc(e->ctx, values * sizeof *e->staging);
  if (!e->staging) return PLR_ERR_NO_MEMORY;
  if (e->codec.entropy != PLR_ENTROPY_ZSTD) return PLR_OK;
  const size_t packed = (size_t)plr__packed_len(&e->codec, values);
  const size_t zstd = plr__zstd_encoder_size(plr__zstd_window_log(SIZE_MAX / 2));
  e->packed = plr__alloc(e->ctx, packed);
  e->shuffled = plr__alloc(e->ctx, packed);
  e->zstd_memory = plr__alloc(e->ctx, zstd);
  if (!e->packed || !e->shuffled || !e->zstd_memory) return PLR_ERR_NO_MEMORY;
  e->zstd = plr__zstd_encoder_init(e->zstd_memory, zstd);
  return e->zstd ? PLR_OK : PLR_ERR_INTERNAL;
}

plr_status plr_encoder_create(plr_context *ctx, const plr_codec *codec, uint32_t max_rows,
                              uint32_t max_cols, plr_encoder **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "out is NULL");
  *out = NULL;
  if (!ctx || !codec)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "ctx or codec is NULL");
  plr_status known = plr__codec_check(codec, "encoder", err);
  if (known == PLR_ERR_MALFORMED)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder",
                     "bits and group of a raw codec are 0");
  PLR_TRY(known);
  PLR_TRY(check_size(ctx, codec, max_rows, max_cols, err));
  plr_encoder *e = plr__calloc(ctx, 1, sizeof *e);
  if (!e) return plr__no_memory(err, "encoder");
  e->ctx = plr__context_ref(ctx);
  e->codec = *codec;
  e->max_rows = max_rows, e->max_cols = max_cols;
  e->bound = (size_t)frame_bound(codec, max_rows, max_cols);
  plr_status st = take_memory(e);
  if (st != PLR_OK) {
    plr_encoder_destroy(e);
    return plr__fail(err, st, "encoder", "%s", plr_status_message(st));
  }
  *out = e;
  return PLR_OK;
}

void plr_encoder_destroy(plr_encoder *e) {
  if (!e) return;
  PLR_GUARD_END(e);
  plr_context *ctx = e->ctx;
  plr__free(ctx, e->staging);
  plr__free(ctx, e->packed);
  plr__free(ctx, e->shuffled);
  plr__free(ctx, e->zstd_memory);
  plr__free(ctx, e);
  plr__context_unref(ctx);
}

size_t plr_encoder_bound(const plr_encoder *e) {
  return e->bound;
}

/* Values of `rows` rows from `first` on, as one run. */
static const float *gather(plr_encoder *e, const plr_tensor *x, uint32_t first, uint32_t rows) {
  const float *from = (const float *)x->data + (int64_t)first * x->strides[0];
  const size_t cols = (size_t)x->shape[1];
  if (x->strides[0] == x->shape[1] || rows == 1) return from;
  for (uint32_t r = 0; r < rows; r++, from += x->strides[0])
    memcpy(e->staging + r * cols, from, cols * sizeof *from);
  return e->staging;
}

/* The payload of a chunk through zstd, or as it is where that is not shorter. */
static plr_status compress(plr_encoder *e, size_t n, uint8_t *out, plr__chunk *chunk) {
  const size_t packed = (size_t)plr__packed_len(&e->codec, n);
  const size_t front = (size_t)plr__planes_len(&e->codec, n);
  const uint32_t size = plr__plane_size(&e->codec);
  plr__shuffle(e->packed, front / size, size, e->shuffled);
  memcpy(e->shuffled + front, e->packed + front, packed - front);
  const size_t plane = front == packed ? front / size : packed;
  size_t written;
  PLR_TRY(plr__zstd_encode(e->zstd, plr__zstd_window_log(plane), e->shuffled, packed, out, packed,
                           &written));
  if (written) {
    chunk->flags = PLR_CHUNK_ZSTD;
    chunk->payload_len = (uint32_t)written;
  } else {
    memcpy(out, e->packed, packed);
  }
  return PLR_OK;
}

static plr_status encode_chunk(plr_encoder *e, const plr_tensor *x, uint32_t first, uint32_t rows,
                               uint8_t *at, uint32_t *len) {
  const size_t n = (size_t)rows * (size_t)x->shape[1];
  const uint32_t isa = plr_context_isa(e->ctx);
  uint8_t *payload = at + PLR_CHUNK_HEADER;
  plr__chunk chunk = {payload, (uint32_t)plr__packed_len(&e->codec, n), first, rows, 0};
  const float *values = gather(e, x, first, rows);
  if (e->codec.entropy == PLR_ENTROPY_ZSTD) {
    PLR_TRY(plr__pack(isa, &e->codec, values, n, e->packed));
    PLR_TRY(compress(e, n, payload, &chunk));
  } else {
    PLR_TRY(plr__pack(isa, &e->codec, values, n, payload));
  }
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
  return PLR_OK;
}

static plr_status encode_chunks(plr_encoder *e, plr_frame_info *info, const plr_tensor *x,
                                uint8_t *out, uint32_t header_len) {
  const uint32_t step = plr__chunk_rows(info->cols);
  for (uint32_t first = 0; first < info->rows; first += step) {
    uint32_t len, rows = PLR_MIN(step, info->rows - first);
    PLR_TRY(encode_chunk(e, x, first, rows, out + header_len + info->payload_len, &len));
    info->payload_len += len;
    info->chunks++;
  }
  return PLR_OK;
}

/* Shape and strides of a matrix that fits max_rows x max_cols. */
plr_status plr__check_matrix(const plr_tensor *x, uint32_t max_rows, uint32_t max_cols) {
  if (!x || plr_tensor_check(x, NULL) != PLR_OK) return PLR_ERR_SHAPE;
  if (x->dtype != PLR_DTYPE_F32 || x->ndim != 2) return PLR_ERR_SHAPE;
  if (x->shape[0] < 1 || x->shape[0] > max_rows || x->shape[1] < 1 || x->shape[1] > max_cols)
    return PLR_ERR_SHAPE;
  if (x->shape[1] > 1 && x->strides[1] != 1) return PLR_ERR_SHAPE;
  return x->shape[0] == 1 || x->strides[0] >= x->shape[1] ? PLR_OK : PLR_ERR_SHAPE;
}

static int is_tensor_role(uint32_t role) {
  return role == PLR_ROLE_ACTIVATION || role == PLR_ROLE_GRADIENT || role == PLR_ROLE_DELTA ||
         role == PLR_ROLE_STATE;
}

plr_status plr_encoder_encode(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x,
                              void *out, size_t cap, size_t *len) {
  PLR_GUARD(e, NULL);
  plr_frame_info info;
  if (!e || !given || !out || !len) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__frame_info_read(&info, given));
  if (!is_tensor_role(info.role)) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__check_matrix(x, e->max_rows, e->max_cols));
  info.rows = (uint32_t)x->shape[0], info.cols = (uint32_t)x->shape[1];
  info.codec = e->codec;
  info.generation = info.vocab = info.chunks = info.payload_len = 0;
  if (cap < frame_bound(&e->codec, info.rows, info.cols)) {
    *len = e->bound;
    return PLR_ERR_BUFFER_TOO_SMALL;
  }
  const uint32_t header_len = plr__frame_header_len(&info);
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = encode_chunks(e, &info, x, out, header_len);
  plr__fpenv_leave(saved);
  PLR_TRY(st);
  plr__frame_write_header(out, &info);
  *len = header_len + info.payload_len;
  return PLR_OK;
}

/* Tensor to frame. Each chunk: rows to one run of values, values to payload, payload through zstd if the
 * codec says so and it helps. */
#include "exchange/encoder_int.h"
#include "exchange/hadamard.h"

#include "kernels/kernels.h"

#include <string.h>

/* Partial groups and half bytes depend on how rows fall into chunks, hence up to 3 bytes a chunk more than
 * an even split would need. */
static uint64_t frame_bound(const plr_codec *c, uint32_t rows, uint32_t cols) {
  if (plr__codec_parametric(c)) return PLR_FRAME_HEADER + plr__parametric_bound(rows, cols);
  const uint64_t n = (uint64_t)rows * cols, chunks = plr__chunk_count(rows, cols);
  if (c->quant == PLR_QUANT_TOPK)
    return PLR_FRAME_HEADER + chunks * (PLR_CHUNK_HEADER + plr__topk_bound(c, 1)) +
           plr__topk_bound(c, n);
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
  if (e->codec.transform == PLR_TRANSFORM_HADAMARD) {
    e->turned = plr__alloc(e->ctx, (size_t)e->max_rows * e->max_cols * sizeof *e->turned);
    e->signs = plr__alloc(e->ctx, e->max_cols * sizeof *e->signs);
    if (!e->turned || !e->signs) return PLR_ERR_NO_MEMORY;
  }
  if (plr__codec_parametric(&e->codec))
    return plr__parametric_encoder_create(&e->parametric, e->ctx, &e->codec, e->max_rows,
                                          e->max_cols, values);
  if (e->codec.quant == PLR_QUANT_TOPK)
    return plr__topk_create(&e->topk, e->ctx, &e->codec, e->max_rows, e->max_cols, values);
  const size_t packed = (size_t)plr__packed_len(&e->codec, values);
  if (e->codec.entropy == PLR_ENTROPY_PACK) return PLR_OK;
  if (e->codec.entropy == PLR_ENTROPY_SPLIT) {
    e->packed = plr__alloc(e->ctx, packed);
    return e->packed ? plr__split_create(&e->split, e->ctx, values) : PLR_ERR_NO_MEMORY;
  }
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
  e->correction = 1.0;
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
  plr__free(ctx, e->turned);
  plr__free(ctx, e->signs);
  plr__split_destroy(e->split, ctx);
  plr__topk_destroy(e->topk, ctx);
  plr__parametric_encoder_destroy(e->parametric, ctx);
  plr__free(ctx, e);
  plr__context_unref(ctx);
}

size_t plr_encoder_bound(const plr_encoder *e) {
  return e->bound;
}

/* The payload of a chunk through zstd, or as it is where that is not shorter. */
static plr_status compress(plr_encoder *e, const uint8_t *values, size_t n, uint8_t *out,
                           plr__chunk *chunk) {
  const size_t packed = (size_t)plr__packed_len(&e->codec, n);
  const size_t front = (size_t)plr__planes_len(&e->codec, n);
  const uint32_t size = plr__plane_size(&e->codec);
  plr__shuffle(values, front / size, size, e->shuffled);
  memcpy(e->shuffled + front, values + front, packed - front);
  const size_t plane = front == packed ? front / size : packed;
  size_t written;
  PLR_TRY(plr__zstd_encode(e->zstd, plr__zstd_window_log(plane), e->shuffled, packed, out, packed,
                           &written));
  if (written) {
    chunk->flags = PLR_CHUNK_ZSTD;
    chunk->payload_len = (uint32_t)written;
  } else {
    memcpy(out, values, packed);
  }
  return PLR_OK;
}

/* The same through split.h. */
static void split(plr_encoder *e, const uint8_t *values, size_t n, uint8_t *out,
                  plr__chunk *chunk) {
  const uint32_t size = plr_dtype_size(e->codec.dtype);
  size_t written;
  plr__split_encode(e->split, values, n, size, out, &written);
  if (written) {
    chunk->flags = PLR_CHUNK_SPLIT;
    chunk->payload_len = (uint32_t)written;
  } else {
    memcpy(out, values, n * size);
  }
}

/* Rows as plr__pack makes them, at `to`, or where they lie when those are the very bytes. */
static plr_status pack_rows(plr_encoder *e, const plr__view *x, uint32_t first, uint32_t rows,
                            uint8_t *to, const uint8_t **packed) {
  const size_t n = (size_t)rows * x->cols;
  *packed = plr__view_bytes(x, &e->codec, first, rows);
  if (*packed) {
    const int finite = e->codec.dtype != PLR_DTYPE_BF16 || plr__bf16_finite(*packed, n);
    return finite ? PLR_OK : PLR_ERR_NON_FINITE;
  }
  *packed = to;
  return plr__pack(plr_context_isa(e->ctx), &e->codec, plr__view_rows(x, first, rows, e->staging),
                   n, to);
}

static plr_status encode_chunk(plr_encoder *e, const plr__view *x, uint32_t first, uint32_t rows,
                               uint8_t *at, uint32_t *len) {
  const size_t n = (size_t)rows * x->cols;
  uint8_t *payload = at + PLR_CHUNK_HEADER;
  plr__chunk chunk = {payload, 0, first, rows, 0};
  const uint8_t *packed = payload;
  if (e->topk) {
    chunk.payload_len = (uint32_t)plr__topk_encode(e->topk, n, payload);
  } else {
    chunk.payload_len = (uint32_t)plr__packed_len(&e->codec, n);
    PLR_TRY(pack_rows(e, x, first, rows, e->packed ? e->packed : payload, &packed));
  }
  if (e->codec.entropy == PLR_ENTROPY_ZSTD)
    PLR_TRY(compress(e, packed, n, payload, &chunk));
  else if (e->split)
    split(e, packed, n, payload, &chunk);
  else if (packed != payload)
    memcpy(payload, packed, chunk.payload_len);
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
  return PLR_OK;
}

/* The tensor after the Hadamard transform. */
static plr__view turn(plr_encoder *e, const plr_frame_info *info, const plr__view *x) {
  const size_t cols = x->cols;
  for (uint32_t r = 0; r < x->rows; r++) {
    const float *row = plr__view_row(x, r, e->staging);
    memcpy(e->turned + r * cols, row, cols * sizeof *row);
  }
  plr__hadamard_forward(plr__model_ops_for(plr_context_isa(e->ctx)), info, 0, x->rows, e->signs,
                        e->turned);
  return (plr__view){.data = (uint8_t *)e->turned,
                     .dtype = PLR_DTYPE_F32,
                     .rows = x->rows,
                     .cols = x->cols,
                     .row_stride = x->cols,
                     .col_stride = 1};
}

static plr_status encode_chunks(plr_encoder *e, plr_frame_info *info, const plr__view *x,
                                uint8_t *out, uint32_t header_len) {
  plr__view turned;
  if (e->turned) {
    turned = turn(e, info, x);
    x = &turned;
  }
  if (e->parametric) return plr__parametric_frame(e, info, x, out, header_len);
  const uint32_t step = plr__chunk_rows(info->cols);
  if (e->topk) PLR_TRY(plr__topk_plan(e->topk, x, step, e->staging));
  for (uint32_t first = 0; first < info->rows; first += step) {
    uint32_t len, rows = PLR_MIN(step, info->rows - first);
    PLR_TRY(encode_chunk(e, x, first, rows, out + header_len + info->payload_len, &len));
    info->payload_len += len;
    info->chunks++;
  }
  return PLR_OK;
}

static int is_tensor_role(uint32_t role) {
  return role == PLR_ROLE_ACTIVATION || role == PLR_ROLE_GRADIENT || role == PLR_ROLE_DELTA ||
         role == PLR_ROLE_STATE;
}

plr_status plr_encoder_encode(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x,
                              void *out, size_t cap, size_t *len) {
  PLR_GUARD(e, NULL);
  plr_frame_info info;
  plr__view view;
  if (!e || !given || !out || !len) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__frame_info_read(&info, given));
  if (!is_tensor_role(info.role)) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__view_open(&view, x, e->max_rows, e->max_cols, 0));
  info.rows = view.rows, info.cols = view.cols;
  info.codec = e->codec;
  info.generation = info.vocab = info.chunks = info.payload_len = 0;
  if (cap < frame_bound(&e->codec, info.rows, info.cols)) {
    *len = e->bound;
    return PLR_ERR_BUFFER_TOO_SMALL;
  }
  const uint32_t header_len = plr__frame_header_len(&info);
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = encode_chunks(e, &info, &view, out, header_len);
  plr__fpenv_leave(saved);
  PLR_TRY(st);
  plr__frame_write_header(out, &info);
  *len = header_len + info.payload_len;
  e->stats.frames++;
  e->stats.values += (uint64_t)info.rows * info.cols;
  e->stats.bytes += *len;
  return PLR_OK;
}

plr_status plr_encoder_set_budget(plr_encoder *e, uint64_t bytes) {
  PLR_GUARD(e, NULL);
  if (!e) return PLR_ERR_INVALID_ARGUMENT;
  if (!e->parametric) return PLR_ERR_UNSUPPORTED;
  e->budget = bytes;
  return PLR_OK;
}

/* 10^(-db/10) */
static double power_ratio(double db) {
  return db > 0 ? plr__exp(-0.23025850929940457 * db) : 0;
}

plr_status plr_encoder_set_snr(plr_encoder *e, double target_db, double floor_db) {
  PLR_GUARD(e, NULL);
  if (!e || !(target_db >= 0 && target_db <= 200) || !(floor_db >= 0 && floor_db <= 200))
    return PLR_ERR_INVALID_ARGUMENT;
  if (!e->parametric && (target_db > 0 || floor_db > 0)) return PLR_ERR_UNSUPPORTED;
  e->target = power_ratio(target_db);
  e->floor = power_ratio(floor_db);
  return PLR_OK;
}

plr_status plr_encoder_get_stats(const plr_encoder *e, plr_encoder_stats *out) {
  if (!e || !out) return PLR_ERR_INVALID_ARGUMENT;
  return plr__record_write(out, &e->stats, (uint32_t)sizeof e->stats, (uint32_t)sizeof e->stats);
}

/* What the files of exchange share with each other and with exchange's tests. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_EXCHANGE_INT_H
#define PLR_EXCHANGE_EXCHANGE_INT_H

#include "exchange/exchange.h"

#define PLR_FRAME_MAJOR      1u
#define PLR_FRAME_MINOR      0u
#define PLR_FRAME_MAX_HEADER 4096u
#define PLR_FRAME_RANK       2u
#define PLR_EXT_CRITICAL     0x8000u
#define PLR_EXT_VOCAB        0x8001u
#define PLR_EXT_VOCAB_BYTES  8u
#define PLR_EXT_STATE        0x8002u
#define PLR_EXT_STATE_BYTES  20u
#define PLR_EXT_BASIS        0x8003u
#define PLR_EXT_BASIS_BYTES  8u

#define PLR_CHUNK_HEADER 20u
#define PLR_CHUNK_VALUES 65536u
#define PLR_CHUNK_ZSTD   1u
#define PLR_CHUNK_SPLIT  4u
#define PLR_CHUNK_HISTOGRAM 8u
#define PLR_CHUNK_MODEL  2u  /* scales and means of the channels, no rows */
#define PLR_CHUNK_KEYS   16u /* what rows belong to, for predictors; no rows */

/* Ids of the dtype field that no public codec has. */
#define PLR_DTYPE_TOKENS  PLR_DTYPE_I32
#define PLR_DTYPE_CONTROL PLR_DTYPE_U8

/* ---- codec: how n values become a payload ------------------------------------------------------ */

/* A combination of ids this build knows. Errors: UNSUPPORTED, MALFORMED (a field that must be 0). */
plr_status plr__codec_check(const plr_codec *c, const char *where, plr_error *err);

/* Bytes of the payload of n values, without zstd. */
uint64_t plr__packed_len(const plr_codec *c, uint64_t n);

/* Bytes at the front of that payload that are values of plr__plane_size bytes each, to be split into
 * byte planes before zstd. */
uint64_t plr__planes_len(const plr_codec *c, uint64_t n);
uint32_t plr__plane_size(const plr_codec *c);

/* Values to payload and back. pack: NON_FINITE. unpack: NON_FINITE, MALFORMED, and *why in words. */
plr_status plr__pack(uint32_t isa, const plr_codec *c, const float *x, size_t n, uint8_t *out);
plr_status plr__unpack(uint32_t isa, const plr_codec *c, const uint8_t *in, size_t n, float *y,
                       const char **why);

/* 1 when none of n little-endian bf16 or fp16 values is a NaN or an infinity; fp32 may be anything. */
int plr__raw_finite(uint32_t dtype, const uint8_t *in, size_t n);

/* planes[b * n + i] = byte b of value i, and back. */
void plr__shuffle(const uint8_t *values, size_t n, uint32_t size, uint8_t *planes);
void plr__unshuffle(const uint8_t *planes, size_t n, uint32_t size, uint8_t *values);

/* 1 for the codecs of parametric.h, whose chunks have a length of their own. */
static inline int plr__codec_parametric(const plr_codec *c) {
  return c->entropy == PLR_ENTROPY_PARAMETRIC;
}


/* ---- kernels ----------------------------------------------------------------------------------- */

/* Largest magnitude of a scale, as bf16 bits: the largest below 2^(129 - bits), so that every q x scale
 * is finite. */
static inline uint32_t plr__scale_max(uint32_t bits) {
  return ((256u - bits) << 7) - 1u;
}

/* All on n contiguous values; scales and bf16 values are little-endian bytes. quantise and to_bf16
 * return 0 when a value or a result is not finite, and then what they wrote means nothing. */
typedef struct plr__block_ops {
  int (*quantise)(const float *x, size_t n, uint32_t group, uint32_t bits, uint8_t *scales,
                  uint8_t *q);
  void (*dequantise)(const uint8_t *scales, const uint8_t *q, size_t n, uint32_t group,
                     uint32_t bits, float *y);
  int (*to_bf16)(const float *x, size_t n, uint8_t *out);
  int (*from_bf16)(const uint8_t *in, size_t n, float *y);
} plr__block_ops;

extern const plr__block_ops plr__block_portable;
#if defined(__x86_64__)
extern const plr__block_ops plr__block_avx2, plr__block_avx512;
#endif

static inline const plr__block_ops *plr__block_ops_for(uint32_t isa) {
#if defined(__x86_64__)
  if (isa >= PLR_ISA_AVX512) return &plr__block_avx512;
  if (isa >= PLR_ISA_AVX2) return &plr__block_avx2;
#endif
  (void)isa;
  return &plr__block_portable;
}

/* ---- zstd in memory that the caller owns: nothing is allocated ---------------------------------- */

/* Compressor of inputs whose byte planes are at most 2^window_log bytes (10 .. 16), in `size` bytes. */
size_t plr__zstd_encoder_size(uint32_t window_log);
size_t plr__zstd_decoder_size(void);
void *plr__zstd_encoder_init(void *memory, size_t size);
void *plr__zstd_decoder_init(void *memory, size_t size);

/* Window for an input whose planes are `plane` bytes: blocks then do not mix planes. */
uint32_t plr__zstd_window_log(size_t plane);

/* *written = 0 when the result would not be shorter than `cap`. Errors: INTERNAL. */
plr_status plr__zstd_encode(void *encoder, uint32_t window_log, const uint8_t *src, size_t len,
                            uint8_t *dst, size_t cap, size_t *written);
/* src is exactly one zstd frame of exactly len bytes decoded. Errors: MALFORMED. */
plr_status plr__zstd_decode(void *decoder, const uint8_t *src, size_t src_len, uint8_t *dst,
                            size_t len);

/* ---- frame ------------------------------------------------------------------------------------- */

typedef struct plr__frame {
  plr_frame_info info;
  const uint8_t *payload; /* the chunks, info.payload_len bytes */
  uint32_t header_len;    /* with extensions: where in the frame they begin */
  uint32_t streamed;      /* the header was written before the length and the number of chunks were known */
  uint32_t coded_cols;    /* columns after the transform */
  uint32_t keys;          /* of predictors: keys, each of info.rows / keys rows */
  uint64_t state;         /* of predictors: hash of what is predicted (predict.h) */
} plr__frame;

/* The header alone, of a frame of which `len` bytes are there; TRUNCATED when they do not hold it. */
plr_status plr__frame_head(const void *frame, size_t len, plr__frame *out, plr_error *err);
/* As plr_frame_parse. */
plr_status plr__frame_open(plr_context *ctx, const void *frame, size_t len, plr__frame *out,
                           plr_error *err);

/* Bytes of the header that plr__frame_write_header writes. A streamed frame's says neither length nor chunks. */
uint32_t plr__frame_header_len(const plr_frame_info *info);
void plr__frame_write_header(uint8_t *out, const plr__frame *f);

/* Copies between a caller's info and ours, as its struct_size says. */
plr_status plr__frame_info_read(plr_frame_info *out, const plr_frame_info *in);
plr_status plr__frame_info_write(plr_frame_info *out, const plr_frame_info *in, plr_error *err);

uint64_t plr__frame_raw_len(const plr_frame_info *info); /* rows x cols x size, exact */

/* Bits of a token id: max(1, ceil(log2 vocab)). */
uint32_t plr__token_bits(uint32_t vocab);

/* ---- chunks ------------------------------------------------------------------------------------ */

/* Rows an encoder puts into a chunk, and chunks of a frame. */
uint32_t plr__chunk_rows(const plr_codec *c, uint32_t cols);
uint32_t plr__chunk_count(const plr_codec *c, uint32_t rows, uint32_t cols);

typedef struct plr__chunk {
  const uint8_t *payload;
  uint32_t payload_len, first_row, rows, flags;
} plr__chunk;

/* Most bytes of the payload of a parametric chunk, of the scales of n channels or of n keys. */
#define PLR_PARAMETRIC_MOST(rows, values) (UINT64_C(5) * (rows) + UINT64_C(4) * (values) + 384)
#define PLR_SCALES_MOST(n)                (UINT64_C(10) * (n) + 2)
#define PLR_KEYS_MOST(n)                  (UINT64_C(8) * (n) + 1)

/* Writes the header of a chunk whose payload already stands behind it. */
void plr__chunk_write_header(uint8_t *at, const plr__chunk *chunk);

/* Where in a frame the next chunk begins, and what it has to be. */
typedef struct plr__chunk_reader {
  const plr__frame *frame;
  uint32_t pos, index, next_row, fronts;
} plr__chunk_reader;

/* 1 when all chunks were read. */
int plr__chunk_last(const plr__chunk_reader *r);
/* The next chunk of a frame in memory, checked (place, length against n values, checksum). After the last, done. */
plr_status plr__chunk_next(plr__chunk_reader *r, plr__chunk *out, plr_error *err);
plr_status plr__chunk_done(const plr__chunk_reader *r, plr_error *err);
/* The same of a chunk of which `left` bytes lie at `at`, wherever the rest of the frame is. */
plr_status plr__chunk_read(plr__chunk_reader *r, const uint8_t *at, size_t left, plr__chunk *out,
                           plr_error *err);

/* Refuses the payload of the chunk that was read last, saying why. */
plr_status plr__chunk_fail(plr_error *err, plr_status st, const plr__chunk_reader *r,
                           const plr__chunk *chunk, const char *why);

#endif

/* How the frames of tests/golden/frames/must_fail are made: a good frame, one change, and checksums made right
 * again unless the checksum is the point. */
#ifndef PLR_TEST_EXCHANGE_MUST_FAIL_H
#define PLR_TEST_EXCHANGE_MUST_FAIL_H

#include "exchange_test.h"

/* Good frames to start from. TWO has two chunks, of one row each. */
typedef enum must_fail_base {
  INT4,
  ODD,
  BF16,
  RAW,
  ZSTD,
  TWO,
  UNIFORM,
  SPLIT,
  CHANNELS,
  HISTOGRAM,
  SAMPLE,
  ANCHOR,
  BASIS,
  STREAM, /* streamed */
  TOPK,
  EDEN,
  MASK,
  COLUMNS,
  FP16,
  TOKENS,
  PACKED,
  CONTROL
} must_fail_base;

typedef enum must_fail_change {
  CUT,     /* to `at` bytes */
  APPEND,  /* `at` zero bytes */
  FLIP,    /* bit `value` of byte `at`, checksums left alone */
  SET8,    /* value at byte `at`, checksums made right */
  SET16,   /*                                           */
  SET32,   /*                                           */
  EXTEND,  /* an extension: type `at`, value's bytes; low byte of length = value >> 32 */
  CHUNK8,  /* as SET, at byte `at` of chunk `value >> 32` */
  CHUNK32, /*                                            */
  SPECIAL  /* made by hand, see must_fail_special */
} must_fail_change;

typedef struct must_fail_case {
  const char *name;
  plr_status status;
  must_fail_base base;
  must_fail_change change;
  uint32_t at;
  uint64_t value;
} must_fail_case;

enum {
  SWAP_CHUNKS,
  LARGE_CHUNK,
  AFTER_LAST,
  ZSTD_TWICE,
  ZSTD_SHORT,
  VOCAB_TWICE,
  NO_VOCAB,
  STATE_LOW,
  LAST_BYTE,
  WRONG_STATE,
  HISTOGRAM_BYTE
};

#define SECOND         (UINT64_C(1) << 32)
#define OF(len, value) ((uint64_t)(len) << 32 | (value))

static const must_fail_case must_fail_cases[] = {
    {"empty", PLR_ERR_TRUNCATED, INT4, CUT, 0, 0},
    {"cut-in-header", PLR_ERR_TRUNCATED, INT4, CUT, 40, 0},
    {"cut-after-header", PLR_ERR_TRUNCATED, INT4, CUT, 64, 0},
    {"cut-last-byte", PLR_ERR_TRUNCATED, INT4, CUT, UINT32_MAX, 0},
    {"trailing-byte", PLR_ERR_MALFORMED, INT4, APPEND, 1, 0},
    {"magic", PLR_ERR_MALFORMED, INT4, SET8, 0, 'Q'},
    {"major-0", PLR_ERR_VERSION, INT4, SET8, 4, 0},
    {"major-2", PLR_ERR_VERSION, INT4, SET8, 4, 2},
    {"flip-rows", PLR_ERR_CHECKSUM, INT4, FLIP, 16, 1},
    {"flip-seed", PLR_ERR_CHECKSUM, INT4, FLIP, 40, 7},
    {"flip-header-checksum", PLR_ERR_CHECKSUM, INT4, FLIP, 61, 0},
    {"flip-vocabulary", PLR_ERR_CHECKSUM, TOKENS, FLIP, 69, 3},
    {"flip-chunk-header", PLR_ERR_CHECKSUM, INT4, FLIP, 72, 0},
    {"flip-payload", PLR_ERR_CHECKSUM, INT4, FLIP, 90, 4},
    {"flip-chunk-checksum", PLR_ERR_CHECKSUM, INT4, FLIP, 80, 2},
    {"flip-zstd", PLR_ERR_CHECKSUM, ZSTD, FLIP, 100, 2},
    {"flip-tokens", PLR_ERR_CHECKSUM, TOKENS, FLIP, 100, 2},
    {"flip-control", PLR_ERR_CHECKSUM, CONTROL, FLIP, 86, 5},
    {"header-length-60", PLR_ERR_MALFORMED, INT4, SET16, 6, 60},
    {"header-length-66", PLR_ERR_MALFORMED, INT4, SET16, 6, 66},
    {"header-length-absurd", PLR_ERR_MALFORMED, INT4, SET16, 6, 65532},
    {"header-length-past-end", PLR_ERR_TRUNCATED, INT4, SET16, 6, 4096},
    {"extension-critical", PLR_ERR_UNSUPPORTED, INT4, EXTEND, 0x80ff, OF(4, 1)},
    {"extension-past-header", PLR_ERR_MALFORMED, INT4, EXTEND, 0x0002, OF(5, 1)},
    {"extension-padding", PLR_ERR_MALFORMED, INT4, EXTEND, 0x0002, OF(3, 0x01000000)},
    {"vocabulary-of-tensor", PLR_ERR_MALFORMED, INT4, EXTEND, PLR_EXT_VOCAB, OF(4, 256)},
    {"vocabulary-twice", PLR_ERR_MALFORMED, TOKENS, SPECIAL, VOCAB_TWICE, 0},
    {"vocabulary-missing", PLR_ERR_MALFORMED, TOKENS, SPECIAL, NO_VOCAB, 0},
    {"vocabulary-0", PLR_ERR_MALFORMED, TOKENS, SET32, 68, 0},
    {"vocabulary-absurd", PLR_ERR_MALFORMED, TOKENS, SET32, 68, 0x80000000u},
    {"vocabulary-of-other-bits", PLR_ERR_UNSUPPORTED, TOKENS, SET32, 68, 257},
    {"predict-3", PLR_ERR_UNSUPPORTED, INT4, SET8, 8, 3},
    {"transform-4", PLR_ERR_UNSUPPORTED, INT4, SET8, 9, 4},
    {"quant-4", PLR_ERR_UNSUPPORTED, INT4, SET8, 10, 4},
    {"entropy-1", PLR_ERR_UNSUPPORTED, INT4, SET8, 11, 1},
    {"dtype-9", PLR_ERR_UNSUPPORTED, RAW, SET8, 12, 9},
    {"dtype-of-block", PLR_ERR_UNSUPPORTED, INT4, SET8, 12, PLR_DTYPE_BF16},
    {"rank-3", PLR_ERR_UNSUPPORTED, INT4, SET8, 13, 3},
    {"role-0", PLR_ERR_UNSUPPORTED, INT4, SET8, 14, 0},
    {"role-9", PLR_ERR_UNSUPPORTED, INT4, SET8, 14, 9},
    {"bits-9", PLR_ERR_UNSUPPORTED, INT4, SET8, 15, 9},
    {"bits-1", PLR_ERR_UNSUPPORTED, INT4, SET8, 15, 1},
    {"bits-of-raw", PLR_ERR_MALFORMED, RAW, SET8, 15, 8},
    {"group-48", PLR_ERR_UNSUPPORTED, INT4, SET16, 58, 48},
    {"group-0", PLR_ERR_UNSUPPORTED, INT4, SET16, 58, 0},
    {"group-of-raw", PLR_ERR_MALFORMED, RAW, SET16, 58, 32},
    {"rows-0", PLR_ERR_MALFORMED, INT4, SET32, 16, 0},
    {"rows-absurd", PLR_ERR_MALFORMED, INT4, SET32, 16, UINT32_MAX},
    {"columns-0", PLR_ERR_MALFORMED, INT4, SET32, 20, 0},
    {"columns-absurd", PLR_ERR_MALFORMED, INT4, SET32, 20, UINT32_MAX},
    {"generation-1", PLR_ERR_MALFORMED, INT4, SET32, 36, 1},
    {"raw-length", PLR_ERR_MALFORMED, INT4, SET32, 48, 4},
    {"payload-length-short", PLR_ERR_MALFORMED, INT4, SET32, 52, 10},
    {"payload-length-absurd", PLR_ERR_TRUNCATED, INT4, SET32, 52, UINT32_MAX},
    {"chunks-0", PLR_ERR_MALFORMED, INT4, SET16, 56, 0},
    {"chunks-more-than-rows", PLR_ERR_MALFORMED, INT4, SET16, 56, 10},
    {"chunks-one-missing", PLR_ERR_MALFORMED, TWO, SET16, 56, 1},
    {"chunks-one-more", PLR_ERR_TRUNCATED, INT4, SET16, 56, 2},
    {"chunk-length-short", PLR_ERR_MALFORMED, INT4, CHUNK32, 0, 8},
    {"chunk-length-absurd", PLR_ERR_TRUNCATED, INT4, CHUNK32, 0, UINT32_MAX},
    {"chunk-overlap", PLR_ERR_MALFORMED, TWO, CHUNK32, 4, SECOND | 0},
    {"chunk-gap", PLR_ERR_MALFORMED, TWO, CHUNK32, 4, SECOND | 2},
    {"chunk-order", PLR_ERR_MALFORMED, TWO, SPECIAL, SWAP_CHUNKS, 0},
    {"chunk-rows-0", PLR_ERR_MALFORMED, INT4, CHUNK32, 8, 0},
    {"chunk-rows-past-end", PLR_ERR_MALFORMED, INT4, CHUNK32, 8, 10},
    {"chunk-rows-few", PLR_ERR_MALFORMED, INT4, CHUNK32, 8, 8},
    {"chunk-rows-absurd", PLR_ERR_MALFORMED, TWO, CHUNK32, 8, SECOND | UINT32_MAX},
    {"chunk-flags", PLR_ERR_MALFORMED, INT4, CHUNK32, 12, 2},
    {"chunk-flags-high", PLR_ERR_MALFORMED, ZSTD, CHUNK32, 12, 0x80000001u},
    {"chunk-zstd-not-said", PLR_ERR_MALFORMED, INT4, CHUNK32, 12, 1},
    {"chunk-stored-not-said", PLR_ERR_MALFORMED, ZSTD, CHUNK32, 12, 0},
    {"chunk-too-large", PLR_ERR_MALFORMED, TWO, SPECIAL, LARGE_CHUNK, 0},
    {"chunk-bytes-after-last", PLR_ERR_MALFORMED, INT4, SPECIAL, AFTER_LAST, 0},
    {"scale-infinite", PLR_ERR_NON_FINITE, INT4, CHUNK8, 21, 0x7f},
    {"scale-nan", PLR_ERR_NON_FINITE, ZSTD, SPECIAL, ZSTD_SHORT, 1},
    {"scale-denormal", PLR_ERR_MALFORMED, INT4, CHUNK32, 20, 1},
    {"scale-minus-zero", PLR_ERR_MALFORMED, INT4, CHUNK32, 20, 0x8000},
    {"half-byte-left", PLR_ERR_MALFORMED, ODD, CHUNK8, 20 + 4 + 22, 0x10},
    {"bf16-nan", PLR_ERR_NON_FINITE, BF16, CHUNK8, 23, 0xff},
    {"fp16-infinite", PLR_ERR_NON_FINITE, FP16, CHUNK8, 23, 0x7c},
    {"fp16-in-4-bits", PLR_ERR_MALFORMED, FP16, SET8, 15, 4},
    {"zstd-garbage", PLR_ERR_MALFORMED, ZSTD, CHUNK8, 20, 0},
    {"zstd-of-other-length", PLR_ERR_MALFORMED, ZSTD, SPECIAL, ZSTD_SHORT, 0},
    {"zstd-two-frames", PLR_ERR_MALFORMED, ZSTD, SPECIAL, ZSTD_TWICE, 0},
    {"token-past-vocabulary", PLR_ERR_MALFORMED, PACKED, CHUNK8, 20 + 1, 0xff},
    {"token-spare-bits", PLR_ERR_MALFORMED, PACKED, CHUNK8, 20 + 8, 0x80},
    {"hadamard-of-raw", PLR_ERR_UNSUPPORTED, RAW, SET8, 9, 1},
    {"split-lanes-4", PLR_ERR_MALFORMED, SPLIT, CHUNK8, 20, 4},
    {"split-range-turned", PLR_ERR_MALFORMED, SPLIT, CHUNK8, 21, 0xff},
    {"split-frequencies", PLR_ERR_MALFORMED, SPLIT, CHUNK8, 23, 0x55},
    {"split-not-said", PLR_ERR_MALFORMED, BF16, CHUNK32, 12, 4},
    {"split-and-zstd", PLR_ERR_MALFORMED, SPLIT, CHUNK32, 12, 5},
    {"split-stored-not-said", PLR_ERR_MALFORMED, SPLIT, CHUNK32, 12, 0},
    {"split-columns-rice-8", PLR_ERR_MALFORMED, COLUMNS, CHUNK8, 21, 8},
    {"split-columns-twice", PLR_ERR_MALFORMED, COLUMNS, CHUNK8, 26, 1},
    {"split-columns-cut", PLR_ERR_MALFORMED, COLUMNS, CHUNK32, 22, 0xffffffff},
    {"split-of-int4", PLR_ERR_UNSUPPORTED, INT4, SET8, 11, 4},
    {"split-cut", PLR_ERR_MALFORMED, SPLIT, SPECIAL, LAST_BYTE, 0},
    {"parametric-with-zstd", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 11, 5},
    {"parametric-of-raw", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 10, 0},
    {"parametric-bits-0", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 15, 0},
    {"parametric-bits-13", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 15, 13},
    {"parametric-dtype", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 12, PLR_DTYPE_BF16},
    {"parametric-step-rule-2", PLR_ERR_UNSUPPORTED, UNIFORM, SET16, 58, 2},
    {"parametric-flags", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 12, 4},
    {"parametric-model-late", PLR_ERR_MALFORMED, CHANNELS, CHUNK32, 12, SECOND | 2},
    {"parametric-model-with-rows", PLR_ERR_MALFORMED, CHANNELS, CHUNK32, 8, 1},
    {"parametric-model-of-rice-8", PLR_ERR_MALFORMED, CHANNELS, CHUNK8, 20, 8},
    {"parametric-means-missing", PLR_ERR_MALFORMED, CHANNELS, CHUNK32, 12, 0x80000002u},
    {"parametric-means-of-bad-step", PLR_ERR_MALFORMED, CHANNELS, CHUNK32, 12, 0x00010002u},
    {"parametric-model-cut", PLR_ERR_MALFORMED, CHANNELS, CHUNK8, 21, 0xff},
    {"parametric-step-high", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 15, 0xff},
    {"parametric-step-low", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 15, 0},
    {"parametric-lanes-16", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 20, 16},
    {"parametric-lanes-32", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 20, 32},
    {"parametric-head-flags", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 21, 2},
    {"parametric-tail-absurd", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 25, 0xff},
    {"parametric-tail-odd", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 24, 1},
    {"parametric-state-low", PLR_ERR_MALFORMED, UNIFORM, SPECIAL, STATE_LOW, 0},
    {"parametric-words-changed", PLR_ERR_MALFORMED, UNIFORM, CHUNK8, 90, 0x5a},
    {"parametric-last-byte", PLR_ERR_MALFORMED, UNIFORM, SPECIAL, LAST_BYTE, 0},
    {"predictor-of-raw", PLR_ERR_UNSUPPORTED, RAW, SET8, 8, 1},
    {"predictor-without-state", PLR_ERR_MALFORMED, INT4, SET8, 8, 1},
    {"state-without-predictor", PLR_ERR_MALFORMED, SAMPLE, SET8, 8, 0},
    {"state-short", PLR_ERR_MALFORMED, INT4, EXTEND, PLR_EXT_STATE, OF(4, 1)},
    {"state-flags-3", PLR_ERR_MALFORMED, SAMPLE, SET32, 80, 3},
    {"state-hash-of-plain", PLR_ERR_MALFORMED, SAMPLE, SET32, 68, 1},
    {"state-unknown", PLR_ERR_SEQUENCE, SAMPLE, SPECIAL, WRONG_STATE, 0},
    {"keys-0", PLR_ERR_MALFORMED, SAMPLE, SET32, 76, 0},
    {"keys-of-no-rows", PLR_ERR_MALFORMED, SAMPLE, SET32, 76, 3},
    {"keys-absurd", PLR_ERR_MALFORMED, SAMPLE, SET32, 76, UINT32_MAX},
    {"keys-of-other-length", PLR_ERR_MALFORMED, SAMPLE, SET32, 76, 8},
    {"keys-of-anchor", PLR_ERR_MALFORMED, ANCHOR, SET32, 76, 4},
    {"keys-of-width-0", PLR_ERR_MALFORMED, SAMPLE, CHUNK8, 20, 0},
    {"keys-of-width-65", PLR_ERR_MALFORMED, SAMPLE, CHUNK8, 20, 65},
    {"keys-too-wide", PLR_ERR_MALFORMED, SAMPLE, CHUNK8, 20, 5},
    {"keys-spare-bits", PLR_ERR_MALFORMED, SAMPLE, CHUNK8, 21, 0x43},
    {"keys-missing", PLR_ERR_MALFORMED, SAMPLE, CHUNK32, 12, 0},
    {"keys-with-rows", PLR_ERR_MALFORMED, SAMPLE, CHUNK32, 8, 1},
    {"keys-late", PLR_ERR_MALFORMED, SAMPLE, CHUNK32, 12, SECOND | 16},
    {"keys-of-stateless", PLR_ERR_MALFORMED, INT4, CHUNK32, 12, 16},
    {"dct-of-raw", PLR_ERR_UNSUPPORTED, RAW, SET8, 9, 3},
    {"basis-missing", PLR_ERR_MALFORMED, INT4, SET8, 9, 2},
    {"basis-of-other-transform", PLR_ERR_MALFORMED, BASIS, SET8, 9, 3},
    {"basis-rank-0", PLR_ERR_MALFORMED, BASIS, SET32, 68, 0},
    {"basis-rank-10", PLR_ERR_MALFORMED, BASIS, SET32, 68, 10},
    {"basis-rank-2", PLR_ERR_MISMATCH, BASIS, SET32, 68, 2},
    {"basis-generation", PLR_ERR_MISMATCH, BASIS, SET32, 36, 8},
    {"histogram-of-raw", PLR_ERR_UNSUPPORTED, RAW, SET8, 11, 2},
    {"histogram-of-uniform", PLR_ERR_UNSUPPORTED, UNIFORM, SET8, 11, 2},
    {"histogram-not-said", PLR_ERR_MALFORMED, INT4, CHUNK32, 12, 8},
    {"histogram-stored-not-said", PLR_ERR_MALFORMED, HISTOGRAM, CHUNK32, 12, 0},
    {"histogram-as-zstd", PLR_ERR_MALFORMED, HISTOGRAM, CHUNK32, 12, 1},
    {"histogram-scales-long", PLR_ERR_MALFORMED, HISTOGRAM, CHUNK32, 20, 160},
    {"histogram-scales-absurd", PLR_ERR_MALFORMED, HISTOGRAM, CHUNK32, 20, UINT32_MAX},
    {"histogram-scales-short", PLR_ERR_MALFORMED, HISTOGRAM, CHUNK32, 20, 2},
    {"histogram-lanes-4", PLR_ERR_MALFORMED, HISTOGRAM, SPECIAL, HISTOGRAM_BYTE, 4},
    {"histogram-range-turned", PLR_ERR_MALFORMED, HISTOGRAM, SPECIAL, HISTOGRAM_BYTE, 0x1ff},
    {"histogram-too-many-bits", PLR_ERR_MALFORMED, HISTOGRAM, SPECIAL, HISTOGRAM_BYTE, 0x2ff},
    {"histogram-cut", PLR_ERR_MALFORMED, HISTOGRAM, SPECIAL, LAST_BYTE, 0},
    {"streamed-without-chunks", PLR_ERR_TRUNCATED, STREAM, CUT, 64, 0},
    {"streamed-cut", PLR_ERR_TRUNCATED, STREAM, CUT, UINT32_MAX, 0},
    {"streamed-trailing", PLR_ERR_MALFORMED, STREAM, APPEND, 1, 0},
    {"streamed-of-one-chunk", PLR_ERR_MALFORMED, STREAM, SET16, 56, 1},
    {"streamed-rows-few", PLR_ERR_MALFORMED, STREAM, CHUNK32, 8, 39},
    {"streamed-tokens", PLR_ERR_MALFORMED, TOKENS, SET32, 52, 0},
    {"topk-bits-3", PLR_ERR_UNSUPPORTED, TOPK, SET8, 15, 3},
    {"topk-group-16", PLR_ERR_UNSUPPORTED, TOPK, SET16, 58, 16},
    {"topk-with-hadamard", PLR_ERR_UNSUPPORTED, TOPK, SET8, 9, 1},
    {"topk-with-zstd", PLR_ERR_UNSUPPORTED, TOPK, SET8, 11, 5},
    {"topk-dtype", PLR_ERR_UNSUPPORTED, TOPK, SET8, 12, PLR_DTYPE_BF16},
    {"topk-flags", PLR_ERR_MALFORMED, TOPK, CHUNK32, 12, 1},
    {"topk-level-infinite", PLR_ERR_NON_FINITE, TOPK, CHUNK32, 24, 0x7f800000},
    {"topk-rice-8", PLR_ERR_MALFORMED, TOPK, CHUNK8, 36, 8},
    {"topk-frequencies", PLR_ERR_MALFORMED, TOPK, CHUNK8, 38, 0xff},
    {"topk-state-low", PLR_ERR_MALFORMED, TOPK, CHUNK32, 42, 0},
    {"topk-words-changed", PLR_ERR_MALFORMED, TOPK, CHUNK8, 48, 0x5a},
    {"topk-place-changed", PLR_ERR_MALFORMED, TOPK, CHUNK32, 80, 0xffffffff},
    {"topk-last-byte", PLR_ERR_MALFORMED, TOPK, SPECIAL, LAST_BYTE, 0},
    {"eden-bits-5", PLR_ERR_UNSUPPORTED, EDEN, SET8, 15, 5},
    {"eden-bits-0", PLR_ERR_UNSUPPORTED, EDEN, SET8, 15, 0},
    {"eden-group-64", PLR_ERR_UNSUPPORTED, EDEN, SET16, 58, 64},
    {"eden-without-rotation", PLR_ERR_UNSUPPORTED, EDEN, SET8, 9, 0},
    {"eden-with-zstd", PLR_ERR_UNSUPPORTED, EDEN, SET8, 11, 5},
    {"eden-scale-negative", PLR_ERR_NON_FINITE, EDEN, CHUNK32, 20, 0xbf800000},
    {"eden-scale-infinite", PLR_ERR_NON_FINITE, EDEN, CHUNK32, 20, 0x7f800000},
    {"eden-spare-bits", PLR_ERR_MALFORMED, EDEN, CHUNK8, 20 + 4 + 37, 0xf0},
    {"mask-0", PLR_ERR_UNSUPPORTED, MASK, SET16, 58, 0},
    {"mask-bits-1", PLR_ERR_UNSUPPORTED, MASK, SET8, 15, 1},
    {"mask-with-hadamard", PLR_ERR_UNSUPPORTED, MASK, SET8, 9, 1},
    {"mask-with-zstd", PLR_ERR_UNSUPPORTED, MASK, SET8, 11, 5},
    {"mask-bf16-in-4-bits", PLR_ERR_UNSUPPORTED, MASK, SET8, 12, PLR_DTYPE_BF16},
    {"mask-scale-infinite", PLR_ERR_NON_FINITE, MASK, CHUNK8, 21, 0x7f},
    {"control-two-rows", PLR_ERR_MALFORMED, CONTROL, SET32, 16, 2},
    {"control-with-zstd", PLR_ERR_UNSUPPORTED, CONTROL, SET8, 11, 5},
};

static inline test_frame must_fail_base_frame(plr_context *ctx, must_fail_base base) {
  static const struct {
    const char *codec;
    uint32_t rows, cols;
  } tensors[] = {[INT4] = {"int4", 9, 8},           [ODD] = {"int4", 5, 9},
                 [BF16] = {"bf16", 3, 4},           [RAW] = {"raw", 3, 4},
                 [ZSTD] = {"int8+zstd", 9, 8},      [TWO] = {"int8+zstd", 2, 40000},
                 [UNIFORM] = {"uniform4", 40, 20},  [SPLIT] = {"bf16+split", 9, 30},
                 [CHANNELS] = {"trellis5", 64, 12}, [HISTOGRAM] = {"int7+histogram", 40, 64},
                 [SAMPLE] = {"int8+sample", 8, 9},  [ANCHOR] = {"int8+anchor", 8, 9},
                 [TOPK] = {"topk", 70, 64},         [EDEN] = {"eden3", 5, 20},
                 [BASIS] = {"int8+basis", 8, 9},    [STREAM] = {"uniform4", 40, 20},
                 [MASK] = {"mask20+int4", 1, 50},   [COLUMNS] = {"bf16+split", 64, 12},
                 [FP16] = {"fp16", 3, 4}};
  plr_frame_info info = test_info(0);
  test_frame f = {malloc(4096), 4096};
  int32_t ids[64];
  if (base == TOKENS || base == PACKED) {
    for (size_t i = 0; i < 64; i++)
      ids[i] = base == TOKENS ? 'a' : (int32_t)(i * 2654435761u % 100);
    /* 10 x 7 bits leave 2 spare */
    uint32_t rows = base == TOKENS ? 4 : 2, cols = base == TOKENS ? 16 : 5;
    assert_int_equal(
        plr_tokens_encode(ctx, &info, ids, rows, cols, base == TOKENS ? 256 : 100, f.data, &f.len),
        PLR_OK);
    return f;
  }
  if (base == CONTROL) {
    assert_int_equal(plr_control_encode(&info, "counter-sign", 12, f.data, &f.len), PLR_OK);
    return f;
  }
  free(f.data);
  const uint32_t rows = tensors[base].rows, cols = tensors[base].cols;
  float *x = base == TWO || base == ZSTD ? calloc((size_t)rows * cols, sizeof *x)
                                         : test_floats(1, (size_t)rows * cols);
  if (base == CHANNELS || base == COLUMNS)
    for (size_t i = 0; i < (size_t)rows * cols; i++) x[i] *= i % cols == 3 ? 500.0f : 1.0f;
  if (base == HISTOGRAM) /* so that most integers are small */
    for (size_t i = 0; i < (size_t)rows * cols; i++) x[i] *= i % 32 == 3 ? 20.0f : 1.0f;
  plr_codec c = test_codec(tensors[base].codec, 32);
  f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, rows, cols);
  free(x);
  f.data = realloc(f.data, f.len + 4096);
  if (base == STREAM) {
    plr__store_le32(f.data + 52, 0);
    plr__store_le16(f.data + 56, 0);
    test_fix_frame(f.data, f.len);
  }
  return f;
}

static inline uint8_t *must_fail_chunk(test_frame *f, uint32_t index) {
  uint8_t *at = f->data + plr__load_le16(f->data + 6);
  while (index--) at += PLR_CHUNK_HEADER + plr__load_le32(at);
  return at;
}

/* One chunk whose payload is `payload` through zstd, `copies` times. */
static inline void must_fail_one_zstd(test_frame *f, uint32_t rows, const uint8_t *payload,
                                      size_t len, int copies) {
  const size_t size = plr__zstd_encoder_size(16);
  void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
  void *zstd = plr__zstd_encoder_init(memory, size);
  uint8_t *at = must_fail_chunk(f, 0), *p = at + PLR_CHUNK_HEADER;
  for (int i = 0; i < copies; i++) {
    size_t n;
    assert_int_equal(plr__zstd_encode(zstd, 16, payload, len / (size_t)copies, p, 4000, &n),
                     PLR_OK);
    p += n;
  }
  plr__chunk chunk = {NULL, (uint32_t)(p - at) - PLR_CHUNK_HEADER, 0, rows, PLR_CHUNK_ZSTD};
  plr__chunk_write_header(at, &chunk);
  plr__store_le32(f->data + 52, (uint32_t)(p - f->data) - PLR_FRAME_HEADER);
  plr__store_le16(f->data + 56, 1);
  f->len = (size_t)(p - f->data);
  free(memory);
}

static inline void must_fail_special(test_frame *f, uint32_t what, uint64_t value) {
  /* 72 values in int8: 3 scales, low bytes then high bytes, and q. */
  uint8_t payload[78] = {0}, *large;
  uint8_t *first = must_fail_chunk(f, 0), *second = NULL;
  switch (what) {
  case SWAP_CHUNKS: { /* both are as long: only their headers differ */
    second = must_fail_chunk(f, 1);
    assert_int_equal(plr__load_le32(first), plr__load_le32(second));
    plr__store_le32(first + 4, 1);
    plr__store_le32(second + 4, 0);
    break;
  }
  case LARGE_CHUNK:
    large = calloc(1, 80000 + 5000);
    must_fail_one_zstd(f, 2, large, 80000 + 5000, 1);
    free(large);
    break;
  case AFTER_LAST:
    memset(f->data + f->len, 0, 4);
    f->len += 4;
    plr__store_le32(f->data + 52, (uint32_t)f->len - PLR_FRAME_HEADER);
    break;
  case ZSTD_TWICE:
    must_fail_one_zstd(f, 9, payload, sizeof payload, 2);
    break;
  case ZSTD_SHORT:
    if (value) payload[3] = 0x7f, payload[0] = 0xc0;
    must_fail_one_zstd(f, 9, payload, sizeof payload - (value ? 0 : 1), 1);
    break;
  case HISTOGRAM_BYTE: { /* after the scales */
    const uint32_t split = plr__load_le32(first + PLR_CHUNK_HEADER);
    first[PLR_CHUNK_HEADER + 4 + (split ? split : 160) + (value >> 8)] = (uint8_t)value;
    break;
  }
  case WRONG_STATE: /* builds on what the decoder does not have */
    plr__store_le64(f->data + 68, 0x1234567);
    plr__store_le32(f->data + 80, 0);
    break;
  case STATE_LOW: /* the first state, below 2^15 */
    first[26] = first[27] = first[28] = 0;
    break;
  case LAST_BYTE: /* one more, of 0, in the last chunk */
    f->data[f->len++] = 0;
    plr__store_le32(first, plr__load_le32(first) + 1);
    plr__store_le32(f->data + 52, (uint32_t)f->len - PLR_FRAME_HEADER);
    break;
  case VOCAB_TWICE:
    memmove(f->data + 72, f->data + 64, f->len - 64);
    f->len += 8;
    plr__store_le16(f->data + 6, 80);
    break;
  default: /* NO_VOCAB */
    memmove(f->data + 64, f->data + 72, f->len - 72);
    f->len -= 8;
    plr__store_le16(f->data + 6, 64);
    break;
  }
}

static inline void must_fail_extend(test_frame *f, uint32_t type, uint64_t value) {
  memmove(f->data + 72, f->data + 64, f->len - 64);
  f->len += 8;
  plr__store_le16(f->data + 64, (uint16_t)type);
  plr__store_le16(f->data + 66, (uint16_t)(value >> 32));
  plr__store_le32(f->data + 68, (uint32_t)value);
  plr__store_le16(f->data + 6, 72);
}

static inline test_frame must_fail_frame(plr_context *ctx, const must_fail_case *c) {
  test_frame f = must_fail_base_frame(ctx, c->base);
  uint8_t *at = f.data + c->at;
  if (c->change == CHUNK8 || c->change == CHUNK32)
    at = must_fail_chunk(&f, (uint32_t)(c->value >> 32)) + c->at;
  switch (c->change) {
  case CUT:
    f.len = c->at == UINT32_MAX ? f.len - 1 : c->at;
    return f;
  case APPEND:
    memset(f.data + f.len, 0, c->at);
    f.len += c->at;
    return f;
  case FLIP:
    *at ^= (uint8_t)(1u << c->value);
    return f;
  case SET8:
  case CHUNK8:
    *at = (uint8_t)c->value;
    break;
  case SET16:
    plr__store_le16(at, (uint16_t)c->value);
    break;
  case SET32:
  case CHUNK32:
    plr__store_le32(at, (uint32_t)c->value);
    break;
  case EXTEND:
    must_fail_extend(&f, c->at, c->value);
    break;
  case SPECIAL:
    must_fail_special(&f, c->at, c->value);
    break;
  }
  test_fix_frame(f.data, f.len);
  return f;
}

#endif

/* zstd (RFC 8878) in memory of ours. The static contexts are the only way libzstd offers to promise that
 * nothing is allocated; they are exported by the shared library too. */
#define ZSTD_STATIC_LINKING_ONLY
#include "exchange/exchange_int.h"

#include <zstd.h>
#include <zstd_errors.h>

/* Fixed, so that a version of libzstd always makes the same bytes. Coefficients have no repeats worth
 * finding: long minimum matches leave them to the Huffman stage, which is where the gain is. */
#define HASH_LOG  12
#define MIN_MATCH 7

size_t plr__zstd_encoder_size(uint32_t window_log) {
  ZSTD_compressionParameters p = {window_log, HASH_LOG, HASH_LOG, 1, MIN_MATCH, 0, ZSTD_fast};
  return ZSTD_estimateCCtxSize_usingCParams(p);
}

size_t plr__zstd_decoder_size(void) {
  return ZSTD_estimateDCtxSize();
}

void *plr__zstd_encoder_init(void *memory, size_t size) {
  ZSTD_CCtx *c = ZSTD_initStaticCCtx(memory, size);
  if (!c) return NULL;
  const struct {
    ZSTD_cParameter name;
    int value;
  } set[] = {{ZSTD_c_strategy, ZSTD_fast}, {ZSTD_c_hashLog, HASH_LOG},
             {ZSTD_c_chainLog, HASH_LOG},  {ZSTD_c_searchLog, 1},
             {ZSTD_c_minMatch, MIN_MATCH}, {ZSTD_c_targetLength, 0},
             {ZSTD_c_contentSizeFlag, 0},  {ZSTD_c_checksumFlag, 0}};
  for (size_t i = 0; i < PLR_COUNT_OF(set); i++)
    if (ZSTD_isError(ZSTD_CCtx_setParameter(c, set[i].name, set[i].value))) return NULL;
  return c;
}

void *plr__zstd_decoder_init(void *memory, size_t size) {
  return ZSTD_initStaticDCtx(memory, size);
}

uint32_t plr__zstd_window_log(size_t plane) {
  uint32_t log = 10;
  while (log < 16 && (size_t)2 << log <= plane) log++;
  return log;
}

plr_status plr__zstd_encode(void *encoder, uint32_t window_log, const uint8_t *src, size_t len,
                            uint8_t *dst, size_t cap, size_t *written) {
  *written = 0;
  if (cap < 2) return PLR_OK;
  if (ZSTD_isError(ZSTD_CCtx_reset(encoder, ZSTD_reset_session_only)) ||
      ZSTD_isError(ZSTD_CCtx_setParameter(encoder, ZSTD_c_windowLog, (int)window_log)))
    return PLR_ERR_INTERNAL;
  size_t n = ZSTD_compress2(encoder, dst, cap - 1, src, len);
  if (!ZSTD_isError(n)) {
    *written = n;
    return PLR_OK;
  }
  return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? PLR_OK : PLR_ERR_INTERNAL;
}

plr_status plr__zstd_decode(void *decoder, const uint8_t *src, size_t src_len, uint8_t *dst,
                            size_t len) {
  /* Several frames in a row would decode too, but only one may stand here. */
  if (ZSTD_findFrameCompressedSize(src, src_len) != src_len) return PLR_ERR_MALFORMED;
  size_t n = ZSTD_decompressDCtx(decoder, dst, len, src, src_len);
  return !ZSTD_isError(n) && n == len ? PLR_OK : PLR_ERR_MALFORMED;
}

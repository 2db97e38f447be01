/* Sparse deltas (Q5 with E3): of each group of 4096 values the largest few, each in two bits, with the gaps between
 * them in Rice codes. FRAME.md is the norm; the numbers are those of SparseLoCo (arXiv 2508.15706). */
#ifndef PLR_EXCHANGE_TOPK_H
#define PLR_EXCHANGE_TOPK_H

#include "exchange/rans_bytes.h"
#include "exchange/view.h"

#define PLR_TOPK_GROUP 4096u

/* Values kept of n, `keep` of each group: a shorter group keeps its share, rounded up. */
static inline uint64_t plr__topk_kept(uint32_t keep, uint64_t n) {
  const uint64_t rest = n % PLR_TOPK_GROUP;
  return n / PLR_TOPK_GROUP * keep + (rest * keep + PLR_TOPK_GROUP - 1) / PLR_TOPK_GROUP;
}

typedef struct plr__topk plr__topk;

/* For tensors of at most max_rows x max_cols, in chunks of at most `values`. Errors: NO_MEMORY. */
plr_status plr__topk_create(plr__topk **out, plr_context *ctx, const plr_codec *codec,
                            uint32_t max_rows, uint32_t max_cols, size_t values);
void plr__topk_destroy(plr__topk *t, plr_context *ctx);

/* Most bytes of the payload of a chunk of n values. */
uint64_t plr__topk_bound(const plr_codec *c, uint64_t n);

/* Chooses what is kept of a tensor that goes out in chunks of `rows` rows, and the four levels, which are those of the
 * whole tensor; staging holds a chunk. Errors: NON_FINITE. */
plr_status plr__topk_plan(plr__topk *t, const plr__view *x, uint32_t rows, float *staging);
/* Payload of the next chunk, of n values; returns its length. */
size_t plr__topk_encode(plr__topk *t, size_t n, uint8_t *out);

/* n values of a payload; symbol is scratch of n bytes, tables is overwritten. Errors: MALFORMED, NON_FINITE. */
plr_status plr__topk_decode(const plr_codec *c, plr__bytes_decoder *tables, uint8_t *symbol,
                            const uint8_t *in, size_t len, size_t n, float *y, const char **why);

#endif

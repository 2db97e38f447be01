/* The range coder with one table of byte symbols, which a chunk brings along: for exponents (split.h) and for the
 * values of topk.h. More lanes than that of model.h: it is one look-up a symbol, so a step would wait for the one
 * before. */
#ifndef PLR_EXCHANGE_RANS_BYTES_H
#define PLR_EXCHANGE_RANS_BYTES_H

#include "exchange/model.h"

#define PLR_BYTES_LANES 128u /* most */
#define PLR_BYTES_SPARE 64u /* bytes that encoders may touch before the words they write */

typedef struct plr__bytes_encoder {
  uint32_t entry[256][2]; /* reciprocal; frequency | shift << 12 | bias << 16 */
  uint8_t compress[256][8];
} plr__bytes_encoder;

/* A slot says all of its symbol, so that one look-up decodes it: symbol << 24 | frequency << 12 | place among its
 * slots. */
typedef struct plr__bytes_decoder {
  uint32_t slot[4096];
  uint8_t expand[256][8]; /* which word a lane of a mask takes */
} plr__bytes_decoder;

/* Counts of n symbols. */
void plr__bytes_count(const uint8_t *symbol, size_t n, uint32_t f[256]);
/* Counts of n > 0 symbols to frequencies, which are at most 4095 and sum to 4096; none that occurs gets 0. */
void plr__bytes_normalise(uint32_t f[256], size_t n);

/* clear: once, before the first set. */
void plr__bytes_encoder_clear(plr__bytes_encoder *t);
void plr__bytes_encoder_set(plr__bytes_encoder *t, const uint32_t f[256]);
void plr__bytes_decoder_clear(plr__bytes_decoder *t);
void plr__bytes_decoder_set(plr__bytes_decoder *t, const uint32_t f[256]);

typedef struct plr__bytes_ops {
  /* Codes n symbols (a multiple of lanes), the last first; words are put before `end`, 2 n bytes at most and
   * PLR_BYTES_SPARE more. Returns where they begin. */
  uint8_t *(*encode)(const plr__bytes_encoder *t, const uint8_t *symbol, size_t n, uint32_t lanes,
                     uint32_t *state, uint8_t *end);
  /* Returns where the words end, NULL when they are too few. */
  const uint8_t *(*decode)(const plr__bytes_decoder *t, const uint8_t *words, const uint8_t *end,
                           size_t n, uint32_t lanes, uint32_t *state, uint8_t *symbol);
  /* n little-endian bf16 values to exponents and the rest, a byte each, and back; unite returns the largest
   * exponent. */
  void (*separate)(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                   uint8_t *restrict rest);
  uint32_t (*unite)(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                    uint8_t *restrict v);
} plr__bytes_ops;

void plr__separate_portable(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                            uint8_t *restrict rest);
uint32_t plr__unite_portable(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                             uint8_t *restrict v);

extern const plr__bytes_ops plr__bytes_portable;
#if defined(__x86_64__)
extern const plr__bytes_ops plr__bytes_avx2, plr__bytes_avx512;
void plr__separate_avx2(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                        uint8_t *restrict rest);
uint32_t plr__unite_avx2(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                         uint8_t *restrict v);
#endif

static inline const plr__bytes_ops *plr__bytes_ops_for(uint32_t isa) {
#if defined(__x86_64__)
  if (isa == PLR_ISA_AVX512) return &plr__bytes_avx512;
  if (isa == PLR_ISA_AVX2) return &plr__bytes_avx2;
#endif
  (void)isa;
  return &plr__bytes_portable;
}

#endif

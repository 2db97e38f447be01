/* The two versions of the range coder; model.h says what they do. */
#ifndef PLR_EXCHANGE_RANS_H
#define PLR_EXCHANGE_RANS_H

#include "exchange/model.h"

uint8_t *plr__rans_encode_portable(const plr__rans_encoder *t, const uint8_t *symbol,
                                   const uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                                   uint8_t *end);
const uint8_t *plr__rans_decode_portable(const plr__rans_decoder *t, const uint8_t *words,
                                         const uint8_t *end, uint8_t *index, size_t n,
                                         uint32_t lanes, uint32_t trellis, uint32_t *state,
                                         uint8_t *symbol);
#if defined(__x86_64__)
uint8_t *plr__rans_encode_avx2(const plr__rans_encoder *t, const uint8_t *symbol,
                               const uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                               uint8_t *end);
const uint8_t *plr__rans_decode_avx2(const plr__rans_decoder *t, const uint8_t *words,
                                     const uint8_t *end, uint8_t *index, size_t n, uint32_t lanes,
                                     uint32_t trellis, uint32_t *state, uint8_t *symbol);
#endif

#endif

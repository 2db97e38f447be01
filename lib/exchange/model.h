/* The parametric entropy model (E1) and the quantisers on it: baked tables, step sizes, log scales, kernels. FRAME.md
 * is the norm. A value of scale index i has sigma / delta = 2^((i - 32) / 8); indexes past the tables send the low
 * bits of a symbol as they are. */
#ifndef PLR_EXCHANGE_MODEL_H
#define PLR_EXCHANGE_MODEL_H

#include "exchange/exchange_int.h"

#define PLR_MODEL_TABLES  64
#define PLR_MODEL_INDEXES 128
#define PLR_MODEL_UNIT    32 /* index of sigma = delta */
#define PLR_MODEL_FAMILIES                                                                         \
  4 /* nearest, dither, trellis with quantiser 0, trellis with quantiser 1 */
#define PLR_MODEL_ZERO     127 /* symbol of q = 0 */
#define PLR_MODEL_ESCAPE   255
#define PLR_MODEL_CENTROID 16 /* magnitudes a table of centroids has */
#define PLR_MODEL_MOST_Q   ((1 << 20) - 1)

typedef struct plr__model_data {
  const uint8_t *limits;           /* [families][tables] largest magnitude of a symbol */
  const uint16_t *frequencies;     /* of magnitudes 0 .. limit, table after table */
  const uint8_t *centroids;        /* [tables][16] 1/256 step */
  const int8_t *trellis_centroids; /* [2][tables][16] 1/128 step */
  const uint16_t *bits;            /* [3][tables] 1/1024 bit a value: nearest, dither, trellis */
  const uint16_t *errors;          /* [3][tables] 1/65536 step^2 */
  const uint32_t *steps;           /* [64] 2^(k/64) */
  const uint64_t *bounds;          /* [32] */
} plr__model_data;

extern const plr__model_data plr__model;

/* ---- scales ------------------------------------------------------------------------------------- */

#define PLR_STEP_BIAS     32768
#define PLR_STEP_LEAST    (-120 * 64)
#define PLR_STEP_MOST     (100 * 64)
#define PLR_LOG_NONE      (-(1 << 20)) /* the logarithm of a scale of 0 */
#define PLR_OFFSET_MOST   2047         /* of a token's or channel's scale, 1/8 octave */
#define PLR_OFFSET_SILENT (-160)       /* of a row of zeros */

/* 2^(step / 64). */
float plr__model_step(int32_t step);
/* 64 log2 of the square root of a mean square, rounded; PLR_LOG_NONE for 0. */
int32_t plr__model_log(double mean_square);

/* Raw bits below the symbol of an index, and the table it uses. */
static inline uint32_t plr__model_raw(uint32_t index) {
  return index < PLR_MODEL_TABLES ? 0 : (index - 56u) >> 3;
}
static inline uint32_t plr__model_table(uint32_t index) {
  return index < PLR_MODEL_TABLES ? index : 56u | (index & 7u);
}
/* The symbol of q without its raw bits. Of a trellis the lowest bit of q is that of the symbol, which steers it, and
 * the raw bits are those next to it. */
static inline int32_t plr__model_symbol(int32_t q, uint32_t raw, uint32_t trellis) {
  if (trellis && raw) return 2 * ((q + (1 << raw)) >> (raw + 1)) + (q & 1);
  return (q + (1 << raw >> 1)) >> raw;
}
static inline uint32_t plr__model_low(int32_t q, uint32_t raw, uint32_t trellis) {
  const uint32_t u = (uint32_t)q;
  if (trellis) return (u + (1u << raw)) >> 1 & ((1u << raw) - 1);
  return (u + (1u << raw >> 1)) & ((1u << raw) - 1);
}
/* q of a symbol and its raw bits, of which there are some. */
static inline int32_t plr__model_value(int32_t symbol, uint32_t low, uint32_t raw,
                                       uint32_t trellis) {
  if (trellis)
    return (symbol >> 1) * (1 << (raw + 1)) - (1 << raw) + (int32_t)(2 * low) + (symbol & 1);
  return symbol * (1 << raw) - (1 << raw >> 1) + (int32_t)low;
}
/* Parameter of the Rice code of a value of the tail. */
static inline uint32_t plr__model_rice(uint32_t index) {
  return index < 36 ? 0 : (index - 28u) >> 3;
}

/* ---- interleaved range coder --------------------------------------------------------------------- */

#define PLR_RANS_LOW   0x8000u /* states lie in [2^15, 2^31) */
#define PLR_RANS_LANES 32u
#define PLR_RANS_SPARE 15u /* bits that a lane's first state carries */

/* Tables of two families at most: that of index bit 7 = 0, and of 1 (trellis). */
typedef struct plr__rans_encoder {
  uint32_t entry[2 * PLR_MODEL_TABLES * 256]
                [2];        /* reciprocal; frequency | shift << 12 | bias << 16 */
  uint8_t compress[256][8]; /* lanes of a mask, at the end */
} plr__rans_encoder;

typedef struct plr__rans_decoder {
  uint8_t symbol[2 * PLR_MODEL_TABLES * 4096 + 4];
  uint32_t slot[2 * PLR_MODEL_TABLES * 256]; /* frequency | start << 16 */
  uint8_t expand[256][8];                    /* which word a lane of a mask takes */
} plr__rans_decoder;

/* Tables of `families` families from `first` on. */
void plr__rans_encoder_build(plr__rans_encoder *t, uint32_t first, uint32_t families);
void plr__rans_decoder_build(plr__rans_decoder *t, uint32_t first, uint32_t families);
/* What those tables are made of: the entry of a symbol, and which lanes of a mask have words. compress: zeroed. */
void plr__rans_entry(uint32_t entry[2], uint32_t start, uint32_t f);
void plr__rans_compress(uint8_t compress[256][8]);
void plr__rans_expand(uint8_t expand[256][8]);
/* A symbol of that entry onto a state; a word goes before *end when it must. */
static inline uint32_t plr__rans_step(const uint32_t entry[2], uint32_t x, uint8_t **end) {
  const uint32_t f = entry[1] & 4095u;
  if (x >= f << 19) {
    *end -= 2;
    plr__store_le16(*end, (uint16_t)x);
    x >>= 16;
  }
  const uint32_t q = (uint32_t)((uint64_t)x * entry[0] >> 32) >> (entry[1] >> 12 & 15u);
  return x + (entry[1] >> 16) + q * (4096u - f);
}
/* A state in 3 or 4 bytes: where the next one goes or lies; get: NULL when it is wrong. */
uint8_t *plr__rans_put_state(uint8_t *p, uint32_t x);
const uint8_t *plr__rans_get_state(const uint8_t *p, const uint8_t *end, uint32_t *x);

/* ---- kernels ------------------------------------------------------------------------------------- */

/* The trellis: state to state by the parity of q; quantiser = state & 1. The code is Ungerboeck's of 16 states (parity
 * checks 23 and 4 octal; "Channel Coding with Multilevel/Phase Signals", 1982), as in trellis-coded quantisation. */
#define PLR_TRELLIS_STATES 16u
static inline uint32_t plr__trellis_next(uint32_t state, uint32_t parity) {
  return state >> 1 ^ 9 * (state & 1) ^ 2 * ((state ^ parity) & 1);
}

/* What the uniform quantisers are keyed by, with the number of a row. */
typedef struct plr__dither_key {
  uint32_t key[2], step, micro_batch;
} plr__dither_key;

typedef struct plr__model_ops {
  /* Sum of squares in binary64: lane = position mod 8, then ((0+4)+(2+6)) + ((1+5)+(3+7)). */
  double (*power)(const float *x, size_t n);
  /* Of x - y. */
  double (*error)(const float *x, const float *y, size_t n);
  /* Sum of x^2 * weight in the same order. */
  double (*weighted_power)(const float *x, const double *weight, size_t n);
  /* sums[c] += x[c]^2 * weight */
  void (*add_power)(const float *x, size_t n, double weight, double *sums);
  /* index[c] = clamp(base + channel[c]) */
  void (*fill_index)(const int16_t *channel, size_t n, int32_t base, uint8_t *index);
  /* u[c] in (-1/2, 1/2) of row `row` */
  void (*dither)(const plr__dither_key *key, uint32_t row, size_t n, float *u);
  /* q = round(x * inverse + u), clamped; u may be NULL */
  void (*quantise)(const float *x, const float *u, size_t n, float inverse, int32_t *q);
  /* y = x * inverse, clamped */
  void (*scale)(const float *x, size_t n, float inverse, float *y);
  /* y = (q - centroid / 256) * step; centroid: [indexes][16], signless */
  void (*dequantise)(const int32_t *q, const uint8_t *index, size_t n, float step,
                     const int32_t *centroid, float *y);
  /* y = (q - u) * step */
  void (*undither)(const int32_t *q, const float *u, size_t n, float step, float *y);
  /* The same around the points of the trellis' quantisers, that of index bit 7. */
  void (*points)(const int32_t *q, const uint8_t *index, size_t n, float step,
                 const int32_t *centroid, float *y);
  /* Symbols of q; the places where something remains to be sent. limit: [indexes]. */
  size_t (*symbols)(const int32_t *q, const uint8_t *index, size_t n, uint32_t trellis,
                    const int32_t *limit, uint8_t *symbol, uint32_t *places);
  /* q of symbols without what remains; the places where something does. */
  size_t (*values)(const uint8_t *symbol, const uint8_t *index, size_t n, int32_t *q,
                   uint32_t *places);
  /* Codes n symbols (a multiple of lanes: 8 or 32), the last first; words are put before `end`, 2 n bytes at
   * most, with 16 more to spare. Returns where they begin. */
  uint8_t *(*encode)(const plr__rans_encoder *t, const uint8_t *symbol, const uint8_t *index,
                     size_t n, uint32_t lanes, uint32_t *state, uint8_t *end);
  /* Returns where the words end, NULL when they are too few. trellis: the family follows the trellis of the
   * lane, and index gets bit 7 where it was the second. */
  const uint8_t *(*decode)(const plr__rans_decoder *t, const uint8_t *words, const uint8_t *end,
                           uint8_t *index, size_t n, uint32_t lanes, uint32_t trellis,
                           uint32_t *state, uint8_t *symbol);
} plr__model_ops;

extern const plr__model_ops plr__model_portable;
#if defined(__x86_64__)
extern const plr__model_ops plr__model_avx2;
#endif

static inline const plr__model_ops *plr__model_ops_for(uint32_t isa) {
#if defined(__x86_64__)
  if (isa >= PLR_ISA_AVX2) return &plr__model_avx2;
#endif
  (void)isa;
  return &plr__model_portable;
}

/* From `first` on, for the remainders of the other versions; lane_state: of the trellis. */
const uint8_t *plr__rans_decode_from(const plr__rans_decoder *t, const uint8_t *words,
                                     const uint8_t *end, uint8_t *index, size_t first, size_t n,
                                     uint32_t lanes, uint32_t trellis, uint32_t *state,
                                     uint32_t *lane_state, uint8_t *symbol);

/* ---- bits ---------------------------------------------------------------------------------------- */

typedef struct plr__bit_writer {
  uint8_t *out;
  size_t cap, len; /* bytes; len counts on past cap */
  uint64_t held;
  uint32_t count;
} plr__bit_writer;

/* Bytes of `front`, then of `rest`. */
typedef struct plr__bit_reader {
  const uint8_t *front, *rest;
  size_t front_len, rest_len, pos;
  uint64_t held;
  uint32_t count, failed;
} plr__bit_reader;

void plr__bits_put(plr__bit_writer *w, uint64_t value, uint32_t bits); /* 0 .. 32 */
void plr__bits_flush(plr__bit_writer *w);
void plr__bits_exp_golomb(plr__bit_writer *w, uint32_t v);
void plr__bits_rice(plr__bit_writer *w, int32_t v, uint32_t k);
uint32_t plr__rice_length(int32_t v, uint32_t k);

uint32_t plr__bits_get(plr__bit_reader *r, uint32_t bits);
uint32_t plr__bits_get_exp_golomb(plr__bit_reader *r);
int32_t plr__bits_get_rice(plr__bit_reader *r, uint32_t k);

/* A Rice array (FRAME.md) of n numbers. Most bytes: 15 ones and an Exp-Golomb code of 24 bits each. */
static inline uint64_t plr__rice_bound(uint64_t n) {
  return 1 + 5 * n;
}
uint32_t plr__rice_write(const int16_t *v, size_t n, uint8_t *out);
/* How many bytes of `in` they take, 0 when they are wrong. */
size_t plr__rice_read(const uint8_t *in, size_t len, int16_t *v, size_t n);
/* 1 when nothing failed, all of `rest` has been read and what is left over is 0. */
int plr__bits_done(const plr__bit_reader *r);

#endif

/* Predictors (P1, P2): what rows of a frame are likely to be, from what earlier ones of the same keys (samples or
 * tokens) were decoded to. Both ends hold the same, and a hash in each frame shows it. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_PREDICT_H
#define PLR_EXCHANGE_PREDICT_H

#include "exchange/exchange_int.h"

typedef struct plr__predictor plr__predictor;

/* At most `entries` keys of at most `rows` rows of max_cols each; frames of at most max_rows. All memory is taken
 * here. */
plr_status plr__predictor_create(plr__predictor **out, plr_context *ctx, uint32_t entries,
                                 uint32_t rows, uint32_t max_rows, uint32_t max_cols);
void plr__predictor_destroy(plr__predictor *p);
/* Forgets everything. */
void plr__predictor_clear(plr__predictor *p);

/* Begins a frame. f says predictor, shape, generation, flags and number of keys. Another generation, predictor or
 * width than that of the frames before: as if nothing were known. Errors: LIMIT (more rows a key than there is
 * room for). */
plr_status plr__predictor_begin(plr__predictor *p, const plr__frame *f);
/* The frame's keys, of as many rows as a frame may have, to be set before the call after it. */
uint64_t *plr__predictor_keys(plr__predictor *p);
/* Finds what the keys stand for. make_plain: nothing is predicted after all. */
void plr__predictor_look_up(plr__predictor *p);
void plr__predictor_make_plain(plr__predictor *p);
/* Of all that is predicted. */
uint64_t plr__predictor_hash(const plr__predictor *p);
/* Row r: y = x - what is predicted; y = y + that. */
void plr__predictor_subtract(const plr__predictor *p, uint32_t row, const float *x, float *y);
void plr__predictor_add(const plr__predictor *p, uint32_t row, float *y);
/* What row r was decoded to, kept until commit. */
void plr__predictor_keep(plr__predictor *p, uint32_t row, const float *y);
/* All rows were kept: what is known now is what they make it. */
void plr__predictor_commit(plr__predictor *p);

/* Keys as a chunk's payload, and back: one byte of width, then that many bits a key. unpack: 0 when it is wrong. */
size_t plr__keys_write(const uint64_t *keys, uint32_t n, uint8_t *out);
int plr__keys_read(const uint8_t *in, size_t len, uint64_t *keys, uint32_t n);
#endif

/* Error feedback: what a lossy frame left out is added to the next one. What is committed changes only when the host
 * says that the frame arrived. */
#include "exchange/encoder_int.h"

#include "base/guard.h"

#include <string.h>

struct plr_feedback {
  plr_context *ctx;
  PLR_GUARDED
  uint32_t rows, cols;
  float decay;
  float *error;   /* of what was acknowledged */
  float *pending; /* of the frame that is on its way */
  uint32_t sent;  /* there is one */
};

plr_status plr_feedback_create(plr_context *ctx, uint32_t rows, uint32_t cols, float decay,
                               plr_feedback **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "feedback", "out is NULL");
  *out = NULL;
  if (!ctx || rows == 0 || cols == 0 || !(decay >= 0.0f && decay <= 1.0f))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "feedback",
                     "ctx is NULL, shape %u x %u, or decay %g not in 0 .. 1", rows, cols,
                     (double)decay);
  const uint64_t n = (uint64_t)rows * cols;
  if (n > UINT32_MAX / 4)
    return plr__fail(err, PLR_ERR_LIMIT, "feedback", "shape %u x %u", rows, cols);
  plr_feedback *f = plr__calloc(ctx, 1, sizeof *f);
  if (!f) return plr__no_memory(err, "feedback");
  f->ctx = plr__context_ref(ctx);
  f->rows = rows, f->cols = cols, f->decay = decay;
  f->error = plr__calloc(ctx, (size_t)n, sizeof *f->error);
  f->pending = plr__alloc(ctx, (size_t)n * sizeof *f->pending);
  if (!f->error || !f->pending) {
    plr_feedback_destroy(f);
    return plr__no_memory(err, "feedback");
  }
  *out = f;
  return PLR_OK;
}

void plr_feedback_destroy(plr_feedback *f) {
  if (!f) return;
  PLR_GUARD_END(f);
  plr_context *ctx = f->ctx;
  plr__free(ctx, f->error);
  plr__free(ctx, f->pending);
  plr__free(ctx, f);
  plr__context_unref(ctx);
}

/* pending = decay error + x, each operation rounded. */
static void add(plr_feedback *f, const plr__view *x) {
  for (uint32_t r = 0; r < f->rows; r++) {
    const float *error = f->error + (size_t)r * f->cols;
    float *pending = f->pending + (size_t)r * f->cols;
    const float *row = plr__view_row(x, r, pending);
    for (uint32_t c = 0; c < f->cols; c++) pending[c] = f->decay * error[c] + row[c];
  }
}

plr_status plr_feedback_encode(plr_feedback *f, plr_encoder *encoder, plr_decoder *decoder,
                               const plr_frame_info *info, const plr_tensor *x, void *out,
                               size_t cap, size_t *len) {
  PLR_GUARD(f, NULL);
  plr__view view;
  plr_tensor sum;
  if (!f || !encoder || !decoder) return PLR_ERR_INVALID_ARGUMENT;
  if (encoder->codec.predict) return PLR_ERR_UNSUPPORTED;
  if (f->sent) return PLR_ERR_INVALID_STATE;
  PLR_TRY(plr__view_open(&view, x, f->rows, f->cols, 0));
  if (view.rows != f->rows || view.cols != f->cols) return PLR_ERR_SHAPE;
  plr_fpenv saved = plr__fpenv_enter();
  add(f, &view);
  plr__fpenv_leave(saved);
  plr_tensor_matrix(&sum, f->pending, PLR_DTYPE_F32, f->rows, f->cols);
  PLR_TRY(plr_encoder_encode(encoder, info, &sum, out, cap, len));
  /* What the peer will have, from the very bytes it gets. */
  PLR_TRY(plr__decoder_subtract(decoder, out, *len, &sum));
  f->sent = 1;
  return PLR_OK;
}

plr_status plr_feedback_commit(plr_feedback *f) {
  PLR_GUARD(f, NULL);
  if (!f) return PLR_ERR_INVALID_ARGUMENT;
  if (!f->sent) return PLR_ERR_INVALID_STATE;
  float *error = f->error;
  f->error = f->pending, f->pending = error;
  f->sent = 0;
  return PLR_OK;
}

plr_status plr_feedback_rollback(plr_feedback *f) {
  PLR_GUARD(f, NULL);
  if (!f) return PLR_ERR_INVALID_ARGUMENT;
  if (!f->sent) return PLR_ERR_INVALID_STATE;
  f->sent = 0;
  return PLR_OK;
}

plr_status plr_feedback_hash(const plr_feedback *f, uint64_t *out) {
  if (!f || !out) return PLR_ERR_INVALID_ARGUMENT;
  *out = plr__xxh3_64(f->error, (size_t)f->rows * f->cols * sizeof *f->error);
  return PLR_OK;
}

plr_status plr_feedback_tensor(plr_feedback *f, plr_tensor *out) {
  if (!f || !out) return PLR_ERR_INVALID_ARGUMENT;
  plr_tensor_matrix(out, f->error, PLR_DTYPE_F32, f->rows, f->cols);
  return PLR_OK;
}

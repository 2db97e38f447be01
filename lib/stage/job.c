/* The work itself: decode what came, run the shard, encode what goes, hash all of it. Nothing here touches a link or
 * the state of the schedule, so it may run beside the loop. */
#include "stage_int.h"

#include "shard/shard.h"

#include <string.h>

size_t plr__frame_bound(uint32_t rows, uint32_t cols) {
  size_t raw = (size_t)rows * cols * sizeof(float);
  /* chunk headers and scales of rows; scales of columns; frame header with extensions */
  return raw + (size_t)rows * 320 + (size_t)cols * 8 + 4096;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static plr_status alloc_codecs(plr_stage *s, const plr_stage_options *o, plr_error *err) {
  plr__compute *c = &s->compute;
  uint32_t width = s->info.boundary_width;
  const plr_codec *codecs[] = {&o->forward_codec, &o->backward_codec};
  for (size_t i = 0; i < PLR_COUNT_OF(codecs); i++)
    if (codecs[i]->predict || codecs[i]->transform == PLR_TRANSFORM_BASIS)
      return plr__fail(err, PLR_ERR_UNSUPPORTED, i ? "stage.backward_codec" : "stage.forward_codec",
                       "a stage keeps no store of predictions and no basis for its frames");
  PLR_TRY(plr_decoder_create(s->ctx, s->rows, width, &c->decoder, err));
  if (!s->tail)
    PLR_TRY(plr_encoder_create(s->ctx, &o->forward_codec, s->rows, width, &c->forward, err));
  if (s->index > 0)
    PLR_TRY(plr_encoder_create(s->ctx, &o->backward_codec, s->rows, width, &c->backward, err));
  if (s->auto_budget && ((c->forward && plr_encoder_set_budget(c->forward, 1) != PLR_OK) ||
                         (c->backward && plr_encoder_set_budget(c->backward, 1) != PLR_OK)))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "stage.auto_budget",
                     "the size of frames of this codec is fixed");
  return PLR_OK;
}

plr_status plr__compute_init(plr_stage *s, const plr_stage_options *o, plr_error *err) {
  plr__compute *c = &s->compute;
  size_t ids = (size_t)s->info.micro_batch * (s->info.seq_len + 1u);
  size_t values = (size_t)s->rows * s->info.boundary_width;
  size_t out = PLR__CONTROL_MAX;
  plr__buffer_init(&c->scratch, s->ctx);
  PLR_TRY(alloc_codecs(s, o, err));
  c->tokens = plr__calloc(s->ctx, ids, sizeof(int32_t));
  c->inputs = plr__calloc(s->ctx, ids, sizeof(int32_t));
  c->in = plr__calloc(s->ctx, values, sizeof(float));
  c->out = plr__calloc(s->ctx, values, sizeof(float));
  c->leaves = plr__calloc(s->ctx, 2 * (size_t)(s->end_block - s->first_block), sizeof(plr_hash));
  if (s->tail) c->logits = plr__calloc(s->ctx, (size_t)s->rows * s->info.vocab, sizeof(float));
  if (c->forward) out = PLR_MAX(out, plr_encoder_bound(c->forward));
  if (c->backward) out = PLR_MAX(out, plr_encoder_bound(c->backward));
  s->frame_cap = plr__frame_bound(s->rows, s->info.boundary_width);
  s->job.out = plr__alloc(s->ctx, out);
  s->job_out_cap = out;
  if (plr__buffer_reserve(&c->scratch, 256) != PLR_OK || !c->tokens || !c->inputs || !c->in ||
      !c->out || !c->leaves || (s->tail && !c->logits) || !s->job.out)
    return plr__no_memory(err, "stage");
  return PLR_OK;
}

void plr__compute_release(plr_stage *s) {
  plr__compute *c = &s->compute;
  plr_encoder_destroy(c->forward);
  plr_encoder_destroy(c->backward);
  plr_decoder_destroy(c->decoder);
  plr__free(s->ctx, c->tokens);
  plr__free(s->ctx, c->inputs);
  plr__free(s->ctx, c->in);
  plr__free(s->ctx, c->out);
  plr__free(s->ctx, c->leaves);
  plr__free(s->ctx, c->logits);
  plr__free(s->ctx, s->job.out);
  if (c->scratch.ctx) plr__buffer_release(&c->scratch);
}

/* ---- parts of a job --------------------------------------------------------------------------- */

/* Keeps the words of a lower layer, and says whose frame it was. */
static plr_status decode_fault(plr_job *job, plr_status st, const char *frame) {
  plr_error cause = job->error;
  job->blame = 1;
  return plr__fail(&job->error, st, frame, "%s: %s", cause.where[0] ? cause.where : "decode",
                   cause.message[0] ? cause.message : plr_status_message(st));
}

static plr_status shard_fault(plr_job *job, plr_status st) {
  return plr__fail(&job->error, st, "shard", "%s", plr_status_message(st));
}

static plr_status decode_tokens(plr_job *job) {
  plr_stage *s = job->stage;
  const plr__frame *f = &job->arrival->tokens;
  plr_frame_info info = {.struct_size = sizeof info};
  size_t capacity = (size_t)s->info.micro_batch * (s->info.seq_len + 1u);
  plr_sha256(f->data, f->len, &job->frames[PLR__FRAME_TOKENS]);
  plr_status st =
      plr_tokens_decode(s->ctx, f->data, f->len, s->compute.tokens, capacity, &info, &job->error);
  return st == PLR_OK ? PLR_OK : decode_fault(job, st, "upstream's token frame");
}

static plr_status decode_tensor(plr_job *job, const plr__frame *f, float *data, uint32_t rows,
                                uint32_t which, const char *name, plr_tensor *out) {
  plr_stage *s = job->stage;
  plr_sha256(f->data, f->len, &job->frames[which]);
  plr_tensor_matrix(out, data, PLR_DTYPE_F32, rows, s->info.boundary_width);
  plr_status st = plr_decoder_decode(s->compute.decoder, f->data, f->len, out, NULL, &job->error);
  return st == PLR_OK ? PLR_OK : decode_fault(job, st, name);
}

static plr_status encode_tensor(plr_job *job, plr_encoder *encoder, uint32_t role,
                                uint32_t boundary, const plr_tensor *x, uint32_t which) {
  plr_frame_info info = {.struct_size = sizeof info, .role = role};
  info.stream = PLR__STREAM(job->work, boundary);
  info.step = (uint32_t)job->step, info.micro_batch = job->micro_batch;
  if (job->stage->auto_budget) PLR_TRY(plr_encoder_set_budget(encoder, job->budget));
  plr_status st =
      plr_encoder_encode(encoder, &info, x, job->out, job->stage->job_out_cap, &job->out_len);
  if (st != PLR_OK) return plr__fail(&job->error, st, "encoder", "%s", plr_status_message(st));
  plr_sha256(job->out, job->out_len, &job->frames[which]);
  return PLR_OK;
}

/* What the last stage sends instead of an activation. */
static plr_status encode_control(plr_job *job, const plr__control *c) {
  plr_stage *s = job->stage;
  plr_buffer *b = &s->compute.scratch;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_CONTROL};
  plr__buffer_clear(b);
  plr__control_write(b, c);
  job->out_len = s->job_out_cap;
  plr_status st =
      b->failed ? PLR_ERR_NO_MEMORY
                : plr_control_encode(&info, b->data, (uint32_t)b->len, job->out, &job->out_len);
  if (st != PLR_OK) return plr__fail(&job->error, st, "control", "%s", plr_status_message(st));
  plr_sha256(job->out, job->out_len, &job->frames[PLR__FRAME_OUT]);
  return PLR_OK;
}

static plr_status encode_loss(plr_job *job, double loss) {
  plr__control c = {.type = PLR__CONTROL_LOSS, .kind = job->work, .step = job->step};
  c.micro_batch = job->micro_batch, c.loss = loss;
  return encode_control(job, &c);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static plr_status run_forward(plr_job *job) {
  plr_stage *s = job->stage;
  plr__compute *c = &s->compute;
  plr_tensor in, out;
  double loss = 0;
  PLR_TRY(decode_tokens(job));
  if (s->index > 0)
    PLR_TRY(decode_tensor(job, &job->arrival->activation, c->in, s->rows, PLR__FRAME_IN,
                          "upstream's activation frame", &in));
  plr_tensor_matrix(&out, c->out, PLR_DTYPE_F32, s->rows, s->info.boundary_width);
  plr_status st = plr_shard_forward(s->shard, job->slot, c->tokens, s->index > 0 ? &in : NULL,
                                    s->tail ? NULL : &out, &loss);
  if (st != PLR_OK) return shard_fault(job, st);
  if (s->tail) return encode_loss(job, loss);
  return encode_tensor(job, c->forward, PLR_ROLE_ACTIVATION, s->index + 1, &out, PLR__FRAME_OUT);
}

static plr_status run_backward(plr_job *job) {
  plr_stage *s = job->stage;
  plr__compute *c = &s->compute;
  plr_tensor out, in;
  if (job->gradient)
    PLR_TRY(decode_tensor(job, job->gradient, c->out, s->rows, PLR__FRAME_GRADIN,
                          "downstream's gradient frame", &out));
  plr_tensor_matrix(&in, c->in, PLR_DTYPE_F32, s->rows, s->info.boundary_width);
  plr_status st = plr_shard_backward(s->shard, job->slot, job->gradient ? &out : NULL,
                                     s->index > 0 ? &in : NULL);
  job->delay = plr__shard_last_delay(s->shard);
  job->blame = st == PLR_ERR_NON_FINITE && job->gradient && plr__shard_waits(s->shard, job->slot);
  if (st != PLR_OK) return shard_fault(job, st);
  if (s->index == 0) return PLR_OK;
  return encode_tensor(job, c->backward, PLR_ROLE_GRADIENT, s->index, &in, PLR__FRAME_GRAD);
}

/* A training batch holds its labels in a last column, which forward-only work has no use for. */
static void split_labels(plr_stage *s, uint32_t rows, uint32_t seq, int32_t *inputs,
                         int32_t *labels) {
  for (uint32_t r = 0; r < rows; r++) {
    const int32_t *from = s->compute.tokens + (size_t)r * (seq + 1u);
    memcpy((labels ? labels : inputs) + (size_t)r * seq, from + (labels != NULL),
           seq * sizeof *from);
  }
}

static plr_status sample_token(plr_job *job) {
  plr_stage *s = job->stage;
  const plr__control *how = &job->arrival->sample;
  const float *last = s->compute.logits + (size_t)(job->arrival->cols - 1u) * s->info.vocab;
  plr__control c = {.type = PLR__CONTROL_TOKEN, .index = how->index};
  plr_status st = plr_sample(last, s->info.vocab, how->temperature, how->top_k, how->seed,
                             how->position, &c.token);
  if (st != PLR_OK) return shard_fault(job, st);
  return encode_control(job, &c);
}

static plr_status finish_inference(plr_job *job, plr_tensor *logits) {
  plr_stage *s = job->stage;
  double loss = 0;
  if (job->work == PLR__KIND_GENERATE) return sample_token(job);
  split_labels(s, s->info.micro_batch, s->info.seq_len, NULL, s->compute.inputs);
  plr_status st = plr_shard_loss(s->shard, logits, s->compute.inputs, &loss);
  return st == PLR_OK ? encode_loss(job, loss) : shard_fault(job, st);
}

static plr_status run_infer(plr_job *job) {
  plr_stage *s = job->stage;
  plr__compute *c = &s->compute;
  const plr__arrival *a = job->arrival;
  int generate = job->work == PLR__KIND_GENERATE;
  uint32_t batch = generate ? 1 : s->info.micro_batch, seq = generate ? a->cols : s->info.seq_len;
  plr_tensor in, out;
  PLR_TRY(decode_tokens(job));
  if (!generate) split_labels(s, batch, seq, c->inputs, NULL);
  if (s->index > 0)
    PLR_TRY(decode_tensor(job, &a->activation, c->in, batch * seq, PLR__FRAME_IN,
                          "upstream's activation frame", &in));
  if (s->tail) {
    plr_tensor_matrix(&out, c->logits, PLR_DTYPE_F32, (int64_t)batch * seq, s->info.vocab);
  } else {
    plr_tensor_matrix(&out, c->out, PLR_DTYPE_F32, (int64_t)batch * seq, s->info.boundary_width);
  }
  plr_status st = plr_shard_infer(s->shard, generate ? c->tokens : c->inputs, batch, seq,
                                  s->index > 0 ? &in : NULL, &out);
  if (st != PLR_OK) return shard_fault(job, st);
  if (s->tail) return finish_inference(job, &out);
  return encode_tensor(job, c->forward, PLR_ROLE_ACTIVATION, s->index + 1, &out, PLR__FRAME_OUT);
}

static plr_status run_snapshot(plr_job *job) {
  plr_stage *s = job->stage;
  uint32_t n = s->end_block - s->first_block;
  if (s->async) plr__shard_set_clock(s->shard, job->step);
  plr_hash *leaves = s->compute.leaves;
  plr_status st = plr_shard_leaves(s->shard, leaves, n);
  if (st != PLR_OK) return shard_fault(job, st);
  memcpy(leaves + n, leaves, n * sizeof *leaves); /* merkle_root works in place */
  plr__merkle_root(leaves + n, n, &job->frames[0]);
  return PLR_OK;
}

plr_status plr_job_run(plr_job *job) {
  PLR_GUARD_OF(job, job->stage->ctx, NULL);
  if (!job) return PLR_ERR_INVALID_ARGUMENT;
  switch (job->kind) {
  case PLR_JOB_FORWARD:
    job->status = run_forward(job);
    break;
  case PLR_JOB_BACKWARD:
    job->status = run_backward(job);
    break;
  case PLR_JOB_STEP:
    if (job->stage->async) plr__shard_next_clock(job->stage->shard, job->step + 1);
    job->status = plr_shard_step(job->stage->shard);
    if (job->status != PLR_OK) shard_fault(job, job->status);
    break;
  case PLR_JOB_INFER:
    job->status = run_infer(job);
    break;
  case PLR_JOB_SNAPSHOT:
    job->status = run_snapshot(job);
    break;
  case PLR_JOB_SHARE:
    job->status = plr__average_share(job);
    break;
  case PLR_JOB_AVERAGE:
    job->status = plr__average_apply(job);
    break;
  default:
    job->status = PLR_ERR_INVALID_STATE;
    break;
  }
  return job->status;
}

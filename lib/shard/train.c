/* Forward and backward of one micro-batch. */
#include "shard/shard_int.h"

/* Splits rows of seq+1 ids into ids and labels, on the device. ~id is the token id too, but does not count as a label.
 * INVALID_ARGUMENT for an id outside the vocabulary. */
static plr_status put_tokens(const plr_run *run, const int32_t *tokens) {
  plr_shard *s = run->shard;
  int64_t rows = run->batch * run->seq;
  if (!tokens) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t i = 0; i < rows + run->batch; i++)
    if ((uint32_t)(tokens[i] < 0 ? ~tokens[i] : tokens[i]) >= s->info->vocab)
      return PLR_ERR_INVALID_ARGUMENT;
  int32_t *staged = (int32_t *)(void *)s->host_bytes;
  uint32_t targets[2] = {s->graph.ids, s->graph.labels};
  for (int64_t shift = 0; shift < 2; shift++) {
    if (targets[shift] == PLR_NO_VALUE) continue;
    for (int64_t b = 0; b < run->batch; b++)
      for (int64_t t = 0; t < run->seq; t++) {
        int32_t token = tokens[b * (run->seq + 1) + t + shift];
        staged[b * run->seq + t] = token < 0 && shift == 0 ? ~token : token;
      }
    PLR_TRY(plr__run_put(run, targets[shift], staged));
  }
  return plr__run_put_positions(run);
}

static plr_status forward(const plr_run *run, const int32_t *tokens, const plr_tensor *in,
                          plr_tensor *out, double *loss_sum) {
  const plr_graph *g = &run->shard->graph;
  PLR_TRY(put_tokens(run, tokens));
  if (in) {
    PLR_TRY(plr__run_put(run, g->input, in->data));
    PLR_TRY(plr__run_check_finite(run, g->input));
  }
  PLR_TRY(plr__run_list(run));
  if (g->loss != PLR_NO_VALUE) return plr__run_loss(run, loss_sum);
  PLR_TRY(plr__run_check_finite(run, g->output));
  return plr__run_get(run, g->output, out->data);
}

plr_status plr_shard_forward(plr_shard *shard, uint32_t slot, const int32_t *tokens,
                             const plr_tensor *in, plr_tensor *out, double *loss_sum) {
  PLR_GUARD(shard, NULL);
  if (!shard || slot >= shard->slot_count) return PLR_ERR_INVALID_ARGUMENT;
  if (shard->inference_only || shard->slots[slot].busy) return PLR_ERR_INVALID_STATE;
  const plr_model_info *info = shard->info;
  PLR_TRY(plr__shard_check_matrix(in, shard->rows, info->boundary_width, shard->first_block > 0));
  PLR_TRY(plr__shard_check_matrix(out, shard->rows, info->boundary_width,
                                  shard->end_block < info->blocks));
  plr_run run = {.shard = shard,
                 .list = PLR_LIST_FORWARD,
                 .slot = shard->slots[slot].memory,
                 .batch = info->micro_batch,
                 .seq = info->seq_len};
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = forward(&run, tokens, in, out, loss_sum);
  plr__fpenv_leave(saved);
  if (st != PLR_OK) return st;
  shard->slots[slot].busy = 1;
  shard->slots[slot].version = 0;
  shard->slots[slot].updates = shard->delays.updates;
  return PLR_OK;
}

/* Gradients whose first write in a step is not a product that starts its own chain begin at +0. */
static plr_status clear_gradients(plr_shard *s) {
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    if (p->grad_starts) continue;
    plr_fill_args a = {s->grads + s->param_offset[i], p->rows * p->cols, 0.0f};
    PLR_TRY(s->device->vt->run(s->device, PLR_OP_FILL, &a));
  }
  return PLR_OK;
}

/* From here on the gradients have changed: whatever goes wrong makes the whole step void. */
static plr_status accumulate(const plr_run *run, plr_tensor *grad_in) {
  plr_shard *s = run->shard;
  if (s->pending == 0) PLR_TRY(clear_gradients(s));
  PLR_TRY(plr__run_list(run));
  if (!grad_in) return PLR_OK;
  PLR_TRY(plr__run_check_finite(run, s->graph.grad_input));
  return plr__run_get(run, s->graph.grad_input, grad_in->data);
}

static plr_status backward(const plr_run *run, plr_slot *slot, const plr_tensor *grad_out,
                           plr_tensor *grad_in) {
  plr_shard *s = run->shard;
  if (grad_out) {
    PLR_TRY(plr__run_put(run, s->graph.grad_output, grad_out->data));
    PLR_TRY(plr__run_check_finite(run, s->graph.grad_output));
  }
  plr_status st = accumulate(run, grad_in);
  plr__stash_done(s, slot);
  s->pending++, s->measured = 0;
  if (st != PLR_OK) s->poisoned = 1;
  return st;
}

plr_status plr_shard_backward(plr_shard *shard, uint32_t slot, const plr_tensor *grad_out,
                              plr_tensor *grad_in) {
  PLR_GUARD(shard, NULL);
  if (!shard || slot >= shard->slot_count) return PLR_ERR_INVALID_ARGUMENT;
  if (!shard->slots[slot].busy) return PLR_ERR_INVALID_STATE;
  const plr_model_info *info = shard->info;
  int64_t w = info->boundary_width;
  PLR_TRY(plr__shard_check_matrix(grad_out, shard->rows, w, shard->end_block < info->blocks));
  PLR_TRY(plr__shard_check_matrix(grad_in, shard->rows, w, shard->first_block > 0));
  plr_run run = {.shard = shard,
                 .list = PLR_LIST_BACKWARD,
                 .slot = shard->slots[slot].memory,
                 .batch = info->micro_batch,
                 .seq = info->seq_len,
                 .weights = plr__stash_weights(shard, &shard->slots[slot])};
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = backward(&run, &shard->slots[slot], grad_out, grad_in);
  plr__fpenv_leave(saved);
  return st;
}

/* Forward without keeping anything, and the loss of logits. */
#include "shard/shard_int.h"

static plr_status infer(const plr_run *run, const int32_t *tokens, const plr_tensor *in,
                        plr_tensor *out) {
  const plr_graph *g = &run->shard->graph;
  if (g->ids != PLR_NO_VALUE) PLR_TRY(plr__run_put(run, g->ids, tokens));
  PLR_TRY(plr__run_put_positions(run));
  if (in) {
    PLR_TRY(plr__run_put(run, g->input, in->data));
    PLR_TRY(plr__run_check_finite(run, g->input));
  }
  PLR_TRY(plr__run_list(run));
  PLR_TRY(plr__run_check_finite(run, g->output));
  return plr__run_get(run, g->output, out->data);
}

plr_status plr_shard_infer(plr_shard *shard, const int32_t *tokens, uint32_t rows, uint32_t seq,
                           const plr_tensor *in, plr_tensor *out) {
  PLR_GUARD(shard, NULL);
  if (!shard || !tokens || rows == 0 || seq == 0 || seq > shard->info->seq_len ||
      (int64_t)rows * seq > shard->rows)
    return PLR_ERR_INVALID_ARGUMENT;
  const plr_model_info *info = shard->info;
  int64_t n = (int64_t)rows * seq, w = info->boundary_width;
  PLR_TRY(plr__shard_check_matrix(in, n, w, shard->first_block > 0));
  PLR_TRY(plr__shard_check_matrix(out, n, shard->end_block < info->blocks ? w : info->vocab, 1));
  for (int64_t i = 0; i < n; i++)
    if (tokens[i] < 0 || (uint32_t)tokens[i] >= info->vocab) return PLR_ERR_INVALID_ARGUMENT;
  plr_run run = {.shard = shard, .list = PLR_LIST_INFER, .batch = rows, .seq = seq};
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = infer(&run, tokens, in, out);
  plr__fpenv_leave(saved);
  return st;
}

static plr_status loss_of(const plr_run *run, const float *logits, const int32_t *labels,
                          double *loss_sum) {
  const plr_graph *g = &run->shard->graph;
  PLR_TRY(plr__run_put(run, g->output, logits));
  PLR_TRY(plr__run_put(run, g->labels, labels));
  PLR_TRY(plr__run_node(run, &g->forward[g->forward_count - 1]));
  return plr__run_loss(run, loss_sum);
}

plr_status plr_shard_loss(plr_shard *shard, plr_tensor *logits, const int32_t *labels,
                          double *loss_sum) {
  PLR_GUARD(shard, NULL);
  if (!shard || !logits || !labels || !loss_sum) return PLR_ERR_INVALID_ARGUMENT;
  if (shard->end_block < shard->info->blocks) return PLR_ERR_INVALID_STATE;
  int64_t rows = logits->shape[0], vocab = shard->info->vocab;
  PLR_TRY(plr__shard_check_matrix(logits, rows, vocab, 1));
  for (int64_t i = 0; i < rows; i++)
    if (labels[i] >= vocab) return PLR_ERR_INVALID_ARGUMENT;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = PLR_OK;
  double total = 0.0;
  for (int64_t at = 0; at < rows && st == PLR_OK; at += shard->rows) {
    plr_run run = {
        .shard = shard, .list = PLR_LIST_INFER, .batch = 1, .seq = PLR_MIN(shard->rows, rows - at)};
    double part = 0.0;
    st = loss_of(&run, (const float *)logits->data + at * vocab, labels + at, &part);
    total += part;
  }
  plr__fpenv_leave(saved);
  if (st == PLR_OK) *loss_sum = total;
  return st;
}

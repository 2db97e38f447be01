/* Storage bf16: which values are kept rounded from forward to backward, and when they are moved (EXACT.md, section 9).
 * Forward computes with the numbers as they are and backward reads what was kept; so nothing depends on where the model
 * is split: what a shard receives is rounded in the slot just as the same value would be within a shard. */
#include "shard/shard_int.h"

#include <string.h>

/* Operands that are integers, statistics of rows, or what experts are chosen by. What a value is must not depend on its
 * size, lest two models round differently that only differ in a number of heads. */
static const struct {
  uint32_t op, operands;
} kept_as_is[] = {
    {PLR_OP_RMSNORM, 1u << 3}, {PLR_OP_LAYERNORM, 3u << 4}, {PLR_OP_ATTENTION, 3u << 4},
    {PLR_OP_ROUTE, 63u},       {PLR_OP_EMBED, 1u << 1},     {PLR_OP_ROW_ADD, 1u << 2},
    {PLR_OP_XENT, 7u}, /* it leaves the gradient of the logits in them */
};

void plr__storage_exact(const plr_graph *g, uint8_t *exact) {
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    for (size_t k = 0; k < PLR_COUNT_OF(kept_as_is); k++)
      for (uint32_t j = 0; n->op == kept_as_is[k].op && j < plr__op_args(n->op); j++)
        if (kept_as_is[k].operands >> j & 1 && n->arg[j].kind == PLR_REF_VALUE)
          exact[n->arg[j].index] = 1;
  }
}

/* By insertion: forward's are nearly in order; what backward reads first was made last, so its list is turned round
 * before. */
void plr__storage_sort(plr_move *moves, uint32_t count) {
  if (count > 1 && moves[0].node > moves[count - 1].node)
    for (uint32_t i = 0; i < count / 2; i++) {
      plr_move t = moves[i];
      moves[i] = moves[count - 1 - i], moves[count - 1 - i] = t;
    }
  for (uint32_t i = 1; i < count; i++) {
    plr_move m = moves[i];
    uint32_t at = i;
    for (; at > 0 && moves[at - 1].node > m.node; at--) moves[at] = moves[at - 1];
    moves[at] = m;
  }
}

plr_status plr__storage_check(const plr_shard *s, plr_error *err) {
  static const plr_op_id needed[] = {PLR_OP_BF16_PACK, PLR_OP_BF16_UNPACK};
  if (s->info->storage != PLR_STORAGE_BF16 || s->inference_only) return PLR_OK;
  if (s->recompute)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "shard options",
                     "recompute would change the bits of a model with storage \"bf16\": what is "
                     "computed again would start from rounded numbers");
  for (size_t i = 0; i < PLR_COUNT_OF(needed); i++)
    if (!s->device->vt->supports(s->device, needed[i]))
      return plr__fail(err, PLR_ERR_UNSUPPORTED, "shard",
                       "device %s lacks storage \"bf16\", which the model asks for",
                       s->device->vt->name);
  return PLR_OK;
}

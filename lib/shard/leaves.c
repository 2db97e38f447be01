/* Leaf hashes of blocks and the weight root. A leaf is SHA-256 of
 *
 *   00 ‖ "pluralis.leaf/v1" ‖ block u32 ‖ step u64 ‖ beta1^step f64 ‖ beta2^step f64 ‖ tensors u32,
 *   then for each tensor: length of name u16 ‖ name ‖ rows u64 ‖ cols u64 ‖ weights ‖ first moments ‖
 *   second moments (fp32),
 *
 * little-endian throughout, tensors in the order of lib/model/README.md; the 00 is RFC 6962's mark of a leaf. */
#include "shard/shard_int.h"

#include <string.h>

static plr_status put(void *user, const void *data, size_t len) {
  plr__sha256_update(user, data, len);
  return PLR_OK;
}

size_t plr__param_header(const plr_param *p, uint8_t out[PLR_PARAM_HEADER_MAX]) {
  size_t len = strlen(p->name);
  plr__store_le16(out, (uint16_t)len);
  memcpy(out + 2, p->name, len);
  plr__store_le64(out + 2 + len, (uint64_t)p->rows);
  plr__store_le64(out + 10 + len, (uint64_t)p->cols);
  return len + 18;
}

void plr__double_le(void *out, double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  plr__store_le64(out, bits);
}

static plr_status add_param(plr_shard *s, uint32_t i, plr_sha256_state *hash) {
  const plr_param *p = &s->graph.params[i];
  const float *parts[3] = {s->state.w, s->state.m, s->state.v};
  uint8_t header[PLR_PARAM_HEADER_MAX];
  plr__sha256_update(hash, header, plr__param_header(p, header));
  for (int part = 0; part < 3; part++)
    PLR_TRY(
        plr__shard_read_floats(s, parts[part] + s->param_offset[i], p->rows * p->cols, put, hash));
  return PLR_OK;
}

/* Parameters [first, end) are those of one block. */
static plr_status leaf(plr_shard *s, uint32_t first, uint32_t end, plr_hash *out) {
  static const char tag[] = "\0pluralis.leaf/v1";
  uint8_t head[32];
  plr_sha256_state hash;
  plr__sha256_init(&hash);
  plr__sha256_update(&hash, tag, sizeof tag - 1);
  plr__store_le32(head, s->graph.params[first].block);
  plr__store_le64(head + 4, s->state.steps);
  plr__double_le(head + 12, s->state.beta1_power);
  plr__double_le(head + 20, s->state.beta2_power);
  plr__store_le32(head + 28, end - first);
  plr__sha256_update(&hash, head, sizeof head);
  for (uint32_t i = first; i < end; i++) PLR_TRY(add_param(s, i, &hash));
  plr__sha256_final(&hash, out);
  return PLR_OK;
}

plr_status plr_shard_leaves(plr_shard *shard, plr_hash *leaves, uint32_t count) {
  PLR_GUARD(shard, NULL);
  if (!shard || !leaves || count != shard->end_block - shard->first_block)
    return PLR_ERR_INVALID_ARGUMENT;
  if (shard->inference_only) return PLR_ERR_INVALID_STATE;
  uint32_t end = 0;
  for (uint32_t b = 0; b < count; b++) {
    uint32_t first = end;
    while (end < shard->graph.param_count &&
           shard->graph.params[end].block == shard->first_block + b)
      end++;
    PLR_TRY(leaf(shard, first, end, &leaves[b]));
  }
  return PLR_OK;
}

/* RFC 6962 tree without touching the caller's leaves or allocating: a stack of the roots of full subtrees. */
plr_status plr_weight_root(const plr_hash *leaves, uint32_t count, plr_hash *out) {
  if (!leaves || !out || count == 0) return PLR_ERR_INVALID_ARGUMENT;
  plr_hash stack[33];
  uint32_t depth = 0;
  for (uint32_t i = 0; i < count; i++) {
    stack[depth++] = leaves[i];
    for (uint32_t done = i + 1; done % 2 == 0; done /= 2, depth--)
      plr__merkle_node(&stack[depth - 2], &stack[depth - 1], &stack[depth - 2]);
  }
  for (; depth > 1; depth--)
    plr__merkle_node(&stack[depth - 2], &stack[depth - 1], &stack[depth - 2]);
  *out = stack[0];
  return PLR_OK;
}

/* Leaf hashes of blocks and the weight root. A leaf is SHA-256 of
 *
 *   00 ‖ "pluralis.leaf/v2" ‖ block u32 ‖ step u64 ‖ power1 f64 ‖ power2 f64 ‖ tensors u32,
 *   then for each tensor: length of name u16 ‖ name ‖ rows u64 ‖ cols u64 ‖ SHA-256 of its weights ‖ of its first
 *   moments ‖ of its second moments (fp32; SHA-256 of nothing where the optimizer keeps none),
 *
 * little-endian throughout, tensors in the order of lib/model/README.md; the 00 is RFC 6962's mark of a leaf. A leaf
 * is made of hashes, so that a snapshot proves its leaves, and with them the root, before any number of it is read. */
#include "shard/shard_int.h"

#include <string.h>

static plr_status put(void *user, const void *data, size_t len) {
  plr__sha256_update(user, data, len);
  return PLR_OK;
}

void plr__double_le(void *out, double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  plr__store_le64(out, bits);
}

float *plr__state_part(const plr_shard *s, const plr_state *state, uint32_t param, uint32_t part,
                       int64_t *count) {
  const plr_param *p = &s->graph.params[param];
  *count = p->rows * p->cols;
  if (part == PLR_PART_WEIGHT) return plr__pack_weight(s, state, param);
  if (part == PLR_PART_FIRST) return state->m ? state->m + s->param_offset[param] : NULL;
  *count = plr__optimizer_seconds(s->info, p);
  return state->v ? state->v + s->second_offset[param] : NULL;
}

plr_status plr__shard_hash_param(plr_shard *s, uint32_t param, plr_hash out[PLR_PARTS]) {
  for (uint32_t part = 0; part < PLR_PARTS; part++) {
    plr_sha256_state hash;
    int64_t count;
    const float *from = plr__state_part(s, &s->state, param, part, &count);
    plr__sha256_init(&hash);
    PLR_TRY(plr__shard_read_floats(s, from, count, put, &hash));
    plr__sha256_final(&hash, &out[part]);
  }
  return PLR_OK;
}

void plr__leaf_begin(plr_sha256_state *leaf, uint32_t block, const plr_state *state,
                     uint32_t tensors) {
  static const char tag[] = "\0pluralis.leaf/v2";
  uint8_t head[32];
  plr__sha256_init(leaf);
  plr__sha256_update(leaf, tag, sizeof tag - 1);
  plr__store_le32(head, block);
  plr__store_le64(head + 4, state->steps);
  plr__double_le(head + 12, state->power1);
  plr__double_le(head + 20, state->power2);
  plr__store_le32(head + 28, tensors);
  plr__sha256_update(leaf, head, sizeof head);
}

size_t plr__param_header(const plr_param *p, uint8_t out[PLR_PARAM_HEADER_MAX]) {
  size_t len = strlen(p->name);
  plr__store_le16(out, (uint16_t)len);
  memcpy(out + 2, p->name, len);
  plr__store_le64(out + 2 + len, (uint64_t)p->rows);
  plr__store_le64(out + 10 + len, (uint64_t)p->cols);
  return len + 18;
}

void plr__leaf_param(plr_sha256_state *leaf, const plr_param *p, const plr_hash parts[PLR_PARTS]) {
  uint8_t header[PLR_PARAM_HEADER_MAX];
  plr__sha256_update(leaf, header, plr__param_header(p, header));
  for (uint32_t i = 0; i < PLR_PARTS; i++)
    plr__sha256_update(leaf, parts[i].bytes, sizeof parts[i].bytes);
}

/* Parameters [first, end) are those of the block. */
static plr_status leaf_of(plr_shard *s, uint32_t block, uint32_t first, uint32_t end,
                          plr_hash *out) {
  plr_sha256_state leaf;
  plr_hash parts[PLR_PARTS];
  plr__leaf_begin(&leaf, block, &s->state, end - first);
  for (uint32_t i = first; i < end; i++) {
    PLR_TRY(plr__shard_hash_param(s, i, parts));
    plr__leaf_param(&leaf, &s->graph.params[i], parts);
  }
  plr__sha256_final(&leaf, out);
  return PLR_OK;
}

uint32_t plr__shard_block_end(const plr_shard *s, uint32_t block, uint32_t first) {
  uint32_t end = first;
  while (end < s->graph.param_count && s->graph.params[end].block == block) end++;
  return end;
}

plr_status plr_shard_leaves(plr_shard *shard, plr_hash *leaves, uint32_t count) {
  PLR_GUARD(shard, NULL);
  if (!shard || !leaves || count != shard->end_block - shard->first_block)
    return PLR_ERR_INVALID_ARGUMENT;
  if (shard->inference_only) return PLR_ERR_INVALID_STATE;
  uint32_t first = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t block = shard->first_block + i, end = plr__shard_block_end(shard, block, first);
    PLR_TRY(leaf_of(shard, block, first, end, &leaves[i]));
    first = end;
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

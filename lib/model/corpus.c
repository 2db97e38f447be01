/* A text, and which bytes of it a micro-batch holds. */
#include "model/model_int.h"

#define PIECE_BYTES 65536u

struct plr_corpus {
  plr_context *ctx;
  const uint8_t *text;
  size_t len, train_len; /* the first train_len bytes are the training part */
  plr_hash root;
};

static plr_status fill_root(plr_corpus *c) {
  size_t pieces = (c->len + PIECE_BYTES - 1) / PIECE_BYTES;
  plr_hash *leaves = plr__calloc(c->ctx, pieces, sizeof *leaves);
  if (!leaves) return PLR_ERR_NO_MEMORY;
  for (size_t i = 0; i < pieces; i++) {
    size_t at = i * PIECE_BYTES;
    plr__merkle_leaf(c->text + at, PLR_MIN(c->len - at, PIECE_BYTES), &leaves[i]);
  }
  plr__merkle_root(leaves, pieces, &c->root);
  plr__free(c->ctx, leaves);
  return PLR_OK;
}

plr_status plr_corpus_create(plr_context *ctx, const void *text, size_t len, plr_corpus **out,
                             plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "corpus", "out is NULL");
  *out = NULL;
  if (!ctx || !text || len == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "corpus", "the text is empty");
  plr_corpus *c = plr__calloc(ctx, 1, sizeof *c);
  if (!c) return plr__no_memory(err, "corpus");
  c->ctx = plr__context_ref(ctx);
  c->text = text, c->len = len, c->train_len = len - len / 10;
  if (fill_root(c) != PLR_OK) {
    plr_corpus_destroy(c);
    return plr__no_memory(err, "corpus");
  }
  *out = c;
  return PLR_OK;
}

void plr_corpus_destroy(plr_corpus *corpus) {
  if (!corpus) return;
  plr_context *ctx = corpus->ctx;
  plr__free(ctx, corpus);
  plr__context_unref(ctx);
}

void plr_corpus_root(const plr_corpus *corpus, plr_hash *out) {
  *out = corpus->root;
}

plr_status plr_corpus_batch(const plr_corpus *corpus, uint32_t split, uint64_t seed, uint64_t index,
                            uint32_t rows, uint32_t seq_len, int32_t *tokens, plr_error *err) {
  if (!corpus || !tokens || split > PLR_SPLIT_VALIDATION || seq_len == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "corpus batch", "bad split, length or pointer");
  int train = split == PLR_SPLIT_TRAIN;
  const uint8_t *part = corpus->text + (train ? 0 : corpus->train_len);
  uint64_t part_len = train ? corpus->train_len : corpus->len - corpus->train_len;
  if (part_len < (uint64_t)seq_len + 2)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "corpus batch",
                     "the %s part of the text has %llu bytes; sequences of %u need %llu",
                     train ? "training" : "validation", (unsigned long long)part_len, seq_len,
                     (unsigned long long)seq_len + 2);
  for (uint32_t r = 0; r < rows; r++) {
    uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), split, r};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, x[4];
    plr__philox4x32(counter, key, x);
    uint64_t bits = (uint64_t)x[1] << 32 | x[0];
    const uint8_t *at = part + plr__mulhi64(bits, part_len - seq_len);
    int32_t *row = tokens + (size_t)r * ((size_t)seq_len + 1);
    for (uint32_t t = 0; t <= seq_len; t++) row[t] = at[t];
  }
  return PLR_OK;
}

/* Family "llama" (Touvron et al., arXiv 2302.13971), as operations:
 *
 *   n = rmsnorm(x); q, k, v = n Wq, n Wk, n Wv; rope(q), rope(k); x += attention(q, k, v) Wo
 *   n = rmsnorm(x); x += (silu(n Wgate) * n Wup) Wdown
 *   head: logits = rmsnorm(x) W, not tied to the embedding
 *
 * In a block that is held in the subspace the two writes Wo and Wdown are stored as Z (inputs x rank) and used as
 * (a Z) U^T, and the embedding as e (vocab x rank), x0 = A[token] + e[token] U^T.
 *
 * Initial values: embeddings embed_std; matrices init_std; the two writes init_std / sqrt(2 blocks), so that the
 * residual stream does not grow with depth (GPT-2, Radford et al. 2019). Z takes the same deviation as the dense
 * matrix: for W with independent normal entries W U has entries of that deviation again (U is orthonormal), so
 * Z U^T is distributed as the dense matrix projected onto span(U), and each of the `rank` coordinates of the
 * stream starts with the ratio of write to embedding that each of the d coordinates has in the dense model. */
#include "model/model_int.h"

#include <math.h>
#include <stdio.h>

enum { /* place of a parameter among those of its block: fixed for ever, streams depend on it */
       ATTN_NORM,
       ATTN_Q,
       ATTN_K,
       ATTN_V,
       ATTN_O,
       MLP_NORM,
       MLP_GATE,
       MLP_UP,
       MLP_DOWN
};

static plr_ref block_weight(plr_graph *g, uint32_t block, uint32_t index, const char *part,
                            int64_t rows, int64_t cols, float std) {
  char name[sizeof g->params->name];
  snprintf(name, sizeof name, "blocks.%u.%s.weight", block, part);
  return plr__graph_weight(g, plr__stream(block + 1, index), name, rows, cols, std, std > 0.0f);
}

/* x += h W, W held in the subspace where the block is. */
static uint32_t write_stream(plr_graph *g, uint32_t block, uint32_t index, const char *part,
                             uint32_t x, uint32_t h, int64_t h_cols) {
  const plr_model_info *info = g->info;
  int held = block < info->first_full_rank;
  float std = (float)((double)info->init_std / sqrt(2.0 * info->blocks));
  plr_ref w =
      block_weight(g, block, index, part, h_cols, held ? info->boundary_width : info->d_model, std);
  uint32_t y = plr__graph_matmul(g, h, w, PLR_MATMUL_NN);
  if (held) y = plr__graph_matmul(g, y, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  return plr__graph_residual(g, x, y);
}

uint32_t plr__llama_embed(plr_graph *g) {
  const plr_model_info *info = g->info;
  int held = info->first_full_rank > 0;
  plr_ref table =
      plr__graph_weight(g, plr__stream(0, 0), "embed.weight", info->vocab,
                        held ? info->boundary_width : info->d_model, info->embed_std, 1);
  uint32_t x = plr__graph_embed(g, table);
  if (!held) return x;
  x = plr__graph_matmul(g, x, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  plr__graph_anchor(g, x, 1.0f);
  return x;
}

static uint32_t project(plr_graph *g, uint32_t block, uint32_t index, const char *part, uint32_t n,
                        int64_t out) {
  plr_ref w = block_weight(g, block, index, part, g->info->d_model, out, g->info->init_std);
  return plr__graph_matmul(g, n, w, PLR_MATMUL_NN);
}

uint32_t plr__llama_block(plr_graph *g, uint32_t block, uint32_t x) {
  const plr_model_info *info = g->info;
  int64_t d = info->d_model;
  int64_t q_cols = (int64_t)info->heads * info->head_dim;
  int64_t kv_cols = (int64_t)info->kv_heads * info->head_dim;

  plr_ref gain = block_weight(g, block, ATTN_NORM, "attn_norm", 1, d, 0.0f);
  uint32_t n = plr__graph_rmsnorm(g, x, gain);
  uint32_t q = project(g, block, ATTN_Q, "attn.q", n, q_cols);
  uint32_t k = project(g, block, ATTN_K, "attn.k", n, kv_cols);
  uint32_t v = project(g, block, ATTN_V, "attn.v", n, kv_cols);
  plr__graph_rope(g, q);
  plr__graph_rope(g, k);
  uint32_t a = plr__graph_attention(g, q, k, v);
  x = write_stream(g, block, ATTN_O, "attn.o", x, a, q_cols);

  gain = block_weight(g, block, MLP_NORM, "mlp_norm", 1, d, 0.0f);
  n = plr__graph_rmsnorm(g, x, gain);
  uint32_t gate = project(g, block, MLP_GATE, "mlp.gate", n, info->d_ff);
  uint32_t up = project(g, block, MLP_UP, "mlp.up", n, info->d_ff);
  uint32_t h = plr__graph_swiglu(g, gate, up);
  return write_stream(g, block, MLP_DOWN, "mlp.down", x, h, info->d_ff);
}

uint32_t plr__llama_head(plr_graph *g, uint32_t x) {
  const plr_model_info *info = g->info;
  uint32_t place = info->blocks + 1;
  plr_ref gain =
      plr__graph_weight(g, plr__stream(place, 0), "norm.weight", 1, info->d_model, 0.0f, 0);
  uint32_t n = plr__graph_rmsnorm(g, x, gain);
  plr_ref w = plr__graph_weight(g, plr__stream(place, 1), "head.weight", info->d_model, info->vocab,
                                info->init_std, 1);
  return plr__graph_matmul(g, n, w, PLR_MATMUL_NN);
}

/* What the files of model share with each other and with model's tests. */
#ifndef PLR_MODEL_MODEL_INT_H
#define PLR_MODEL_MODEL_INT_H

#include "model/model.h"
#include "model/names.h"

#include <stdatomic.h>

#define PLR_MODEL_MAX_NAME 128u
/* A manifest is a page of JSON; this bounds what the JSON parser may be made to allocate. */
#define PLR_MANIFEST_MAX 65536u

#define PLR_FAMILY_LLAMA 1u
#define PLR_VOCAB_BYTES  1u

/* A manifest as read: whole numbers and the exact doubles of the text, from which hash and info are made. */
typedef struct plr_manifest {
  char name[PLR_MODEL_MAX_NAME + 1];
  uint32_t family, vocab, optimizer, boundary, schedule;
  uint32_t blocks, d_model, heads, kv_heads, head_dim, d_ff;
  uint32_t rank, cut_count;
  uint32_t cuts[PLR_MAX_BLOCKS];
  uint32_t seq_len, micro_batch, micro_batches, warmup_steps, steps;
  uint64_t seed, boundary_seed, data_seed;
  double norm_eps, rope_theta, init_std, embed_std, anchor_std;
  double lr, min_lr_ratio, beta1, beta2, eps, weight_decay, clip;
  /* of some optimizers or schedules; 0 elsewhere. beta1 is the momentum of sgdm. */
  uint32_t clip_scope, decay_steps;
  double momentum_decay, muon_lr, muon_momentum;
} plr_manifest;

struct plr_model {
  plr_context *ctx;
  _Atomic uint32_t refs;
  plr_manifest manifest;
  plr_model_info info;
  plr_hash hash;
  uint64_t *cost; /* per block */
  plr_origin origin;
};

/* Reads and checks the text; *out is complete on PLR_OK only. */
plr_status plr__manifest_read(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                              plr_error *err);

/* Appends the canonical binary form (README.md). */
void plr__manifest_canonical(const plr_manifest *m, plr_buffer *out);

/* Where in a manifest the byte at `offset` is: "manifest.train.lr" for anything from that key to its value's
 * end. For messages about text that is not JSON. */
void plr__manifest_where(const char *json, size_t len, size_t offset, char where[64]);

/* Adds the work of every node of a whole-model graph to cost[block]. */
void plr__graph_cost(const plr_graph *g, uint64_t *cost);

/* ---- building a graph ------------------------------------------------------------------------- */

/* All of these do nothing once g->failed is set, so that a family checks once at its end. */
uint32_t plr__graph_value(plr_graph *g, int64_t cols);
/* index: place of the parameter in its block, below PLR_BLOCK_STREAMS. name: without "blocks.N.". */
plr_ref plr__graph_weight(plr_graph *g, uint32_t stream, const char *name, int64_t rows,
                          int64_t cols, float std, uint32_t decay);
plr_node *plr__graph_push(plr_graph *g, int backward, plr_op_id op);
void plr__graph_fail(plr_graph *g, plr_status st);

static inline plr_ref plr__ref(plr_ref_kind kind, uint32_t index) {
  plr_ref r = {kind, index};
  return r;
}
static inline plr_ref plr__ref_value(uint32_t v) {
  return v == PLR_NO_VALUE ? plr__ref(PLR_REF_NONE, 0) : plr__ref(PLR_REF_VALUE, v);
}
static inline plr_ref plr__ref_const(plr_const_id id) {
  return plr__ref(PLR_REF_CONST, id);
}

/* y = x w (NN) or x w^T (NT) for a matrix with its own shape. */
uint32_t plr__graph_matmul(plr_graph *g, uint32_t x, plr_ref w, uint32_t layout);
uint32_t plr__graph_rmsnorm(plr_graph *g, uint32_t x, plr_ref gain);
void plr__graph_rope(plr_graph *g, uint32_t x);
uint32_t plr__graph_attention(plr_graph *g, uint32_t q, uint32_t k, uint32_t v);
uint32_t plr__graph_swiglu(plr_graph *g, uint32_t gate, uint32_t up);
uint32_t plr__graph_embed(plr_graph *g, plr_ref table);
/* Adds (sign +1) or subtracts (-1) the anchors of the tokens, in place. */
void plr__graph_anchor(plr_graph *g, uint32_t x, float sign);
/* branch += x, in place; the result takes the place of x in the residual stream. The branch must be what the node
 * just before wrote: backward lets both share one gradient. */
uint32_t plr__graph_residual(plr_graph *g, uint32_t x, uint32_t branch);

/* Streams of the parameters: the embedding counts as block -1, the head as block `blocks`. */
#define PLR_BLOCK_STREAMS 64u
static inline uint32_t plr__stream(uint32_t place, uint32_t index) {
  return place * PLR_BLOCK_STREAMS + index;
}

/* Family "llama". x0 from token ids; one block; logits. */
uint32_t plr__llama_embed(plr_graph *g);
uint32_t plr__llama_block(plr_graph *g, uint32_t block, uint32_t x);
uint32_t plr__llama_head(plr_graph *g, uint32_t x);

/* Derives the backward list of a graph whose forward list is complete. */
void plr__graph_derive_backward(plr_graph *g);

/* Fills in `along` and `hidden` of every parameter; the forward list must be complete. */
void plr__graph_roles(plr_graph *g);

/* Closure lint of the subspace boundary: before first_full_rank, every branch that is added to the residual
 * stream was made by a product with U^T, nothing in between. INTERNAL when not. */
plr_status plr__graph_lint(const plr_graph *g);

#endif

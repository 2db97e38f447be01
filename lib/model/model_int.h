/* What the files of model share with each other and with model's tests. */
#ifndef PLR_MODEL_MODEL_INT_H
#define PLR_MODEL_MODEL_INT_H

#include "model/model.h"
#include "model/names.h"
#include "model/program.h"

#include <stdatomic.h>

#define PLR_MODEL_MAX_NAME 128u
/* A manifest is a page of JSON; this bounds what the JSON parser may be made to allocate. */
#define PLR_MANIFEST_MAX 65536u

#define PLR_FAMILY_LLAMA 1u
#define PLR_VOCAB_BYTES  1u /* 256 symbols; any other vocab is the number of symbols itself */

/* A manifest as read: whole numbers and the exact doubles of the text, from which hash and info are made. */
typedef struct plr_manifest {
  char name[PLR_MODEL_MAX_NAME + 1];
  uint32_t format; /* 1 or 2 */
  plr_program program; /* what both formats come to */
  uint32_t family, vocab, optimizer, boundary, schedule;
  uint32_t blocks, d_model, heads, kv_heads, head_dim, d_ff;
  uint32_t rank, tied, cut_count;
  uint32_t cuts[PLR_MAX_BLOCKS];
  uint32_t seq_len, micro_batch, micro_batches, warmup_steps, steps;
  uint64_t seed, boundary_seed, data_seed;
  double norm_eps, rope_theta, init_std, embed_std, anchor_std;
  double lr, min_lr_ratio, beta1, beta2, eps, weight_decay, clip;
  /* of some optimizers or schedules; 0 elsewhere. beta1 is the momentum of sgdm. */
  uint32_t clip_scope, decay_steps, storage;
  double momentum_decay, muon_lr, muon_momentum;
  double z_loss; /* 0 in format 1 */
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

/* A model whose manifest is empty; and what follows once it is read. */
plr_model *plr__model_new(plr_context *ctx);
plr_status plr__model_complete(plr_model *model, plr_error *err);

/* Reads and checks the text; *out is complete on PLR_OK only. */
plr_status plr__manifest_read(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                              plr_error *err);

/* The same in two steps, for a builder: the text has no embed, blocks and head; they are written into out->program
 * between the steps. *out is to be released whatever happens. */
plr_status plr__manifest_begin(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                               plr_error *err);
plr_status plr__manifest_finish(plr_context *ctx, const char *json, size_t len, plr_manifest *m,
                                plr_error *err);
void plr__manifest_release(plr_manifest *m);

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
plr_ref plr__graph_weight(plr_graph *g, uint32_t stream, const char *name, int64_t rows,
                          int64_t cols, plr_init init, float std);
plr_node *plr__graph_push(plr_graph *g, int backward, plr_op_id op);
void plr__graph_fail(plr_graph *g, plr_status st);
/* Index of the graph's rotary table of that kind. */
uint32_t plr__graph_rope_table(plr_graph *g, const plr_rope_spec *spec);

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

/* A value of the same shape. */
uint32_t plr__graph_like(plr_graph *g, uint32_t v);
/* Values that the host fills, made when they are first asked for. */
uint32_t plr__graph_ids(plr_graph *g);
uint32_t plr__graph_positions(plr_graph *g);

/* y = x w (NN) or x w^T (NT) for a matrix with its own shape. */
uint32_t plr__graph_matmul(plr_graph *g, uint32_t x, plr_ref w, uint32_t layout);
uint32_t plr__graph_bias(plr_graph *g, uint32_t x, plr_ref bias);
/* parts: of a row that are normalised each by itself. */
uint32_t plr__graph_rmsnorm(plr_graph *g, uint32_t x, plr_ref gain, uint32_t parts, float eps);
uint32_t plr__graph_layernorm(plr_graph *g, uint32_t x, plr_ref gain, plr_ref bias, float eps);
uint32_t plr__graph_rope(plr_graph *g, uint32_t x, const plr_rope_spec *spec);
/* like: heads, kv_heads, head_dim, window and scale. */
uint32_t plr__graph_attention(plr_graph *g, uint32_t q, uint32_t k, uint32_t v,
                              const plr_node *like);
uint32_t plr__graph_swiglu(plr_graph *g, uint32_t gate, uint32_t up);
uint32_t plr__graph_act(plr_graph *g, uint32_t x, uint32_t act);
uint32_t plr__graph_scale(plr_graph *g, uint32_t x, float by);
/* ADD or MUL. */
uint32_t plr__graph_pair(plr_graph *g, plr_op_id op, uint32_t a, uint32_t b);
uint32_t plr__graph_embed(plr_graph *g, plr_ref table);
/* Adds (sign +1) or subtracts (-1) the table's rows named by ids. */
uint32_t plr__graph_row_add(plr_graph *g, uint32_t x, plr_ref table, uint32_t ids, float sign);
/* A mixture of experts; the weights hold one matrix for each expert, one after the other. */
typedef struct plr_mixture {
  plr_ref router, gate, up, down;
  uint32_t experts, top_k, act, renormalise;
  float balance; /* of one sequence */
} plr_mixture;
uint32_t plr__graph_mixture(plr_graph *g, uint32_t x, const plr_mixture *m);

/* Appends the nodes of a list of operations to x; names of parameters begin with prefix, their streams count from
 * first_stream. held: what writes the residual stream is kept in the subspace. Returns the list's result. */
uint32_t plr__graph_lower(plr_graph *g, const plr_op_list *list, const char *prefix,
                          uint32_t first_stream, int held, uint32_t x);

/* 1 when the op's rule in backward reads what the op wrote. */
int plr__op_keeps_result(uint32_t op);
/* Results that can take over the memory of an operand do: afterwards values have roots. */
void plr__graph_share(plr_graph *g);
/* Every node and value is named by its root. After derivation. */
void plr__graph_resolve(plr_graph *g);

/* ---- gradients while they are derived (gradients.c) ------------------------------------------- */

/* The gradient of v, which is whole: its consumers' rules are done. */
uint32_t plr__grad_incoming(plr_graph *g, uint32_t v);
/* After v's rule: nobody needs it for v any more. */
void plr__grad_release(plr_graph *g, uint32_t v);
/* 1: v is the only one that needs its gradient, which may be changed in place. */
int plr__grad_sole(const plr_graph *g, uint32_t v);
/* Where a rule that can accumulate puts the gradient of v; *accumulate says whether it must. */
uint32_t plr__grad_into(plr_graph *g, uint32_t v, uint32_t *accumulate);
/* The gradient of v gets d, which may be shared with others. */
void plr__grad_pass(plr_graph *g, uint32_t v, uint32_t d);

/* Streams of the parameters: the embedding counts as block -1, the head as block `blocks`. */
#define PLR_BLOCK_STREAMS 64u
static inline uint32_t plr__stream(uint32_t place, uint32_t index) {
  return place * PLR_BLOCK_STREAMS + index;
}

/* Writes family "llama" of format 1 into m->program. */
plr_status plr__llama_program(plr_manifest *m, plr_error *err);

/* Derives the backward list of a graph whose forward list is complete. */
void plr__graph_derive_backward(plr_graph *g);

/* Marks as computed again all values but those that cross from block to block. After sharing, before backward. */
void plr__graph_recompute(plr_graph *g);

/* Fills in `along` and `hidden` of every parameter; the forward list must be complete. */
void plr__graph_roles(plr_graph *g);

/* Closure lint of the subspace boundary: what a boundary projects is anchor + span(U), because everything added to the
 * residual stream was made by a product with U^T. INTERNAL when not; *block says where. */
plr_status plr__graph_lint(const plr_graph *g, uint32_t *block);

#endif

/* What shard and plan use of a model: its numbers, and its blocks as a list of operations.
 *
 * A graph is the operations of consecutive blocks. Families (llama.c) only write the forward list; the backward
 * list is derived from it (backward.c). One executor in shard runs both. Everything in a graph is in units of one
 * token row: a value with `cols` columns is a matrix rows x cols when it is run. */
#ifndef PLR_MODEL_MODEL_H
#define PLR_MODEL_MODEL_H

#include <pluralis/model.h>

#include "base/base.h"
#include "kernels/ops.h"

/* ---- model ------------------------------------------------------------------------------------ */

plr_model *plr__model_ref(const plr_model *model);
void plr__model_unref(plr_model *model);
const plr_model_info *plr__model_info(const plr_model *model);

/* ---- graph ------------------------------------------------------------------------------------ */

/* An operand of a node. */
typedef enum plr_ref_kind {
  PLR_REF_NONE = 0, /* the optional operand is absent */
  PLR_REF_VALUE,    /* index into values */
  PLR_REF_WEIGHT,   /* parameter, index into params */
  PLR_REF_GRAD,     /* the gradient of a parameter, index into params */
  PLR_REF_CONST     /* plr_const_id */
} plr_ref_kind;

typedef struct plr_ref {
  uint32_t kind, index;
} plr_ref;

/* Tables made from the manifest's seeds and shape; never trained. Rotary tables follow: ROPE + 2 i is the cosines of
 * table i, ROPE + 2 i + 1 its sines. */
typedef enum plr_const_id {
  PLR_CONST_BASIS = 0, /* U, d_model x rank */
  PLR_CONST_ANCHOR,    /* A, vocab x d_model */
  PLR_CONST_ROPE
} plr_const_id;

/* A rotary table: seq_len x head_dim/2 cosines and sines. */
typedef struct plr_rope_spec {
  uint32_t head_dim, scaling, original, reserved;
  double theta, factor, low_freq, high_freq, beta_fast, beta_slow, attention_factor;
} plr_rope_spec;

/* Activations or gradients: 4-byte elements, fp32 except for token ids, labels, positions and the integers of routing.
 * `per_token` rows of `cols` for each token row (the chosen experts), or `fixed` elements whatever the tokens.
 * Attention's row_max and row_sum are batch x heads x seq, which is rows x heads elements as well. */
typedef struct plr_value {
  int64_t cols;
  int64_t fixed;      /* elements; 0: per_token * cols a token row */
  uint32_t per_token; /* 1 but for mixtures of experts */
  uint32_t producer;  /* forward node that writes it; PLR_NO_NODE for an input */
  uint32_t grad;      /* value that holds its gradient; PLR_NO_VALUE when there is none */
  uint32_t cheap;     /* computed again for backward instead of being kept */
  uint32_t redone;    /* the backward list already computes it again */
  uint32_t uses;      /* operands of the forward list, and the host, that read it */
  uint32_t root;      /* while building: the value whose memory it takes over */
  uint32_t holders;   /* while deriving: values whose gradient this is and that still need it */
} plr_value;

#define PLR_NO_VALUE 0xffffffffu
#define PLR_NO_NODE  0xffffffffu

/* One operation. The operands by op, in the order of `arg`; the result of ADD, MUL, SCALE, BIAS, ROW_ADD and ROPE may
 * be the operand x (or b) itself.
 *   MATMUL         a, b, c                              layout; accumulate
 *   ADD, MUL       a, b, y
 *   SCALE          x, y                                 scale
 *   BIAS           x, bias, y
 *   BIAS_BWD       dbias, dy
 *   ROW_ADD        x, table, ids, y                     sign
 *   RMSNORM        x, gain, y, inv_rms                  parts, eps
 *   RMSNORM_BWD    x, gain, dy, inv_rms, dx, dgain      parts, eps; accumulate: into dx
 *   LAYERNORM      x, gain, bias, y, mean, inv_std      eps
 *   LAYERNORM_BWD  x, gain, dy, mean, inv_std, dx, dgain, dbias    eps; accumulate: into dx
 *   ROPE           x, cos, sin, y                       sign, head_dim; heads = columns of x / head_dim
 *   ATTENTION      q, k, v, out, row_max, row_sum       heads, kv_heads, head_dim, window, scale
 *   ATTENTION_BWD  q, k, v, out, row_max, row_sum, dout, dq, dk, dv    the same
 *   SWIGLU         gate, up, h
 *   SWIGLU_BWD     gate, up, dh, dgate, dup
 *   ACT            x, y                                 act
 *   ACT_BWD        x, dy, dx                            act
 *   ROUTE          logits, ids, slot_of, pair_of, offsets, gates    experts, top_k, renormalise
 *   ROUTE_BWD      logits, ids, slot_of, pair_of, offsets, gates, dgates, dlogits    the same; balance
 *   DISPATCH       x, slot_of, pair_of, y               top_k
 *   DISPATCH_BWD   dy, slot_of, pair_of, dx             top_k
 *   COMBINE        x, gates, slot_of, y                 top_k
 *   COMBINE_BWD    x, gates, slot_of, dy, dx, dgates    top_k
 *   EXPERT_MATMUL  a, b, c, offsets                     layout, experts; accumulate
 *   EMBED          table, ids, y
 *   EMBED_BWD      dtable, ids, dy
 *   XENT           logits, labels, loss (the gradient replaces the logits) */
#define PLR_NODE_ARGS 10

typedef struct plr_node {
  uint32_t op; /* plr_op_id */
  uint32_t block;
  uint32_t layout, accumulate;
  uint32_t starts; /* a product into a gradient: in the first micro-batch of a step it starts the chains itself */
  uint32_t heads, kv_heads, head_dim, window;
  uint32_t parts; /* of a row that are normalised each by itself */
  uint32_t act;   /* PLR_ACT_* */
  uint32_t experts, top_k, renormalise;
  float sign, eps, scale, balance;
  plr_ref arg[PLR_NODE_ARGS];
} plr_node;

/* How a parameter starts. */
typedef enum plr_init {
  PLR_INIT_NORMAL = 0, /* normals of (seed, stream) times std */
  PLR_INIT_ONES,
  PLR_INIT_ZEROS,
  PLR_INIT_BASIS,  /* the orthonormal basis of the boundary seed, d_model x rank */
  PLR_INIT_BASIS_T /* its transpose */
} plr_init;

/* A trainable matrix. Its initial values depend on (seed, stream) only, and the stream is its place in the
 * whole model, so they are the same for every split. */
typedef struct plr_param {
  char name[80];
  uint32_t block; /* the block it belongs to: for clipping and for the leaf hash */
  uint32_t stream;
  int64_t rows, cols;
  float std;             /* of the initial normals */
  uint32_t init;         /* plr_init */
  uint32_t of_boundary;  /* 1: drawn from the boundary seed, not the model's */
  uint32_t decay;        /* 1: weight decay applies (matrices, not gains) */
  uint32_t along;        /* the residual stream lies along its columns (0: it writes the stream) or its
                            rows (1): roles.c */
  uint32_t hidden;       /* a matrix inside a block, neither table nor head nor vector */
  uint32_t stack;        /* matrices of equal shape one under the other (experts); 1 for all others */
  uint32_t grad_touched; /* the backward list has a node that writes its gradient */
  uint32_t
      grad_starts; /* the first of these starts the chains itself (plr_node.starts), else the gradient must be
                            cleared before the first micro-batch of a step */
} plr_param;

typedef struct plr_graph {
  plr_context *ctx;
  const plr_model *model;
  const plr_model_info *info;
  uint32_t first_block, end_block;

  plr_value *values;
  plr_node *forward, *backward;
  plr_param *params; /* in the order of their blocks */
  uint32_t value_count, forward_count, backward_count, param_count;
  uint32_t value_cap, forward_cap, backward_cap, param_cap;
  plr_rope_spec *ropes;
  uint32_t rope_count, rope_cap;

  /* Values the host fills or reads; PLR_NO_VALUE where the shard has none. */
  uint32_t ids, labels;   /* token ids: used by embedding, anchors; labels: by the last shard */
  uint32_t positions;     /* of the tokens, for learned positions */
  uint32_t input, output; /* rows x boundary_width; on the last shard output = logits */
  uint32_t loss;          /* rows x 1, last shard only */
  uint32_t grad_input,
      grad_output;   /* gradients of input and output; on the last shard grad_output is the
                                        logits themselves, where XENT leaves it */
  uint32_t block;    /* while building: the block that nodes and parameters belong to */
  plr_status failed; /* while building: the first failure; sticks */
  plr_node scrap;    /* while building: where writes go after a failure */
} plr_graph;

/* What a graph is built for. RECOMPUTE: backward computes again all but what crosses from block to block. */
#define PLR_GRAPH_FORWARD   0
#define PLR_GRAPH_TRAIN     1
#define PLR_GRAPH_RECOMPUTE 2

/* Builds the graph of blocks [first, end), which must be allowed cuts. purpose: PLR_GRAPH_*.
 * The model must outlive the graph. Errors: NO_MEMORY, INTERNAL (a family broke a rule of the boundary or of the
 * derivation). */
plr_status plr__graph_build(plr_context *ctx, const plr_model *model, uint32_t first, uint32_t end,
                            int purpose, plr_graph *out, plr_error *err);
void plr__graph_release(plr_graph *g);

/* Rows and columns of an operand that is a matrix with its own shape (weight, gradient, constant). */
void plr__ref_shape(const plr_graph *g, plr_ref ref, int64_t *rows, int64_t *cols);

/* Number of operands of an op in the list above; 0 when it is not one that a graph holds. */
uint32_t plr__op_args(uint32_t op);
/* Bit i: operand i is written by the op. */
uint32_t plr__op_results(uint32_t op);

/* Constants of a graph: the boundary's two, and two for each rotary table. */
static inline uint32_t plr__const_count(const plr_graph *g) {
  return PLR_CONST_ROPE + 2 * g->rope_count;
}

/* Elements of a value when `rows` token rows are run. */
static inline int64_t plr__value_elements(const plr_value *v, int64_t rows) {
  return v->fixed ? v->fixed : rows * v->per_token * v->cols;
}

/* Streams of the random numbers made from the boundary seed; above every parameter's. */
#define PLR_STREAM_BASIS  0xffff0001u
#define PLR_STREAM_ANCHOR 0xffff0002u

#endif

/* Family "llama" of format 1 (Touvron et al., arXiv 2302.13971), as operations:
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

typedef struct writer {
  plr_manifest *m;
  plr_error *err;
  plr_status st; /* the first failure; sticks */
} writer;

static void add(writer *w, const plr_op_desc *d) {
  if (w->st == PLR_OK) w->st = plr__program_add(&w->m->program, d, w->err);
}

static void begin(writer *w, uint32_t part, uint32_t repeat) {
  if (w->st == PLR_OK) w->st = plr__program_begin(&w->m->program, part, repeat, w->err);
}

static void linear(writer *w, const char *in, const char *out, const char *name, uint32_t cols) {
  plr_op_desc d = {.op = PLR_LAYER_LINEAR, .in1 = in, .out = out, .name = name, .cols = cols};
  d.std = w->m->init_std;
  add(w, &d);
}

/* x += in W, W held in the subspace where the block is. */
static void write_stream(writer *w, const char *in, const char *name) {
  plr_op_desc d = {.op = PLR_LAYER_LINEAR, .in1 = in, .out = "o", .name = name, .write = 1};
  d.cols = w->m->d_model;
  d.std = (double)(float)w->m->init_std / sqrt(2.0 * w->m->blocks);
  add(w, &d);
  plr_op_desc sum = {.op = PLR_LAYER_ADD, .in1 = "x", .in2 = "o", .out = "x"};
  add(w, &sum);
}

static void norm(writer *w, const char *name) {
  plr_op_desc d = {.op = PLR_LAYER_RMSNORM, .in1 = "x", .out = "n", .name = name};
  d.eps = w->m->norm_eps;
  add(w, &d);
}

static void rope(writer *w, const char *x) {
  plr_op_desc d = {.op = PLR_LAYER_ROPE, .in1 = x, .out = x, .head_dim = w->m->head_dim};
  d.theta = w->m->rope_theta;
  add(w, &d);
}

static void block(writer *w) {
  const plr_manifest *m = w->m;
  norm(w, "attn_norm");
  linear(w, "n", "q", "attn.q", m->heads * m->head_dim);
  linear(w, "n", "k", "attn.k", m->kv_heads * m->head_dim);
  linear(w, "n", "v", "attn.v", m->kv_heads * m->head_dim);
  rope(w, "q");
  rope(w, "k");
  plr_op_desc attention = {.op = PLR_LAYER_ATTENTION, .in1 = "q", .in2 = "k", .in3 = "v"};
  attention.out = "a";
  attention.heads = m->heads, attention.kv_heads = m->kv_heads, attention.head_dim = m->head_dim;
  add(w, &attention);
  write_stream(w, "a", "attn.o");
  norm(w, "mlp_norm");
  linear(w, "n", "gate", "mlp.gate", m->d_ff);
  linear(w, "n", "up", "mlp.up", m->d_ff);
  plr_op_desc h = {.op = PLR_LAYER_SWIGLU, .in1 = "gate", .in2 = "up", .out = "h"};
  add(w, &h);
  write_stream(w, "h", "mlp.down");
}

plr_status plr__llama_program(plr_manifest *m, plr_error *err) {
  writer w = {m, err, PLR_OK};
  plr_op_desc embed = {.op = PLR_LAYER_EMBEDDING, .out = "x", .name = "embed"};
  embed.std = m->embed_std;
  begin(&w, PLR_PART_EMBED, 1);
  add(&w, &embed);
  begin(&w, PLR_PART_BLOCK, m->blocks);
  block(&w);
  begin(&w, PLR_PART_HEAD, 1);
  norm(&w, "norm");
  linear(&w, "n", "logits", "head", m->program.vocab);
  return w.st == PLR_OK ? plr__program_finish(&m->program, err) : w.st;
}

/* A model's operations evaluated in float64, from the formulas and without the library's kernels, and a check of what a
 * shard computes against it: the loss, and every gradient by central differences; then the same bits from every
 * split. */
#ifndef PLR_TESTS_OPS_REFERENCE_H
#define PLR_TESTS_OPS_REFERENCE_H

#include "shard_common.h"

#include <math.h>

#include "model/model_int.h"
#include "shard/shard_int.h"

#define OPS_TRAIN                                                                                  \
  "\"train\": {\"seq_len\": 6, \"micro_batch\": 2, \"micro_batches\": 2, "                         \
  "\"optimizer\": \"adamw\", \"lr\": 1e-2, \"min_lr_ratio\": 0, \"beta1\": 0.9, "                  \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "                         \
  "\"schedule\": \"constant\", \"warmup_steps\": 0, \"steps\": 10, \"data_seed\": 1, "             \
  "\"z_loss\": 0.02}}"

/* Three blocks of `ops` on 12 columns and 11 symbols, with a head that reads a norm. */
#define OPS_MODEL_WITH(ops, cuts, boundary)                                                        \
  "{\"format\": \"pluralis-model/2\", \"name\": \"ops\", \"vocab\": 11, \"d_model\": 12, "         \
  "\"seed\": 5, \"embed\": [{\"op\": \"embedding\", \"out\": \"x\", \"name\": \"embed\", "         \
  "\"std\": 0.7}], \"blocks\": [{\"repeat\": 3, \"ops\": [" ops "]}], "                            \
  "\"head\": [{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"norm\", "           \
  "\"eps\": 1e-3}, {\"op\": \"linear\", \"in\": \"n\", \"out\": \"logits\", \"name\": \"head\", "  \
  "\"cols\": 11, \"std\": 0.4, \"bias\": false}], \"cuts\": " cuts ", \"boundary\": " boundary     \
  ", " OPS_TRAIN
#define OPS_MODEL(ops) OPS_MODEL_WITH(ops, "[]", "{\"kind\": \"dense\"}")

#define OPS_LINEAR(in, out, name, cols)                                                            \
  "{\"op\": \"linear\", \"in\": \"" in "\", \"out\": \"" out "\", \"name\": \"" name               \
  "\", \"cols\": " #cols ", \"std\": 0.4, \"bias\": false}"
#define OPS_ADD(a, b, out)                                                                         \
  "{\"op\": \"add\", \"a\": \"" a "\", \"b\": \"" b "\", \"out\": \"" out "\"}"

enum { REF_TOKENS = 6, REF_ROWS = 2, REF_BATCHES = 2, REF_ARENA = 1 << 18 };

typedef struct ops_reference {
  plr_shard *shard;
  const plr_model_info *info;
  double *w[128];  /* by parameter index */
  double balance;  /* of the sequence that is evaluated */
  double *arena;
  size_t used;
  char prefix[24]; /* of the parameters of the list */
} ops_reference;

static inline double *ref_new(ops_reference *f, int64_t cols) {
  size_t n = (size_t)(REF_TOKENS * cols);
  assert_true(f->used + n <= REF_ARENA);
  double *p = f->arena + f->used;
  f->used += n;
  memset(p, 0, n * sizeof *p);
  return p;
}

static inline uint32_t ref_find(const ops_reference *f, const char *name) {
  const plr_graph *g = &f->shard->graph;
  for (uint32_t i = 0; i < g->param_count; i++)
    if (strcmp(g->params[i].name, name) == 0) return i;
  fail_msg("no parameter %s", name);
  return 0;
}

static inline const double *ref_weight(const ops_reference *f, const plr_op *op, const char *part) {
  char name[128];
  snprintf(name, sizeof name, "%s%s.%s", f->prefix, op->name, part);
  return f->w[ref_find(f, name)];
}

/* y += x w; x tokens x in, w in x out. */
static inline void ref_times(const double *x, const double *w, int64_t in, int64_t out, double *y) {
  for (int t = 0; t < REF_TOKENS; t++)
    for (int64_t j = 0; j < out; j++)
      for (int64_t i = 0; i < in; i++) y[t * out + j] += x[t * in + i] * w[i * out + j];
}

static inline double ref_act(uint32_t act, double x) {
  const double pi = 3.14159265358979323846;
  switch (act) {
  case PLR_LAYER_GELU:
    return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
  case PLR_LAYER_GELU_TANH:
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / pi) * (x + 0.044715 * x * x * x)));
  case PLR_LAYER_RELU2:
    return x > 0.0 ? x * x : 0.0;
  default:
    return x / (1.0 + exp(-x));
  }
}

static inline void ref_norm(ops_reference *f, const plr_op *op, const double *x, double *y) {
  int layer = op->d.op == PLR_LAYER_LAYERNORM;
  int64_t parts = op->d.heads ? op->d.heads : 1, n = op->cols / parts;
  const double *gain = ref_weight(f, op, "weight");
  const double *bias = layer && op->d.bias ? ref_weight(f, op, "bias") : NULL;
  for (int64_t r = 0; r < REF_TOKENS * parts; r++, x += n, y += n) {
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < n && layer; i++) mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (int64_t i = 0; i < n; i++) {
      y[i] = (x[i] - mean) / sqrt(square + op->d.eps) * gain[i];
      if (bias) y[i] += bias[i];
    }
  }
}

/* Radians a position of pair i, and what the table is multiplied with. */
static inline double ref_frequency(const plr_op_desc *d, int64_t i, double *table) {
  const double pi = 3.14159265358979323846, original = d->original;
  double f = pow(d->theta, -2.0 * (double)i / d->head_dim);
  *table = d->scaling == PLR_SCALING_YARN ? d->attention_factor : 1.0;
  if (d->scaling == PLR_SCALING_LINEAR) return f / d->factor;
  if (d->scaling == PLR_SCALING_LLAMA3) {
    double length = 2.0 * pi / f;
    if (length < original / d->high_freq) return f;
    if (length > original / d->low_freq) return f / d->factor;
    double s = (original / length - d->low_freq) / (d->high_freq - d->low_freq);
    return (1.0 - s) * f / d->factor + s * f;
  }
  if (d->scaling == PLR_SCALING_YARN) {
    double scale = d->head_dim / (2.0 * log(d->theta));
    double low = fmax(floor(scale * log(original / (d->beta_fast * 2.0 * pi))), 0.0);
    double high = fmin(ceil(scale * log(original / (d->beta_slow * 2.0 * pi))), d->head_dim - 1.0);
    if (low == high) high += 0.001;
    double ramp = fmin(fmax(((double)i - low) / (high - low), 0.0), 1.0);
    return f / d->factor * ramp + f * (1.0 - ramp);
  }
  return f;
}

static inline void ref_rope(const plr_op *op, const double *x, double *y) {
  int64_t hd = op->d.head_dim, half = hd / 2;
  for (int t = 0; t < REF_TOKENS; t++)
    for (int64_t h = 0; h < op->cols / hd; h++)
      for (int64_t i = 0; i < half; i++) {
        double table, angle = t * ref_frequency(&op->d, i, &table);
        int64_t at = t * op->cols + h * hd + i;
        double c = cos(angle) * table, s = sin(angle) * table;
        y[at] = x[at] * c - x[at + half] * s;
        y[at + half] = x[at + half] * c + x[at] * s;
      }
}

static inline void ref_attention(const plr_op *op, const double *q, const double *k,
                                 const double *v, double *y) {
  const plr_op_desc *d = &op->d;
  int64_t hd = d->head_dim, kv = d->kv_heads * hd;
  double scale = d->scale > 0.0 ? d->scale : 1.0 / sqrt((double)hd);
  for (int64_t t = 0; t < REF_TOKENS; t++)
    for (int64_t h = 0; h < d->heads; h++) {
      int64_t first = d->window && t + 1 > d->window ? t + 1 - d->window : 0;
      int64_t at = h / (d->heads / d->kv_heads) * hd;
      double p[REF_TOKENS], sum = 0.0;
      for (int64_t s = first; s <= t; s++) {
        double dot = 0.0;
        for (int64_t i = 0; i < hd; i++) dot += q[t * op->cols + h * hd + i] * k[s * kv + at + i];
        sum += p[s] = exp(dot * scale);
      }
      for (int64_t s = first; s <= t; s++)
        for (int64_t i = 0; i < hd; i++)
          y[t * op->cols + h * hd + i] += p[s] / sum * v[s * kv + at + i];
    }
}

static inline void ref_expert(ops_reference *f, const plr_op *op, int64_t e, const double *x,
                              double gate, double *y) {
  int64_t in = op->cols, ff = op->d.cols;
  const double *wg = ref_weight(f, op, "experts.gate.weight") + e * in * ff;
  const double *wu = ref_weight(f, op, "experts.up.weight") + e * in * ff;
  const double *wd = ref_weight(f, op, "experts.down.weight") + e * in * ff;
  for (int64_t j = 0; j < ff; j++) {
    double g = 0.0, u = 0.0;
    for (int64_t i = 0; i < in; i++) g += x[i] * wg[i * ff + j], u += x[i] * wu[i * ff + j];
    double h = ref_act(op->d.act, g) * u;
    for (int64_t i = 0; i < in; i++) y[i] += gate * h * wd[j * in + i];
  }
}

static inline void ref_moe(ops_reference *f, const plr_op *op, const double *x, double *y) {
  const plr_op_desc *d = &op->d;
  double *p = ref_new(f, d->experts), share[64] = {0}, mean[64] = {0};
  ref_times(x, ref_weight(f, op, "router.weight"), op->cols, d->experts, p);
  for (int64_t t = 0; t < REF_TOKENS; t++) {
    double *pt = p + t * d->experts, sum = 0.0, chosen = 0.0;
    uint32_t order[64];
    for (uint32_t e = 0; e < d->experts; e++) sum += pt[e] = exp(pt[e]);
    for (uint32_t e = 0; e < d->experts; e++) {
      pt[e] /= sum, mean[e] += pt[e] / REF_TOKENS;
      uint32_t at = e;
      for (; at > 0 && pt[order[at - 1]] < pt[e]; at--) order[at] = order[at - 1];
      order[at] = e;
    }
    for (uint32_t c = 0; c < d->top_k; c++) chosen += pt[order[c]];
    for (uint32_t c = 0; c < d->top_k; c++) {
      double gate = pt[order[c]] / (d->renormalise ? chosen : 1.0);
      share[order[c]] += 1.0 / (REF_TOKENS * d->top_k);
      ref_expert(f, op, order[c], x + t * op->cols, gate, y + t * op->cols);
    }
  }
  for (uint32_t e = 0; e < d->experts; e++)
    f->balance += d->balance * d->experts * share[e] * mean[e] / (REF_ROWS * REF_BATCHES);
}

static inline double *ref_op(ops_reference *f, const plr_op *op, double *const *in, int64_t in_cols,
                             const int32_t *tokens) {
  double *y = ref_new(f, op->cols);
  int64_t n = REF_TOKENS * op->cols;
  switch (op->d.op) {
  case PLR_LAYER_EMBEDDING:
    for (int64_t i = 0; i < n; i++)
      y[i] = ref_weight(f, op, "weight")[tokens[i / op->cols] * op->cols + i % op->cols];
    return y;
  case PLR_LAYER_POSITIONS:
    for (int64_t i = 0; i < n; i++) y[i] = in[0][i] + ref_weight(f, op, "weight")[i];
    return y;
  case PLR_LAYER_LINEAR:
    ref_times(in[0], ref_weight(f, op, "weight"), in_cols, op->cols, y);
    for (int64_t i = 0; i < n && op->d.bias; i++) y[i] += ref_weight(f, op, "bias")[i % op->cols];
    return y;
  case PLR_LAYER_RMSNORM:
  case PLR_LAYER_LAYERNORM:
    ref_norm(f, op, in[0], y);
    return y;
  case PLR_LAYER_ROPE:
    ref_rope(op, in[0], y);
    return y;
  case PLR_LAYER_ATTENTION:
    ref_attention(op, in[0], in[1], in[2], y);
    return y;
  case PLR_LAYER_SWIGLU:
    for (int64_t i = 0; i < n; i++) y[i] = ref_act(PLR_LAYER_SILU, in[0][i]) * in[1][i];
    return y;
  case PLR_LAYER_ADD:
    for (int64_t i = 0; i < n; i++) y[i] = in[0][i] + in[1][i];
    return y;
  case PLR_LAYER_MUL:
    for (int64_t i = 0; i < n; i++) y[i] = in[0][i] * in[1][i];
    return y;
  case PLR_LAYER_SCALE:
    for (int64_t i = 0; i < n; i++) y[i] = in[0][i] * op->d.scale;
    return y;
  case PLR_LAYER_MOE:
    ref_moe(f, op, in[0], y);
    return y;
  default:
    for (int64_t i = 0; i < n; i++) y[i] = ref_act(op->d.op, in[0][i]);
    return y;
  }
}

static inline double *ref_list(ops_reference *f, const plr_op_list *list, double *x,
                               const int32_t *tokens) {
  const plr_program *p = &f->shard->model->manifest.program;
  double *values[PLR_LIST_MAX + 1] = {x};
  int64_t cols[PLR_LIST_MAX + 1] = {f->info->d_model};
  for (uint32_t i = 0; i < list->count; i++) {
    const plr_op *op = &p->ops[list->first + i];
    double *in[3];
    for (int j = 0; j < 3; j++) in[j] = values[op->in[j]];
    values[i + 1] = ref_op(f, op, in, cols[op->in[0]], tokens);
    cols[i + 1] = op->cols;
  }
  return values[list->result];
}

/* A trained projector: c = x D, x = c E + A[token]. */
static inline double *ref_boundary(ops_reference *f, uint32_t block, const double *x,
                                   const int32_t *tokens) {
  int64_t d = f->info->d_model, k = f->info->boundary_width;
  double *c = ref_new(f, k), *y = ref_new(f, d);
  char name[64];
  snprintf(name, sizeof name, "blocks.%u.boundary.send.weight", block - 1);
  ref_times(x, f->w[ref_find(f, name)], d, k, c);
  snprintf(name, sizeof name, "blocks.%u.boundary.receive.weight", block);
  ref_times(c, f->w[ref_find(f, name)], k, d, y);
  snprintf(name, sizeof name, "blocks.%u.boundary.anchor.weight", block);
  const double *anchor = f->w[ref_find(f, name)];
  for (int64_t i = 0; i < REF_TOKENS * d; i++) y[i] += anchor[tokens[i / d] * d + i % d];
  return y;
}

/* Loss of one sequence as the gradient sees it, and its cross-entropy alone. */
static inline double ref_sequence(ops_reference *f, const int32_t *tokens, double *entropy) {
  const plr_program *p = &f->shard->model->manifest.program;
  int32_t ids[REF_TOKENS];
  for (int t = 0; t < REF_TOKENS; t++) ids[t] = tokens[t] < 0 ? ~tokens[t] : tokens[t];
  f->used = 0, f->balance = 0.0, f->prefix[0] = 0;
  double *x = ref_list(f, &p->embed, NULL, ids), z = 0.0;
  for (uint32_t b = 0; b < f->info->blocks; b++) {
    for (uint32_t i = 0; i < f->info->cut_count; i++)
      if (plr_model_cut(f->shard->model, i) == b && f->info->boundary == PLR_BOUNDARY_PROJECTOR)
        x = ref_boundary(f, b, x, ids);
    snprintf(f->prefix, sizeof f->prefix, "blocks.%u.", b);
    x = ref_list(f, plr__program_block(p, b), x, ids);
  }
  f->prefix[0] = 0;
  x = ref_list(f, &p->head, x, ids);
  *entropy = 0.0;
  for (int t = 0; t < REF_TOKENS; t++) {
    double sum = 0.0, *logits = x + t * f->info->vocab;
    for (uint32_t i = 0; i < f->info->vocab; i++) sum += exp(logits[i]);
    if (tokens[t + 1] < 0) continue;
    *entropy += log(sum) - logits[tokens[t + 1]];
    z += (double)f->info->z_loss * log(sum) * log(sum);
  }
  return (*entropy + z) / (REF_TOKENS * REF_ROWS * REF_BATCHES) + f->balance;
}

static int32_t ref_batch[REF_BATCHES][REF_ROWS * (REF_TOKENS + 1)];

static inline double ref_loss(ops_reference *f, double *entropy) {
  double loss = 0.0, part;
  *entropy = 0.0;
  for (int m = 0; m < REF_BATCHES; m++)
    for (int b = 0; b < REF_ROWS; b++) {
      loss += ref_sequence(f, ref_batch[m] + b * (REF_TOKENS + 1), &part);
      *entropy += part;
    }
  return loss;
}

static inline double ref_slope(ops_reference *f, uint32_t param, int64_t at) {
  const double h = 1e-5, kept = f->w[param][at];
  double unused;
  f->w[param][at] = kept + h;
  double up = ref_loss(f, &unused);
  f->w[param][at] = kept - h;
  double down = ref_loss(f, &unused);
  f->w[param][at] = kept;
  return (up - down) / (2 * h);
}

/* All elements of small tensors, a sample of large ones. */
static inline void ref_check_param(ops_reference *f, uint32_t i, double tolerance) {
  const plr_param *p = &f->shard->graph.params[i];
  const float *g = f->shard->grads + f->shard->param_offset[i];
  int64_t n = p->rows * p->cols, step = n > 40 ? n / 37 + 1 : 1;
  double scale = 0.0;
  for (int64_t j = 0; j < n; j++) scale = fmax(scale, fabs((double)g[j]));
  if (!(scale > 1e-7)) fail_msg("%s has no gradient", p->name); /* every tensor learns something */
  for (int64_t j = 0; j < n; j += step) {
    double want = ref_slope(f, i, j), error = fabs(want - (double)g[j]);
    if (!(error <= tolerance * scale + 1e-8))
      fail_msg("%s[%lld]: gradient %.9g, differences give %.9g (largest %.3g)", p->name,
               (long long)j, (double)g[j], want, scale);
  }
}

/* Moves gains and biases off their initial ones and zeros, so that a rule that forgets one is seen. */
static inline void ref_shake(plr_shard *s) {
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    if (p->init != PLR_INIT_ONES && p->init != PLR_INIT_ZEROS) continue;
    float *w = s->state.w + s->param_offset[i];
    for (int64_t j = 0; j < p->rows * p->cols; j++) w[j] += 0.1f * (float)((j * 7 + p->stream) % 5) - 0.2f;
  }
}

/* Gradients of both micro-batches in the shards of the row; the loss. */
static inline double ref_run(row *r) {
  double loss = 0.0;
  for (uint32_t i = 0; i < r->count; i++) ref_shake(r->shards[i]);
  for (int m = 0; m < REF_BATCHES; m++) {
    memcpy(r->tokens, ref_batch[m], sizeof ref_batch[m]);
    loss += row_forward(r);
    row_backward(r);
  }
  return loss;
}

/* The row's loss, then the root of all weights after one step. */
static inline void ref_root(row *r, const uint32_t *cuts, double loss, plr_hash *root) {
  for (uint32_t i = 0; i < r->count; i++) assert_int_equal(plr_shard_step(r->shards[i]), PLR_OK);
  row_root(r, cuts, root);
  plr_hash *h = root;
  for (size_t i = 0; i < sizeof loss; i++) h->bytes[i] ^= ((uint8_t *)&loss)[i];
}

static inline void ref_tokens(uint32_t vocab) {
  for (int m = 0; m < REF_BATCHES; m++)
    for (int i = 0; i < REF_ROWS * (REF_TOKENS + 1); i++)
      ref_batch[m][i] = (int32_t)((uint32_t)(m * 31 + i * i * 5 + i * 3 + 2) % vocab);
  ref_batch[0][3] = ~ref_batch[0][3]; /* a token that is no label */
  ref_batch[1][REF_TOKENS] = -1;
}

/* Gradients of one shard against differences of the float64 loss. */
static inline void ref_check_gradients(row *r, double loss, double tolerance) {
  ops_reference f = {.shard = r->shards[0], .info = &r->info};
  const plr_graph *g = &f.shard->graph;
  double entropy;
  assert_true(g->param_count <= PLR_COUNT_OF(f.w));
  f.arena = calloc(REF_ARENA, sizeof *f.arena);
  for (uint32_t i = 0; i < g->param_count; i++) {
    int64_t n = g->params[i].rows * g->params[i].cols;
    f.w[i] = calloc((size_t)n, sizeof(double));
    const float *w = f.shard->state.w + f.shard->param_offset[i];
    for (int64_t j = 0; j < n; j++) f.w[i][j] = (double)w[j];
  }
  ref_loss(&f, &entropy);
  if (!(fabs(loss - entropy) <= 4e-6 * fabs(entropy)))
    fail_msg("loss %.9g, float64 gives %.9g", loss, entropy);
  for (uint32_t i = 0; i < g->param_count; i++) ref_check_param(&f, i, tolerance);
  for (uint32_t i = 0; i < g->param_count; i++) free(f.w[i]);
  free(f.arena);
}

/* Bits of the model when it is cut at one place (0: not at all), and its activations kept or computed again. */
static inline void ref_bits(plr_context *ctx, const char *json, uint32_t cut, uint32_t recompute,
                            plr_hash *root) {
  row r;
  shard_recompute = recompute;
  row_init(&r, ctx, json, &cut, cut > 0 ? 2 : 1);
  ref_root(&r, &cut, ref_run(&r), root);
  row_release(&r);
  shard_recompute = 0;
}

/* The whole check of a model: gradients, then every cut position, two threads and computing activations again give the
 * bits of one shard. */
static inline void ref_check(const char *json) {
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  plr_hash whole, other;
  row_init(&r, ctx, json, NULL, 1);
  ref_tokens(r.info.vocab);
  double loss = ref_run(&r);
  ref_check_gradients(&r, loss, 3e-5);
  ref_root(&r, NULL, loss, &whole);
  plr_context *two = context_with(2, PLR_ISA_PORTABLE);
  for (uint32_t cut = 0; cut < r.info.blocks; cut++) {
    if (!plr_model_can_cut(r.model, cut)) continue;
    for (uint32_t recompute = 0; recompute < 2; recompute++) {
      ref_bits(two, json, cut, recompute, &other);
      assert_memory_equal(&whole, &other, sizeof whole);
    }
  }
  row_release(&r);
  plr_context_destroy(ctx);
  plr_context_destroy(two);
}

#endif

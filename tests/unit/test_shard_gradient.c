/* The whole model against itself in float64: a naive forward pass written here from the formulas, its derivatives
 * by central differences, and what shard computed. */
#include "shard_common.h"

#include <math.h>

#include "shard/shard_int.h"

#define MODEL(cuts, boundary)                                                                      \
  "{\"format\": \"pluralis-model/1\", \"name\": \"grad\", \"family\": \"llama\", "                 \
  "\"vocab\": \"bytes\", \"blocks\": 3, \"d_model\": 12, \"heads\": 4, \"kv_heads\": 2, "          \
  "\"head_dim\": 4, \"d_ff\": 10, \"norm_eps\": 1e-3, \"rope_theta\": 100, "                       \
  "\"init_std\": 0.4, \"embed_std\": 0.7, \"seed\": 5, \"cuts\": " cuts                            \
  ", \"boundary\": " boundary                                                                      \
  ", \"train\": {\"seq_len\": 6, \"micro_batch\": 2, \"micro_batches\": 2, "                       \
  "\"optimizer\": \"adamw\", \"lr\": 1e-2, \"min_lr_ratio\": 0, \"beta1\": 0.9, "                  \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 0, "                           \
  "\"schedule\": \"constant\", \"warmup_steps\": 0, \"steps\": 10, \"data_seed\": 1}}"

static const char dense_json[] = MODEL("[]", "{\"kind\": \"dense\"}");
static const char subspace_json[] =
    MODEL("[1, 2]", "{\"kind\": \"subspace\", \"rank\": 5, \"seed\": 9, \"anchor_std\": 0.6}");

enum { D = 12, HEADS = 4, KV = 2, HD = 4, FF = 10, T = 6, B = 2, V = 256, K = 5, MB = 2 };
#define MAX_PARAMS 40

typedef struct reference {
  plr_shard *shard;
  int subspace;
  double *w[MAX_PARAMS]; /* by parameter index */
  double u[D * K], anchor[V * D];
} reference;

static uint32_t find(const reference *f, const char *name) {
  const plr_graph *g = &f->shard->graph;
  for (uint32_t i = 0; i < g->param_count; i++)
    if (strcmp(g->params[i].name, name) == 0) return i;
  fail_msg("no parameter %s", name);
  return 0;
}

static const double *weight(const reference *f, int block, const char *part) {
  char name[64];
  snprintf(name, sizeof name, "blocks.%d.%s.weight", block, part);
  return f->w[find(f, name)];
}

static void widen(double *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = (double)from[i];
}

static void reference_init(reference *f, plr_shard *shard, int subspace) {
  memset(f, 0, sizeof *f);
  f->shard = shard, f->subspace = subspace;
  assert_true(shard->graph.param_count <= MAX_PARAMS);
  for (uint32_t i = 0; i < shard->graph.param_count; i++) {
    const plr_param *p = &shard->graph.params[i];
    f->w[i] = calloc((size_t)(p->rows * p->cols), sizeof(double));
    widen(f->w[i], shard->state.w + shard->param_offset[i], p->rows * p->cols);
  }
  if (!subspace) return;
  widen(f->u, shard->constants[PLR_CONST_BASIS], D * K);
  widen(f->anchor, shard->constants[PLR_CONST_ANCHOR], V * D);
}

/* y = x w; x of n values, w n x m. */
static void times(const double *x, const double *w, int n, int m, double *y) {
  for (int j = 0; j < m; j++) {
    y[j] = 0.0;
    for (int i = 0; i < n; i++) y[j] += x[i] * w[i * m + j];
  }
}

/* x += (h w), through U when the block is held in the subspace. */
static void add_write(const reference *f, int block, const char *part, const double *h, int n,
                      double *x) {
  double y[D], z[K];
  if (f->subspace && block < 2) {
    times(h, weight(f, block, part), n, K, z);
    for (int i = 0; i < D; i++) {
      y[i] = 0.0;
      for (int j = 0; j < K; j++) y[i] += z[j] * f->u[i * K + j];
    }
  } else {
    times(h, weight(f, block, part), n, D, y);
  }
  for (int i = 0; i < D; i++) x[i] += y[i];
}

static void norm(const double *x, const double *gain, double *y) {
  double sum = 0.0, eps = (double)1e-3f;
  for (int i = 0; i < D; i++) sum += x[i] * x[i];
  for (int i = 0; i < D; i++) y[i] = x[i] / sqrt(sum / D + eps) * gain[i];
}

static void rotate(double *x, int heads, int position) {
  for (int h = 0; h < heads; h++)
    for (int i = 0; i < HD / 2; i++) {
      double angle = position * pow(100.0, -2.0 * i / HD);
      double *a = &x[h * HD + i], *b = &x[h * HD + i + HD / 2], a0 = *a, b0 = *b;
      *a = a0 * cos(angle) - b0 * sin(angle);
      *b = b0 * cos(angle) + a0 * sin(angle);
    }
}

/* One sequence through attention: q, k, v rows at t; out T x HEADS*HD. */
static void attend(double q[T][HEADS * HD], double k[T][KV * HD], double v[T][KV * HD],
                   double out[T][HEADS * HD]) {
  for (int t = 0; t < T; t++)
    for (int h = 0; h < HEADS; h++) {
      double p[T], sum = 0.0;
      int g = h / (HEADS / KV);
      for (int s = 0; s <= t; s++) {
        double dot = 0.0;
        for (int i = 0; i < HD; i++) dot += q[t][h * HD + i] * k[s][g * HD + i];
        p[s] = exp(dot / sqrt((double)HD));
        sum += p[s];
      }
      for (int i = 0; i < HD; i++) {
        double y = 0.0;
        for (int s = 0; s <= t; s++) y += p[s] / sum * v[s][g * HD + i];
        out[t][h * HD + i] = y;
      }
    }
}

static void block_forward(const reference *f, int b, double x[T][D]) {
  double q[T][HEADS * HD], k[T][KV * HD], v[T][KV * HD], a[T][HEADS * HD], n[D], gate[FF], up[FF];
  for (int t = 0; t < T; t++) {
    norm(x[t], weight(f, b, "attn_norm"), n);
    times(n, weight(f, b, "attn.q"), D, HEADS * HD, q[t]);
    times(n, weight(f, b, "attn.k"), D, KV * HD, k[t]);
    times(n, weight(f, b, "attn.v"), D, KV * HD, v[t]);
    rotate(q[t], HEADS, t);
    rotate(k[t], KV, t);
  }
  attend(q, k, v, a);
  for (int t = 0; t < T; t++) {
    add_write(f, b, "attn.o", a[t], HEADS * HD, x[t]);
    norm(x[t], weight(f, b, "mlp_norm"), n);
    times(n, weight(f, b, "mlp.gate"), D, FF, gate);
    times(n, weight(f, b, "mlp.up"), D, FF, up);
    for (int i = 0; i < FF; i++) gate[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
    add_write(f, b, "mlp.down", gate, FF, x[t]);
  }
}

/* c = (x - A) U, x = c U^T + A: the identity up to rounding while the stream stays in the subspace, and a
 * projection of whatever left it, which would show as a gradient that does not fit. */
static void boundary(const reference *f, int token, double *x) {
  double c[K];
  const double *a = f->anchor + token * D;
  for (int j = 0; j < K; j++) {
    c[j] = 0.0;
    for (int i = 0; i < D; i++) c[j] += (x[i] - a[i]) * f->u[i * K + j];
  }
  for (int i = 0; i < D; i++) {
    x[i] = a[i];
    for (int j = 0; j < K; j++) x[i] += c[j] * f->u[i * K + j];
  }
}

static void embed(const reference *f, int token, double *x) {
  const double *e = f->w[find(f, "embed.weight")];
  for (int i = 0; i < D; i++) {
    x[i] = f->subspace ? f->anchor[token * D + i] : e[token * D + i];
    for (int j = 0; f->subspace && j < K; j++) x[i] += e[token * K + j] * f->u[i * K + j];
  }
}

/* Summed cross-entropy of one sequence of T+1 tokens. */
static double sequence_loss(const reference *f, const int32_t *tokens) {
  double x[T][D], n[D], logits[V], loss = 0.0;
  for (int t = 0; t < T; t++) embed(f, tokens[t], x[t]);
  for (int b = 0; b < 3; b++) {
    for (int t = 0; f->subspace && b > 0 && t < T; t++) boundary(f, tokens[t], x[t]);
    block_forward(f, b, x);
  }
  for (int t = 0; t < T; t++) {
    double sum = 0.0;
    norm(x[t], f->w[find(f, "norm.weight")], n);
    times(n, f->w[find(f, "head.weight")], D, V, logits);
    for (int i = 0; i < V; i++) sum += exp(logits[i]);
    loss += log(sum) - logits[tokens[t + 1]];
  }
  return loss;
}

static int32_t batch[MB][B * (T + 1)];

static double loss_sum(const reference *f) {
  double loss = 0.0;
  for (int m = 0; m < MB; m++)
    for (int b = 0; b < B; b++) loss += sequence_loss(f, batch[m] + b * (T + 1));
  return loss;
}

static double slope(const reference *f, uint32_t param, int64_t at) {
  const double h = 1e-5, tokens = MB * B * T, kept = f->w[param][at];
  f->w[param][at] = kept + h;
  double up = loss_sum(f);
  f->w[param][at] = kept - h;
  double down = loss_sum(f);
  f->w[param][at] = kept;
  return (up - down) / (2 * h) / tokens;
}

/* All elements of small tensors, a sample of large ones; rows of tokens that occur, for the embedding. */
static void check_param(const reference *f, uint32_t i) {
  const plr_param *p = &f->shard->graph.params[i];
  const float *g = f->shard->grads + f->shard->param_offset[i];
  int64_t n = p->rows * p->cols, step = n > 64 ? n / 61 + 1 : 1;
  double scale = 0.0;
  for (int64_t j = 0; j < n; j++) scale = fmax(scale, fabs((double)g[j]));
  assert_true(scale > 1e-6); /* every tensor learns something */
  for (int64_t j = 0; j < n; j += step) {
    int64_t at = j;
    if (strcmp(p->name, "embed.weight") == 0) /* move to a row that is used, sometimes */
      at = j % 3 == 0 ? j : batch[0][j % T] * p->cols + j % p->cols;
    double want = slope(f, i, at), error = fabs(want - (double)g[at]);
    if (error > 2e-5 * scale + 1e-8)
      fail_msg("%s[%lld]: gradient %.9g, differences give %.9g (largest %.3g)", p->name,
               (long long)at, (double)g[at], want, scale);
  }
}

static void check(const char *json, int subspace) {
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, json, NULL, 1);
  reference f;
  reference_init(&f, r.shards[0], subspace);
  double loss = 0.0;
  for (int m = 0; m < MB; m++) {
    for (int i = 0; i < B * (T + 1); i++) batch[m][i] = (97 + m * 31 + i * i * 5) % V;
    memcpy(r.tokens, batch[m], sizeof batch[m]);
    loss += row_forward(&r);
    row_backward(&r);
  }
  double want = loss_sum(&f);
  if (fabs(loss - want) > 2e-6 * want) fail_msg("loss %.9g, float64 gives %.9g", loss, want);
  for (uint32_t i = 0; i < r.shards[0]->graph.param_count; i++) check_param(&f, i);
  for (uint32_t i = 0; i < MAX_PARAMS; i++) free(f.w[i]);
  row_release(&r);
  plr_context_destroy(ctx);
}

static void test_dense(void **state) {
  (void)state;
  check(dense_json, 0);
}

static void test_subspace(void **state) {
  (void)state;
  check(subspace_json, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dense),
      cmocka_unit_test(test_subspace),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

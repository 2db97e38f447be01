/* Every optimizer over 20 steps against float64, and the promises that hold for all of them: any split, any thread
 * count and a stop in between give the same bits. */
#include "optimizer_kit.h"

#include <math.h>

#include "shard/shard_int.h"

#define STEPS 20

static const double pi = 3.14159265358979323846;

/* ---- float64 ---------------------------------------------------------------------------------- */

/* State of one parameter. */
typedef struct tensor64 {
  double *w, *m, *v, *g;
  int64_t rows, cols;
} tensor64;

static double rate(const plr_model_info *i, double peak, int done) {
  double floor = (double)i->min_lr_ratio, start = i->warmup_steps, end = i->steps;
  if (done < (int)i->warmup_steps) return peak * (done + 1) / start;
  if (i->schedule == PLR_SCHEDULE_WSD) {
    double left = end - done, decay = i->decay_steps;
    return left >= decay ? peak : peak * (floor + (1 - floor) * fmax(left, 0) / decay);
  }
  double p = fmin((done - start) / (end - start), 1.0);
  return peak * (floor + (1 - floor) * (1 + cos(pi * p)) / 2);
}

static void adamw64(tensor64 *t, const plr_model_info *i, double lr, double decay, int step) {
  double b1 = (double)i->beta1, b2 = (double)i->beta2, eps = (double)i->eps;
  for (int64_t j = 0; j < t->rows * t->cols; j++) {
    double g = t->g[j];
    t->m[j] = b1 * t->m[j] + (1 - b1) * g;
    t->v[j] = b2 * t->v[j] + (1 - b2) * g * g;
    double m = t->m[j] / (1 - pow(b1, step)), v = t->v[j] / (1 - pow(b2, step));
    t->w[j] -= lr * (m / (sqrt(v) + eps) + decay * t->w[j]);
  }
}

/* TRAINING notes, section 2 (Dozat 2016), decoupled decay. */
static void nadam64(tensor64 *t, const plr_model_info *i, double lr, double decay, int step) {
  double b1 = (double)i->beta1, b2 = (double)i->beta2, psi = (double)i->momentum_decay;
  double product = 1.0, now = 0.0, next = b1 * (1 - 0.5 * pow(0.96, (step + 1) * psi));
  for (int s = 1; s <= step; s++) {
    now = b1 * (1 - 0.5 * pow(0.96, s * psi));
    product *= now;
  }
  for (int64_t j = 0; j < t->rows * t->cols; j++) {
    double g = t->g[j];
    t->m[j] = b1 * t->m[j] + (1 - b1) * g;
    t->v[j] = b2 * t->v[j] + (1 - b2) * g * g;
    double u = next * t->m[j] / (1 - product * next) + (1 - now) * g / (1 - product);
    u /= sqrt(t->v[j] / (1 - pow(b2, step))) + (double)i->eps;
    t->w[j] -= lr * (u + decay * t->w[j]);
  }
}

static void sgdm64(tensor64 *t, const plr_model_info *i, double lr, double decay) {
  for (int64_t j = 0; j < t->rows * t->cols; j++) {
    t->m[j] = (double)i->beta1 * t->m[j] + t->g[j];
    t->w[j] -= lr * (t->m[j] + decay * t->w[j]);
  }
}

/* v is kept at the first element of its row (writers of the stream) or column (readers). */
static void row64(tensor64 *t, const plr_model_info *i, double lr, double decay, int step,
                  int writer) {
  double b1 = (double)i->beta1, b2 = (double)i->beta2;
  int64_t outer = writer ? t->rows : t->cols, inner = writer ? t->cols : t->rows;
  int64_t so = writer ? t->cols : 1, si = writer ? 1 : t->cols;
  for (int64_t o = 0; o < outer; o++) {
    double mean = 0.0;
    for (int64_t j = 0; j < inner; j++)
      mean += t->g[o * so + j * si] * t->g[o * so + j * si] / (double)inner;
    t->v[o] = b2 * t->v[o] + (1 - b2) * mean;
    double below = sqrt(t->v[o] / (1 - pow(b2, step))) + (double)i->eps;
    for (int64_t j = 0; j < inner; j++) {
      int64_t at = o * so + j * si;
      t->m[at] = b1 * t->m[at] + (1 - b1) * t->g[at];
      t->w[at] -= lr * (t->m[at] / (1 - pow(b1, step)) / below + decay * t->w[at]);
    }
  }
}

/* C (n x n) = X X^T and Y = P X, for the small matrices here. */
static void gram64(const double *x, int64_t n, int64_t k, double *c) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      c[i * n + j] = 0.0;
      for (int64_t l = 0; l < k; l++) c[i * n + j] += x[i * k + l] * x[j * k + l];
    }
}

static void times64(const double *p, const double *x, int64_t n, int64_t k, double *y) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < k; j++) {
      y[i * k + j] = 0.0;
      for (int64_t l = 0; l < n; l++) y[i * k + j] += p[i * n + l] * x[l * k + j];
    }
}

/* Five quintic Newton-Schulz steps on x (n x k, n <= k), with Jordan's coefficients. */
static void orthogonalise64(double *x, int64_t n, int64_t k, double eps) {
  double *a = calloc((size_t)(2 * n * n + n * k), sizeof *a), *aa = a + n * n, *y = aa + n * n;
  double norm = 0.0;
  for (int64_t i = 0; i < n * k; i++) norm += x[i] * x[i];
  for (int64_t i = 0; i < n * k; i++) x[i] /= sqrt(norm) + eps;
  for (int round = 0; round < 5; round++) {
    gram64(x, n, k, a);
    gram64(a, n, n, aa);
    for (int64_t i = 0; i < n * n; i++) a[i] = -4.7750 * a[i] + 2.0315 * aa[i];
    times64(a, x, n, k, y);
    for (int64_t i = 0; i < n * k; i++) x[i] = 3.4445 * x[i] + y[i];
  }
  free(a);
}

static void muon64(tensor64 *t, const plr_model_info *i, double lr, double decay) {
  int64_t rows = t->rows, cols = t->cols, n = rows < cols ? rows : cols, k = rows + cols - n;
  double mu = (double)i->muon_momentum, scale = sqrt(fmax(1.0, (double)rows / (double)cols));
  double *x = calloc((size_t)(rows * cols), sizeof *x);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) {
      int64_t at = r * cols + c;
      t->m[at] = mu * t->m[at] + t->g[at];
      x[rows <= cols ? at : c * rows + r] = t->g[at] + mu * t->m[at];
    }
  orthogonalise64(x, n, k, (double)i->eps);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) {
      int64_t at = r * cols + c;
      double u = scale * x[rows <= cols ? at : c * rows + r];
      t->w[at] -= lr * (u + decay * t->w[at]);
    }
  free(x);
}

/* ---- the shard against it --------------------------------------------------------------------- */

static int is_hidden(const char *name) {
  return strstr(name, ".attn.") || strstr(name, ".mlp.");
}

static int is_writer(const char *name) {
  return strstr(name, "attn.o") || strstr(name, "mlp.down") || strcmp(name, "embed.weight") == 0;
}

static double squares(const plr_shard *s, uint32_t i) {
  const float *g = s->grads + s->param_offset[i];
  double sum = 0.0;
  for (int64_t j = 0; j < s->graph.params[i].rows * s->graph.params[i].cols; j++)
    sum += (double)g[j] * (double)g[j];
  return sum;
}

static double scale_of(const plr_shard *s, const plr_model_info *info, uint32_t block) {
  double sum = 0.0;
  for (uint32_t i = 0; i < s->graph.param_count; i++)
    if (info->clip_scope == PLR_CLIP_GLOBAL || s->graph.params[i].block == block)
      sum += squares(s, i);
  double norm = sqrt(sum), limit = (double)info->clip;
  return norm > limit ? limit / norm : 1.0;
}

static tensor64 *tensors64(const plr_shard *s) {
  tensor64 *t = calloc(s->graph.param_count, sizeof *t);
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    t[i].rows = s->graph.params[i].rows, t[i].cols = s->graph.params[i].cols;
    size_t n = (size_t)(t[i].rows * t[i].cols);
    t[i].w = calloc(4 * n, sizeof(double));
    t[i].m = t[i].w + n, t[i].v = t[i].m + n, t[i].g = t[i].v + n;
    for (size_t j = 0; j < n; j++) t[i].w[j] = (double)s->state.w[s->param_offset[i] + (int64_t)j];
  }
  return t;
}

static void step64(tensor64 *t, const plr_model_info *info, const char *name, int step) {
  double lr = rate(info, (double)info->lr, step - 1);
  double decay = strstr(name, "norm") ? 0.0 : (double)info->weight_decay;
  switch (info->optimizer) {
  case PLR_OPTIMIZER_NADAM:
    nadam64(t, info, lr, decay, step);
    return;
  case PLR_OPTIMIZER_SGDM:
    sgdm64(t, info, lr, decay);
    return;
  case PLR_OPTIMIZER_ADAMW_ROW:
    row64(t, info, lr, decay, step, is_writer(name));
    return;
  case PLR_OPTIMIZER_MUON:
    if (is_hidden(name)) {
      muon64(t, info, rate(info, (double)info->muon_lr, step - 1), decay);
      return;
    }
    adamw64(t, info, lr, decay, step);
    return;
  default:
    adamw64(t, info, lr, decay, step);
  }
}

static void compare(const plr_shard *s, uint32_t i, const tensor64 *t, const char *optimizer) {
  const float *w = s->state.w + s->param_offset[i];
  double error = 0.0, size = 0.0;
  for (int64_t j = 0; j < t->rows * t->cols; j++) {
    double d = (double)w[j] - t->w[j];
    error += d * d, size += t->w[j] * t->w[j];
  }
  if (!(error <= 1e-8 * size))
    fail_msg("%s, %s: off by %.3g", optimizer, s->graph.params[i].name, sqrt(error / size));
}

static void against_float64(const recipe *how) {
  fixture f = set_up();
  row r;
  row_init(&r, f.ctx, recipe_json(how, DENSE_BOUNDARY), NULL, 1);
  plr_shard *s = r.shards[0];
  tensor64 *t = tensors64(s);
  int clipped = 0;
  for (int step = 1; step <= STEPS; step++) {
    for (uint32_t b = 0; b < 2; b++) {
      assert_int_equal(plr_corpus_batch(f.corpus, 0, 3, (uint64_t)step * 2 + b, r.info.micro_batch,
                                        r.info.seq_len, r.tokens, NULL),
                       PLR_OK);
      row_forward(&r);
      row_backward(&r);
    }
    for (uint32_t i = 0; i < s->graph.param_count; i++) {
      const plr_param *p = &s->graph.params[i];
      double scale = scale_of(s, &r.info, p->block);
      clipped += scale < 1.0;
      for (int64_t j = 0; j < t[i].rows * t[i].cols; j++)
        t[i].g[j] = scale * (double)s->grads[s->param_offset[i] + j];
      step64(&t[i], &r.info, p->name, step);
    }
    assert_int_equal(plr_shard_step(s), PLR_OK);
  }
  assert_true(clipped > 0);
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    compare(s, i, &t[i], how->name);
    free(t[i].w);
  }
  free(t);
  row_release(&r);
  tear_down(&f);
}

static void test_against_float64(void **state) {
  (void)state;
  for (size_t i = 0; i < PLR_COUNT_OF(recipes); i++) against_float64(&recipes[i]);
}

/* ---- what holds for all of them --------------------------------------------------------------- */

static const uint32_t uneven[2] = {3, 7};

typedef struct outcome {
  double loss;
  plr_hash root;
} outcome;

static void train(const char *json, const uint32_t *at, uint32_t count, uint32_t threads,
                  uint32_t isa, outcome *out) {
  plr_context *ctx = context_with(threads, isa);
  plr_corpus *corpus = NULL;
  row r;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row_init(&r, ctx, json, at, count);
  for (int i = 0; i < 5; i++) out->loss = row_step(&r, corpus);
  row_root(&r, at, &out->root);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

static void test_split_and_threads(void **state) {
  (void)state;
  for (size_t i = 0; i < PLR_COUNT_OF(recipes); i++) {
    outcome one, other;
    const char *json = recipe_json(&recipes[i], DENSE_BOUNDARY);
    train(json, NULL, 1, 1, PLR_ISA_BEST, &one);
    train(json, cuts, 4, 1, PLR_ISA_PORTABLE, &other);
    assert_memory_equal(&one, &other, sizeof one);
    train(json, uneven, 3, 2, PLR_ISA_BEST, &other);
    assert_memory_equal(&one, &other, sizeof one);
    json = recipe_json(&recipes[i], SUBSPACE_BOUNDARY);
    train(json, cuts, 1, 2, PLR_ISA_BEST, &one);
    train(json, cuts, 4, 1, PLR_ISA_BEST, &other);
    assert_memory_equal(&one, &other, sizeof one);
  }
}

/* Four shards stop and three go on. */
static void test_resume(void **state) {
  (void)state;
  fixture f = set_up();
  for (size_t i = 0; i < PLR_COUNT_OF(recipes); i++) {
    const char *json = recipe_json(&recipes[i], DENSE_BOUNDARY);
    row a, b;
    memory parts[4] = {{0}};
    plr_source sources[4];
    plr_hash straight, resumed;
    row_init(&a, f.ctx, json, cuts, 4);
    row_init(&b, f.ctx, json, uneven, 3);
    for (int step = 0; step < 3; step++) row_step(&a, f.corpus);
    for (uint32_t j = 0; j < 4; j++) {
      save(a.shards[j], &parts[j]);
      sources[j] = source_of(&parts[j]);
    }
    for (uint32_t j = 0; j < 3; j++)
      assert_int_equal(plr_shard_load_parts(b.shards[j], sources, 4, NULL), PLR_OK);
    for (int step = 0; step < 3; step++) {
      row_step(&a, f.corpus);
      row_step(&b, f.corpus);
    }
    row_root(&a, cuts, &straight);
    row_root(&b, uneven, &resumed);
    assert_memory_equal(&straight, &resumed, sizeof straight);
    for (uint32_t j = 0; j < 4; j++) free(parts[j].data);
    row_release(&a);
    row_release(&b);
  }
  tear_down(&f);
}

/* ---- the limit of the whole model ------------------------------------------------------------- */

static void micro_batch(row *r, const plr_corpus *corpus) {
  assert_int_equal(plr_corpus_batch(corpus, PLR_SPLIT_TRAIN, 3, 0, r->info.micro_batch,
                                    r->info.seq_len, r->tokens, NULL),
                   PLR_OK);
  row_forward(r);
  row_backward(r);
}

static void test_global_limit(void **state) {
  (void)state;
  fixture f = set_up();
  row r, whole, each;
  double sums[8], other[8];
  row_init(&r, f.ctx, recipe_json(&recipes[1], DENSE_BOUNDARY), cuts, 4);
  row_init(&whole, f.ctx, recipe_json(&recipes[1], DENSE_BOUNDARY), NULL, 1);
  row_init(&each, f.ctx, recipe_json(&recipes[0], DENSE_BOUNDARY), NULL, 1);
  plr_shard *s = r.shards[1];
  assert_int_equal(plr_shard_gradient_sums(s, sums, 2), PLR_ERR_INVALID_STATE); /* no gradient */
  micro_batch(&r, f.corpus);
  micro_batch(&whole, f.corpus);
  micro_batch(&each, f.corpus);
  assert_int_equal(plr_shard_gradient_sums(s, sums, 3), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_step(s), PLR_ERR_INVALID_STATE); /* it is not all of the model */
  for (uint32_t i = 0; i < 4; i++)
    assert_int_equal(plr_shard_gradient_sums(r.shards[i], sums + 2 * i, 2), PLR_OK);
  assert_int_equal(plr_shard_gradient_sums(whole.shards[0], other, 8), PLR_OK);
  assert_memory_equal(sums, other, sizeof sums);
  assert_int_equal(plr_shard_step_global(each.shards[0], sums, 8), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_step_global(s, sums, 7), PLR_ERR_INVALID_ARGUMENT);
  const double wrong[] = {-1.0, NAN};
  for (size_t i = 0; i < 2; i++) {
    memcpy(other, sums, sizeof sums);
    other[7] = wrong[i];
    assert_int_equal(plr_shard_step_global(s, other, 8), PLR_ERR_INVALID_ARGUMENT);
  }
  memcpy(other, sums, sizeof sums);
  other[3] *= 2; /* its own block, not as it measured */
  assert_int_equal(plr_shard_step_global(s, other, 8), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_steps(s), 0);
  assert_int_equal(plr_shard_step_global(s, sums, 8), PLR_OK); /* nothing of that hurt */
  plr_hash leaves[8], split[2];
  assert_int_equal(plr_shard_step(whole.shards[0]), PLR_OK);
  assert_int_equal(plr_shard_leaves(whole.shards[0], leaves, 8), PLR_OK);
  assert_int_equal(plr_shard_leaves(s, split, 2), PLR_OK);
  assert_memory_equal(leaves + 2, split, sizeof split);
  row_release(&r);
  row_release(&whole);
  row_release(&each);
  tear_down(&f);
}

/* One shard's gradient overflows: all of them refuse the step and start afresh. */
static void test_one_overflow_refuses_all(void **state) {
  (void)state;
  fixture f = set_up();
  row r;
  double sums[8];
  plr_hash before, after;
  row_init(&r, f.ctx, recipe_json(&recipes[1], DENSE_BOUNDARY), cuts, 4);
  row_root(&r, cuts, &before);
  micro_batch(&r, f.corpus);
  r.shards[2]->grads[17] = INFINITY;
  for (uint32_t i = 0; i < 4; i++)
    assert_int_equal(plr_shard_gradient_sums(r.shards[i], sums + 2 * i, 2), PLR_OK);
  assert_true(isinf(sums[4]) && isinf(sums[5]) && isfinite(sums[3]) && isfinite(sums[6]));
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(plr_shard_step_global(r.shards[i], sums, 8), PLR_ERR_NON_FINITE);
    assert_int_equal(plr_shard_step_global(r.shards[i], sums, 8), PLR_ERR_INVALID_STATE);
  }
  row_root(&r, cuts, &after);
  assert_memory_equal(&before, &after, sizeof before);
  row_step(&r, f.corpus);
  assert_int_equal(plr_shard_steps(r.shards[3]), 1);
  row_release(&r);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_float64),
      cmocka_unit_test(test_split_and_threads),
      cmocka_unit_test(test_resume),
      cmocka_unit_test(test_global_limit),
      cmocka_unit_test(test_one_overflow_refuses_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

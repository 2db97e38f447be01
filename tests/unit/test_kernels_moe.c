/* Mixture of experts: each instruction set and thread count against the naive reference, bit for bit; ties, experts
 * without rows, the order of slots; refusals; routing's gradient against central differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels_gradient.h"

static plr_context *ctx[CONTEXTS];

static int setup(void **state) {
  (void)state;
  contexts_create(ctx);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  contexts_destroy(ctx);
  return 0;
}

typedef struct shape {
  int64_t batch, seq, experts, top_k;
} shape;

static const shape shapes[] = {{1, 1, 1, 1},   {1, 5, 2, 1},    {2, 7, 8, 2},   {3, 11, 17, 4},
                               {1, 9, 33, 33}, {2, 40, 128, 8}, {1, 250, 64, 6}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static int32_t *indices(int64_t n) {
  int32_t *x = (int32_t *)allocate((size_t)n * 4);
  memset(x, 0xff, (size_t)n * 4);
  return x;
}

static plr_route_args route_args(shape s, const float *logits) {
  int64_t rows = s.batch * s.seq, pairs = rows * s.top_k;
  plr_route_args a = {.logits = logits, .batch = s.batch, .seq = s.seq, .experts = s.experts};
  a.top_k = s.top_k, a.balance = 0.01f, a.renormalise = 1;
  a.ids = indices(pairs), a.slot_of = indices(pairs), a.pair_of = indices(pairs);
  a.offsets = indices(s.experts + 1), a.gates = unset_floats(pairs);
  a.dlogits = unset_floats(rows * s.experts);
  return a;
}

static void route_free(plr_route_args *a) {
  free(a->ids), free(a->slot_of), free(a->pair_of), free(a->offsets), free(a->gates);
  free(a->dlogits);
}

static void same_routes(const plr_route_args *got, const plr_route_args *want) {
  size_t pairs = (size_t)(want->batch * want->seq * want->top_k) * 4;
  assert_memory_equal(got->ids, want->ids, pairs);
  assert_memory_equal(got->slot_of, want->slot_of, pairs);
  assert_memory_equal(got->pair_of, want->pair_of, pairs);
  assert_memory_equal(got->offsets, want->offsets, (size_t)(want->experts + 1) * 4);
  assert_same_bits(got->gates, want->gates, (int64_t)pairs / 4, "gates");
}

/* Slots are in the order of (expert, pair), and each pair has one. */
static void check_order(const plr_route_args *a) {
  int64_t pairs = a->batch * a->seq * a->top_k;
  assert_true(a->offsets[0] == 0 && a->offsets[a->experts] == pairs);
  for (int64_t e = 0; e < a->experts; e++)
    for (int64_t s = a->offsets[e]; s < a->offsets[e + 1]; s++) {
      assert_int_equal(a->ids[a->pair_of[s]], e);
      assert_int_equal(a->slot_of[a->pair_of[s]], s);
      if (s > a->offsets[e]) assert_true(a->pair_of[s] > a->pair_of[s - 1]);
    }
}

static void routing(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (uint32_t renormalise = 0; renormalise < 2; renormalise++) {
      int64_t rows = shapes[s].batch * shapes[s].seq, n = rows * shapes[s].experts;
      float *logits = random_floats(n, 1, 3.0f);
      /* Some equal logits: ties go to the lowest index. */
      for (int64_t i = 0; i < n; i++)
        if (i % 3 == 0) logits[i] = (float)(int)logits[i];
      float *dgates = random_floats(rows * shapes[s].top_k, 2, 1.0f);
      plr_route_args want = route_args(shapes[s], logits);
      want.renormalise = renormalise, want.dgates = dgates;
      assert_int_equal(plr__ref_route(&want), PLR_OK);
      assert_int_equal(plr__ref_route_bwd(&want), PLR_OK);
      check_order(&want);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        plr_route_args got = route_args(shapes[s], logits);
        got.renormalise = renormalise, got.dgates = dgates;
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_ROUTE, &got), PLR_OK);
        same_routes(&got, &want);
        got.work = allocate(plr__cpu_workspace(ctx[c], PLR_OP_ROUTE_BWD, &got));
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_ROUTE_BWD, &got), PLR_OK);
        assert_same_bits(got.dlogits, want.dlogits, n, "route_bwd");
        free(got.work), route_free(&got);
      }
      free(logits), free(dgates), route_free(&want);
    }
}

static void ties_go_to_the_lowest_index(void **state) {
  (void)state;
  const float logits[] = {1, 2, 2, 0, 2, 2, -1, 1}; /* four largest are equal */
  plr_route_args a = route_args((shape){1, 1, 8, 5}, logits);
  assert_int_equal(plr__cpu_route(ctx[1], &a), PLR_OK);
  static const int32_t want[] = {1, 2, 4, 5, 0};
  assert_memory_equal(a.ids, want, sizeof want);
  route_free(&a);
}

static void rows_there_and_back(void **state) {
  (void)state;
  static const int64_t widths[] = {1, 16, 77, 300};
  for (int s = 0; s < SHAPES; s++)
    for (int w = 0; w < 4; w++) {
      int64_t rows = shapes[s].batch * shapes[s].seq, d = widths[w], k = shapes[s].top_k;
      float *logits = random_floats(rows * shapes[s].experts, 1, 3.0f);
      float *x = random_floats(rows * d, 2, 1.0f), *slots = random_floats(rows * k * d, 3, 1.0f);
      plr_route_args r = route_args(shapes[s], logits);
      assert_int_equal(plr__ref_route(&r), PLR_OK);
      float *y = floats(rows * k * d), *y_want = floats(rows * k * d), *dx = floats(rows * d);
      float *dx_want = floats(rows * d), *dg = floats(rows * k), *dg_want = floats(rows * k);
      plr_dispatch_args there = {x, y_want, slots, dx_want, r.slot_of, r.pair_of, rows, k, d};
      assert_int_equal(plr__ref_dispatch(&there), PLR_OK);
      assert_int_equal(plr__ref_dispatch_bwd(&there), PLR_OK);
      there.y = y, there.dx = dx;
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_DISPATCH, &there), PLR_OK);
        assert_same_bits(y, y_want, rows * k * d, "dispatch");
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_DISPATCH_BWD, &there), PLR_OK);
        assert_same_bits(dx, dx_want, rows * d, "dispatch_bwd");
      }
      plr_combine_args back = {slots, r.gates, dx_want, x, y_want, dg_want, r.slot_of, rows, k, d};
      assert_int_equal(plr__ref_combine(&back), PLR_OK);
      assert_int_equal(plr__ref_combine_bwd(&back), PLR_OK);
      back.y = dx, back.dx = y, back.dgates = dg;
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_COMBINE, &back), PLR_OK);
        assert_same_bits(dx, dx_want, rows * d, "combine");
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_COMBINE_BWD, &back), PLR_OK);
        assert_same_bits(y, y_want, rows * k * d, "combine_bwd");
        assert_same_bits(dg, dg_want, rows * k, "dgates");
      }
      free(logits), free(x), free(slots), free(y), free(y_want), free(dx), free(dx_want);
      free(dg), free(dg_want), route_free(&r);
    }
}

/* Experts without rows at the front, in the middle and at the end; one with most of them. */
static void products(void **state) {
  (void)state;
  static const int32_t offsets[] = {0, 0, 1, 8, 8, 8, 108, 120, 120};
  enum { EXPERTS = 8, ROWS = 120 };
  static const int64_t sizes[][2] = {{1, 1}, {17, 5}, {40, 96}, {130, 64}};
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++)
    for (int s = 0; s < 4; s++)
      for (uint32_t accumulate = 0; accumulate < 2; accumulate++) {
        int64_t n = sizes[s][0], k = sizes[s][1], tn = layout == PLR_MATMUL_TN;
        int64_t size_b = tn ? ROWS * n : EXPERTS * n * k, size_c = tn ? EXPERTS * n * k : ROWS * n;
        float *x = random_floats(ROWS * k, 1, 1.0f), *b = random_floats(size_b, 2, 1.0f);
        float *start = random_floats(size_c, 3, 1.0f), *want = copy_floats(start, size_c);
        plr_expert_matmul_args a = {x, b, want,   offsets,    ROWS, EXPERTS,
                                    n, k, layout, accumulate, NULL};
        assert_int_equal(plr__ref_expert_matmul(&a), PLR_OK);
        for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
          a.c = copy_floats(start, size_c);
          a.work = allocate(plr__cpu_workspace(ctx[c], PLR_OP_EXPERT_MATMUL, &a));
          assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_EXPERT_MATMUL, &a), PLR_OK);
          assert_same_bits(a.c, want, size_c, "expert_matmul");
          free(a.c), free(a.work);
        }
        free(x), free(b), free(start), free(want);
      }
}

/* The limit that stands in for a workspace of unknown sizes is one. */
static void workspace_limit_holds(void **state) {
  (void)state;
  static const int64_t sizes[] = {1,   7,   16,  63,   64,   65,   100,  191,
                                  192, 193, 500, 1023, 1025, 4096, 50000};
  for (int c = 0; c < CONTEXTS && ctx[c]; c++)
    for (uint32_t layout = 0; layout <= PLR_MATMUL_TN; layout++)
      for (size_t m = 0; m < PLR_COUNT_OF(sizes); m++)
        for (size_t n = 0; n < PLR_COUNT_OF(sizes); n++)
          for (size_t k = 0; k < PLR_COUNT_OF(sizes); k++) {
            plr_matmul_args a = {.m = sizes[m], .n = sizes[n], .k = sizes[k], .layout = layout};
            assert_true(plr__cpu_matmul_workspace(ctx[c], &a) <=
                        plr__cpu_matmul_workspace_limit(ctx[c]));
          }
}

static void bad_input_is_refused(void **state) {
  (void)state;
  float x[64] = {0};
  int32_t ids[16] = {0};
  plr_route_args r = {.logits = x, .ids = ids, .slot_of = ids, .pair_of = ids, .offsets = ids};
  r.gates = x, r.dgates = x, r.dlogits = x, r.work = x;
  r.batch = 1, r.seq = 1, r.experts = 4, r.top_k = 5;
  assert_int_equal(plr__cpu_route(ctx[1], &r), PLR_ERR_INVALID_ARGUMENT);
  r.top_k = 0;
  assert_int_equal(plr__cpu_route(ctx[1], &r), PLR_ERR_INVALID_ARGUMENT);
  r.top_k = 2, r.batch = INT32_MAX, r.seq = 2;
  assert_int_equal(plr__cpu_route(ctx[1], &r), PLR_ERR_LIMIT);
  r.batch = 1, r.seq = 1, ids[1] = 4;
  assert_int_equal(plr__cpu_route_bwd(ctx[1], &r), PLR_ERR_INVALID_ARGUMENT);
  plr_dispatch_args d = {x, x, x, x, ids, ids, 2, 1, 1};
  assert_int_equal(plr__cpu_dispatch(ctx[1], &d), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_dispatch_bwd(ctx[1], &d), PLR_ERR_INVALID_ARGUMENT);
  plr_combine_args c = {x, x, x, x, x, x, ids, 2, 1, 1};
  assert_int_equal(plr__cpu_combine(ctx[1], &c), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_combine_bwd(ctx[1], &c), PLR_ERR_INVALID_ARGUMENT);
  int32_t offsets[] = {0, 3, 2};
  plr_expert_matmul_args m = {x, x, x, offsets, 2, 2, 1, 1, PLR_MATMUL_NN, 0, x};
  assert_int_equal(plr__cpu_expert_matmul(ctx[1], &m), PLR_ERR_INVALID_ARGUMENT);
  offsets[1] = 1, m.rows = 3;
  assert_int_equal(plr__cpu_expert_matmul(ctx[1], &m), PLR_ERR_INVALID_ARGUMENT);
}

/* ---- gradient: inputs are logits; outputs are the gates, then the balancing loss of all sequences ---------- */

typedef struct route_shape {
  shape s;
  const int32_t *ids;
  uint32_t renormalise;
  double balance;
} route_shape;

static void route_forward(const double *x, const void *shape_, double *y) {
  const route_shape *s = (const route_shape *)shape_;
  int64_t experts = s->s.experts, k = s->s.top_k, rows = s->s.batch * s->s.seq;
  double p[64], loss = 0.0;
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0.0, chosen = 0.0;
    const int32_t *ids = s->ids + r * k, *sequence = s->ids + r / s->s.seq * s->s.seq * k;
    for (int64_t e = 0; e < experts; e++) sum += p[e] = exp(x[r * experts + e]);
    for (int64_t c = 0; c < k; c++) chosen += p[ids[c]] / sum;
    for (int64_t c = 0; c < k; c++)
      y[r * k + c] = p[ids[c]] / sum / (s->renormalise ? chosen : 1.0);
    for (int64_t i = 0; i < s->s.seq * k; i++) /* sum_e f_e p_e, one pair's share at a time */
      loss += p[sequence[i]] / sum / (double)(s->s.seq * k) / (double)s->s.seq;
  }
  y[rows * k] = s->balance * (double)experts * loss;
}

static void route_gradient(void **state) {
  (void)state;
  for (uint32_t renormalise = 0; renormalise < 2; renormalise++) {
    shape s = {2, 6, 9, 3};
    int64_t rows = s.batch * s.seq, n = rows * s.experts, gates = rows * s.top_k;
    float *logits = random_floats(n, 1, 2.0f), *weight = random_floats(gates + 1, 2, 1.0f);
    float *y = floats(gates + 1);
    weight[gates] = 1.0f;
    plr_route_args a = route_args(s, logits);
    a.renormalise = renormalise, a.balance = 0.5f, a.dgates = weight;
    a.work = allocate(plr__cpu_workspace(ctx[1], PLR_OP_ROUTE_BWD, &a));
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_ROUTE, &a), PLR_OK);
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_ROUTE_BWD, &a), PLR_OK);
    route_shape f = {s, a.ids, renormalise, 0.5};
    check("route", route_forward, &f, logits, n, NULL, weight, gates + 1, a.dlogits);
    double *v = (double *)allocate((size_t)n * 8),
           *exact = (double *)allocate((size_t)(gates + 1) * 8);
    for (int64_t i = 0; i < n; i++) v[i] = (double)logits[i];
    route_forward(v, &f, exact);
    for (int64_t i = 0; i < gates; i++) assert_true(fabs((double)a.gates[i] - exact[i]) < 1e-6);
    free(logits), free(weight), free(y), free(a.work), free(v), free(exact), route_free(&a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(routing),
      cmocka_unit_test(ties_go_to_the_lowest_index),
      cmocka_unit_test(rows_there_and_back),
      cmocka_unit_test(products),
      cmocka_unit_test(workspace_limit_holds),
      cmocka_unit_test(bad_input_is_refused),
      cmocka_unit_test(route_gradient),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

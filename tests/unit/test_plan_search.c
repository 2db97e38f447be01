/* The search against a brute force of the test's own, and its local search against its exhaustive one. */
#include "model_common.h"

#include "plan/plan_int.h"

#define BLOCKS 8

typedef struct fleet {
  plr_plan_device device[64];
  uint32_t count;
} fleet;

static uint32_t draw(uint64_t *state) { /* splitmix64 */
  uint64_t z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return (uint32_t)((z ^ z >> 31) >> 32);
}

static fleet random_fleet(uint64_t seed, uint32_t count, int networks) {
  fleet f = {.count = count};
  for (uint32_t i = 0; i < count; i++) {
    f.device[i].flops = 1e9 * (1 + draw(&seed) % 16);
    f.device[i].memory = 1u << 30;
    if (!networks) continue;
    f.device[i].up_bps = 1000000ull * (1 + draw(&seed) % 100);
    f.device[i].down_bps = 1000000ull * (10 + draw(&seed) % 200);
  }
  return f;
}

static plr_plan_options options_for(const fleet *f) {
  plr_plan_options o;
  plr_plan_options_init(&o, sizeof o);
  o.devices = f->device, o.device_count = f->count;
  return o;
}

/* ---- a brute force that knows nothing of lib/plan: no delays, memory for everything ------------------ */

typedef struct brute {
  const plr_model *model;
  const plr_plan_options *o;
  plr_model_info info;
  uint32_t cut[BLOCKS + 1], stage_of[8];
  double best;
} brute;

static double wire_bits(const brute *b, int forward) {
  const double tokens = (double)b->info.micro_batch * b->info.seq_len;
  const double ids =
      forward ? b->info.micro_batch * (b->info.seq_len + 1) * 8 / 8 + 1 : 0; /* bytes */
  return 8 * (64 + ids) + tokens * b->info.boundary_width * b->o->min_bits;
}

static double device_rate(const brute *b, uint32_t d, uint32_t s, uint32_t stages) {
  const plr_plan_device *v = &b->o->devices[d];
  const double tokens = (double)b->info.micro_batch * b->info.seq_len, header = 8 * 64;
  const int first = s == 0, last = s + 1 == stages;
  double flop = 0;
  for (uint32_t i = b->cut[s]; i < b->cut[s + 1]; i++)
    flop += tokens * (double)plr_model_block_cost(b->model, i);
  const double up = (last ? header : wire_bits(b, 1)) + (first ? header : wire_bits(b, 0));
  const double ids = 8.0 * (b->info.micro_batch * (b->info.seq_len + 1) + 1);
  const double down = (first ? header + ids : wire_bits(b, 1)) + (last ? header : wire_bits(b, 0));
  double rate = v->flops / flop;
  if (v->up_bps && (double)v->up_bps / up < rate) rate = (double)v->up_bps / up;
  if (v->down_bps && (double)v->down_bps / down < rate) rate = (double)v->down_bps / down;
  return rate;
}

static void devices_from(brute *b, uint32_t d, uint32_t stages) {
  if (d < b->o->device_count) {
    for (uint32_t s = 0; s <= stages; s++) b->stage_of[d] = s, devices_from(b, d + 1, stages);
    return;
  }
  double least = 1e300;
  for (uint32_t s = 0; s < stages; s++) {
    double sum = 0;
    for (uint32_t i = 0; i < b->o->device_count; i++)
      if (b->stage_of[i] == s) sum += device_rate(b, i, s, stages);
    if (sum < least) least = sum;
  }
  if (least > b->best) b->best = least;
}

static void cuts_from(brute *b, uint32_t stages, uint32_t s, uint32_t block) {
  if (s == stages) {
    b->cut[s] = BLOCKS;
    if (block <= BLOCKS) devices_from(b, 0, stages);
    return;
  }
  for (uint32_t at = s == 0 ? 0 : block; at < (s == 0 ? 1u : (uint32_t)BLOCKS); at++)
    if (plr_model_can_cut(b->model, at)) b->cut[s] = at, cuts_from(b, stages, s + 1, at + 1);
}

static double brute_force(const plr_model *model, const plr_plan_options *o) {
  brute b = {.model = model, .o = o, .info = {.struct_size = sizeof b.info}};
  assert_int_equal(plr_model_get_info(model, &b.info), PLR_OK);
  for (uint32_t stages = 1; stages <= o->device_count && stages <= BLOCKS; stages++)
    cuts_from(&b, stages, 0, 0);
  return b.best;
}

static void test_small_cases_are_exact(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  for (uint64_t seed = 0; seed < 60; seed++) {
    fleet f = random_fleet(seed, 1 + (uint32_t)(seed % 5), seed & 1);
    plr_plan_options o = options_for(&f);
    plr_plan *plan;
    plr_plan_info info = {.struct_size = sizeof info};
    assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
    assert_int_equal(plr_plan_get_info(plan, &info), PLR_OK);
    assert_int_equal(info.exact, 1);
    /* Memory is plentiful and nothing is far: the prediction is the brute force's, but for the time a
     * micro-batch needs, which memory for it does not bound here. */
    const double wanted = brute_force(model, &o);
    if (info.micro_batches_per_s < wanted * 0.999999 ||
        info.micro_batches_per_s > wanted * 1.000001)
      fail_msg("seed %u: %.9g, brute force %.9g", (unsigned)seed, info.micro_batches_per_s, wanted);
    plr_plan_destroy(plan);
  }
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* ---- local search ------------------------------------------------------------------------------------ */

typedef struct setting {
  plr_context *ctx;
  plr_problem q;
  uint32_t position[BLOCKS + 1];
  plr_placement found;
  uint32_t stage_of[64];
} setting;

static void prepare(setting *s, plr_context *ctx, const plr_model *model, const fleet *f) {
  memset(s, 0, sizeof *s);
  s->q.ctx = ctx, s->q.o = options_for(f), s->q.o.restarts = 24;
  s->q.position = s->position;
  assert_int_equal(plr__plan_needs(ctx, model, &s->q.needs, NULL), PLR_OK);
  for (uint32_t b = 0; b <= BLOCKS; b++)
    if (plr_model_can_cut(model, b)) s->position[s->q.positions++] = b;
  s->found.stage_of = s->stage_of;
}

static double search(setting *s, uint64_t limit) {
  uint32_t exact;
  assert_int_equal(plr__plan_search(&s->q, limit, &s->found, &exact), PLR_OK);
  assert_int_equal(exact, limit > 0);
  return plr__plan_pace(&s->q, &s->found, NULL).rate;
}

static void test_local_search_is_near(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  double worst = 1;
  for (uint64_t seed = 100; seed < 130; seed++) {
    fleet f = random_fleet(seed, 3 + (uint32_t)(seed % 3), seed & 1);
    for (uint32_t i = 0; i < f.count; i++) f.device[i].delay_ns = 1000000ull * (seed % 7);
    setting s;
    prepare(&s, ctx, model, &f);
    const double best = search(&s, UINT64_MAX);
    const double near = search(&s, 0);
    if (near / best < worst) worst = near / best;
    if (near < 0.95 * best) fail_msg("seed %u: %.6g, best %.6g", (unsigned)seed, near, best);
    plr__free(ctx, s.q.needs.block);
  }
  print_message("the worst local search: %.4f of the best\n", worst);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* Against a search of the test's own that knows only plr__plan_pace: random placements, then any single change that
 * helps, from very many starts. */
static double random_climb(setting *s, uint64_t seed) {
  plr_placement *p = &s->found;
  double best = 0;
  for (int start = 0; start < 40; start++) {
    p->stages = 1 + draw(&seed) % (BLOCKS < s->q.o.device_count ? BLOCKS : s->q.o.device_count);
    for (uint32_t i = 0; i <= p->stages; i++) p->cut[i] = i * BLOCKS / p->stages;
    for (uint32_t d = 0; d < s->q.o.device_count; d++) p->stage_of[d] = d % p->stages;
    double rate = plr__plan_pace(&s->q, p, NULL).rate;
    for (int step = 0; step < 4000; step++) {
      const uint32_t d = draw(&seed) % s->q.o.device_count, old = p->stage_of[d];
      const uint32_t e = draw(&seed) % s->q.o.device_count, other = p->stage_of[e];
      const uint32_t c = 1 + draw(&seed) % p->stages, old_cut = p->cut[c];
      const int kind = (int)(draw(&seed) % 3);
      if (kind == 0) p->stage_of[d] = draw(&seed) % p->stages;
      if (kind == 1) p->stage_of[d] = other, p->stage_of[e] = old;
      if (kind == 2 && c < p->stages) {
        const uint32_t to = old_cut + (draw(&seed) & 1 ? 1u : -1u);
        if (to > p->cut[c - 1] && to < p->cut[c + 1]) p->cut[c] = to;
      }
      const double now = plr__plan_pace(&s->q, p, NULL).rate;
      if (now >= rate) {
        rate = now;
        continue;
      }
      if (kind == 1) p->stage_of[e] = other;
      p->stage_of[d] = old, p->cut[c] = old_cut;
    }
    if (rate > best) best = rate;
  }
  return best;
}

static void test_larger_fleets(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  double worst = 10;
  for (uint64_t seed = 200; seed < 204; seed++) {
    fleet f = random_fleet(seed, 12 + (uint32_t)(seed % 4) * 4, seed & 1);
    setting s;
    prepare(&s, ctx, model, &f);
    const double known = random_climb(&s, seed);
    const double found = search(&s, 0);
    if (found / known < worst) worst = found / known;
    if (found < 0.95 * known) fail_msg("seed %u: %.6g, known %.6g", (unsigned)seed, found, known);
    plr__free(ctx, s.q.needs.block);
  }
  print_message("the worst against 40 random climbs: %.4f\n", worst);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_small_cases_are_exact),
      cmocka_unit_test(test_local_search_is_near),
      cmocka_unit_test(test_larger_fleets),
  };
  return cmocka_run_group_tests_name("plan_search", tests, NULL, NULL);
}

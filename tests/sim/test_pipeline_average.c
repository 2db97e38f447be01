/* Replicas that average their weights: the same bits of the average for all who take part, whoever is missing. */
#include "sim/swarm.h"

#include "shard/shard.h"
#include "shard/shard_int.h"
#include "stage/stage_int.h"

static swarm w;

static swarm_config config(uint32_t every) {
  swarm_config c = swarm_defaults();
  c.average_every = every, c.average_parts = 4;
  return c;
}

/* Replicas of a stage have the same average in every round that both took part in; how many there were. */
static uint32_t check_same(const swarm *x) {
  static const plr_hash none;
  uint32_t both = 0;
  for (uint32_t i = 1; i < x->count; i++)
    for (uint32_t j = i + 1; j < x->count; j++)
      for (uint32_t round = 0; x->nodes[i].stage == x->nodes[j].stage && round < 200; round++) {
        const plr_hash *a = &x->nodes[i].average[round], *b = &x->nodes[j].average[round];
        if (plr__hash_equal(a, &none) || plr__hash_equal(b, &none)) continue;
        assert_memory_equal(a, b, sizeof *a);
        both++;
      }
  return both;
}

/* Without averaging replicas drift apart; with it they stay close, and learn no less. */
static void test_average(void **state) {
  (void)state;
  double apart[2], loss[2];
  for (uint32_t with = 0; with < 2; with++) {
    swarm_config c = config(with ? 4 : 0);
    swarm_open(&w, &c);
    swarm_train(&w, 120);
    swarm_check_once(&w, 120);
    apart[with] = swarm_distance(&w, swarm_node_of(&w, 1, 0), swarm_node_of(&w, 1, 1));
    loss[with] = 0;
    for (uint32_t i = 100; i < 120; i++) loss[with] += w.losses[i] / 20;
    if (with) assert_in_range(check_same(&w), 40, 90);
    for (uint32_t i = 0; i < w.count; i++) assert_int_equal(w.nodes[i].failed + w.nodes[i].lost, 0);
    swarm_stop(&w);
    swarm_close(&w);
  }
  assert_true(apart[1] < 0.5 * apart[0]);
  assert_true(loss[1] < 1.02 * loss[0]);
}

static void kill_one(swarm *x, uint64_t step) {
  if (step == 30) swarm_kill(x, swarm_node_of(x, 1, 0), 0);
}

/* One of three is lost without a word: the round it is in ends without it or not at all, the next ones go on. */
static void test_partial_quorum(void **state) {
  (void)state;
  swarm_config c = config(12);
  for (uint32_t i = 0; i < 3; i++) c.replicas[i] = 3;
  c.reply_timeout_ns = SECOND;
  swarm_open(&w, &c);
  w.on_step = kill_one;
  swarm_train(&w, 120);
  swarm_check_once(&w, 120);
  check_same(&w);
  assert_true(w.nodes[swarm_node_of(&w, 1, 1)].averaged > 2);
  assert_true(w.nodes[swarm_node_of(&w, 1, 2)].averaged > 2);
  for (uint32_t i = 1; i < w.count; i++) assert_int_equal(w.nodes[i].failed, 0);
  swarm_close(&w);
}

/* Every number is in one mask, and only one. */
static void test_permutation(void **state) {
  (void)state;
  static uint8_t seen[5000];
  for (uint64_t n = 1; n < 5000; n = n * 3 + 1) {
    plr__permutation p, other;
    uint64_t moved = 0;
    memset(seen, 0, sizeof seen);
    plr__permutation_init(&p, n, 42);
    plr__permutation_init(&other, n, 43);
    for (uint64_t i = 0; i < n; i++) {
      uint64_t to = plr__permute(&p, i);
      assert_in_range(to, 0, n - 1);
      assert_int_equal(seen[to]++, 0);
      moved += to != plr__permute(&other, i);
    }
    if (n > 100) assert_true(moved > n * 9 / 10);
  }
}

/* ---- by hand, from the definition --------------------------------------------------------------- */

#define ROUNDS  64u
#define WEIGHTS 8192u

static float shared[2][ROUNDS][WEIGHTS];
static uint32_t weight[2][ROUNDS], checked, at_once;
static uint64_t updates[2][ROUNDS];

static void check_round(swarm *x, uint32_t which, plr_shard *shard, const plr__average *a) {
  static float now[WEIGHTS];
  uint32_t round = (uint32_t)a->round;
  uint64_t first = (uint64_t)a->elements * (round % 2) / 2;
  assert_int_equal(a->named, 2);
  assert_true(memcmp(a->names[0].bytes, a->names[1].bytes, 32) < 0);
  assert_int_equal(plr__shard_read_vector(shard, now), PLR_OK);
  /* accounts in order: who is first */
  uint32_t mine_first =
      plr__hash_equal(&a->names[0], &x->nodes[swarm_node_of(x, 1, which)].engine->account);
  uint32_t order[2] = {mine_first ? which : 1 - which, mine_first ? 1 - which : which};
  for (uint64_t i = 0; i < (uint64_t)a->elements / 2; i++) {
    uint64_t to = plr__permute(&a->permutation, first + i);
    double sum = 0, total = 0;
    for (uint32_t k = 0; k < 2; k++)
      sum += (double)weight[order[k]][round] * (double)shared[order[k]][round][to],
          total += weight[order[k]][round];
    float average = (float)(sum / total);
    assert_memory_equal(&a->got[i], &average, sizeof average);
    if (updates[which][round] == shard->delays.updates)
      assert_memory_equal(&now[to], &average, sizeof average);
  }
  at_once += updates[which][round] == shard->delays.updates;
  checked++;
}

static void watch(swarm *x, uint32_t node, plr_job *job) {
  if (x->nodes[node].stage != 1) return;
  uint32_t which = node == swarm_node_of(x, 1, 1);
  const plr__average *a = &x->nodes[node].engine->average;
  assert_in_range(a->round, 0, ROUNDS - 1);
  if (job->kind == PLR_JOB_SHARE) {
    assert_int_equal(plr__shard_read_vector(x->nodes[node].shard, shared[which][a->round]), PLR_OK);
    weight[which][a->round] = a->own.weight;
    updates[which][a->round] = x->nodes[node].shard->delays.updates;
  }
  if (job->kind == PLR_JOB_AVERAGE) check_round(x, which, x->nodes[node].shard, a);
}

static void test_definition(void **state) {
  (void)state;
  swarm_config c = config(4);
  c.average_parts = 2;
  c.delay_ns = 100000;
  swarm_open(&w, &c);
  w.on_job = watch;
  swarm_train(&w, 80);
  assert_true(checked > 10);
  assert_true(at_once > 0);
  swarm_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_permutation),
      cmocka_unit_test(test_average),
      cmocka_unit_test(test_partial_quorum),
      cmocka_unit_test(test_definition),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Several replicas of a stage: work is shared, those that fail are replaced, and nothing is counted twice. */
#include "sim/swarm.h"

#include "shard/shard.h"
#include "stage/stage_int.h"

static swarm w;

static void test_shared(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  swarm_open(&w, &c);
  swarm_train(&w, 60);
  assert_int_equal(w.steps, 60);
  assert_int_equal(w.receipts, 180);
  assert_int_equal(w.missing, 0);
  swarm_check_once(&w, 60);
  for (uint32_t i = 1; i < w.count; i++) assert_in_range(w.nodes[i].backwards, 15, 45);
  swarm_stop(&w);
  for (uint32_t i = 0; i < w.count; i++) assert_int_equal(w.nodes[i].failed + w.nodes[i].lost, 0);
  swarm_close(&w);
}

/* ---- nodes that die --------------------------------------------------------------------------- */

static uint32_t victim, tell;
static uint64_t kill_step;

static void kill_at(swarm *x, uint64_t step) {
  if (step == kill_step && !x->nodes[victim].dead) swarm_kill(x, victim, (int)tell);
}

/* One replica dies, with or without its neighbours being told, in any stage, at any moment. */
static void check_death(uint32_t stage, int told, uint32_t stash, uint64_t job_ns) {
  swarm_config c = swarm_defaults();
  c.stash = stash;
  c.job_ns = job_ns;
  swarm_open(&w, &c);
  victim = swarm_node_of(&w, stage, 0);
  tell = (uint32_t)told;
  kill_step = 20;
  w.on_step = kill_at;
  swarm_train(&w, 60);
  assert_int_equal(w.steps, 60);
  assert_int_equal(w.dropped, 0);
  swarm_check_once(&w, 60);
  assert_int_equal(w.nodes[victim].dead, 1);
  for (uint32_t i = 0; i < w.count; i++) {
    if (i != victim) assert_int_equal(w.nodes[i].failed, 0);
    if (w.nodes[i].lost) assert_int_equal(w.nodes[i].why, PLR_ERR_CLOSED);
  }
  swarm_stop(&w);
  swarm_close(&w);
}

static void test_death(void **state) {
  (void)state;
  for (uint32_t stage = 0; stage < 3; stage++) {
    check_death(stage, 1, 0, 2000000);
    check_death(stage, 0, 1, 1500000);
  }
}

/* ---- anything at all -------------------------------------------------------------------------- */

static uint32_t random_state;

static uint32_t draw(uint32_t below) {
  random_state ^= random_state << 13, random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % below;
}

static uint32_t living(const swarm *x, uint32_t stage) {
  uint32_t n = 0;
  for (uint32_t i = 1; i < x->count; i++) n += x->nodes[i].stage == stage && !x->nodes[i].dead;
  return n;
}

/* Somebody dies whose stage has another one; or a wire between workers is cut in the middle of everything. */
static void trouble(swarm *x, uint64_t step) {
  (void)step;
  if (draw(4)) return;
  uint32_t at = 1 + draw(x->count - 1);
  if (!x->nodes[at].dead && living(x, x->nodes[at].stage) > 1) swarm_kill(x, at, (int)draw(2));
}

/* A gradient or an activation that is not finite, now and then: the neighbour is not blamed for what it did not send. */
static void spoil(swarm *x, uint32_t node, plr_job *job) {
  (void)x, (void)node;
  if (job->kind == PLR_JOB_FORWARD && job->status == PLR_OK && draw(150) == 0) {
    plr__fail(&job->error, job->status = PLR_ERR_NON_FINITE, "shard", "test");
    plr__shard_forget(job->stage->shard, job->slot);
  }
}

static void check_seed(uint32_t seed) {
  swarm_config c = swarm_defaults();
  random_state = seed * 2654435761u + 1;
  for (uint32_t i = 0; i < 3; i++) c.replicas[i] = 1 + draw(3);
  c.stash = draw(2);
  c.micro_batches = 1 + draw(3);
  c.window = 2 + draw(12);
  c.max_in_flight = 1 + draw(6);
  c.job_ns = 200000 + draw(4000000);
  c.delay_ns = 100000 + draw(20000000);
  c.link_timeout_ns = 300000000;
  c.patience_ns = 2 * SECOND;
  c.reply_timeout_ns = draw(2) ? SECOND : 0;
  c.snapshot_every = draw(2) * 7;
  swarm_open(&w, &c);
  w.on_step = trouble;
  if (draw(2)) w.on_job = spoil;
  swarm_train(&w, 25);
  w.on_step = NULL, w.on_job = NULL;
  assert_int_equal(w.steps, 25);
  if (!w.dropped) swarm_check_once(&w, 25);
  for (uint32_t i = 0; i < w.count; i++)
    if (!w.nodes[i].dead && w.nodes[i].failed) fail_msg("node %u: %s", i, w.nodes[i].message);
  swarm_stop(&w);
  swarm_close(&w);
}

static void test_seeds(void **state) {
  (void)state;
  const char *one = getenv("SWARM_SEED"), *many = getenv("SWARM_SEEDS");
  uint32_t n = many ? (uint32_t)atoi(many) : 60;
  if (one) {
    check_seed((uint32_t)atoi(one));
    return;
  }
  for (uint32_t seed = 1; seed <= n; seed++) {
    if (many) print_message("seed %u\n", seed);
    check_seed(seed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shared),
      cmocka_unit_test(test_death),
      cmocka_unit_test(test_seeds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

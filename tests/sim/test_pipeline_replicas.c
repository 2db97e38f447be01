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

/* ---- neighbours that do wrong ----------------------------------------------------------------- */

/* All that somebody did wrong is known to those next to it by a status, and nobody else notices. */
static void expect_given_up(uint32_t bad, plr_status why) {
  uint32_t gave_up = 0;
  for (uint32_t i = 0; i < w.count; i++) {
    if (i == bad) continue;
    assert_int_equal(w.nodes[i].failed, 0);
    gave_up += w.nodes[i].lost && w.nodes[i].why == why;
  }
  assert_true(gave_up > 0);
  assert_int_equal(w.steps, 40);
  assert_int_equal(w.dropped, 0);
}

/* Alive, and answers nothing. */
static void test_silent(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  c.reply_timeout_ns = SECOND / 2;
  swarm_open(&w, &c);
  uint32_t bad = swarm_node_of(&w, 1, 1);
  sim_job_time(w.net, bad, PLR_JOB_FORWARD, 3600 * SECOND);
  swarm_train(&w, 40);
  expect_given_up(bad, PLR_ERR_UNAVAILABLE);
  w.nodes[bad].dead = 1; /* what it began it never finished */
  swarm_check_once(&w, 40);
  swarm_close(&w);
}

static uint32_t liar;

static void damage(swarm *x, uint32_t node, plr_job *job) {
  (void)x;
  if (node == liar && job->kind == PLR_JOB_FORWARD && job->step > 10)
    job->out[job->out_len - 1] ^= 1;
}

static void test_damaged_frames(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  swarm_open(&w, &c);
  liar = swarm_node_of(&w, 1, 0);
  w.on_job = damage;
  swarm_train(&w, 40);
  expect_given_up(liar, PLR_ERR_CHECKSUM);
  swarm_close(&w);
}

/* Claims rows and columns that its boundary does not have. */
static void other_shape(swarm *x, uint32_t node, plr_job *job) {
  if (node != liar || job->kind != PLR_JOB_BACKWARD || job->step < 10) return;
  static float values[64 * 16];
  plr_codec codec;
  plr_encoder *e = NULL;
  plr_tensor t;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_GRADIENT};
  uint32_t rows = x->info.micro_batch * x->info.seq_len, cols = x->info.boundary_width - 1;
  info.stream = PLR__STREAM(PLR__KIND_TRAIN, 2), info.step = (uint32_t)job->step;
  info.micro_batch = job->micro_batch;
  assert_int_equal(plr_codec_from_name("raw", &codec), PLR_OK);
  assert_int_equal(plr_encoder_create(x->ctx, &codec, rows, cols, &e, NULL), PLR_OK);
  plr_tensor_matrix(&t, values, PLR_DTYPE_F32, rows, cols);
  assert_int_equal(
      plr_encoder_encode(e, &info, &t, job->out, job->stage->job_out_cap, &job->out_len), PLR_OK);
  plr_encoder_destroy(e);
}

static void test_other_shape(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  swarm_open(&w, &c);
  liar = swarm_node_of(&w, 2, 1);
  w.on_job = other_shape;
  swarm_train(&w, 40);
  expect_given_up(liar, PLR_ERR_SHAPE);
  swarm_close(&w);
}

/* A stage linked where another belongs, and one that has another window. */
static void test_other_place(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  swarm_open(&w, &c);
  uint32_t bad = swarm_node_of(&w, 2, 0);
  swarm_link(&w, swarm_node_of(&w, 0, 0), bad);
  swarm_train(&w, 40);
  assert_int_equal(w.nodes[swarm_node_of(&w, 0, 0)].why, PLR_ERR_MISMATCH);
  assert_non_null(
      strstr(w.nodes[swarm_node_of(&w, 0, 0)].message, "stage 2 of 3 where stage 1 of 3"));
  swarm_check_once(&w, 40);
  for (uint32_t i = 0; i < w.count; i++) assert_int_equal(w.nodes[i].failed, 0);
  swarm_close(&w);
  swarm_open(&w, &c);
  w.config.window = 9;
  bad = swarm_join(&w, 1, swarm_node_of(&w, 1, 0));
  swarm_train(&w, 40);
  expect_given_up(bad, PLR_ERR_MISMATCH);
  assert_int_equal(w.nodes[bad].backwards, 0);
  swarm_close(&w);
}

/* ---- come and go ------------------------------------------------------------------------------ */

/* The last replica of a stage dies; another one comes, with the weights of a snapshot, while the others wait. */
static void test_rejoin(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  for (uint32_t i = 0; i < 3; i++) c.replicas[i] = 1;
  c.patience_ns = PLR_NEVER;
  swarm_open(&w, &c);
  swarm_train(&w, 10);
  uint32_t old = swarm_node_of(&w, 1, 0);
  uint32_t next = swarm_join(&w, 1, old);
  swarm_kill(&w, old, 1);
  swarm_train(&w, 40);
  assert_int_equal(w.steps, 40);
  assert_int_equal(w.nodes[next].backwards, 30);
  swarm_check_once(&w, 40);
  swarm_stop(&w);
  assert_int_equal(w.nodes[w.feeder].failed, 0);
  swarm_close(&w);
}

/* Evaluation and generation go on too: what was lost on its way is asked for again, and counted once. */
static void test_forward_only(void **state) {
  (void)state;
  int32_t prompt[] = {'t', 'h', 'e', ' '};
  swarm_config c = swarm_defaults();
  c.reply_timeout_ns = SECOND;
  double eval[2];
  for (uint32_t with = 0; with < 2; with++) {
    swarm_open(&w, &c);
    for (uint32_t i = 0; with && i < 3; i++) {
      w.want_idle = w.idle + 1;
      assert_int_equal(plr_stage_evaluate(w.nodes[w.feeder].engine, 12), PLR_OK);
      sim_run(w.net, sim_now(w.net) + SECOND / 40, NULL, NULL);
      swarm_kill(&w, swarm_node_of(&w, i, 0), (int)i % 2);
      swarm_wait(&w);
    }
    w.want_idle = w.idle + 1;
    assert_int_equal(plr_stage_evaluate(w.nodes[w.feeder].engine, 12), PLR_OK);
    swarm_wait(&w);
    eval[with] = w.eval;
    w.want_idle = w.idle + 1;
    assert_int_equal(plr_stage_generate(w.nodes[w.feeder].engine, prompt, 4, 5, 0.5f, 0, 7),
                     PLR_OK);
    swarm_wait(&w);
    assert_int_equal(w.tokens, 5);
    swarm_stop(&w);
    swarm_close(&w);
  }
  assert_memory_equal(&eval[0], &eval[1], sizeof eval[0]);
}

static void test_detach(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  plr_link *links[PLR_STAGE_MAX_PEERS + 1];
  swarm_open(&w, &c);
  swarm_train(&w, 10);
  plr_stage *feeder = w.nodes[w.feeder].engine;
  plr_link *first = w.ends[0].link;
  assert_int_equal(w.ends[0].node, w.feeder);
  assert_int_equal(plr_stage_detach(feeder, first), PLR_OK);
  assert_int_equal(plr_stage_detach(feeder, first), PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_stage_detach(feeder, NULL), PLR_ERR_INVALID_ARGUMENT);
  swarm_train(&w, 40);
  assert_int_equal(w.nodes[w.feeder].lost, 1);
  swarm_check_once(&w, 40);
  uint32_t n = 0;
  for (plr_status st = PLR_OK; st == PLR_OK; n++) {
    plr_link_options o;
    plr_link_options_init(&o, sizeof o);
    o.nonce[0] = (uint8_t)n, o.nonce[1] = 99;
    assert_int_equal(plr_link_create(w.ctx, w.nodes[0].identity, &o, &links[n], NULL), PLR_OK);
    st = plr_stage_attach(feeder, PLR_SIDE_UPSTREAM, links[n]);
    if (st != PLR_OK) assert_int_equal(st, PLR_ERR_LIMIT);
  }
  assert_in_range(n, 50, PLR_STAGE_MAX_PEERS);
  for (uint32_t i = 0; i + 1 < n; i++) assert_int_equal(plr_stage_detach(feeder, links[i]), PLR_OK);
  for (uint32_t i = 0; i < n; i++) plr_link_destroy(links[i]);
  swarm_close(&w);
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

/* A forward that overflows, now and then: its neighbour is not blamed for what it did not send. */
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
      cmocka_unit_test(test_shared),      cmocka_unit_test(test_death),
      cmocka_unit_test(test_silent),      cmocka_unit_test(test_damaged_frames),
      cmocka_unit_test(test_other_shape), cmocka_unit_test(test_other_place),
      cmocka_unit_test(test_rejoin),      cmocka_unit_test(test_forward_only),
      cmocka_unit_test(test_detach),      cmocka_unit_test(test_seeds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

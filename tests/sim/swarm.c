#include "swarm.h"

#include "shard/shard.h"
#include "stage/stage_int.h"

#include <math.h>

#include <stdio.h>

#define TEXT_BYTES 20000u

swarm_config swarm_defaults(void) {
  swarm_config c = {.stages = 3, .replicas = {2, 2, 2}, .micro_batches = 1, .window = 8};
  c.max_in_flight = 6;
  c.job_ns = 2000000;
  c.delay_ns = 5000000;
  c.link_timeout_ns = 2 * SECOND;
  c.patience_ns = 5 * SECOND;
  return c;
}

/* ---- events ----------------------------------------------------------------------------------- */

static void feeder_event(swarm *w, const plr_stage_event *e) {
  if (e->type == PLR_STAGE_STEP) {
    w->losses[w->steps++] = e->value;
    if (w->on_step) w->on_step(w, e->step);
  }
  if (e->type == PLR_STAGE_IDLE) w->idle++;
  if (e->type == PLR_STAGE_RECEIPT) w->receipts++;
  if (e->type == PLR_STAGE_REFUSED) w->missing++;
  if (e->type == PLR_STAGE_DROPPED) w->dropped++;
  if (e->type == PLR_STAGE_EVAL) w->eval = e->value;
  if (e->type == PLR_STAGE_TOKEN) w->tokens++;
}

static void on_event(void *user, uint32_t node, const plr_stage_event *e) {
  swarm *w = user;
  swarm_node *n = &w->nodes[node];
  if (node == w->feeder) feeder_event(w, e);
  if (e->type == PLR_STAGE_STOPPED) n->stopped = 1;
  if (e->type == PLR_STAGE_AVERAGED) {
    assert_in_range(e->index, 0, SWARM_MAX_WORK - 1);
    assert_in_range(e->token, 2, SWARM_MAX_NODES);
    n->averaged++;
    n->average[e->index] = e->hash;
  }
  if (e->type == PLR_STAGE_PEER && e->status == PLR_OK) n->up++;
  if ((e->type == PLR_STAGE_PEER && e->status != PLR_OK) || e->type == PLR_STAGE_FAILED) {
    n->why = e->status;
    snprintf(n->message, sizeof n->message, "%s", e->message);
    n->lost += e->type == PLR_STAGE_PEER;
    if (getenv("SWARM_TRACE"))
      print_message("%.3f node %u: %s\n", (double)sim_now(w->net) / 1e9, node, e->message);
    n->failed += e->type == PLR_STAGE_FAILED;
  }
}

static void on_ran(void *user, uint32_t node, plr_job *job) {
  swarm *w = user;
  plr_job_info info = {.struct_size = sizeof info};
  plr_job_get_info(job, &info);
  if (w->on_job) w->on_job(w, node, job);
  if (info.kind != PLR_JOB_BACKWARD || job->status != PLR_OK) return;
  uint64_t at = info.step * w->info.micro_batches + info.micro_batch;
  assert_in_range(at, 0, SWARM_MAX_WORK - 1);
  w->nodes[node].applied[at]++;
  w->nodes[node].backwards++;
}

/* ---- building --------------------------------------------------------------------------------- */

static void make_model(swarm *w) {
  char json[1024], count[32];
  plr_error err = {.struct_size = sizeof err};
  pipe_manifest(json, sizeof json, 1);
  snprintf(count, sizeof count, "\"micro_batches\": %u", w->config.micro_batches);
  pipe_replace(json, "\"micro_batches\": 4", count);
  pipe_replace(json, "\"steps\": 40", "\"steps\": 400");
  if (plr_model_from_json(w->ctx, json, strlen(json), &w->model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  w->info.struct_size = sizeof w->info;
  plr_model_get_info(w->model, &w->info);
}

static uint32_t in_flight(const swarm *w, uint32_t stage) {
  return stage + 1 == w->config.stages ? 1 : w->config.max_in_flight;
}

static void make_shard(swarm *w, swarm_node *n) {
  plr_shard_options o;
  plr_error err = {.struct_size = sizeof err};
  plr_shard_options_init(&o, sizeof o);
  o.first_block = n->stage;
  o.end_block = n->stage + 1 == w->config.stages ? w->info.blocks : n->stage + 1;
  o.slots = in_flight(w, n->stage);
  o.delayed = w->config.stash ? PLR_DELAYED_STASH : PLR_DELAYED_NEWEST;
  if (w->config.stash) o.versions = o.slots + 1;
  if (plr_shard_create(w->ctx, w->model, &o, &n->shard, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static void make_engine(swarm *w, swarm_node *n, uint32_t lane) {
  plr_stage_options o;
  plr_error err = {.struct_size = sizeof err};
  int feeder = n->stage == w->config.stages;
  plr_stage_options_init(&o, sizeof o);
  o.role = feeder ? PLR_STAGE_FEEDER : PLR_STAGE_WORKER;
  o.index = feeder ? 0 : n->stage, o.count = w->config.stages, o.lane = lane;
  o.snapshot_every = w->config.snapshot_every;
  o.epoch = 5;
  o.origin = PIPE_ORIGIN;
  o.identity = n->identity, o.model = w->model;
  o.shard = n->shard, o.corpus = feeder ? w->corpus : NULL;
  o.schedule = PLR_PIPELINE_ASYNC, o.window = w->config.window;
  o.max_in_flight = feeder ? 0 : w->config.max_in_flight;
  o.patience_ns = w->config.patience_ns, o.reply_timeout_ns = w->config.reply_timeout_ns;
  if (!feeder) o.average_every = w->config.average_every, o.average_parts = w->config.average_parts;
  if (plr_stage_create(w->ctx, &o, &n->engine, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static plr_link *make_end(swarm *w, uint32_t node, uint32_t side, uint32_t wire, int initiator) {
  plr_link_options o;
  plr_link *link = NULL;
  plr_link_options_init(&o, sizeof o);
  o.initiator = (uint32_t)initiator;
  plr_model_hash(w->model, &o.model);
  plr_profile_hash(&o.profile);
  o.nonce[0] = (uint8_t)(1 + side), o.nonce[1] = (uint8_t)wire, o.nonce[2] = (uint8_t)node;
  o.timeout_ns = w->config.link_timeout_ns;
  o.keep_alive_ns = w->config.link_timeout_ns / 4;
  assert_int_equal(plr_link_create(w->ctx, w->nodes[node].identity, &o, &link, NULL), PLR_OK);
  w->ends[w->end_count++] = (swarm_end){link, node, side, wire};
  assert_int_equal(plr_stage_attach(w->nodes[node].engine, side, link), PLR_OK);
  return link;
}

static void join_ends(swarm *w, uint32_t above, uint32_t side_a, uint32_t below, uint32_t side_b) {
  uint32_t wire = w->end_count / 2;
  sim_wire how = {.delay_ns = w->config.delay_ns, .bytes_per_second = 10000000, .seed = wire + 1};
  plr_link *a = make_end(w, above, side_a, wire, 1);
  plr_link *b = make_end(w, below, side_b, wire, 0);
  assert_int_equal(sim_add_wire(w->net, above, a, below, b, &how), wire);
}

/* Weights and step of another one. */
static void copy_shard(plr_shard *from, plr_shard *to) {
  pipe_snapshot copy = {0};
  plr_error err = {.struct_size = sizeof err};
  plr_sink sink = pipe_sink(&copy);
  if (plr_shard_save(from, &sink, &err) != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  plr_source source = pipe_source(&copy);
  if (plr_shard_load(to, &source, &err) != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  free(copy.data);
}

static uint32_t add_node(swarm *w, uint32_t stage, uint32_t lane, plr_shard *like) {
  uint32_t at = w->count++;
  swarm_node *n = &w->nodes[at];
  uint8_t seed[32] = {7, (uint8_t)(at + 1)};
  assert_in_range(at, 0, SWARM_MAX_NODES);
  n->stage = stage;
  assert_int_equal(plr_identity_create(w->ctx, seed, &n->identity, NULL), PLR_OK);
  if (stage < w->config.stages) make_shard(w, n);
  if (like) copy_shard(like, n->shard);
  make_engine(w, n, lane);
  assert_int_equal(sim_add_node(w->net, n->engine), at);
  for (uint32_t kind = 1; kind < SIM_JOB_KINDS; kind++)
    sim_job_time(w->net, at, kind, w->config.job_ns + at * w->config.job_ns / 17);
  return at;
}

void swarm_link(swarm *w, uint32_t above, uint32_t below) {
  join_ends(w, above, PLR_SIDE_DOWNSTREAM, below, PLR_SIDE_UPSTREAM);
}

/* The feeder is stage `stages`, before stage 0 and behind the last. */
static void connect_all(swarm *w, uint32_t node) {
  uint32_t ring = w->config.stages + 1, stage = w->nodes[node].stage;
  for (uint32_t i = 0; i < w->count; i++) {
    if (i == node || w->nodes[i].dead) continue;
    if (w->nodes[i].stage == (stage + 1) % ring) swarm_link(w, node, i);
    if ((w->nodes[i].stage + 1) % ring == stage) swarm_link(w, i, node);
    if (w->nodes[i].stage == stage && w->config.average_every)
      join_ends(w, i, PLR_SIDE_REPLICA, node, PLR_SIDE_REPLICA);
  }
}

void swarm_open(swarm *w, const swarm_config *config) {
  sim_hooks hooks = {.user = w, .event = on_event, .ran = on_ran};
  memset(w, 0, sizeof *w);
  w->config = *config;
  assert_int_equal(plr_context_create(NULL, &w->ctx, NULL), PLR_OK);
  make_model(w);
  w->text = pipe_text(TEXT_BYTES);
  assert_int_equal(plr_corpus_create(w->ctx, w->text, TEXT_BYTES, &w->corpus, NULL), PLR_OK);
  w->net = sim_create(&hooks);
  assert_non_null(w->net);
  w->feeder = add_node(w, config->stages, 0, NULL);
  for (uint32_t stage = 0; stage < config->stages; stage++)
    for (uint32_t r = 0; r < config->replicas[stage]; r++)
      connect_all(w, add_node(w, stage, r, NULL));
}

uint32_t swarm_join(swarm *w, uint32_t stage, uint32_t like) {
  uint32_t at = add_node(w, stage, w->count, w->nodes[like].shard);
  connect_all(w, at);
  return at;
}

void swarm_kill(swarm *w, uint32_t node, int tell) {
  w->nodes[node].dead = 1;
  sim_kill(w->net, node, tell);
}

void swarm_close(swarm *w) {
  sim_destroy(w->net);
  for (uint32_t i = 0; i < w->count; i++) plr_stage_destroy(w->nodes[i].engine);
  for (uint32_t i = 0; i < w->end_count; i++) plr_link_destroy(w->ends[i].link);
  for (uint32_t i = 0; i < w->count; i++) {
    plr_shard_destroy(w->nodes[i].shard);
    plr_identity_destroy(w->nodes[i].identity);
  }
  plr_corpus_destroy(w->corpus);
  plr_model_destroy(w->model);
  plr_context_destroy(w->ctx);
  free(w->text);
}

/* ---- running ---------------------------------------------------------------------------------- */

static int is_idle(void *user) {
  const swarm *w = user;
  return w->idle >= w->want_idle || w->nodes[w->feeder].failed;
}

static int all_stopped(void *user) {
  const swarm *w = user;
  for (uint32_t i = 0; i < w->count; i++)
    if (!w->nodes[i].dead && !w->nodes[i].stopped && !w->nodes[i].failed) return 0;
  return 1;
}

static void show(const swarm *w) {
  const plr_stage *f = w->nodes[w->feeder].engine;
  print_message("feeder: step %u, left %u, done %u, finished %u, outstanding %u\n",
                (unsigned)f->feeder.step, f->feeder.left, (unsigned)f->feeder.steps_done,
                (unsigned)f->feeder.finished, (unsigned)f->feeder.outstanding);
  for (uint32_t i = 0; i < w->count; i++)
    for (uint32_t k = 0; k < w->nodes[i].engine->record_count; k++) {
      const plr__record *r = &w->nodes[i].engine->records[k];
      if (w->nodes[i].dead || r->state == PLR__RECORD_EMPTY || r->finished ||
          (i != w->feeder && r->state == PLR__RECORD_DONE))
        continue;
      print_message("node %u: record of step %u, %u: state %u from %u to %u again %u asking %x\n",
                    i, (unsigned)r->step, r->micro_batch, r->state, (unsigned)r->peer[0],
                    (unsigned)r->peer[1], r->again, (unsigned)r->asking);
    }
  for (uint32_t i = 0; i < w->count; i++)
    print_message("node %u stage %u dead %u failed %u backwards %u: %s\n", i, w->nodes[i].stage,
                  w->nodes[i].dead, w->nodes[i].failed, w->nodes[i].backwards, w->nodes[i].message);
}

void swarm_train(swarm *w, uint64_t until) {
  w->want_idle = w->idle + 1;
  assert_int_equal(plr_stage_train(w->nodes[w->feeder].engine, until), PLR_OK);
  swarm_wait(w);
}

void swarm_wait(swarm *w) {
  if (sim_run(w->net, sim_now(w->net) + 40 * SECOND, is_idle, w) && w->idle >= w->want_idle) return;
  show(w);
  fail_msg("the command did not finish");
}

void swarm_stop(swarm *w) {
  assert_int_equal(plr_stage_stop(w->nodes[w->feeder].engine), PLR_OK);
  if (sim_run(w->net, sim_now(w->net) + 40 * SECOND, all_stopped, w)) return;
  show(w);
  fail_msg("not all stopped");
}

void swarm_check_once(const swarm *w, uint64_t until) {
  for (uint32_t stage = 0; stage < w->config.stages; stage++)
    for (uint64_t at = 0; at < until * w->info.micro_batches; at++) {
      uint32_t alive = 0, all = 0;
      for (uint32_t i = 0; i < w->count; i++) {
        if (w->nodes[i].stage != stage) continue;
        all += w->nodes[i].applied[at];
        if (!w->nodes[i].dead && plr__peer_first(w->nodes[i].engine, PLR__UP))
          alive += w->nodes[i].applied[at];
      }
      if (alive > 1 || all == 0)
        fail_msg("stage %u, micro-batch %u: counted %u times, %u of them by the living", stage,
                 (unsigned)at, all, alive);
    }
}

double swarm_distance(const swarm *w, uint32_t a, uint32_t b) {
  size_t n = (size_t)plr__shard_elements(w->nodes[a].shard);
  float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
  double most = 0;
  assert_true(x && y);
  assert_int_equal(plr__shard_read_vector(w->nodes[a].shard, x), PLR_OK);
  assert_int_equal(plr__shard_read_vector(w->nodes[b].shard, y), PLR_OK);
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i] - (double)y[i]));
  free(x);
  free(y);
  return most;
}

plr_stage_stats swarm_stats(const swarm *w, uint32_t node) {
  plr_stage_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_stage_get_stats(w->nodes[node].engine, &s), PLR_OK);
  return s;
}

uint32_t swarm_node_of(const swarm *w, uint32_t stage, uint32_t replica) {
  for (uint32_t i = 0; i < w->count; i++)
    if (w->nodes[i].stage == stage && replica-- == 0) return i;
  fail_msg("no such node");
  return 0;
}

#include "pipeline.h"

#include <stdio.h>
#include <time.h>

const int32_t pipe_prompt[5] = {'t', 'h', 'e', ' ', 's'};

#define TEXT_BYTES 20000u

/* ---- the little model and its text ------------------------------------------------------------ */

void pipe_manifest(char *out, size_t cap, int subspace) {
  const char *boundary =
      subspace ? "{\"kind\": \"subspace\", \"rank\": 4, \"seed\": 7, \"anchor_std\": 1.0}"
               : "{\"kind\": \"dense\"}";
  int n = snprintf(
      out, cap,
      "{\"format\": \"pluralis-model/1\", \"name\": \"sim\", \"family\": \"llama\", "
      "\"vocab\": \"bytes\", \"blocks\": 4, \"d_model\": 16, \"heads\": 2, \"kv_heads\": 1, "
      "\"head_dim\": 8, \"d_ff\": 32, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
      "\"init_std\": 0.05, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [1, 2, 3], "
      "\"boundary\": %s, \"train\": {\"seq_len\": 8, \"micro_batch\": 2, "
      "\"micro_batches\": 4, \"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, "
      "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "
      "\"schedule\": \"cosine\", \"warmup_steps\": 3, \"steps\": 40, \"data_seed\": 3}}",
      boundary);
  assert_in_range(n, 1, cap - 1);
}

char *pipe_text(size_t len) {
  static const char *const words[] = {"the ",  "sea ", "and ",    "a ",    "ship ",
                                      "went ", "to ",  "shore, ", "then ", "rested. "};
  char *text = malloc(len + 16);
  uint32_t x = 12345;
  assert_non_null(text);
  for (size_t at = 0; at < len;) {
    x = x * 1664525u + 1013904223u;
    const char *word = words[(x >> 16) % 10];
    size_t n = strlen(word);
    memcpy(text + at, word, at + n <= len ? n : len - at);
    at += n;
  }
  return text;
}

static plr_model *read_model(plr_context *ctx, const char *json) {
  plr_model *model = NULL;
  plr_error err = {.struct_size = sizeof err};
  if (plr_model_from_json(ctx, json, strlen(json), &model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  return model;
}

void pipe_replace(char *text, const char *from, const char *to) {
  char *at = strstr(text, from);
  assert_non_null(at);
  memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
  memcpy(at, to, strlen(to));
}

static plr_model *make_model(plr_context *ctx, int subspace, uint32_t micro_batches) {
  char json[1024], count[32];
  pipe_manifest(json, sizeof json, subspace);
  snprintf(count, sizeof count, "\"micro_batches\": %u", micro_batches ? micro_batches : 4u);
  pipe_replace(json, "\"micro_batches\": 4", count);
  return read_model(ctx, json);
}

/* ---- snapshots in memory ---------------------------------------------------------------------- */

static plr_status sink_write(void *user, const void *data, size_t len) {
  pipe_snapshot *s = user;
  if (s->len + len > s->cap) {
    s->cap = 2 * (s->len + len);
    s->data = realloc(s->data, s->cap);
    if (!s->data) return PLR_ERR_NO_MEMORY;
  }
  memcpy(s->data + s->len, data, len);
  s->len += len;
  return PLR_OK;
}

static plr_status sink_commit(void *user) {
  (void)user;
  return PLR_OK;
}

static void sink_abort(void *user) {
  ((pipe_snapshot *)user)->len = 0;
}

plr_sink pipe_sink(pipe_snapshot *to) {
  return (plr_sink){to, sink_write, sink_commit, sink_abort};
}

static plr_status source_read(void *user, uint64_t offset, void *buf, size_t len) {
  const pipe_snapshot *m = user;
  if (offset > m->len || len > m->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, m->data + offset, len);
  return PLR_OK;
}

static void source_close(void *user) {
  (void)user;
}

plr_source pipe_source(pipe_snapshot *from) {
  return (plr_source){from, from->len, source_read, source_close};
}

static void save(pipeline *p, uint32_t node) {
  pipe_snapshot *s = &p->snapshot[node];
  plr_sink sink = pipe_sink(s);
  s->len = 0;
  plr_status st = plr_shard_save(p->shard[node], &sink, NULL);
  if (st == PLR_ERR_NO_MEMORY) return; /* a test takes memory away: a host would try again later */
  assert_int_equal(st, PLR_OK);
  p->snapshot_step[node] = plr_shard_steps(p->shard[node]);
}

static void load(pipeline *p, uint32_t node) {
  pipe_snapshot m = {(uint8_t *)(uintptr_t)p->config.snapshots[node], p->config.snapshot_lens[node],
                     0};
  plr_source source = pipe_source(&m);
  plr_error err = {.struct_size = sizeof err};
  if (plr_shard_load(p->shard[node], &source, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void keep_receipt(pipeline *p, const plr_stage_event *e) {
  if (p->config.forget_receipts) return;
  assert_in_range(p->receipts, 0, PIPE_MAX_EVENTS - 1);
  pipe_receipt *r = &p->receipt[p->receipts++];
  r->data = malloc(e->len);
  assert_non_null(r->data);
  memcpy(r->data, e->data, e->len);
  r->len = e->len;
}

static void feeder_event(pipeline *p, const plr_stage_event *e) {
  switch (e->type) {
  case PLR_STAGE_STEP:
    p->losses[p->steps++] = e->value;
    break;
  case PLR_STAGE_EVAL:
    p->evals++, p->eval = e->value;
    break;
  case PLR_STAGE_TOKEN:
    p->token[p->tokens++] = e->token;
    break;
  case PLR_STAGE_GENERATED:
    p->generated++;
    break;
  case PLR_STAGE_IDLE:
    p->idle++;
    break;
  case PLR_STAGE_RECEIPT:
    keep_receipt(p, e);
    break;
  case PLR_STAGE_ROOT:
    p->roots++, p->root = e->hash, p->root_step = e->step;
    break;
  case PLR_STAGE_STOPPED:
    p->stop_root = e->hash, p->stop_step = e->step;
    break;
  case PLR_STAGE_ENTRY:
    p->entries++;
    assert_in_range(e->len, 1, sizeof p->entry);
    memcpy(p->entry, e->data, e->len);
    p->entry_len = e->len;
    break;
  default:
    break;
  }
}

static void on_event(void *user, uint32_t node, const plr_stage_event *e) {
  pipeline *p = user;
  if (p->on_event) p->on_event(p, node, e);
  if (node == p->feeder) feeder_event(p, e);
  if (node != p->feeder && e->type == PLR_STAGE_RECEIPT) p->worker_receipts[node]++;
  if (e->type == PLR_STAGE_READY) p->ready++;
  if (e->type == PLR_STAGE_STOPPED) p->stopped++;
  if (e->type == PLR_STAGE_REFUSED) {
    p->refused++;
    char *to = strstr(e->message, "refused by us") ? p->refusal[node] : p->told[node];
    snprintf(to, sizeof p->told[node], "%s", e->message);
  }
  if (e->type == PLR_STAGE_FAILED) {
    assert_int_equal(p->failure_status[node], 0); /* once */
    p->failed++;
    p->failure_status[node] = e->status;
    snprintf(p->failure[node], sizeof p->failure[node], "%s", e->message);
  }
}

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *job_thread(void *job) {
  plr_job_run(job);
  return NULL;
}

static void on_run(void *user, uint32_t node, plr_job *job) {
  pipeline *p = user;
  if (p->config.threads) {
    assert_int_equal(pthread_create(&p->thread[node], NULL, job_thread, job), 0);
  } else {
    double begin = p->config.time_jobs ? cpu_seconds() : 0;
    plr_job_run(job);
    if (p->config.time_jobs) *p->config.time_jobs += cpu_seconds() - begin;
  }
}

static void on_ran(void *user, uint32_t node, plr_job *job) {
  pipeline *p = user;
  if (p->config.threads) pthread_join(p->thread[node], NULL);
  plr_job_info info = {.struct_size = sizeof info};
  plr_job_get_info(job, &info);
  if (info.kind == PLR_JOB_SNAPSHOT) save(p, node);
  if (p->before_complete) p->before_complete(p, node, job);
}

/* ---- building --------------------------------------------------------------------------------- */

pipe_config pipe_defaults(uint32_t stages) {
  pipe_config c;
  memset(&c, 0, sizeof c);
  c.stages = stages;
  c.subspace = 1;
  c.codec = "raw";
  c.wire.delay_ns = 25000000;
  c.wire.bytes_per_second = 10000000;
  c.wire.seed = 1;
  c.job_ns = 2000000;
  return c;
}

static plr_link *make_link(pipeline *p, uint32_t node, uint32_t side, uint32_t peer) {
  plr_link_options o;
  plr_link *link = NULL;
  plr_link_options_init(&o, sizeof o);
  o.initiator = side == PLR_SIDE_DOWNSTREAM;
  plr_model_hash(p->model, &o.model);
  plr_profile_hash(&o.profile);
  o.nonce[0] = (uint8_t)(1 + 2 * node + side);
  plr_identity_public_key(p->identity[peer], o.peer_key);
  if (p->config.link_window) o.window = p->config.link_window;
  if (p->config.link_timeout_ns) o.timeout_ns = p->config.link_timeout_ns;
  assert_int_equal(plr_link_create(p->ctx, p->identity[node], &o, &link, NULL), PLR_OK);
  return link;
}

static void make_stage(pipeline *p, uint32_t node) {
  const pipe_config *c = &p->config;
  plr_stage_options o;
  plr_error err = {.struct_size = sizeof err};
  plr_stage_options_init(&o, sizeof o);
  o.role = node == p->feeder ? PLR_STAGE_FEEDER : PLR_STAGE_WORKER;
  o.index = node == p->feeder ? 0 : node;
  o.count = c->stages;
  o.snapshot_every = c->snapshot_every;
  o.start_step = c->start_step;
  o.epoch = node == p->feeder ? 5 : 0;
  o.origin = PIPE_ORIGIN;
  o.identity = p->identity[node];
  o.model = p->model;
  o.corpus = node == p->feeder ? p->corpus : NULL;
  o.shard = node == p->feeder ? NULL : p->shard[node];
  assert_int_equal(plr_codec_from_name(c->codec, &o.forward_codec), PLR_OK);
  o.backward_codec = o.forward_codec;
  o.auto_budget = node == p->feeder ? 0 : c->auto_budget;
  o.schedule = c->schedule, o.window = c->window;
  o.max_in_flight = node == p->feeder ? 0 : c->max_in_flight;
  if (plr_stage_create(p->ctx, &o, &p->stage[node], &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static void make_shard(pipeline *p, uint32_t node) {
  plr_shard_options o;
  uint32_t each = p->info.blocks / p->config.stages;
  plr_error err = {.struct_size = sizeof err};
  plr_shard_options_init(&o, sizeof o);
  o.first_block = node * each;
  o.end_block = (node + 1) * each;
  o.slots = p->config.max_in_flight ? p->config.max_in_flight : p->config.stages - node;
  if (p->config.schedule == PLR_PIPELINE_ASYNC) {
    o.delayed = p->config.newest ? PLR_DELAYED_NEWEST : PLR_DELAYED_STASH;
    if (!p->config.newest) o.versions = o.slots + 1;
  }
  if (plr_shard_create(p->ctx, p->model, &o, &p->shard[node], &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  if (p->config.snapshots) load(p, node);
}

static void connect(pipeline *p) {
  uint32_t nodes = p->config.stages + 1;
  for (uint32_t i = 0; i < nodes; i++) {
    p->link[i][PLR_SIDE_DOWNSTREAM] = make_link(p, i, PLR_SIDE_DOWNSTREAM, (i + 1) % nodes);
    p->link[i][PLR_SIDE_UPSTREAM] = make_link(p, i, PLR_SIDE_UPSTREAM, (i + nodes - 1) % nodes);
  }
  for (uint32_t i = 0; i < nodes; i++) {
    sim_wire wire = p->config.wire;
    uint32_t next = (i + 1) % nodes;
    wire.seed = wire.seed * 100 + i;
    sim_add_wire(p->net, i, p->link[i][PLR_SIDE_DOWNSTREAM], next, p->link[next][PLR_SIDE_UPSTREAM],
                 &wire);
    for (uint32_t side = 0; side < 2; side++)
      assert_int_equal(plr_stage_attach(p->stage[i], side, p->link[i][side]), PLR_OK);
  }
}

void pipe_open(pipeline *p, const pipe_config *config) {
  sim_hooks hooks = {.user = p, .event = on_event, .run = on_run, .ran = on_ran};
  memset(p, 0, sizeof *p);
  p->config = *config;
  p->feeder = config->stages;
  assert_int_equal(plr_context_create(config->context, &p->ctx, NULL), PLR_OK);
  p->model = config->manifest ? read_model(p->ctx, config->manifest)
                              : make_model(p->ctx, config->subspace, config->micro_batches);
  p->info.struct_size = sizeof p->info;
  assert_int_equal(plr_model_get_info(p->model, &p->info), PLR_OK);
  p->text = config->text ? NULL : pipe_text(TEXT_BYTES);
  assert_int_equal(plr_corpus_create(p->ctx, config->text ? config->text : p->text,
                                     config->text ? config->text_len : TEXT_BYTES, &p->corpus,
                                     NULL),
                   PLR_OK);
  p->net = sim_create(&hooks);
  assert_non_null(p->net);
  for (uint32_t i = 0; i <= config->stages; i++) {
    uint8_t seed[32] = {9, (uint8_t)(i + 1)};
    assert_int_equal(plr_identity_create(p->ctx, seed, &p->identity[i], NULL), PLR_OK);
    if (i < config->stages) make_shard(p, i);
    make_stage(p, i);
    assert_int_equal(sim_add_node(p->net, p->stage[i]), i);
    for (uint32_t kind = 1; kind < SIM_JOB_KINDS; kind++)
      sim_job_time(p->net, i, kind, config->job_ns + i * config->job_ns / 7);
  }
  connect(p);
}

void pipe_close(pipeline *p) {
  sim_destroy(p->net);
  for (uint32_t i = 0; i <= p->config.stages; i++) {
    plr_stage_destroy(p->stage[i]);
    plr_link_destroy(p->link[i][0]);
    plr_link_destroy(p->link[i][1]);
    plr_identity_destroy(p->identity[i]);
    if (i == p->feeder) continue;
    plr_shard_destroy(p->shard[i]);
    free(p->snapshot[i].data);
  }
  for (uint32_t i = 0; i < p->receipts; i++) free(p->receipt[i].data);
  plr_corpus_destroy(p->corpus);
  plr_model_destroy(p->model);
  plr_context_destroy(p->ctx);
  free(p->text);
}

/* ---- running ---------------------------------------------------------------------------------- */

static int is_idle(void *user) {
  const pipeline *p = user;
  return p->idle >= p->want_idle || p->failed;
}

static int all_stopped(void *user) {
  const pipeline *p = user;
  return p->stopped == p->config.stages + 1 || p->failed;
}

static void show_failures(const pipeline *p) {
  for (uint32_t i = 0; i <= p->config.stages; i++)
    if (p->failure[i][0]) print_message("node %u: %s\n", i, p->failure[i]);
}

static void wait_idle(pipeline *p) {
  p->want_idle = p->idle + 1;
  if (!sim_run(p->net, sim_now(p->net) + 3600 * SECOND, is_idle, p) || p->failed) {
    show_failures(p);
    fail_msg("the command did not finish");
  }
}

void pipe_train(pipeline *p, uint64_t until) {
  assert_int_equal(plr_stage_train(p->stage[p->feeder], until), PLR_OK);
  wait_idle(p);
}

void pipe_evaluate(pipeline *p, uint32_t batches) {
  assert_int_equal(plr_stage_evaluate(p->stage[p->feeder], batches), PLR_OK);
  wait_idle(p);
}

void pipe_generate(pipeline *p, const int32_t *prompt, uint32_t len, uint32_t count,
                   float temperature) {
  p->tokens = 0;
  assert_int_equal(plr_stage_generate(p->stage[p->feeder], prompt, len, count, temperature, 0,
                                      PIPE_GENERATE_SEED),
                   PLR_OK);
  wait_idle(p);
}

void pipe_stop(pipeline *p) {
  assert_int_equal(plr_stage_stop(p->stage[p->feeder]), PLR_OK);
  if (!sim_run(p->net, sim_now(p->net) + 3600 * SECOND, all_stopped, p) || p->failed) {
    show_failures(p);
    fail_msg("%u of %u nodes stopped", p->stopped, p->config.stages + 1);
  }
}

void pipe_run_for(pipeline *p, double seconds) {
  sim_run(p->net, sim_now(p->net) + (uint64_t)(seconds * 1e9), NULL, NULL);
}

static int by_bytes(const void *a, const void *b) {
  const pipe_receipt *x = a, *y = b;
  return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->data, y->data, x->len);
}

void pipe_sort_receipts(pipeline *p) {
  qsort(p->receipt, p->receipts, sizeof *p->receipt, by_bytes);
}

/* ---- reference -------------------------------------------------------------------------------- */

static void reference_eval(plr_shard *shard, const plr_corpus *corpus, const plr_model_info *m,
                           uint32_t batches, float *logits, pipe_reference *out) {
  int32_t tokens[64], inputs[64], labels[64];
  uint32_t n = m->micro_batch * m->seq_len;
  double sum = 0;
  for (uint32_t b = 0; b < batches; b++) {
    plr_tensor t;
    double loss = 0;
    assert_int_equal(plr_corpus_batch(corpus, PLR_SPLIT_VALIDATION, m->data_seed, b, m->micro_batch,
                                      m->seq_len, tokens, NULL),
                     PLR_OK);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t at = i / m->seq_len * (m->seq_len + 1) + i % m->seq_len;
      inputs[i] = tokens[at], labels[i] = tokens[at + 1];
    }
    plr_tensor_matrix(&t, logits, PLR_DTYPE_F32, n, m->vocab);
    assert_int_equal(plr_shard_infer(shard, inputs, m->micro_batch, m->seq_len, NULL, &t), PLR_OK);
    assert_int_equal(plr_shard_loss(shard, &t, labels, &loss), PLR_OK);
    sum += loss;
  }
  out->eval = batches ? sum / ((double)batches * n) : 0;
}

static void reference_generate(plr_shard *shard, const plr_model_info *m, uint32_t count,
                               float temperature, float *logits, pipe_reference *out) {
  int32_t context[8];
  uint32_t len = PLR_COUNT_OF(pipe_prompt);
  memcpy(context, pipe_prompt, sizeof pipe_prompt);
  for (uint32_t i = 0; i < count; i++) {
    plr_tensor t;
    plr_tensor_matrix(&t, logits, PLR_DTYPE_F32, len, m->vocab);
    assert_int_equal(plr_shard_infer(shard, context, 1, len, NULL, &t), PLR_OK);
    assert_int_equal(plr_sample(logits + (size_t)(len - 1) * m->vocab, m->vocab, temperature, 0,
                                PIPE_GENERATE_SEED, i, &out->tokens[i]),
                     PLR_OK);
    if (len == m->seq_len) memmove(context, context + 1, --len * sizeof *context);
    context[len++] = out->tokens[i];
  }
}

void pipe_reference_run(int subspace, uint64_t steps, uint32_t eval_batches, uint32_t generate,
                        float temperature, pipe_reference *out) {
  plr_context *ctx = NULL;
  plr_corpus *corpus = NULL;
  plr_shard *shard = NULL;
  plr_shard_options o;
  plr_model_info m = {.struct_size = sizeof m};
  int32_t tokens[64];
  plr_hash leaves[4];
  char *text = pipe_text(TEXT_BYTES);
  assert_int_equal(plr_context_create(NULL, &ctx, NULL), PLR_OK);
  plr_model *model = make_model(ctx, subspace, 0);
  assert_int_equal(plr_model_get_info(model, &m), PLR_OK);
  assert_int_equal(plr_corpus_create(ctx, text, TEXT_BYTES, &corpus, NULL), PLR_OK);
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 0, o.end_block = m.blocks;
  assert_int_equal(plr_shard_create(ctx, model, &o, &shard, NULL), PLR_OK);
  for (uint64_t step = 0; step < steps; step++) {
    double sum = 0;
    for (uint32_t mb = 0; mb < m.micro_batches; mb++) {
      double loss = 0;
      assert_int_equal(plr_corpus_batch(corpus, PLR_SPLIT_TRAIN, m.data_seed,
                                        step * m.micro_batches + mb, m.micro_batch, m.seq_len,
                                        tokens, NULL),
                       PLR_OK);
      assert_int_equal(plr_shard_forward(shard, 0, tokens, NULL, NULL, &loss), PLR_OK);
      assert_int_equal(plr_shard_backward(shard, 0, NULL, NULL), PLR_OK);
      sum += loss;
    }
    assert_int_equal(plr_shard_step(shard), PLR_OK);
    out->losses[step] = sum / ((double)m.micro_batches * m.micro_batch * m.seq_len);
  }
  float *logits = calloc((size_t)m.micro_batch * m.seq_len * m.vocab, sizeof *logits);
  assert_non_null(logits);
  reference_eval(shard, corpus, &m, eval_batches, logits, out);
  reference_generate(shard, &m, generate, temperature, logits, out);
  assert_int_equal(plr_shard_leaves(shard, leaves, m.blocks), PLR_OK);
  assert_int_equal(plr_weight_root(leaves, m.blocks, &out->root), PLR_OK);
  free(logits);
  plr_shard_destroy(shard);
  plr_corpus_destroy(corpus);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
  free(text);
}

#include "worker.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <pluralis/ledger.h>

#include "format.h"
#include "keys.h"
#include "lines.h"
#include "node.h"
#include "plan.h"
#include "snapshots.h"
#include "traffic.h"

struct worker {
  const struct options *o;
  char dir[1024];
  uv_loop_t loop;
  uv_timer_t linger;
  struct lines lines;
  struct node node;
  plr_context *ctx;
  plr_identity *identity;
  plr_model *model;
  plr_model_info info;
  plr_shard *shard;
  plr_stage *stage;
  plr_link *link[2];
  uint64_t raw[2], dense_bytes;
  int32_t open_account, frozen, failed, done;
  char save_error[480]; /* written by the job that saves, read when it is back */
};

/* ---- ending
 * ------------------------------------------------------------------------------------- */

static void close_all(struct worker *w) {
  if (w->done) return;
  w->done = 1;
  if (w->node.loop) node_close(&w->node);
  lines_close(&w->lines);
  uv_close((uv_handle_t *)&w->linger, NULL);
}

static void on_linger(uv_timer_t *timer) {
  close_all(timer->data);
}

/* Tells the parent, and gives the message and the neighbours' notice a moment to leave. */
static void fail(struct worker *w, const char *message) {
  if (w->failed || w->done) return;
  w->failed = 1;
  lines_send(&w->lines, "fail %s", message);
  uv_timer_start(&w->linger, on_linger, 200, 0);
}

static void fail_status(struct worker *w, const char *what, plr_status status,
                        const plr_error *err) {
  char text[1600];
  snprintf(text, sizeof text, "%s: %s%s%s (%s)", what, err->where, err->where[0] ? ": " : "",
           err->message[0] ? err->message : plr_status_message(status), plr_status_name(status));
  fail(w, text);
}

/* ---- the stage
 * ---------------------------------------------------------------------------------- */

static void report_traffic(struct worker *w) {
  plr_link_stats stats[2];
  if (w->frozen) return;
  for (int side = 0; side < 2; side++) {
    stats[side] = (plr_link_stats){.struct_size = sizeof stats[side]};
    plr_link_get_stats(w->link[side], &stats[side]);
  }
  lines_send(&w->lines,
             "traffic %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
             " %" PRIu64 " %" PRIu64,
             stats[0].bytes_sent, stats[1].bytes_sent, w->raw[0], w->raw[1],
             stats[PLR_SIDE_DOWNSTREAM].resumes, stats[0].retransmits + stats[1].retransmits,
             stats[0].bytes_per_s, stats[1].bytes_per_s);
}

/* On the work thread: a snapshot job also writes the file, before its leaf hashes are sent on. */
static void run_job(void *user, plr_job *job) {
  struct worker *w = user;
  plr_job_info info = {.struct_size = sizeof info};
  plr_job_get_info(job, &info);
  if (plr_job_run(job) != PLR_OK || info.kind != PLR_JOB_SNAPSHOT || info.step == w->o->start_step)
    return;
  char path[1100];
  plr_error err;
  plr_sink sink;
  plr_error_init(&err, sizeof err);
  snapshot_path(path, sizeof path, w->dir, (uint32_t)w->o->worker, info.step);
  plr_status status = plr_sink_open_path(w->ctx, path, &sink, &err);
  if (status == PLR_OK) status = plr_shard_save(w->shard, &sink, &err);
  if (status == PLR_OK) {
    snapshot_prune(w->dir, (uint32_t)w->o->worker, (uint32_t)w->o->stages);
  } else {
    snprintf(w->save_error, sizeof w->save_error, "snapshot %.200s: %s (%.150s)", path,
             plr_status_message(status), err.message);
  }
}

/* What this job's result puts on a link, as dense bf16; the stage has just handed it over. */
static void count_raw(struct worker *w, const plr_job_info *job) {
  int first = w->o->worker == 0, last = w->o->worker + 1 == w->o->stages;
  if (w->frozen) return;
  if (!last && (job->kind == PLR_JOB_FORWARD || job->kind == PLR_JOB_INFER))
    w->raw[PLR_SIDE_DOWNSTREAM] += w->dense_bytes;
  if (!first && job->kind == PLR_JOB_BACKWARD) w->raw[PLR_SIDE_UPSTREAM] += w->dense_bytes;
}

static void on_job(void *user, const plr_job_info *job, uint64_t begin_ns, uint64_t end_ns) {
  struct worker *w = user;
  if (w->save_error[0]) fail(w, w->save_error);
  count_raw(w, job);
  lines_send(&w->lines, "job %u %" PRIu64 " %u %" PRIu64 " %" PRIu64, job->kind, job->step,
             job->micro_batch, begin_ns, end_ns);
  if (job->kind == PLR_JOB_STEP)
    for (int side = 0; side < 2; side++)
      shaper_set_rate(&w->node.side[side].shaper, options_rate(w->o, job->step + 1));
  if (job->kind == PLR_JOB_STEP || job->kind == PLR_JOB_INFER) report_traffic(w);
}

static void make_entry_options(const struct worker *w, uint64_t nonce, plr_entry_options *options) {
  plr_entry_options_init(options, sizeof *options);
  options->author = w->identity;
  options->origin = w->o->origin;
  options->nonce = nonce;
}

static void submit(struct worker *w, plr_status status, const void *entry, size_t len,
                   const plr_error *err) {
  if (status == PLR_OK) status = plr_stage_submit(w->stage, entry, len);
  if (status != PLR_OK) fail_status(w, "ledger entry", status, err);
  node_pump(&w->node);
}

static void submit_account(struct worker *w) {
  plr_entry_options options;
  plr_error err;
  uint8_t entry[1024];
  size_t len = 0;
  plr_error_init(&err, sizeof err);
  make_entry_options(w, 1, &options);
  plr_status status = plr_entry_account_open(w->ctx, &options, entry, sizeof entry, &len, &err);
  submit(w, status, entry, len, &err);
}

static void submit_claim(struct worker *w, uint64_t nonce) {
  plr_entry_options options;
  plr_error err;
  plr_hash model;
  uint8_t entry[1024];
  size_t len = 0;
  plr_error_init(&err, sizeof err);
  plr_model_hash(w->model, &model);
  make_entry_options(w, nonce, &options);
  plr_status status = plr_entry_claim(w->ctx, &options, &model, 0, entry, sizeof entry, &len, &err);
  submit(w, status, entry, len, &err);
}

static void on_event(void *user, const plr_stage_event *event) {
  struct worker *w = user;
  if (event->type == PLR_STAGE_FAILED) fail(w, event->message);
  if (event->type == PLR_STAGE_READY && w->open_account) submit_account(w);
}

/* ---- starting
 * ----------------------------------------------------------------------------------- */

static int make_link(struct worker *w, uint32_t side, const char *key_hex) {
  plr_link_options options;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_link_options_init(&options, sizeof options);
  options.initiator = side == PLR_SIDE_DOWNSTREAM;
  options.datagram = options_datagram(w->o);
  plr_model_hash(w->model, &options.model);
  plr_profile_hash(&options.profile);
  if (keys_from_hex(key_hex, options.peer_key) != 0) return -1;
  if (keys_random(options.nonce, sizeof options.nonce) != 0) return -1;
  plr_status status = plr_link_create(w->ctx, w->identity, &options, &w->link[side], &err);
  if (status != PLR_OK) return -1;
  const struct uv_link_options wire = options_wire(w->o, w->o->start_step);
  uv_link_init(&w->node.side[side], &w->loop, w->link[side], &wire, node_pump, &w->node);
  return 0;
}

static void on_peers(struct worker *w, const char *line) {
  char up[65], down[65];
  int open;
  const uint64_t process = w->o->worker + 1;
  const struct place here = place_of(w->o->netns, process),
                     next = place_of(w->o->netns, process == w->o->stages ? 0 : process + 1);
  if (w->node.attached || sscanf(line, "peers %64s %64s %d", up, down, &open) != 3) {
    fail(w, "the parent's message about neighbours is not understood");
    return;
  }
  w->open_account = open;
  if (place_enter(&here, NULL) != 0 || make_link(w, PLR_SIDE_UPSTREAM, up) != 0 ||
      make_link(w, PLR_SIDE_DOWNSTREAM, down) != 0 || node_attach(&w->node) != PLR_OK ||
      uv_link_accept(&w->node.side[PLR_SIDE_UPSTREAM], WORKER_LISTEN_FD) != 0 ||
      uv_link_connect(&w->node.side[PLR_SIDE_DOWNSTREAM], next.address, (uint16_t)w->o->port) != 0)
    fail(w, "the links could not be made");
}

static void on_line(void *user, char *line) {
  struct worker *w = user;
  uint64_t nonce;
  if (!line) {
    /* The parent is gone: nothing that is left to do would reach anyone. */
    w->failed = 1;
    close_all(w);
  } else if (strncmp(line, "peers ", 6) == 0) {
    on_peers(w, line);
  } else if (sscanf(line, "claim %" SCNu64, &nonce) == 1) {
    submit_claim(w, nonce);
  } else if (strcmp(line, "freeze") == 0) {
    report_traffic(w);
    w->frozen = 1;
    lines_send(&w->lines, "frozen");
  } else if (strcmp(line, "quit") == 0) {
    close_all(w);
  }
}

static int load_snapshot(struct worker *w) {
  char message[1300];
  plr_error err;
  struct snapshot_files files;
  plr_error_init(&err, sizeof err);
  if (w->o->start_step == 0) return 0;
  if (snapshot_open(w->ctx, w->dir, w->o->start_step, &files, message, sizeof message) != 0) {
    fail(w, message);
    return -1;
  }
  plr_status status = plr_shard_load_parts(w->shard, files.sources, files.count, &err);
  if (status != PLR_OK) fail_status(w, snapshot_named(&files, &err), status, &err);
  snapshot_close(&files);
  return status == PLR_OK ? 0 : -1;
}

static int make_shard(struct worker *w) {
  plr_shard_options options;
  plr_error err;
  uint32_t index = (uint32_t)w->o->worker, stages = (uint32_t)w->o->stages;
  plr_error_init(&err, sizeof err);
  plr_shard_options_init(&options, sizeof options);
  options.first_block = plan_first_block(w->model, &w->info, index, stages);
  options.end_block = plan_first_block(w->model, &w->info, index + 1, stages);
  options.device = w->o->device;
  struct options_schedule how = options_schedule(w->o, index, stages, w->info.micro_batches);
  options.slots = how.in_flight, options.delayed = how.delayed, options.versions = how.versions;
  plr_status status = plr_shard_create(w->ctx, w->model, &options, &w->shard, &err);
  if (status == PLR_OK) return load_snapshot(w);
  fail_status(w, "shard", status, &err);
  return -1;
}

static int make_stage(struct worker *w) {
  plr_stage_options options;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_stage_options_init(&options, sizeof options);
  options.index = (uint32_t)w->o->worker;
  options.count = (uint32_t)w->o->stages;
  options.snapshot_every = (uint32_t)w->o->snapshot_every;
  struct options_schedule how =
      options_schedule(w->o, options.index, options.count, w->info.micro_batches);
  options.schedule = how.schedule, options.window = how.window;
  options.max_in_flight = how.in_flight;
  options.origin = w->o->origin;
  options.identity = w->identity;
  options.model = w->model;
  options.shard = w->shard;
  plr_status status = plr_codec_from_name(w->o->codec, &options.forward_codec);
  options.backward_codec = options.forward_codec;
  if (status == PLR_OK && w->o->compress_auto) {
    options.auto_budget = 1;
    status = plr_codec_from_name(CODEC_AUTO_GRADIENT, &options.backward_codec);
  }
  if (status == PLR_OK) status = plr_stage_create(w->ctx, &options, &w->stage, &err);
  if (status == PLR_OK) return 0;
  fail_status(w, "stage", status, &err);
  return -1;
}

static void start(struct worker *w) {
  char message[512], keys[1100], name[32], hex[65];
  uint8_t key[32];
  plr_context_options options;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_context_options_init(&options, sizeof options);
  options.threads = (uint32_t)w->o->threads;
  plr_status status = plr_context_create(&options, &w->ctx, &err);
  if (status != PLR_OK) {
    fail_status(w, "context", status, &err);
    return;
  }
  snprintf(keys, sizeof keys, "%s/keys", w->o->out);
  snprintf(name, sizeof name, "stage-%u", (unsigned)w->o->worker);
  w->info.struct_size = sizeof w->info;
  if (keys_open(w->ctx, keys, name, &w->identity, message, sizeof message) != 0 ||
      plan_read_model(w->ctx, w->dir, &w->model, message, sizeof message) != 0) {
    fail(w, message);
    return;
  }
  plr_model_get_info(w->model, &w->info);
  w->dense_bytes = traffic_dense_bytes(&w->info);
  if (make_shard(w) != 0 || make_stage(w) != 0) return;
  struct node_callbacks callbacks = {on_event, run_job, on_job, w};
  node_init(&w->node, &w->loop, w->stage, &callbacks);
  plr_identity_public_key(w->identity, key);
  lines_send(&w->lines, "key %s", format_hex(hex, sizeof hex, key, sizeof key));
}

static void release(struct worker *w) {
  plr_stage_destroy(w->stage);
  plr_link_destroy(w->link[0]);
  plr_link_destroy(w->link[1]);
  plr_shard_destroy(w->shard);
  plr_model_destroy(w->model);
  plr_identity_destroy(w->identity);
  plr_context_destroy(w->ctx);
}

int worker_main(const struct options *o) {
  struct worker *w = calloc(1, sizeof *w);
  if (!w || snprintf(w->dir, sizeof w->dir, "%s/%s", o->out, o->name) >= (int)sizeof w->dir)
    return 1;
  w->o = o;
  /* No stage outlives the parent, however it ends. If it ended before this line, its number has
   * changed. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if ((uint64_t)getppid() != o->parent) return 1;
  signal(SIGPIPE, SIG_IGN);
  setenv("UV_THREADPOOL_SIZE", "1", 1); /* one job at a time */
  uv_loop_init(&w->loop);
  uv_timer_init(&w->loop, &w->linger);
  w->linger.data = w;
  uv_pipe_init(&w->loop, &w->lines.pipe, 0);
  if (uv_pipe_open(&w->lines.pipe, WORKER_PIPE_FD) != 0) return 1;
  lines_start(&w->lines, on_line, w);
  start(w);
  uv_run(&w->loop, UV_RUN_DEFAULT);
  uv_loop_close(&w->loop);
  int result = w->failed ? 1 : 0;
  release(w);
  free(w);
  return result;
}

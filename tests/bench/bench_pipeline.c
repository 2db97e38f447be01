/* Pipelines under a virtual clock: what they learn is real, how long it takes is counted, not measured. Options:
 *   --seeds N   of the losses (default 1)     --steps N   of a run (default 240); 0: no losses */
#include "sim/pipeline.h"

#include "bench.h"

#include <stdio.h>

static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"bench\", \"family\": \"llama\", "
    "\"vocab\": \"bytes\", \"blocks\": 8, \"d_model\": 64, \"heads\": 4, \"kv_heads\": 2, "
    "\"head_dim\": 16, \"d_ff\": 128, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
    "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": %u, \"cuts\": [1, 2, 3, 4, 5, 6, 7], "
    "\"boundary\": {\"kind\": \"subspace\", \"rank\": 16, \"seed\": 7, \"anchor_std\": 1.0}, "
    "\"train\": {\"seq_len\": 64, \"micro_batch\": 4, \"micro_batches\": %u, "
    "\"optimizer\": \"nadam\", \"momentum_decay\": 0.004, \"lr\": 2e-3, \"min_lr_ratio\": 0.1, "
    "\"beta1\": %s, \"beta2\": 0.999, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 0.35, "
    "\"schedule\": \"cosine\", \"warmup_steps\": 24, \"steps\": %u, \"data_seed\": 3}}";

static uint32_t steps = 240, seeds = 1;
static char *text;
static size_t text_len;

/* Something real to learn, if it is there. */
static const char *read_text(void) {
  FILE *f = fopen(PLR_SOURCE_DIR "/../shared/data/tinyshakespeare.txt", "rb");
  const char *name = "tinyshakespeare";
  if (f) {
    text = malloc(2000000);
    text_len = text ? fread(text, 1, 2000000, f) : 0;
    fclose(f);
  }
  if (text_len < 100000) text = pipe_text(text_len = 200000), name = "generated text";
  return name;
}

static pipe_config config(char *json, size_t cap, uint32_t seed, uint32_t micro_batches,
                          const char *beta1, uint32_t schedule) {
  pipe_config c = pipe_defaults(8);
  snprintf(json, cap, manifest, seed, micro_batches, beta1, steps > 30 ? steps : 30);
  c.manifest = json, c.text = text, c.text_len = text_len;
  c.schedule = schedule;
  c.forget_receipts = 1;
  return c;
}

/* ---- what is learned at equal tokens ---------------------------------------------------------- */

static double loss_of(uint32_t seed, const char *beta1, uint32_t schedule, uint32_t newest,
                      uint64_t *delay) {
  static pipeline p;
  char json[1200];
  plr_stage_stats s = {.struct_size = sizeof s};
  pipe_config c = config(json, sizeof json, seed, 4, beta1, schedule);
  c.newest = newest;
  pipe_open(&p, &c);
  pipe_train(&p, steps);
  pipe_evaluate(&p, 32);
  plr_stage_get_stats(p.stage[0], &s);
  *delay = s.max_delay;
  double loss = p.eval;
  pipe_close(&p);
  return loss;
}

static void losses(const char *what) {
  double sync = 0, stash = 0, newest = 0;
  uint64_t delay = 0, unused;
  for (uint32_t seed = 1; seed <= seeds; seed++) {
    sync += loss_of(seed, "0.9", PLR_PIPELINE_SYNC, 0, &unused) / seeds;
    stash += loss_of(seed, "0.99", PLR_PIPELINE_ASYNC, 0, &delay) / seeds;
    newest += loss_of(seed, "0.99", PLR_PIPELINE_ASYNC, 1, &unused) / seeds;
  }
  bench_print("pipeline/loss/async", stash, "nats a token", "sync", sync, sync / stash,
              "8 stages, %u steps of 1024 tokens of %s, %u paired seeds; NAdam, beta1 0.99 against "
              "0.9; old weights kept; delays up to %u steps",
              steps, what, seeds, (unsigned)delay);
  bench_print("pipeline/loss/newest", newest, "nats a token", "sync", sync, sync / newest,
              "the same, backward with the newest weights");
}

/* ---- how slow links matter -------------------------------------------------------------------- */

/* Virtual seconds for a step, over what a link of that rate and delay does. */
static double seconds_of(uint32_t schedule, uint64_t delay_ns, uint64_t bytes_per_second,
                         uint32_t window) {
  static pipeline p;
  char json[1200];
  pipe_config c = config(json, sizeof json, 1, 4, "0.99", schedule);
  c.codec = "int4";
  c.wire.delay_ns = delay_ns, c.wire.bytes_per_second = bytes_per_second;
  c.job_ns = 20000000;
  c.window = window, c.max_in_flight = schedule == PLR_PIPELINE_ASYNC ? window : 0;
  pipe_open(&p, &c);
  pipe_train(&p, 10);
  uint64_t begin = sim_now(p.net);
  pipe_train(&p, 110);
  double took = (double)(sim_now(p.net) - begin) * 1e-9 / 100;
  pipe_close(&p);
  return took;
}

static void slow_links(void) {
  double free_links = seconds_of(PLR_PIPELINE_ASYNC, 1000, 0, 64);
  double async = seconds_of(PLR_PIPELINE_ASYNC, 50000000, 10000000, 64);
  double sync = seconds_of(PLR_PIPELINE_SYNC, 50000000, 10000000, 0);
  bench_print(
      "pipeline/slow_links/async", 1024 / async, "tokens/s", "links without limits",
      1024 / free_links, free_links / async,
      "virtual clock: 8 stages, links of 80 Mbit/s and 50 ms, jobs of 20 to 40 ms, 64 under "
      "way; 100 steps, with filling and emptying the pipeline");
  bench_print("pipeline/slow_links/sync", 1024 / sync, "tokens/s", "links without limits",
              1024 / free_links, free_links / sync, "the same, sync");
}

/* ---- what the engine itself takes ------------------------------------------------------------- */

static double in_jobs;

static void overhead(void) {
  static pipeline p;
  char json[1200];
  uint64_t frames = 0;
  pipe_config c = config(json, sizeof json, 1, 4, "0.99", PLR_PIPELINE_ASYNC);
  c.time_jobs = &in_jobs;
  pipe_open(&p, &c);
  pipe_train(&p, 5);
  in_jobs = 0;
  double begin = bench_cpu_seconds();
  pipe_train(&p, 25);
  double all = bench_cpu_seconds() - begin;
  for (uint32_t i = 0; i <= 8; i++) {
    plr_link_stats s = {.struct_size = sizeof s};
    for (uint32_t side = 0; side < 2; side++) {
      plr_link_get_stats(p.link[i][side], &s);
      frames += s.frames_sent;
    }
  }
  frames = frames * 20 / 25;
  bench_print("pipeline/overhead", (all - in_jobs) / (double)frames * 1e6, "us/frame", NULL, 0, 0,
              "processor time outside of jobs, for each frame sent: engine, receipts, links "
              "(sealed) and the simulator; jobs took %.0f us a frame of this little model",
              in_jobs / (double)frames * 1e6);
  pipe_close(&p);
}

int main(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--seeds") == 0) seeds = (uint32_t)atoi(argv[i + 1]);
    if (strcmp(argv[i], "--steps") == 0) steps = (uint32_t)atoi(argv[i + 1]);
  }
  const char *what = read_text();
  overhead();
  slow_links();
  if (steps) losses(what);
  free(text);
  return 0;
}

/* Generation: one session of a 271M-parameter Llama, two threads, in every format of weights: tokens a second of decode
 * and of a prompt of 512, against llama-cpp-python in the same format, in turns. Before and after each turn the memory
 * is read, as much as the weights of a token, by as many threads: decode is measured against that. */
#include "bench.h"

#include <pluralis/pluralis.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define D        1024
#define BLOCKS   16
#define HEADS    16
#define HEAD_DIM 64
#define FF       2816
#define VOCAB    32000
#define PROMPT   512
#define CONTEXT  1024
#define THREADS  2
#define TURNS    7
#define TOKENS   8 /* of a turn */

/* ---- the read loop ---------------------------------------------------------------------------- */

typedef struct reader {
  const char *from;
  size_t len;
  uint64_t sum;
} reader;

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_all(const char *p, size_t len) {
  __m256i sum[8];
  for (int i = 0; i < 8; i++) sum[i] = _mm256_setzero_si256();
  for (size_t at = 0; at + 256 <= len; at += 256) {
    _mm_prefetch(p + at + 2048, _MM_HINT_T0);
    _mm_prefetch(p + at + 2112, _MM_HINT_T0);
    _mm_prefetch(p + at + 2176, _MM_HINT_T0);
    _mm_prefetch(p + at + 2240, _MM_HINT_T0);
    for (int i = 0; i < 8; i++)
      sum[i] =
          _mm256_xor_si256(sum[i], _mm256_loadu_si256((const __m256i *)(const void *)(p + at) + i));
  }
  for (int i = 1; i < 8; i++) sum[0] = _mm256_xor_si256(sum[0], sum[i]);
  return (uint64_t)_mm256_extract_epi64(sum[0], 0);
}
#else
static uint64_t read_all(const char *p, size_t len) {
  uint64_t sum[8] = {0}, x[8];
  for (size_t at = 0; at + sizeof x <= len; at += sizeof x) {
    memcpy(x, p + at, sizeof x);
    for (int i = 0; i < 8; i++) sum[i] ^= x[i];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}
#endif

static void *read_thread(void *arg) {
  reader *r = arg;
  r->sum = read_all(r->from, r->len);
  return NULL;
}

static volatile uint64_t read_sink; /* so that the sums are made */

/* Bytes a second of all threads. */
static double read_rate(const char *buffer, size_t len) {
  reader r[THREADS];
  pthread_t thread[THREADS];
  double start = bench_seconds();
  for (size_t i = 0; i < THREADS; i++) {
    r[i].from = buffer + len / THREADS / 64 * 64 * i, r[i].len = len / THREADS / 64 * 64;
    if (i > 0) pthread_create(&thread[i], NULL, read_thread, &r[i]);
  }
  read_thread(&r[0]);
  for (size_t i = 1; i < THREADS; i++) pthread_join(thread[i], NULL);
  double seconds = bench_seconds() - start;
  read_sink = r[0].sum;
  return (double)len / seconds;
}

/* ---- ours --------------------------------------------------------------------------------------- */

typedef struct ours {
  plr_context *ctx;
  plr_model *model;
  plr_shard *shard;
  plr_session *session;
  uint32_t vocab;
  float *logits;
} ours;

static void need(plr_status st, const plr_error *err) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_decode: %s: %s\n", plr_status_name(st), err->message);
  exit(1);
}

static plr_status make_model(ours *o, const char *vocab, plr_error *err) {
  char json[1024];
  snprintf(json, sizeof json,
           "{\"format\": \"pluralis-model/1\", \"name\": \"bench\", \"family\": \"llama\", "
           "\"vocab\": %s, \"blocks\": %d, \"d_model\": %d, \"heads\": %d, \"kv_heads\": %d, "
           "\"head_dim\": %d, \"d_ff\": %d, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
           "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [8], "
           "\"boundary\": {\"kind\": \"dense\"}, \"train\": {\"seq_len\": %d, \"micro_batch\": 1, "
           "\"micro_batches\": 1, \"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, "
           "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "
           "\"schedule\": \"constant\", \"warmup_steps\": 1, \"steps\": 2, \"data_seed\": 3}}",
           vocab, BLOCKS, D, HEADS, HEADS, HEAD_DIM, FF, PROMPT);
  return plr_model_from_json(o->ctx, json, strlen(json), &o->model, err);
}

static void ours_make(ours *o, uint32_t format) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_context_options c;
  plr_context_options_init(&c, sizeof c);
  c.threads = THREADS, c.isa = bench_isa();
  need(plr_context_create(&c, &o->ctx, &err), &err);
  char vocab[16];
  snprintf(vocab, sizeof vocab, "%d", VOCAB);
  if (make_model(o, vocab, &err) != PLR_OK) need(make_model(o, "\"bytes\"", &err), &err);
  plr_model_info info = {.struct_size = sizeof info};
  need(plr_model_get_info(o->model, &info), &err);
  o->vocab = info.vocab;
  plr_shard_options s;
  plr_shard_options_init(&s, sizeof s);
  s.inference_only = 1, s.weight_format = format;
  need(plr_shard_create(o->ctx, o->model, &s, &o->shard, &err), &err);
  plr_session_options n;
  plr_session_options_init(&n, sizeof n);
  n.max_tokens = CONTEXT;
  need(plr_session_create(o->shard, &n, &o->session, &err), &err);
  o->logits = bench_alloc((int64_t)o->vocab * 4);
}

static void ours_end(ours *o) {
  plr_session_destroy(o->session);
  plr_shard_destroy(o->shard);
  plr_model_destroy(o->model);
  plr_context_destroy(o->ctx);
  free(o->logits);
}

static void ours_feed(ours *o, const int32_t *tokens, uint32_t count) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_session_rows r = {o->session, tokens, count, plr_session_length(o->session), 1, 0};
  plr_tensor out;
  plr_tensor_matrix(&out, o->logits, PLR_DTYPE_F32, 1, o->vocab);
  need(plr_shard_feed(o->shard, &r, 1, NULL, &out, &err), &err);
}

static double ours_prefill(ours *o, uint32_t n) {
  int32_t tokens[PROMPT];
  for (uint32_t i = 0; i < n; i++) tokens[i] = (int32_t)((7 * i + 3) % o->vocab);
  plr_session_truncate(o->session, 0);
  double start = bench_seconds();
  ours_feed(o, tokens, n);
  return bench_seconds() - start;
}

static double ours_decode(ours *o, uint32_t n) {
  double start = bench_seconds();
  for (uint32_t i = 0; i < n; i++) {
    int32_t token = (int32_t)((5 * i + 1) % o->vocab);
    ours_feed(o, &token, 1);
  }
  return bench_seconds() - start;
}

/* ---- the peer ----------------------------------------------------------------------------------- */

typedef struct peer {
  FILE *to, *from;
  pid_t pid;
  char version[64];
} peer;

static void peer_exec(const char *python, const char *format, uint32_t vocab) {
  char numbers[8][16];
  const int values[8] = {THREADS, (int)vocab, D, BLOCKS, HEADS, HEAD_DIM, FF, CONTEXT};
  const char *argv[12] = {python, PLR_PEER_SCRIPT, format};
  for (int i = 0; i < 8; i++) {
    snprintf(numbers[i], sizeof numbers[i], "%d", values[i]);
    argv[3 + i] = numbers[i];
  }
  execvp(python, (char *const *)(uintptr_t)argv);
  _exit(127);
}

/* 0 when there is none. */
static int peer_start(peer *p, const char *format, uint32_t vocab) {
  const char *python = getenv("PLR_PEERS_PYTHON");
  int in[2], out[2];
  memset(p, 0, sizeof *p);
  if (!python || pipe(in) != 0 || pipe(out) != 0) return 0;
  p->pid = fork();
  if (p->pid == 0) {
    dup2(in[0], 0), dup2(out[1], 1);
    close(in[0]), close(in[1]), close(out[0]), close(out[1]);
    peer_exec(python, format, vocab);
  }
  close(in[0]), close(out[1]);
  p->to = fdopen(in[1], "w"), p->from = fdopen(out[0], "r");
  char line[128];
  if (p->from && fgets(line, sizeof line, p->from) && sscanf(line, "ready %63s", p->version) == 1)
    return 1;
  fprintf(stderr, "bench_decode: no peer for %s: %s did not start\n", format, python);
  return 0;
}

static double peer_ask(peer *p, const char *command, int n) {
  double seconds = 0.0;
  char line[64];
  fprintf(p->to, "%s %d\n", command, n);
  fflush(p->to);
  if (!fgets(line, sizeof line, p->from) || sscanf(line, "%lf", &seconds) != 1) {
    fprintf(stderr, "bench_decode: the peer ended\n");
    exit(1);
  }
  return seconds;
}

static void peer_end(peer *p) {
  if (p->to) fclose(p->to);
  if (p->from) fclose(p->from);
  if (p->pid > 0) waitpid(p->pid, NULL, 0);
}

/* ---- a format ----------------------------------------------------------------------------------- */

/* Its threads look for work for a while after a call. */
static void let_peer_rest(const peer *p) {
  if (p->pid > 0) usleep(30000);
}

static void decode_turns(ours *o, peer *p, const char *name, double bytes, const char *buffer) {
  double mine[TURNS], theirs[TURNS], share[TURNS], ratio[TURNS], rates[TURNS];
  ours_prefill(o, 32);
  ours_decode(o, 2);
  if (p->pid > 0) peer_ask(p, "prefill", 32), peer_ask(p, "decode", 2), let_peer_rest(p);
  for (int t = 0; t < TURNS; t++) {
    double before = read_rate(buffer, (size_t)bytes);
    mine[t] = ours_decode(o, TOKENS) / TOKENS;
    double after = read_rate(buffer, (size_t)bytes);
    rates[t] = (before + after) / 2;
    share[t] = bytes / mine[t] / rates[t];
    theirs[t] = p->pid > 0 ? peer_ask(p, "decode", TOKENS) / TOKENS : 0.0;
    ratio[t] = theirs[t] / mine[t];
    let_peer_rest(p);
  }
  char title[64], of[80];
  snprintf(title, sizeof title, "decode %s", name);
  snprintf(of, sizeof of, "llama-cpp-python %.60s", p->version);
  double read = bench_median(rates, TURNS), peer_seconds = bench_median(theirs, TURNS);
  bench_print(title, 1.0 / bench_median(mine, TURNS), "tokens/s", p->pid > 0 ? of : NULL,
              p->pid > 0 ? 1.0 / peer_seconds : 0.0, bench_median(ratio, TURNS),
              "%.0f%% of the read rate of %.1f GB/s, %.0f MB a token%s",
              100 * bench_median(share, TURNS), read * 1e-9, bytes * 1e-6,
              p->pid > 0 ? "" : "; peer skipped: no PLR_PEERS_PYTHON");
}

static void prefill_turns(ours *o, peer *p, const char *name, double products) {
  double mine[3], theirs[3], ratio[3], rates[3];
  ours_prefill(o, PROMPT);
  for (int t = 0; t < 3; t++) {
    double before = bench_fma_rate(THREADS, NULL);
    mine[t] = ours_prefill(o, PROMPT);
    rates[t] = (before + bench_fma_rate(THREADS, NULL)) / 2;
    theirs[t] = p->pid > 0 ? peer_ask(p, "prefill", PROMPT) : 0.0;
    ratio[t] = theirs[t] / mine[t];
    let_peer_rest(p);
  }
  char title[64], of[80];
  snprintf(title, sizeof title, "prefill %d %s", PROMPT, name);
  snprintf(of, sizeof of, "llama-cpp-python %.60s", p->version);
  double seconds = bench_median(mine, 3), fma = bench_median(rates, 3);
  bench_print(title, PROMPT / seconds, "tokens/s", p->pid > 0 ? of : NULL,
              p->pid > 0 ? PROMPT / bench_median(theirs, 3) : 0.0, bench_median(ratio, 3),
              "products at %.0f%% of the fp32 FMA rate of %.0f GFLOP/s",
              2e-7 * products * PROMPT / seconds / fma, fma);
}

static void run_format(uint32_t format, const char *name, const char *peer_format, double bits) {
  ours o;
  peer p;
  memset(&o, 0, sizeof o);
  ours_make(&o, format);
  double block = 4.0 * D * HEADS * HEAD_DIM + 3.0 * D * FF;
  double products = BLOCKS * block, weights = products + (double)o.vocab * D; /* with the head */
  double bytes = weights * bits / 8;
  char *buffer = bench_alloc((int64_t)bytes + 4096);
  memset(buffer, 1, (size_t)bytes + 4096);
  int there = peer_start(&p, peer_format, o.vocab);
  if (!there) peer_end(&p), memset(&p, 0, sizeof p);
  decode_turns(&o, &p, name, bytes, buffer);
  prefill_turns(&o, &p, name, products);
  if (there) peer_end(&p);
  free(buffer);
  ours_end(&o);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name, *peer;
    uint32_t format;
    double bits;
  } formats[] = {{"F32", "f32", PLR_WEIGHTS_F32, 32},
                 {"BF16", "bf16", PLR_WEIGHTS_BF16, 16},
                 {"Q8", "q8", PLR_WEIGHTS_Q8, 8.5},
                 {"Q4", "q4", PLR_WEIGHTS_Q4, 4.5}};
  bench_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  const char *only = getenv("PLR_DECODE_FORMAT"); /* one of the names above */
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (!only || strcmp(only, formats[i].name) == 0)
      run_format(formats[i].format, formats[i].name, formats[i].peer, formats[i].bits);
  return 0;
}

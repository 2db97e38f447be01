/* How far codecs are from the rate-distortion bound: ours and peers on the same tensors. */
#include "codec_gap.h"

#include "bench.h"
#include "codec_peers.h"
#include "codec_report.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PANELS = 40, MOST_POINTS = 64 };

typedef struct tensors {
  float *x, *y;
  size_t rows, cols;
} tensors;

static double snr(const tensors *t) {
  double power = 0, error = 0;
  for (size_t i = 0; i < t->rows * t->cols; i++) {
    const double e = (double)t->x[i] - (double)t->y[i];
    power += (double)t->x[i] * (double)t->x[i], error += e * e;
  }
  return error > 0 ? 10 * log10(power / error) : INFINITY;
}

static void add(report_panel *p, const char *name, int ours, double bits, double db) {
  if (p->count == MOST_POINTS || !isfinite(db)) return;
  report_point *q = &p->points[p->count++];
  snprintf(q->name, sizeof q->name, "%s", name);
  q->ours = ours, q->bits = bits, q->db = db;
}

static int run_ours(plr_context *ctx, const char *name, tensors *t, double *bits) {
  plr_codec codec;
  plr_encoder *e = NULL;
  plr_decoder *d = NULL;
  plr_tensor x, y;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION, .seed = 7};
  const uint32_t rows = (uint32_t)t->rows, cols = (uint32_t)t->cols;
  if (plr_codec_from_name(name, &codec) != PLR_OK ||
      plr_encoder_create(ctx, &codec, rows, cols, &e, NULL) != PLR_OK ||
      plr_decoder_create(ctx, rows, cols, &d, NULL) != PLR_OK)
    return 0;
  size_t cap = plr_encoder_bound(e), len = 0;
  uint8_t *frame = bench_alloc((int64_t)cap);
  plr_tensor_matrix(&x, t->x, PLR_DTYPE_F32, rows, cols);
  plr_tensor_matrix(&y, t->y, PLR_DTYPE_F32, rows, cols);
  const int good = plr_encoder_encode(e, &info, &x, frame, cap, &len) == PLR_OK &&
                   plr_decoder_decode(d, frame, len, &y, NULL, NULL) == PLR_OK;
  *bits = 8.0 * (double)len / (double)(t->rows * t->cols);
  free(frame);
  plr_encoder_destroy(e);
  plr_decoder_destroy(d);
  return good;
}

static const char *const ours[] = {
    "uniform1",       "uniform2",       "uniform3", "uniform4",       "uniform5",
    "uniform6",       "uniform8",       "trellis1", "trellis2",       "trellis3",
    "trellis4",       "trellis5",       "trellis6", "uniform2+token", "uniform4+token",
    "trellis2+token", "trellis4+token", "dither3",  "dither4",        "dither5",
    "int4",           "int8",           "eden2",    "eden3",          "eden4"};

/* Bits that ours take for a decibel figure: from its points with less and more, on a line. */
static double bits_at(const report_panel *p, const char *codec, double db) {
  const report_point *low = NULL, *high = NULL;
  const size_t n = strlen(codec);
  for (unsigned i = 0; i < p->count; i++) {
    const report_point *q = &p->points[i];
    if (!q->ours || strncmp(q->name, codec, n) != 0 || strchr(q->name, '+')) continue;
    if (q->db <= db && (!low || q->db > low->db)) low = q;
    if (q->db > db && (!high || q->db < high->db)) high = q;
  }
  if (!low || !high) return NAN;
  return low->bits + (high->bits - low->bits) * (db - low->db) / (high->db - low->db);
}

static void run_panel(plr_context *ctx, tensors *t, report_panel *p, const char *what,
                      int gaussian) {
  char name[128];
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
    double bits;
    if (!run_ours(ctx, ours[i], t, &bits)) continue;
    const double db = snr(t);
    add(p, ours[i], 1, bits, db);
    snprintf(name, sizeof name, "codec/%s/ours/%s", what, ours[i]);
    bench_print(name, gaussian ? 6.0206 * bits - db : db, "dB", NULL, 0, 0,
                "%.3f bits a value, %.2f dB%s", bits, db,
                gaussian ? "; value: from the bound" : "");
  }
  for (size_t i = 0; i < codec_peer_count; i++) {
    const peer *q = &codec_peers[i];
    if (t->cols % 32 || t->rows * t->cols % 4096) continue;
    const double bits = q->run(t->x, t->y, t->rows, t->cols, q->parameter), db = snr(t);
    add(p, q->name, 0, bits, db);
    snprintf(name, sizeof name, "codec/%s/peer/%s", what, q->name);
    const double trellis = bits_at(p, "trellis", db), uniform = bits_at(p, "uniform", db);
    char note[160];
    snprintf(note, sizeof note, "%.3f bits, %.2f dB; %s", bits, db, q->source);
    if (gaussian && q->expected_db > 0 && fabs(db - q->expected_db) > 0.1) {
      fprintf(stderr, "%s: %.2f dB, its paper's figure is %.2f\n", q->name, db, q->expected_db);
      exit(1);
    }
    if (isnan(trellis))
      bench_print(name, gaussian ? 6.0206 * bits - db : db, "dB", NULL, 0, 0, "%s", note);
    else
      bench_print(name, gaussian ? 6.0206 * bits - db : db, "dB", "trellis, bits at this error",
                  trellis, bits / trellis, "%s; uniform %.3f", note, uniform);
  }
}

static double normal(uint64_t *s) {
  double u[2];
  for (int i = 0; i < 2; i++) {
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    u[i] = ((double)(*s >> 11) + 0.5) * 0x1p-53;
  }
  return sqrt(-2 * log(u[0])) * cos(6.283185307179586 * u[1]);
}

/* kind 0: N(0,1); 1: log-normal channels and tokens; 2: with four loud channels. Returns the bound's offset: signal
 * power over the power that white noise of equal entropy has. */
static double fill(tensors *t, int kind) {
  uint64_t s = 11;
  double power = 0, logs = 0;
  double *channel = bench_alloc((int64_t)t->cols * 8);
  for (size_t c = 0; c < t->cols; c++) channel[c] = kind ? exp(0.5 * normal(&s)) : 1;
  for (size_t c = 0; c < 4 && kind == 2; c++) channel[c * 101 % t->cols] *= 30;
  for (size_t r = 0; r < t->rows; r++) {
    const double token = kind ? exp(0.3 * normal(&s)) : 1;
    for (size_t c = 0; c < t->cols; c++) {
      const double sigma = token * channel[c];
      t->x[r * t->cols + c] = (float)(sigma * normal(&s));
      power += sigma * sigma, logs += log10(sigma * sigma);
    }
  }
  free(channel);
  const double n = (double)(t->rows * t->cols);
  return 10 * log10(power / n) - 10 * logs / n;
}

/* A dump is NAME.ROWSxCOLS.f32: little-endian fp32. */
static int load(const char *folder, const char *file, tensors *t) {
  char path[1024];
  const char *end = strstr(file, ".f32"), *at = end;
  unsigned rows, cols;
  if (!end || end[4]) return 0;
  while (at > file && at[-1] != '.') at--;
  if (sscanf(at, "%ux%u.f32", &rows, &cols) != 2 || rows == 0 || cols == 0) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, file);
  FILE *f = fopen(path, "rb");
  if (!f) return 0;
  t->rows = rows, t->cols = cols;
  t->x = bench_alloc((int64_t)rows * cols * 4);
  t->y = bench_alloc((int64_t)rows * cols * 4);
  const int good = fread(t->x, 4, (size_t)rows * cols, f) == (size_t)rows * cols;
  fclose(f);
  return good;
}

static unsigned run_dumps(plr_context *ctx, const char *folder, report_panel *panels,
                          unsigned count) {
  DIR *dir = folder ? opendir(folder) : NULL;
  if (!dir) return count;
  for (struct dirent *e; count < MOST_PANELS && (e = readdir(dir)) != NULL;) {
    tensors t = {0};
    char what[96];
    if (load(folder, e->d_name, &t)) {
      report_panel *p = &panels[count++];
      snprintf(p->title, sizeof p->title, "%.100s", e->d_name);
      snprintf(what, sizeof what, "real/%.60s", e->d_name);
      p->bound_offset = NAN;
      p->points = bench_alloc(MOST_POINTS * (int64_t)sizeof *p->points);
      run_panel(ctx, &t, p, what, 0);
    }
    free(t.x), free(t.y);
  }
  closedir(dir);
  return count;
}

void bench_codec_gap(plr_context *ctx, const char *dumps, const char *report) {
  static const char *const titles[] = {"N(0,1), 512 x 1024",
                                       "Log-normal channels (0.5) and tokens (0.3)",
                                       "The same with four channels thirty times as loud"};
  static const char *const names[] = {"gap", "channels", "outliers"};
  static report_panel panels[MOST_PANELS];
  tensors t = {bench_alloc(512 * 1024 * 4), bench_alloc(512 * 1024 * 4), 512, 1024};
  unsigned count = 0;
  for (int kind = 0; kind < 3; kind++) {
    report_panel *p = &panels[count++];
    snprintf(p->title, sizeof p->title, "%s", titles[kind]);
    p->points = bench_alloc(MOST_POINTS * (int64_t)sizeof *p->points);
    p->bound_offset = fill(&t, kind);
    run_panel(ctx, &t, p, names[kind], kind == 0);
  }
  free(t.x), free(t.y);
  count = run_dumps(ctx, dumps, panels, count);
  if (report && codec_report(report, panels, count)) fprintf(stderr, "cannot write %s\n", report);
  for (unsigned i = 0; i < count; i++) free(panels[i].points);
}

#include "plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strbuf.h"
#include "text.h"
#include "traffic.h"

/* Both ways. Few coefficients with many bits each beat many with few, and training makes those of a projector unequal:
 * the codec has scales of its own for channels and tokens, and dither keeps the gradients unbiased. */
#define CODEC_COMPRESSED "dither5"
#define CODEC_DENSE      "bf16"
#define CODEC_AUTO       "uniform4+token"

/* ---- manifest
 * ----------------------------------------------------------------------------------- */

/* Feed-forward width: 8/3 of the model's, rounded up to 64, as Llama models have it. */
static uint64_t feed_forward(uint64_t width) {
  return (width * 8 / 3 + 63) / 64 * 64;
}

static void write_manifest(struct strbuf *b, const struct options *o, uint64_t rank) {
  uint64_t heads = o->width / 64, warmup = o->steps / 12;
  strbuf_printf(b, "{\"format\": \"pluralis-model/1\", \"name\": \"%s\", \"family\": \"llama\",\n",
                rank ? "ours" : "dense");
  strbuf_printf(b, " \"vocab\": \"bytes\", \"blocks\": %" PRIu64 ", \"d_model\": %" PRIu64 ",\n",
                o->blocks, o->width);
  strbuf_printf(b,
                " \"heads\": %" PRIu64 ", \"kv_heads\": %" PRIu64
                ", \"head_dim\": 64, \"d_ff\": %" PRIu64 ",\n",
                heads, heads % 2 ? heads : heads / 2, feed_forward(o->width));
  strbuf_printf(
      b,
      " \"norm_eps\": 1e-5, \"rope_theta\": 10000, \"init_std\": 0.02, \"embed_std\": 1.0,\n"
      " \"seed\": %" PRIu64 ",\n \"cuts\": [",
      o->seed);
  for (uint64_t s = 1; s < o->cut_stages; s++)
    strbuf_printf(b, "%s%" PRIu64, s > 1 ? ", " : "", s * o->blocks / o->cut_stages);
  strbuf_puts(b, "],\n");
  if (rank) {
    int projector = strcmp(o->boundary, "projector") == 0;
    strbuf_printf(b,
                  " \"boundary\": {\"kind\": \"%s\", \"rank\": %" PRIu64 ", \"seed\": %" PRIu64
                  ", \"anchor_std\": 1.0%s},\n",
                  o->boundary, rank, o->seed + 6, projector ? ", \"tied\": false" : "");
  } else {
    strbuf_puts(b, " \"boundary\": {\"kind\": \"dense\"},\n");
  }
  strbuf_printf(b,
                " \"train\": {\"seq_len\": %" PRIu64 ", \"micro_batch\": %" PRIu64
                ", \"micro_batches\": %" PRIu64
                ",\n  \"optimizer\": \"adamw\", \"lr\": %.9g, \"min_lr_ratio\": 0.1,\n",
                o->seq_len, o->micro_batch, o->micro_batches, o->lr);
  strbuf_printf(
      b,
      "  \"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0,\n"
      "  \"schedule\": \"cosine\", \"warmup_steps\": %" PRIu64 ", \"steps\": %" PRIu64
      ", \"data_seed\": %" PRIu64 "}}\n",
      warmup, o->steps, o->seed + 2);
}

static int make_model(plr_context *ctx, const char *what, struct plan *out, char *message,
                      size_t cap) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status status = plr_model_from_json(ctx, out->json, strlen(out->json), &out->model, &err);
  out->info.struct_size = sizeof out->info;
  if (status == PLR_OK) status = plr_model_get_info(out->model, &out->info);
  if (status != PLR_OK) {
    snprintf(message, cap, "%s: %s: %s (%s)", what, err.where, err.message,
             plr_status_name(status));
    return -1;
  }
  plr_model_hash(out->model, &out->hash);
  return 0;
}

static int check_stages(const struct options *o, const struct plan *plan, char *message,
                        size_t cap) {
  for (uint32_t s = 0; s < o->stages; s++) {
    if (plan_first_block(plan->model, &plan->info, s, (uint32_t)o->stages) <
        plan_first_block(plan->model, &plan->info, s + 1, (uint32_t)o->stages))
      continue;
    snprintf(message, cap, "--stages: the model has %u blocks and %u cuts, too few for %u stages",
             plan->info.blocks, plan->info.cut_count, (unsigned)o->stages);
    return -1;
  }
  return 0;
}

uint32_t plan_first_block(const plr_model *model, const plr_model_info *info, uint32_t stage,
                          uint32_t stages) {
  if (stage == 0) return 0;
  if (stage >= stages) return info->blocks;
  if (info->boundary == PLR_BOUNDARY_DENSE)
    return (uint32_t)((uint64_t)stage * info->blocks / stages);
  return plr_model_cut(model, (uint32_t)((uint64_t)stage * (info->cut_count + 1) / stages) - 1);
}

/* ---- rank
 * --------------------------------------------------------------------------------------- */

static int expect(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                  const plr_model_info *info, uint32_t width, double *ratio, char *message,
                  size_t cap) {
  struct traffic_shape shape = {
      .stages = (uint32_t)o->cut_stages, /* the rank does not change in a resume */
      .rows = info->micro_batch,
      .seq_len = info->seq_len,
      .micro_batches = info->micro_batches,
      .d_model = info->d_model,
      .width = width,
      .vocab = info->vocab,
      .data_seed = info->data_seed,
  };
  if (traffic_expected_ratio(ctx, &shape, CODEC_COMPRESSED, corpus, ratio) == 0) return 0;
  snprintf(message, cap, "the codec %s refuses %u values a token", CODEC_COMPRESSED, width);
  return -1;
}

static int find_rank(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                     const plr_model_info *info, uint32_t *rank, double *ratio, char *message,
                     size_t cap) {
  uint32_t low = 1, high = info->d_model / 2;
  double best;
  if (expect(ctx, o, corpus, info, 1, &best, message, cap) != 0) return -1;
  *rank = 1;
  *ratio = best;
  while (low <= high) {
    uint32_t middle = low + (high - low) / 2;
    double r;
    if (expect(ctx, o, corpus, info, middle, &r, message, cap) != 0) return -1;
    if (r >= o->compress) {
      *rank = middle;
      *ratio = r;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  if (best >= o->compress) return 0;
  snprintf(message, cap,
           "--compress: %g is out of reach; the best this model and batch can do is %.1f (rank 1). "
           "Larger "
           "micro-batches (--micro-batch) or a wider model (--width) reach more",
           o->compress, best);
  return -1;
}

int plan_compressed(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                    struct plan *out, char *message, size_t message_cap) {
  memset(out, 0, sizeof *out);
  snprintf(out->name, sizeof out->name, "ours");
  out->codec = CODEC_COMPRESSED;
  if (o->cut_stages == 1) {
    snprintf(message, message_cap, "--compress: with one stage nothing is sent; use --compress 1");
    return -1;
  }
  /* Shapes first: the rank is not needed for them. */
  uint32_t rank = 1;
  struct strbuf json = {0};
  write_manifest(&json, o, rank);
  out->json = json.text;
  if (make_model(ctx, "model", out, message, message_cap) != 0 ||
      find_rank(ctx, o, corpus, &out->info, &rank, &out->ratio, message, message_cap) != 0)
    return -1;
  plr_model_destroy(out->model);
  out->model = NULL;
  json.len = 0;
  write_manifest(&json, o, rank);
  out->json = json.text;
  if (make_model(ctx, "model", out, message, message_cap) != 0) return -1;
  snprintf(out->boundary, sizeof out->boundary, "%s of rank %u of %u, %s", o->boundary, rank,
           out->info.d_model, out->codec);
  return check_stages(o, out, message, message_cap);
}

int plan_dense(plr_context *ctx, const struct options *o, struct plan *out, char *message,
               size_t message_cap) {
  struct strbuf json = {0};
  memset(out, 0, sizeof *out);
  snprintf(out->name, sizeof out->name, "dense");
  snprintf(out->boundary, sizeof out->boundary, "all %u values in bf16, not compressed",
           (unsigned)o->width);
  out->codec = CODEC_DENSE;
  out->dense = 1;
  write_manifest(&json, o, 0);
  out->json = json.text;
  if (make_model(ctx, "model", out, message, message_cap) != 0) return -1;
  return check_stages(o, out, message, message_cap);
}

int plan_auto(plr_context *ctx, const struct options *o, struct plan *out, char *message,
              size_t message_cap) {
  if (plan_dense(ctx, o, out, message, message_cap) != 0) return -1;
  snprintf(out->name, sizeof out->name, "auto");
  snprintf(out->boundary, sizeof out->boundary, "all %u values, quantised; bits follow the links",
           (unsigned)o->width);
  out->codec = CODEC_AUTO;
  out->dense = 0;
  return 0;
}

static const char *kind_name(uint32_t boundary) {
  if (boundary == PLR_BOUNDARY_DENSE) return "dense";
  return boundary == PLR_BOUNDARY_SUBSPACE ? "subspace" : "projector";
}

int plan_manifest(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                  struct plan *out, char *message, size_t message_cap) {
  struct text text;
  memset(out, 0, sizeof *out);
  if (text_load(o->manifest, &text, message, message_cap) != 0) return -1;
  struct strbuf json = {0};
  strbuf_add(&json, text.bytes, text.len);
  text_free(&text);
  out->json = json.text;
  if (make_model(ctx, o->manifest, out, message, message_cap) != 0) return -1;
  out->dense = out->info.boundary == PLR_BOUNDARY_DENSE;
  out->codec = out->dense ? CODEC_DENSE : CODEC_COMPRESSED;
  snprintf(out->name, sizeof out->name, "%s", out->dense ? "dense" : "ours");
  snprintf(out->boundary, sizeof out->boundary, "%s, %u values a token, %s",
           kind_name(out->info.boundary), out->info.boundary_width, out->codec);
  if (!out->dense && o->cut_stages > 1 &&
      expect(ctx, o, corpus, &out->info, out->info.boundary_width, &out->ratio, message,
             message_cap) != 0)
    return -1;
  return check_stages(o, out, message, message_cap);
}

void plan_free(struct plan *plan) {
  plr_model_destroy(plan->model);
  free(plan->json);
  memset(plan, 0, sizeof *plan);
}

/* ---- manifest.json
 * ------------------------------------------------------------------------------ */

static int manifest_path(const char *dir, char *path, size_t cap) {
  return snprintf(path, cap, "%s/manifest.json", dir) < (int)cap ? 0 : -1;
}

int plan_read_model(plr_context *ctx, const char *dir, plr_model **out, char *message,
                    size_t message_cap) {
  char path[1024];
  struct text text;
  plr_error err;
  *out = NULL;
  plr_error_init(&err, sizeof err);
  if (manifest_path(dir, path, sizeof path) != 0 ||
      text_load(path, &text, message, message_cap) != 0)
    return -1;
  plr_status status = plr_model_from_json(ctx, (const char *)text.bytes, text.len, out, &err);
  text_free(&text);
  if (status == PLR_OK) return 0;
  snprintf(message, message_cap, "%s: %s: %s", path, err.where, err.message);
  return -1;
}

static int same_as_saved(const struct plan *plan, const char *path, char *message, size_t cap) {
  struct text text;
  if (text_load(path, &text, message, cap) != 0) return -1;
  int same = text.len == strlen(plan->json) && memcmp(text.bytes, plan->json, text.len) == 0;
  text_free(&text);
  if (same) return 0;
  snprintf(message, cap, "%s: is of another model than the options describe", path);
  return -1;
}

int plan_save(const struct plan *plan, const char *dir, char *message, size_t message_cap) {
  char path[1024];
  if (manifest_path(dir, path, sizeof path) != 0) {
    snprintf(message, message_cap, "%s: the path is too long", dir);
    return -1;
  }
  FILE *file = fopen(path, "wx");
  if (!file && errno == EEXIST) return same_as_saved(plan, path, message, message_cap);
  int ok = file && fputs(plan->json, file) >= 0;
  if (file && fclose(file) != 0) ok = 0;
  if (ok) return 0;
  snprintf(message, message_cap, "%s: %s", path, strerror(errno));
  if (file) remove(path);
  return -1;
}

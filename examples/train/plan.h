/* What is to be trained: the model's manifest, made from the options, and how its tensors cross
 * the links. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include <pluralis/exchange.h>
#include <pluralis/model.h>

#include "options.h"

struct plan {
  char name[16];  /* "ours" or "dense": also the folder in --out */
  uint32_t dense; /* 1: the baseline */
  char *json;
  plr_model *model;
  plr_model_info info;
  plr_hash hash;
  const char *codec;
  char boundary[96]; /* in words */
  double ratio;      /* expected; 0 for the baseline */
};

/* The compressed model: rank is the largest whose expected ratio is at least --compress; when
 * even rank 1 is not enough, -1 with a message that says what can be had. */
int plan_compressed(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                    struct plan *out, char *message, size_t message_cap);

/* The same model with dense boundaries in bf16. */
int plan_dense(plr_context *ctx, const struct options *o, struct plan *out, char *message,
               size_t message_cap);

/* The same with entropy-coded boundaries whose bits follow the links (--compress auto). Gradients get the
 * unbiased quantiser, for dW sums over tokens. */
#define CODEC_AUTO_GRADIENT "dither4"
int plan_auto(plr_context *ctx, const struct options *o, struct plan *out, char *message,
              size_t message_cap);

/* The designer's own manifest. */
int plan_manifest(plr_context *ctx, const struct options *o, const plr_corpus *corpus,
                  struct plan *out, char *message, size_t message_cap);
void plan_free(struct plan *plan);

/* First block of a stage; stage = stages gives the end. Only cuts of the model are used. */
uint32_t plan_first_block(const plr_model *model, const plr_model_info *info, uint32_t stage,
                          uint32_t stages);

/* Writes DIR/manifest.json, or checks that what is there is the same. Worker processes read it. */
int plan_save(const struct plan *plan, const char *dir, char *message, size_t message_cap);
int plan_read_model(plr_context *ctx, const char *dir, plr_model **out, char *message,
                    size_t message_cap);

#endif

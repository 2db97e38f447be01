/* Small models the tests of model and shard share. */
#ifndef PLR_TESTS_MODEL_COMMON_H
#define PLR_TESTS_MODEL_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pluralis/model.h>

#define TINY_SHAPE                                                                                 \
  "{\"format\": \"pluralis-model/1\", \"name\": \"tiny\", \"family\": \"llama\", "                 \
  "\"vocab\": \"bytes\", \"blocks\": 8, \"d_model\": 32, \"heads\": 4, \"kv_heads\": 2, "          \
  "\"head_dim\": 8, \"d_ff\": 48, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "                     \
  "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [2, 4, 6], "

#define TINY_TRAIN                                                                                 \
  "\"train\": {\"seq_len\": 16, \"micro_batch\": 2, \"micro_batches\": 2, "                        \
  "\"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, "                \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "                         \
  "\"schedule\": \"cosine\", \"warmup_steps\": 2, \"steps\": 40, \"data_seed\": 3}}"

#define SUBSPACE_JSON                                                                              \
  TINY_SHAPE "\"boundary\": {\"kind\": \"subspace\", \"rank\": 8, \"seed\": 7, "                   \
             "\"anchor_std\": 1.0}, " TINY_TRAIN

#define DENSE_JSON TINY_SHAPE "\"boundary\": {\"kind\": \"dense\"}, " TINY_TRAIN

/* SUBSPACE_JSON said in another order, with other spacing and other spellings of the same numbers. */
#define REORDERED_JSON                                                                             \
  "{\"train\":{\"data_seed\":3,\"steps\":40,\"warmup_steps\":2,\"schedule\":\"cosine\","           \
  "\"clip\":1,\"weight_decay\":1e-1,\"eps\":0.00000001,\"beta2\":95e-2,\"beta1\":0.90,"            \
  "\"min_lr_ratio\":0.1,\"lr\":0.003,\"optimizer\":\"adamw\",\"micro_batches\":2,"                 \
  "\"micro_batch\":2,\"seq_len\":16},\n\t\"boundary\":{\"anchor_std\":1,\"seed\":7,"               \
  "\"rank\":8,\"kind\":\"sub\\u0073pace\"},\"cuts\":[2,4,6],\"seed\":1,\"embed_std\":1,"           \
  "\"init_std\":2e-2,\"rope_theta\":1e4,\"norm_eps\":0.00001,\"d_ff\":48,\"head_dim\":8,"          \
  "\"kv_heads\":2,\"heads\":4,\"d_model\":32,\"blocks\":8,\"vocab\":\"bytes\","                    \
  "\"family\":\"llama\",\"name\":\"tiny\",\"format\":\"pluralis-model/1\"}"

static inline plr_context *new_context(void) {
  plr_context *ctx = NULL;
  assert_int_equal(plr_context_create(NULL, &ctx, NULL), PLR_OK);
  return ctx;
}

static inline plr_model *new_model(plr_context *ctx, const char *json) {
  plr_model *model = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_model_from_json(ctx, json, strlen(json), &model, &err);
  if (st != PLR_OK) fail_msg("%s at %s: %s", plr_status_name(st), err.where, err.message);
  return model;
}

#endif

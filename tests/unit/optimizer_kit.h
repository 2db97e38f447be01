/* Manifests of every optimizer, for the tests of the step. */
#ifndef PLR_TESTS_OPTIMIZER_KIT_H
#define PLR_TESTS_OPTIMIZER_KIT_H

#include "snapshot_kit.h"

typedef struct recipe {
  const char *name, *keys; /* what the optimizer says in `train`; {lr} and the like are common */
  const char *more;        /* clip, schedule */
} recipe;

#define ADAM_KEYS "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, "
#define CLIP_BLOCK                                                                                 \
  "\"clip\": 0.3, \"schedule\": \"cosine\", \"warmup_steps\": 2, \"steps\": 40, \"data_seed\": 3"
#define CLIP_GLOBAL                                                                                \
  "\"clip\": 0.5, \"clip_scope\": \"global\", \"schedule\": \"wsd\", \"decay_steps\": 10, "        \
  "\"warmup_steps\": 2, \"steps\": 24, \"data_seed\": 3"

static const recipe recipes[] = {
    {"adamw", ADAM_KEYS, CLIP_BLOCK},
    {"adamw", ADAM_KEYS, CLIP_GLOBAL},
    {"nadam", ADAM_KEYS "\"momentum_decay\": 0.004, ", CLIP_BLOCK},
    {"sgdm", "\"momentum\": 0.9, ", CLIP_BLOCK},
    {"adamw_row", ADAM_KEYS, CLIP_GLOBAL},
    {"muon", ADAM_KEYS "\"muon_lr\": 0.02, \"muon_momentum\": 0.95, ", CLIP_BLOCK},
};

static inline const char *recipe_json(const recipe *r, const char *boundary) {
  static char text[4096];
  int n = snprintf(text, sizeof text,
                   TINY_SHAPE "\"boundary\": %s, \"train\": {\"seq_len\": 16, \"micro_batch\": 2, "
                              "\"micro_batches\": 2, \"optimizer\": \"%s\", \"lr\": 3e-3, "
                              "\"min_lr_ratio\": 0.1, \"weight_decay\": 0.1, %s%s}}",
                   boundary, r->name, r->keys, r->more);
  assert_true(n > 0 && (size_t)n < sizeof text);
  return text;
}

#define DENSE_BOUNDARY    "{\"kind\": \"dense\"}"
#define SUBSPACE_BOUNDARY "{\"kind\": \"subspace\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 1.0}"

#endif

/* A published model's config.json, as read, and the manifest that says the same. */
#ifndef PLR_MODEL_CONFIG_H
#define PLR_MODEL_CONFIG_H

#include "model/model_int.h"

/* A kind of block: what may differ from layer to layer. */
typedef struct plr_config_layer {
  uint32_t window; /* keys that a query sees; 0: all earlier ones */
  uint32_t sparse; /* 1: a mixture of experts */
} plr_config_layer;

typedef struct plr_config {
  uint32_t naming; /* plr_naming */
  uint32_t hidden, ff, layers, heads, kv_heads, head_dim, vocab, positions;
  uint32_t tied, qkv_bias, o_bias, mlp_bias, qk_norm;
  uint32_t gelu; /* GPT-2: PLR_ACT_GELU or PLR_ACT_GELU_TANH */
  uint32_t unscaled; /* attention without 1 / sqrt(head_dim) */
  uint32_t experts, top_k, expert_ff, renormalise;
  double eps, theta, init, balance;
  char scaling[256]; /* of rope, as the manifest has it; empty: none */
  char type[32];
  plr_config_layer layer[PLR_MAX_BLOCKS];
} plr_config;

/* Reads the text; *text_out is the config.json of what we write, the context's memory. */
plr_status plr__config_read(plr_context *ctx, const char *json, size_t len, plr_config *out,
                            char **text_out, plr_error *err);

/* Appends the manifest (format 2). */
void plr__config_manifest(const plr_config *c, const plr_config_options *o, plr_buffer *out);

#endif

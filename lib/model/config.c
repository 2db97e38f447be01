/* Reads config.json of a published model. What it says of the function is either understood or refused by name: a
 * key that is neither read nor known to be harmless is refused, unless it is null or false. Facts: the configuration
 * classes of the `transformers` package (4.x and 5.x spellings). */
#include "model/config.h"

#include "kernels/ops.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT (1u << 20)
#define MAX_DIM  65536u

typedef struct reading {
  plr_config *c;
  json_t *root; /* keys are taken out as they are read */
  plr_error *err;
} reading;

static plr_status refuse(reading *r, plr_status st, const char *key, const char *fmt, ...)
    PLR_PRINTF(4, 5);

static plr_status refuse(reading *r, plr_status st, const char *key, const char *fmt, ...) {
  char where[64], message[240];
  snprintf(where, sizeof where, "config%s%.48s", *key ? "." : "", key);
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  return plr__fail(r->err, st, where, "%s", message);
}

/* ---- single keys ------------------------------------------------------------------------------ */

/* The value of a key, which the caller must json_decref; NULL when it is absent or null. */
static json_t *take(json_t *object, const char *key) {
  json_t *v = json_incref(json_object_get(object, key));
  json_object_del(object, key);
  if (!json_is_null(v)) return v;
  json_decref(v);
  return NULL;
}

#define REQUIRED UINT32_MAX

/* A whole number in 1 .. max; `absent` when it is not there. */
static plr_status whole(reading *r, const char *key, uint32_t max, uint32_t absent, uint32_t *out) {
  json_t *v = take(r->root, key);
  if (!v && absent == REQUIRED) return refuse(r, PLR_ERR_MALFORMED, key, "is missing");
  *out = absent;
  if (!v) return PLR_OK;
  int is = json_is_integer(v);
  json_int_t x = json_integer_value(v);
  json_decref(v);
  if (!is || x < 1 || x > (json_int_t)max)
    return refuse(r, PLR_ERR_MALFORMED, key, "must be a whole number in 1 .. %u", max);
  *out = (uint32_t)x;
  return PLR_OK;
}

static plr_status real_in(reading *r, json_t *object, const char *key, double min, double max,
                          double absent, double *out) {
  json_t *v = take(object, key);
  *out = absent;
  if (!v && isnan(absent)) return refuse(r, PLR_ERR_MALFORMED, key, "is missing");
  if (!v) return PLR_OK;
  int is = json_is_number(v);
  double x = json_number_value(v);
  json_decref(v);
  if (!is || !(x >= min && x <= max))
    return refuse(r, PLR_ERR_MALFORMED, key, "must be a number in %g .. %g", min, max);
  *out = x;
  return PLR_OK;
}

static plr_status flag(reading *r, const char *key, uint32_t absent, uint32_t *out) {
  json_t *v = take(r->root, key);
  *out = absent;
  if (!v) return PLR_OK;
  int is = json_is_boolean(v);
  *out = json_is_true(v);
  json_decref(v);
  return is ? PLR_OK : refuse(r, PLR_ERR_MALFORMED, key, "must be true or false");
}

/* A text; empty when the key is absent. */
static plr_status word(reading *r, json_t *object, const char *key, char *out, size_t size) {
  json_t *v = take(object, key);
  out[0] = 0;
  if (!v) return PLR_OK;
  int is = json_is_string(v) && json_string_length(v) < size;
  if (is) snprintf(out, size, "%s", json_string_value(v));
  json_decref(v);
  return is ? PLR_OK : refuse(r, PLR_ERR_MALFORMED, key, "must be a short text");
}

/* ---- rotary scaling --------------------------------------------------------------------------- */

/* YaRN's factor on the cosines and sines (Peng et al., arXiv 2309.00071, section 3.4, with the two optional weights
 * that later models add). Nine digits, so that the manifest does not hang on the last bit of a logarithm. */
static double yarn_attention(double factor, double a, double b) {
  if (factor <= 1.0) return 1.0;
  double plain = 0.1 * log(factor);
  return a > 0.0 && b > 0.0 ? (a * plain + 1.0) / (b * plain + 1.0) : plain + 1.0;
}

static plr_status read_yarn(reading *r, json_t *v, double factor, double original) {
  double fast, slow, attention, a, b;
  PLR_TRY(real_in(r, v, "beta_fast", 1e-6, 1e6, 32, &fast));
  PLR_TRY(real_in(r, v, "beta_slow", 1e-6, 1e6, 1, &slow));
  PLR_TRY(real_in(r, v, "attention_factor", 1e-6, 1e6, 0, &attention));
  PLR_TRY(real_in(r, v, "mscale", 0, 1e6, 0, &a));
  PLR_TRY(real_in(r, v, "mscale_all_dim", 0, 1e6, 0, &b));
  json_t *truncate = take(v, "truncate");
  int kept = !truncate || json_is_true(truncate);
  json_decref(truncate);
  if (!kept) return refuse(r, PLR_ERR_UNSUPPORTED, "truncate", "only true is known here");
  if (attention == 0) attention = yarn_attention(factor, a, b);
  snprintf(r->c->scaling, sizeof r->c->scaling,
           "{\"type\":\"yarn\",\"factor\":%.17g,\"beta_fast\":%.17g,\"beta_slow\":%.17g,"
           "\"attention_factor\":%.9g,\"original\":%.0f}",
           factor, fast, slow, attention, original);
  return PLR_OK;
}

static plr_status read_llama3(reading *r, json_t *v, double factor, double original) {
  double low, high;
  PLR_TRY(real_in(r, v, "low_freq_factor", 1e-6, 1e6, NAN, &low));
  PLR_TRY(real_in(r, v, "high_freq_factor", 1e-6, 1e6, NAN, &high));
  snprintf(r->c->scaling, sizeof r->c->scaling,
           "{\"type\":\"llama3\",\"factor\":%.17g,\"low_freq\":%.17g,\"high_freq\":%.17g,"
           "\"original\":%.0f}",
           factor, low, high, original);
  return PLR_OK;
}

static plr_status leftovers(reading *r, json_t *object, const char *inside);

/* rope_scaling (4.x) or rope_parameters (5.x), which also holds rope_theta. */
static plr_status read_rope_object(reading *r, json_t *v, const char *key) {
  char type[32], old[32];
  double factor, original, partial;
  if (!json_is_object(v)) return refuse(r, PLR_ERR_MALFORMED, key, "must be an object");
  PLR_TRY(word(r, v, "rope_type", type, sizeof type));
  PLR_TRY(word(r, v, "type", old, sizeof old));
  if (!type[0]) memcpy(type, old, sizeof type);
  PLR_TRY(real_in(r, v, "rope_theta", 1, 1e12, r->c->theta, &r->c->theta));
  PLR_TRY(real_in(r, v, "partial_rotary_factor", 0, 1, 1, &partial));
  if (partial < 1)
    return refuse(r, PLR_ERR_UNSUPPORTED, "partial_rotary_factor", "is %g; only 1 is known here",
                  partial);
  if (!type[0] || strcmp(type, "default") == 0) return leftovers(r, v, key);
  int linear = strcmp(type, "linear") == 0, llama3 = strcmp(type, "llama3") == 0;
  if (!linear && !llama3 && strcmp(type, "yarn") != 0)
    return refuse(r, PLR_ERR_UNSUPPORTED, key,
                  "type \"%s\" is not known here; known: default, linear, llama3, yarn", type);
  PLR_TRY(real_in(r, v, "original_max_position_embeddings", 1, 16777216,
                  llama3 ? NAN : r->c->positions, &original));
  double ratio = llama3 || linear ? NAN : r->c->positions / original;
  PLR_TRY(real_in(r, v, "factor", 1e-6, 1e6, ratio, &factor));
  if (linear)
    snprintf(r->c->scaling, sizeof r->c->scaling, "{\"type\":\"linear\",\"factor\":%.17g}", factor);
  else
    PLR_TRY(llama3 ? read_llama3(r, v, factor, original) : read_yarn(r, v, factor, original));
  return leftovers(r, v, key);
}

static plr_status read_rope(reading *r) {
  static const char *const keys[] = {"rope_scaling", "rope_parameters"};
  PLR_TRY(real_in(r, r->root, "rope_theta", 1, 1e12, 0, &r->c->theta));
  int found = 0;
  for (size_t i = 0; i < PLR_COUNT_OF(keys); i++) {
    json_t *v = take(r->root, keys[i]);
    if (!v) continue;
    plr_status st = found++ ? refuse(r, PLR_ERR_MALFORMED, keys[i], "is there beside rope_scaling")
                            : read_rope_object(r, v, keys[i]);
    json_decref(v);
    PLR_TRY(st);
  }
  /* Early Llamas do not say it; what others leave out differs from class to class. */
  if (r->c->theta == 0 && strcmp(r->c->type, "llama") != 0)
    return refuse(r, PLR_ERR_MALFORMED, "rope_theta", "is missing");
  if (r->c->theta == 0) r->c->theta = 10000;
  return PLR_OK;
}

/* ---- kinds of model --------------------------------------------------------------------------- */

static plr_status read_act(reading *r, const char *key, const char *absent, char out[32]) {
  PLR_TRY(word(r, r->root, key, out, 32));
  if (!out[0]) snprintf(out, 32, "%s", absent);
  return PLR_OK;
}

/* A key whose default differs between versions of the class. */
static plr_status must_say(reading *r, const char *key) {
  const json_t *v = json_object_get(r->root, key);
  return v && !json_is_null(v) ? PLR_OK : refuse(r, PLR_ERR_MALFORMED, key, "is missing");
}

/* What all but GPT-2 share. */
static plr_status read_llama_shape(reading *r) {
  plr_config *c = r->c;
  char act[32];
  PLR_TRY(whole(r, "hidden_size", MAX_DIM, REQUIRED, &c->hidden));
  PLR_TRY(whole(r, "intermediate_size", 4 * MAX_DIM, REQUIRED, &c->ff));
  PLR_TRY(whole(r, "num_hidden_layers", PLR_MAX_BLOCKS, REQUIRED, &c->layers));
  PLR_TRY(whole(r, "num_attention_heads", MAX_DIM, REQUIRED, &c->heads));
  PLR_TRY(whole(r, "num_key_value_heads", MAX_DIM, c->heads, &c->kv_heads));
  PLR_TRY(whole(r, "head_dim", MAX_DIM, PLR_MAX(c->hidden / c->heads, 1), &c->head_dim));
  PLR_TRY(whole(r, "vocab_size", 1u << 24, REQUIRED, &c->vocab));
  PLR_TRY(whole(r, "max_position_embeddings", 1u << 24, 2048, &c->positions));
  PLR_TRY(real_in(r, r->root, "rms_norm_eps", 1e-30, 1, NAN, &c->eps));
  PLR_TRY(read_act(r, "hidden_act", "silu", act));
  if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
    return refuse(r, PLR_ERR_UNSUPPORTED, "hidden_act", "\"%s\" is not known here; known: silu",
                  act);
  PLR_TRY(flag(r, "tie_word_embeddings", 0, &c->tied));
  return read_rope(r);
}

/* A window of all layers (Mistral, Mixtral). */
static plr_status read_window(reading *r) {
  uint32_t window;
  PLR_TRY(whole(r, "sliding_window", INT32_MAX, 0, &window));
  for (uint32_t i = 0; i < r->c->layers; i++) r->c->layer[i].window = window;
  return PLR_OK;
}

static plr_status read_layer_types(reading *r, const json_t *types, uint32_t window) {
  plr_config *c = r->c;
  static const char key[] = "layer_types";
  if (!json_is_array(types) || json_array_size(types) != c->layers)
    return refuse(r, PLR_ERR_MALFORMED, key, "must be a list of %u texts", c->layers);
  for (uint32_t i = 0; i < c->layers; i++) {
    const char *type = json_string_value(json_array_get(types, i));
    int sliding = type && strcmp(type, "sliding_attention") == 0;
    if (!sliding && (!type || strcmp(type, "full_attention") != 0))
      return refuse(r, PLR_ERR_UNSUPPORTED, key, "layer %u is neither full nor sliding attention",
                    i);
    c->layer[i].window = sliding ? window : 0;
    if (sliding && !window)
      return refuse(r, PLR_ERR_MALFORMED, key, "layer %u slides, but there is no sliding_window",
                    i);
  }
  return PLR_OK;
}

/* Qwen: a window that is off by default and is for the layers from max_window_layers on, or those that are listed. */
static plr_status read_qwen_window(reading *r, int all_layers) {
  plr_config *c = r->c;
  uint32_t use, window, from;
  PLR_TRY(flag(r, "use_sliding_window", 0, &use));
  PLR_TRY(whole(r, "sliding_window", INT32_MAX, 4096, &window));
  json_t *v = take(r->root, "max_window_layers");
  from = json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < INT32_MAX
             ? (uint32_t)json_integer_value(v)
             : 28;
  json_decref(v);
  for (uint32_t i = 0; use && i < c->layers; i++)
    if (all_layers || i >= from) c->layer[i].window = window;
  json_t *types = take(r->root, "layer_types");
  plr_status st = types ? read_layer_types(r, types, use ? window : 0) : PLR_OK;
  json_decref(types);
  return st;
}

static plr_status read_llama(reading *r) {
  plr_config *c = r->c;
  PLR_TRY(read_llama_shape(r));
  PLR_TRY(flag(r, "attention_bias", 0, &c->qkv_bias));
  c->o_bias = c->qkv_bias;
  return flag(r, "mlp_bias", 0, &c->mlp_bias);
}

static plr_status read_mistral(reading *r) {
  PLR_TRY(read_llama_shape(r));
  return read_window(r);
}

static plr_status read_qwen2(reading *r) {
  PLR_TRY(read_llama_shape(r));
  r->c->qkv_bias = 1;
  return read_qwen_window(r, 0);
}

static plr_status read_qwen3(reading *r) {
  plr_config *c = r->c;
  PLR_TRY(must_say(r, "head_dim"));
  PLR_TRY(read_llama_shape(r));
  PLR_TRY(flag(r, "attention_bias", 0, &c->qkv_bias));
  c->o_bias = c->qkv_bias;
  c->qk_norm = 1;
  return read_qwen_window(r, 0);
}

/* Experts under either of two names, how many a token goes to, and their balance. */
static plr_status read_experts(reading *r) {
  plr_config *c = r->c;
  uint32_t logged;
  double jitter;
  PLR_TRY(whole(r, "num_local_experts", 4096, 0, &c->experts));
  uint32_t other;
  PLR_TRY(whole(r, "num_experts", 4096, c->experts ? c->experts : REQUIRED, &other));
  c->experts = other;
  PLR_TRY(whole(r, "num_experts_per_tok", 256, REQUIRED, &c->top_k));
  if (c->top_k > c->experts)
    return refuse(r, PLR_ERR_MALFORMED, "num_experts_per_tok", "exceeds the %u experts",
                  c->experts);
  PLR_TRY(real_in(r, r->root, "router_aux_loss_coef", 0, 1e3, 0.001, &c->balance));
  PLR_TRY(flag(r, "output_router_logits", 0, &logged));
  if (!logged) c->balance = 0; /* the loss is then not part of training */
  PLR_TRY(real_in(r, r->root, "router_jitter_noise", 0, 1, 0, &jitter));
  if (jitter > 0)
    return refuse(r, PLR_ERR_UNSUPPORTED, "router_jitter_noise", "only 0 is known here");
  return PLR_OK;
}

static plr_status read_mixtral(reading *r) {
  plr_config *c = r->c;
  PLR_TRY(read_llama_shape(r));
  PLR_TRY(read_window(r));
  PLR_TRY(read_experts(r));
  c->expert_ff = c->ff, c->renormalise = 1;
  for (uint32_t i = 0; i < c->layers; i++) c->layer[i].sparse = 1;
  return PLR_OK;
}

/* Layers without experts are those listed, and all but each step-th. */
static plr_status read_dense_layers(reading *r) {
  plr_config *c = r->c;
  uint32_t step;
  static const char key[] = "mlp_only_layers";
  PLR_TRY(whole(r, "decoder_sparse_step", PLR_MAX_BLOCKS, 1, &step));
  for (uint32_t i = 0; i < c->layers; i++) c->layer[i].sparse = (i + 1) % step == 0;
  json_t *list = take(r->root, key);
  int good = !list || json_is_array(list);
  for (size_t i = 0; good && i < json_array_size(list); i++) {
    const json_t *v = json_array_get(list, i);
    json_int_t at = json_integer_value(v);
    good = json_is_integer(v) && at >= 0 && at < (json_int_t)c->layers;
    if (good) c->layer[at].sparse = 0;
  }
  json_decref(list);
  return good ? PLR_OK : refuse(r, PLR_ERR_MALFORMED, key, "must be a list of layers");
}

static plr_status read_qwen3_moe(reading *r) {
  plr_config *c = r->c;
  PLR_TRY(must_say(r, "head_dim"));
  PLR_TRY(read_llama_shape(r));
  PLR_TRY(flag(r, "attention_bias", 0, &c->qkv_bias));
  c->o_bias = c->qkv_bias;
  c->qk_norm = 1;
  PLR_TRY(read_qwen_window(r, 1));
  PLR_TRY(read_experts(r));
  PLR_TRY(whole(r, "moe_intermediate_size", 4 * MAX_DIM, REQUIRED, &c->expert_ff));
  PLR_TRY(flag(r, "norm_topk_prob", 0, &c->renormalise));
  return read_dense_layers(r);
}

static plr_status read_gpt2(reading *r) {
  plr_config *c = r->c;
  char act[32];
  uint32_t scaled;
  PLR_TRY(whole(r, "n_embd", MAX_DIM, REQUIRED, &c->hidden));
  PLR_TRY(whole(r, "n_layer", PLR_MAX_BLOCKS, REQUIRED, &c->layers));
  PLR_TRY(whole(r, "n_head", MAX_DIM, REQUIRED, &c->heads));
  PLR_TRY(whole(r, "n_positions", 1u << 24, 1024, &c->positions));
  PLR_TRY(whole(r, "n_inner", 4 * MAX_DIM, 4 * c->hidden, &c->ff));
  PLR_TRY(whole(r, "vocab_size", 1u << 24, REQUIRED, &c->vocab));
  PLR_TRY(real_in(r, r->root, "layer_norm_epsilon", 1e-30, 1, 1e-5, &c->eps));
  PLR_TRY(read_act(r, "activation_function", "gelu_new", act));
  int tanh_form = strcmp(act, "gelu_new") == 0 || strcmp(act, "gelu_pytorch_tanh") == 0;
  if (!tanh_form && strcmp(act, "gelu") != 0)
    return refuse(r, PLR_ERR_UNSUPPORTED, "activation_function",
                  "\"%s\" is not known here; known: gelu_new, gelu_pytorch_tanh, gelu", act);
  c->gelu = tanh_form ? PLR_ACT_GELU_TANH : PLR_ACT_GELU;
  c->qkv_bias = c->o_bias = c->mlp_bias = 1;
  PLR_TRY(flag(r, "scale_attn_weights", 1, &scaled));
  c->unscaled = !scaled;
  PLR_TRY(flag(r, "tie_word_embeddings", 1, &c->tied));
  c->kv_heads = c->heads, c->head_dim = PLR_MAX(c->hidden / c->heads, 1);
  if (c->hidden % c->heads)
    return refuse(r, PLR_ERR_MALFORMED, "n_head", "is %u, must divide n_embd %u", c->heads,
                  c->hidden);
  return PLR_OK;
}

static const struct {
  const char *type;
  uint32_t naming;
  plr_status (*read)(reading *);
} kinds[] = {
    {"llama", PLR_NAMES_LLAMA, read_llama},
    {"mistral", PLR_NAMES_LLAMA, read_mistral},
    {"qwen2", PLR_NAMES_LLAMA, read_qwen2},
    {"qwen3", PLR_NAMES_LLAMA, read_qwen3},
    {"mixtral", PLR_NAMES_MIXTRAL, read_mixtral},
    {"qwen3_moe", PLR_NAMES_QWEN3_MOE, read_qwen3_moe},
    {"gpt2", PLR_NAMES_GPT2, read_gpt2},
};

/* ---- the whole -------------------------------------------------------------------------------- */

/* Say nothing of the function that is computed, or only of dropout and sampling, which we do not have. */
static const char *const harmless[] = {
    "architectures", "attention_dropout", "attn_pdrop", "auto_map", "bos_token_id", "cls_token_id",
    "dtype", "embd_pdrop", "eos_token_id", "gradient_checkpointing", "hidden_dropout", "id2label",
    "is_decoder", "is_llama_config", "label2id", "max_length", "n_ctx", "pad_token_id",
    "pretraining_tp", "reorder_and_upcast_attn", "resid_pdrop", "return_dict", "sep_token_id",
    "task_specific_params", "tokenizer_class", "torch_dtype", "use_cache",
    /* prefixes */
    "_*", "summary_*", "transformers*", "unsloth*"};

static int is_harmless(const char *key) {
  for (size_t i = 0; i < PLR_COUNT_OF(harmless); i++) {
    size_t n = strlen(harmless[i]);
    int prefix = harmless[i][n - 1] == '*';
    if (prefix ? strncmp(harmless[i], key, n - 1) == 0 : strcmp(harmless[i], key) == 0) return 1;
  }
  return 0;
}

/* Refuses the first key that nobody has read. */
static plr_status leftovers(reading *r, json_t *object, const char *inside) {
  const char *key;
  json_t *v;
  json_object_foreach(object, key, v) {
    if (json_is_null(v) || json_is_false(v)) continue;
    if (*inside == 0 && is_harmless(key)) continue;
    return refuse(r, PLR_ERR_UNSUPPORTED, key,
                  "%s%sis not known here and may change what the model computes; take it out if it "
                  "does not",
                  inside, *inside ? ": " : "");
  }
  return PLR_OK;
}

static plr_status read_config(reading *r) {
  plr_config *c = r->c;
  PLR_TRY(word(r, r->root, "model_type", c->type, sizeof c->type));
  if (!c->type[0]) return refuse(r, PLR_ERR_MALFORMED, "model_type", "is missing");
  size_t k = 0;
  while (k < PLR_COUNT_OF(kinds) && strcmp(kinds[k].type, c->type) != 0) k++;
  if (k == PLR_COUNT_OF(kinds))
    return refuse(r, PLR_ERR_UNSUPPORTED, "model_type",
                  "\"%s\" is not known here; known: llama, mistral, qwen2, qwen3, mixtral, "
                  "qwen3_moe, gpt2",
                  c->type);
  c->naming = kinds[k].naming;
  PLR_TRY(real_in(r, r->root, "initializer_range", 1e-6, 1e3, 0.02, &c->init));
  PLR_TRY(kinds[k].read(r));
  if (c->heads % c->kv_heads)
    return refuse(r, PLR_ERR_MALFORMED, "num_key_value_heads", "is %u, must divide %u heads",
                  c->kv_heads, c->heads);
  return leftovers(r, r->root, "");
}

/* The config.json that belongs to what plr_shard_export writes: untied, in F32. */
static plr_status own_text(plr_context *ctx, const json_t *root, char **out, plr_error *err) {
  json_t *copy = json_copy((json_t *)root);
  const char *key = json_object_get(root, "dtype") ? "dtype" : "torch_dtype";
  char *text = NULL;
  if (copy && json_object_set_new(copy, "tie_word_embeddings", json_false()) == 0 &&
      json_object_set_new(copy, key, json_string("float32")) == 0)
    text = json_dumps(copy, JSON_INDENT(2) | JSON_SORT_KEYS);
  *out = text ? plr__strdup(ctx, text) : NULL;
  json_free_t release;
  json_get_alloc_funcs(NULL, &release);
  if (text) release(text);
  json_decref(copy);
  return *out ? PLR_OK : plr__no_memory(err, "config");
}

plr_status plr__config_read(plr_context *ctx, const char *json, size_t len, plr_config *out,
                            char **text_out, plr_error *err) {
  memset(out, 0, sizeof *out);
  *text_out = NULL;
  uint64_t most = PLR_MIN(plr__max_file(ctx), MAX_TEXT);
  if (len > most)
    return plr__fail(err, PLR_ERR_LIMIT, "config", "%zu bytes; at most %llu are read", len,
                     (unsigned long long)most);
  json_error_t bad;
  reading r = {out, json_loadb(json, len, JSON_REJECT_DUPLICATES, &bad), err};
  if (!r.root && json_error_code(&bad) == json_error_out_of_memory)
    return plr__no_memory(err, "config");
  if (!r.root)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "config",
                        bad.position > 0 ? (uint64_t)bad.position : 0, "line %d, column %d: %s",
                        bad.line, bad.column, bad.text);
  plr_status st = json_is_object(r.root) ? own_text(ctx, r.root, text_out, err)
                                         : refuse(&r, PLR_ERR_MALFORMED, "", "must be an object");
  if (st == PLR_OK) st = read_config(&r);
  json_decref(r.root);
  if (st != PLR_OK) {
    plr__free(ctx, *text_out);
    *text_out = NULL;
  }
  return st;
}

/* A config as a manifest of format 2 (BLOCKS.md), and the model made of it. */
#include "model/config.h"

#include "base/json.h"
#include "kernels/ops.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- operations ------------------------------------------------------------------------------- */

typedef struct writing {
  const plr_config *c;
  plr_buffer *out;
  const char *separator;
} writing;

#define PUT(w, ...) ((void)plr__buffer_printf((w)->out, __VA_ARGS__))

static void begin_op(writing *w, const char *op) {
  PUT(w, "%s{\"op\":\"%s\"", w->separator, op);
  w->separator = ",";
}

static void linear(writing *w, const char *in, const char *out, const char *name, uint32_t cols,
                   double std, uint32_t bias) {
  begin_op(w, "linear");
  PUT(w, ",\"in\":\"%s\",\"out\":\"%s\",\"name\":\"%s\",\"cols\":%u,\"std\":%.17g,\"bias\":%s}", in,
      out, name, cols, std, bias ? "true" : "false");
}

/* RMSNorm, or LayerNorm with a bias for GPT-2. heads: of that many parts, each by itself; 0: the row. */
static void norm(writing *w, const char *in, const char *out, const char *name, uint32_t heads) {
  int layer = w->c->naming == PLR_NAMES_GPT2;
  begin_op(w, layer ? "layernorm" : "rmsnorm");
  PUT(w, ",\"in\":\"%s\",\"out\":\"%s\",\"name\":\"%s\",\"eps\":%.17g", in, out, name, w->c->eps);
  if (layer) PUT(w, ",\"bias\":true");
  if (heads) PUT(w, ",\"heads\":%u", heads);
  PUT(w, "}");
}

static void rope(writing *w, const char *value) {
  const plr_config *c = w->c;
  begin_op(w, "rope");
  PUT(w, ",\"in\":\"%s\",\"out\":\"%s\",\"head_dim\":%u,\"theta\":%.17g", value, value, c->head_dim,
      c->theta);
  if (c->scaling[0]) PUT(w, ",\"scaling\":%s", c->scaling);
  PUT(w, "}");
}

static void element(writing *w, const char *op, const char *in, const char *out) {
  begin_op(w, op);
  PUT(w, ",\"in\":\"%s\",\"out\":\"%s\"}", in, out);
}

static void pair(writing *w, const char *op, const char *a_key, const char *a, const char *b_key,
                 const char *b, const char *out) {
  begin_op(w, op);
  PUT(w, ",\"%s\":\"%s\",\"%s\":\"%s\",\"out\":\"%s\"}", a_key, a, b_key, b, out);
}

/* Writes to the residual stream start smaller, so that it does not grow with depth (GPT-2, Radford et al. 2019). */
static double write_std(const plr_config *c) {
  return c->init / sqrt(2.0 * c->layers);
}

static void attention(writing *w, uint32_t window) {
  const plr_config *c = w->c;
  uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  norm(w, "x", "n", "attn_norm", 0);
  linear(w, "n", "q", "attn.q", q, c->init, c->qkv_bias);
  linear(w, "n", "k", "attn.k", kv, c->init, c->qkv_bias);
  linear(w, "n", "v", "attn.v", kv, c->init, c->qkv_bias);
  if (c->qk_norm) {
    norm(w, "q", "q", "attn.q_norm", c->heads);
    norm(w, "k", "k", "attn.k_norm", c->kv_heads);
  }
  if (c->naming != PLR_NAMES_GPT2) {
    rope(w, "q");
    rope(w, "k");
  }
  begin_op(w, "attention");
  PUT(w,
      ",\"q\":\"q\",\"k\":\"k\",\"v\":\"v\",\"out\":\"a\",\"heads\":%u,\"kv_heads\":%u,"
      "\"head_dim\":%u",
      c->heads, c->kv_heads, c->head_dim);
  if (window) PUT(w, ",\"window\":%u", window);
  if (c->unscaled) PUT(w, ",\"scale\":1");
  PUT(w, "}");
  linear(w, "a", "o", "attn.o", c->hidden, write_std(c), c->o_bias);
  pair(w, "add", "a", "x", "b", "o", "x");
}

static void mlp(writing *w) {
  const plr_config *c = w->c;
  if (c->naming == PLR_NAMES_GPT2) {
    linear(w, "n", "u", "mlp.up", c->ff, c->init, c->mlp_bias);
    element(w, c->gelu == PLR_ACT_GELU ? "gelu" : "gelu_tanh", "u", "h");
  } else {
    linear(w, "n", "g", "mlp.gate", c->ff, c->init, c->mlp_bias);
    linear(w, "n", "u", "mlp.up", c->ff, c->init, c->mlp_bias);
    pair(w, "swiglu", "gate", "g", "up", "u", "h");
  }
  linear(w, "h", "m", "mlp.down", c->hidden, write_std(c), c->mlp_bias);
}

static void experts(writing *w) {
  const plr_config *c = w->c;
  begin_op(w, "moe");
  PUT(w,
      ",\"in\":\"n\",\"out\":\"m\",\"name\":\"moe\",\"experts\":%u,\"top_k\":%u,\"cols\":%u,"
      "\"act\":\"silu\",\"std\":%.17g,\"down_std\":%.17g,\"balance\":%.17g,\"renormalise\":%s}",
      c->experts, c->top_k, c->expert_ff, c->init, write_std(c), c->balance,
      c->renormalise ? "true" : "false");
}

static void block(writing *w, const plr_config_layer *layer) {
  w->separator = "";
  attention(w, layer->window);
  norm(w, "x", "n", "mlp_norm", 0);
  if (layer->sparse)
    experts(w);
  else
    mlp(w);
  pair(w, "add", "a", "x", "b", "m", "x");
}

/* ---- the manifest ----------------------------------------------------------------------------- */

static void embed_and_head(writing *w) {
  const plr_config *c = w->c;
  w->separator = "";
  PUT(w, "\"embed\":[");
  begin_op(w, "embedding");
  PUT(w, ",\"out\":\"x\",\"name\":\"embed\",\"std\":%.17g}", c->init);
  if (c->naming == PLR_NAMES_GPT2) {
    begin_op(w, "positions");
    PUT(w, ",\"in\":\"x\",\"out\":\"x\",\"name\":\"positions\",\"std\":%.17g,\"count\":%u}",
        c->init / 2, c->positions);
  }
  w->separator = "";
  PUT(w, "],\"head\":[");
  norm(w, "x", "n", "norm", 0);
  linear(w, "n", "logits", "head", c->vocab, c->init, 0);
  PUT(w, "],");
}

static void blocks(writing *w) {
  const plr_config *c = w->c;
  PUT(w, "\"blocks\":[");
  for (uint32_t first = 0, end; first < c->layers; first = end) {
    for (end = first + 1; end < c->layers; end++)
      if (memcmp(&c->layer[end], &c->layer[first], sizeof c->layer[end]) != 0) break;
    PUT(w, "%s{\"repeat\":%u,\"ops\":[", first ? "," : "", end - first);
    block(w, &c->layer[first]);
    PUT(w, "]}");
  }
  PUT(w, "],");
}

/* For a model that is only served. */
static void default_train(writing *w) {
  PUT(w,
      "{\"seq_len\":%u,\"micro_batch\":1,\"micro_batches\":1,\"optimizer\":\"adamw\",\"lr\":1e-4,"
      "\"min_lr_ratio\":0.1,\"beta1\":0.9,\"beta2\":0.95,\"eps\":1e-8,\"weight_decay\":0.1,"
      "\"clip\":1,\"z_loss\":0,\"schedule\":\"constant\",\"warmup_steps\":0,\"steps\":1000,\"data_seed\":0}",
      PLR_MIN(w->c->positions, 512));
}

void plr__config_manifest(const plr_config *c, const plr_config_options *o, plr_buffer *out) {
  writing w = {c, out, ""};
  PUT(&w, "{\"format\":\"pluralis-model/2\",\"name\":");
  plr__json_put_string(out, o->name ? o->name : c->type);
  PUT(&w, ",\"vocab\":%u,\"d_model\":%u,\"seed\":%llu,", c->vocab, c->hidden,
      (unsigned long long)o->seed);
  embed_and_head(&w);
  blocks(&w);
  PUT(&w, "\"cuts\":[");
  for (uint32_t i = 0; i < o->cut_count; i++) PUT(&w, "%s%u", i ? "," : "", o->cuts[i]);
  PUT(&w, "],\"boundary\":%s,\"train\":", o->boundary ? o->boundary : "{\"kind\":\"dense\"}");
  if (o->train)
    PUT(&w, "%s", o->train);
  else
    default_train(&w);
  PUT(&w, "}");
}

/* ---- the model -------------------------------------------------------------------------------- */

void plr_config_options_init(plr_config_options *options, uint32_t struct_size) {
  plr_config_options d = {.seed = 0};
  plr__options_init(options, struct_size, &d, (uint32_t)sizeof d);
}

/* A text that goes into the manifest as it is must be one object, or it could say more than it is asked. */
static plr_status check_object(const char *text, const char *where, plr_error *err) {
  if (!text) return PLR_OK;
  json_error_t bad;
  json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &bad);
  int is = json_is_object(v), other = v != NULL;
  int memory = !v && json_error_code(&bad) == json_error_out_of_memory;
  json_decref(v);
  if (is) return PLR_OK;
  if (memory) return plr__no_memory(err, where);
  return plr__fail(err, PLR_ERR_MALFORMED, where, "must be a JSON object: %s",
                   other ? "it is another value" : bad.text);
}

static plr_status check_options(const plr_config_options *o, plr_error *err) {
  if (o->cut_count > PLR_MAX_BLOCKS || (o->cut_count && !o->cuts))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "config options",
                     "cuts is NULL, or there are more than %u", PLR_MAX_BLOCKS);
  if (o->seed > INT64_MAX)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "config options", "seed exceeds 2^63-1");
  PLR_TRY(check_object(o->boundary, "config options.boundary", err));
  return check_object(o->train, "config options.train", err);
}

static plr_status make_model(plr_context *ctx, const plr_config *c, const plr_config_options *o,
                             plr_model **out, plr_error *err) {
  plr_buffer text;
  plr__buffer_init(&text, ctx);
  plr__config_manifest(c, o, &text);
  plr_status st = text.failed
                      ? plr__no_memory(err, "config")
                      : plr_model_from_json(ctx, (const char *)text.data, text.len, out, err);
  plr__buffer_release(&text);
  if (st != PLR_OK) return st;
  plr_origin origin = {.naming = c->naming, .tied = c->tied, .experts = c->experts};
  (*out)->origin = origin;
  return PLR_OK;
}

plr_status plr_model_from_config(plr_context *ctx, const char *json, size_t len,
                                 const plr_config_options *options, plr_model **out,
                                 plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !json || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "config", "context, text or out is NULL");
  plr_config_options o;
  plr_config_options_init(&o, (uint32_t)sizeof o);
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "config options", err));
  PLR_TRY(check_options(&o, err));
  plr_config *c = plr__alloc(ctx, sizeof *c);
  if (!c) return plr__no_memory(err, "config");
  char *text = NULL;
  plr_status st = plr__config_read(ctx, json, len, c, &text, err);
  if (st == PLR_OK) st = make_model(ctx, c, &o, out, err);
  if (st == PLR_OK)
    (*out)->origin.config = text;
  else
    plr__free(ctx, text);
  plr__free(ctx, c);
  return st;
}

const char *plr_model_config(const plr_model *model) {
  return model ? model->origin.config : NULL;
}

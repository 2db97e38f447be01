/* Reads embed, blocks and head of format 2 (BLOCKS.md): JSON objects to descriptions, which program.c checks. */
#include "model/manifest_int.h"

#include <stdio.h>
#include <string.h>

static const plr_choice acts[] = {{"silu", PLR_LAYER_SILU},
                                  {"gelu", PLR_LAYER_GELU},
                                  {"gelu_tanh", PLR_LAYER_GELU_TANH},
                                  {"relu2", PLR_LAYER_RELU2},
                                  {NULL, 0}};

static plr_status read_keys(plr_reading *r, const char *path, const char *tag, const json_t *object,
                            const plr_layer *layer, plr_op_desc *d);

static plr_status read_scaling(plr_reading *r, const char *path, const json_t *v, plr_op_desc *d) {
  char inner[96];
  snprintf(inner, sizeof inner, "%s.scaling", path);
  if (!json_is_object(v)) return plr__wrong_type(r, inner, "", "an object", v);
  const json_t *type = json_object_get(v, "type");
  if (!type) return plr__refuse(r, PLR_ERR_MALFORMED, inner, "type", "is missing");
  if (!json_is_string(type)) return plr__wrong_type(r, inner, "type", "a string", type);
  const plr_layer *scaling = plr__scaling_named(json_string_value(type));
  if (!scaling)
    return plr__refuse(r, PLR_ERR_UNSUPPORTED, inner, "type", "\"%.48s\" is not known here",
                       json_string_value(type));
  d->scaling = scaling->op;
  return read_keys(r, inner, "type", v, scaling, d);
}

static plr_status read_key(plr_reading *r, const char *path, const plr_layer_key *k,
                           const json_t *v, plr_op_desc *d) {
  void *at = (char *)d + k->offset;
  uint64_t whole = 0;
  const char *text;
  switch (k->kind) {
  case PLR_KEY_VALUE:
  case PLR_KEY_OUT:
  case PLR_KEY_NAME:
    if (!json_is_string(v)) return plr__wrong_type(r, path, k->key, "a string", v);
    text = json_string_value(v);
    if (strlen(text) != json_string_length(v))
      return plr__refuse(r, PLR_ERR_MALFORMED, path, k->key, "holds a NUL");
    memcpy(at, &text, sizeof text);
    return PLR_OK;
  case PLR_KEY_WHOLE:
    PLR_TRY(plr__read_whole(r, path, k->key, v, k->min, k->max, &whole));
    *(uint32_t *)at = (uint32_t)whole;
    return PLR_OK;
  case PLR_KEY_REAL:
    return plr__read_real(r, path, k->key, v, k->min, k->max, at);
  case PLR_KEY_FLAG:
    return plr__read_flag(r, path, k->key, v, at);
  case PLR_KEY_ACT:
    return plr__read_choice(r, path, k->key, v, acts, at);
  case PLR_KEY_SCALING:
    return read_scaling(r, path, v, d);
  }
  return PLR_ERR_INTERNAL;
}

/* The keys of `layer`, all others but `tag` being unknown. */
static plr_status read_keys(plr_reading *r, const char *path, const char *tag, const json_t *object,
                            const plr_layer *layer, plr_op_desc *d) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    uint32_t i = 0;
    while (i < layer->key_count && strcmp(layer->keys[i].key, key) != 0) i++;
    if (i == layer->key_count && strcmp(key, tag) != 0)
      return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "unknown key of %s", layer->name);
  }
  for (uint32_t i = 0; i < layer->key_count; i++) {
    const plr_layer_key *k = &layer->keys[i];
    value = json_object_get(object, k->key);
    if (value)
      PLR_TRY(read_key(r, path, k, value, d));
    else if (!k->optional)
      return plr__refuse(r, PLR_ERR_MALFORMED, path, k->key, "is missing");
  }
  return PLR_OK;
}

static plr_status read_op(plr_reading *r, const char *path, const json_t *v) {
  if (!json_is_object(v)) return plr__wrong_type(r, path, "", "an object", v);
  const json_t *name = json_object_get(v, "op");
  if (!name) return plr__refuse(r, PLR_ERR_MALFORMED, path, "op", "is missing");
  if (!json_is_string(name)) return plr__wrong_type(r, path, "op", "a string", name);
  const plr_layer *layer = plr__layer_named(json_string_value(name));
  if (!layer)
    return plr__refuse(r, PLR_ERR_UNSUPPORTED, path, "op", "\"%.48s\" is not known here",
                       json_string_value(name));
  plr_op_desc d;
  plr_op_desc_init(&d, sizeof d);
  d.op = layer->op;
  PLR_TRY(read_keys(r, path, "op", v, layer, &d));
  return plr__program_add(&r->m->program, &d, r->err);
}

static plr_status read_list(plr_reading *r, const char *path, const json_t *list) {
  if (!json_is_array(list)) return plr__wrong_type(r, path, "", "an array", list);
  for (size_t i = 0; i < json_array_size(list); i++) {
    char inner[96];
    snprintf(inner, sizeof inner, "%s[%zu]", path, i);
    PLR_TRY(read_op(r, inner, json_array_get(list, i)));
  }
  return PLR_OK;
}

static plr_status read_block(plr_reading *r, const char *path, const json_t *block) {
  char inner[96];
  uint64_t repeat = 0;
  const char *key;
  json_t *value;
  if (!json_is_object(block)) return plr__wrong_type(r, path, "", "an object", block);
  json_object_foreach((json_t *)block, key, value) {
    if (strcmp(key, "repeat") != 0 && strcmp(key, "ops") != 0)
      return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "unknown key");
  }
  value = json_object_get(block, "repeat");
  if (!value) return plr__refuse(r, PLR_ERR_MALFORMED, path, "repeat", "is missing");
  PLR_TRY(plr__read_whole(r, path, "repeat", value, 1, PLR_MAX_BLOCKS, &repeat));
  PLR_TRY(plr__program_begin(&r->m->program, PLR_PART_BLOCK, (uint32_t)repeat, r->err));
  value = json_object_get(block, "ops");
  if (!value) return plr__refuse(r, PLR_ERR_MALFORMED, path, "ops", "is missing");
  snprintf(inner, sizeof inner, "%s.ops", path);
  return read_list(r, inner, value);
}

plr_status plr__read_program(plr_reading *r, const json_t *root) {
  plr_program *p = &r->m->program;
  const json_t *blocks = json_object_get(root, "blocks");
  PLR_TRY(plr__program_begin(p, PLR_PART_EMBED, 1, r->err));
  PLR_TRY(read_list(r, "manifest.embed", json_object_get(root, "embed")));
  if (!json_is_array(blocks)) return plr__wrong_type(r, "manifest.blocks", "", "an array", blocks);
  if (json_array_size(blocks) == 0)
    return plr__refuse(r, PLR_ERR_MALFORMED, "manifest.blocks", "", "is empty");
  for (size_t i = 0; i < json_array_size(blocks); i++) {
    char path[64];
    snprintf(path, sizeof path, "manifest.blocks[%zu]", i);
    PLR_TRY(read_block(r, path, json_array_get(blocks, i)));
  }
  PLR_TRY(plr__program_begin(p, PLR_PART_HEAD, 1, r->err));
  PLR_TRY(read_list(r, "manifest.head", json_object_get(root, "head")));
  return plr__program_finish(p, r->err);
}

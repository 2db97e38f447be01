/* Names of parameters in published checkpoints. Sources: the state dictionaries of the model classes of the
 * `transformers` package (LlamaForCausalLM, MixtralForCausalLM, Qwen3MoeForCausalLM, GPT2LMHeadModel). */
#include "model/names.h"

#include "model/model_int.h"

#include <stdio.h>
#include <string.h>

/* SAME: rows x cols as ours, TURNED: outputs x inputs, VECTOR: one dimension, PART(i): columns i of three. */
enum { SAME, TURNED, VECTOR, PART0, PART1, PART2 };

/* A parameter of ours, without "blocks.N.", and theirs: '#' is the block, '@' the expert. */
typedef struct entry {
  const char *ours, *theirs;
  uint8_t block, layout;
} entry;

#define LAYER "model.layers.#."

static const entry llamalike[] = {
    {"embed.weight", "model.embed_tokens.weight", 0, SAME},
    {"norm.weight", "model.norm.weight", 0, VECTOR},
    {"head.weight", "lm_head.weight", 0, TURNED},
    {"attn_norm.weight", LAYER "input_layernorm.weight", 1, VECTOR},
    {"attn.q.weight", LAYER "self_attn.q_proj.weight", 1, TURNED},
    {"attn.k.weight", LAYER "self_attn.k_proj.weight", 1, TURNED},
    {"attn.v.weight", LAYER "self_attn.v_proj.weight", 1, TURNED},
    {"attn.o.weight", LAYER "self_attn.o_proj.weight", 1, TURNED},
    {"attn.q.bias", LAYER "self_attn.q_proj.bias", 1, VECTOR},
    {"attn.k.bias", LAYER "self_attn.k_proj.bias", 1, VECTOR},
    {"attn.v.bias", LAYER "self_attn.v_proj.bias", 1, VECTOR},
    {"attn.o.bias", LAYER "self_attn.o_proj.bias", 1, VECTOR},
    {"attn.q_norm.weight", LAYER "self_attn.q_norm.weight", 1, VECTOR},
    {"attn.k_norm.weight", LAYER "self_attn.k_norm.weight", 1, VECTOR},
    {"mlp_norm.weight", LAYER "post_attention_layernorm.weight", 1, VECTOR},
    {"mlp.gate.weight", LAYER "mlp.gate_proj.weight", 1, TURNED},
    {"mlp.up.weight", LAYER "mlp.up_proj.weight", 1, TURNED},
    {"mlp.down.weight", LAYER "mlp.down_proj.weight", 1, TURNED},
    {"mlp.gate.bias", LAYER "mlp.gate_proj.bias", 1, VECTOR},
    {"mlp.up.bias", LAYER "mlp.up_proj.bias", 1, VECTOR},
    {"mlp.down.bias", LAYER "mlp.down_proj.bias", 1, VECTOR},
};

#define MIXTRAL LAYER "block_sparse_moe."

static const entry mixtral[] = {
    {"moe.router.weight", MIXTRAL "gate.weight", 1, TURNED},
    {"moe.experts.gate.weight", MIXTRAL "experts.@.w1.weight", 1, TURNED},
    {"moe.experts.up.weight", MIXTRAL "experts.@.w3.weight", 1, TURNED},
    {"moe.experts.down.weight", MIXTRAL "experts.@.w2.weight", 1, TURNED},
};

static const entry qwen3_moe[] = {
    {"moe.router.weight", LAYER "mlp.gate.weight", 1, TURNED},
    {"moe.experts.gate.weight", LAYER "mlp.experts.@.gate_proj.weight", 1, TURNED},
    {"moe.experts.up.weight", LAYER "mlp.experts.@.up_proj.weight", 1, TURNED},
    {"moe.experts.down.weight", LAYER "mlp.experts.@.down_proj.weight", 1, TURNED},
};

/* Its Conv1D keeps inputs x outputs, as we do. */
#define GPT2 "transformer."
#define H    GPT2 "h.#."

static const entry gpt2[] = {
    {"embed.weight", GPT2 "wte.weight", 0, SAME},
    {"positions.weight", GPT2 "wpe.weight", 0, SAME},
    {"norm.weight", GPT2 "ln_f.weight", 0, VECTOR},
    {"norm.bias", GPT2 "ln_f.bias", 0, VECTOR},
    {"head.weight", "lm_head.weight", 0, TURNED},
    {"attn_norm.weight", H "ln_1.weight", 1, VECTOR},
    {"attn_norm.bias", H "ln_1.bias", 1, VECTOR},
    {"attn.q.weight", H "attn.c_attn.weight", 1, PART0},
    {"attn.k.weight", H "attn.c_attn.weight", 1, PART1},
    {"attn.v.weight", H "attn.c_attn.weight", 1, PART2},
    {"attn.q.bias", H "attn.c_attn.bias", 1, PART0},
    {"attn.k.bias", H "attn.c_attn.bias", 1, PART1},
    {"attn.v.bias", H "attn.c_attn.bias", 1, PART2},
    {"attn.o.weight", H "attn.c_proj.weight", 1, SAME},
    {"attn.o.bias", H "attn.c_proj.bias", 1, VECTOR},
    {"mlp_norm.weight", H "ln_2.weight", 1, VECTOR},
    {"mlp_norm.bias", H "ln_2.bias", 1, VECTOR},
    {"mlp.up.weight", H "mlp.c_fc.weight", 1, SAME},
    {"mlp.up.bias", H "mlp.c_fc.bias", 1, VECTOR},
    {"mlp.down.weight", H "mlp.c_proj.weight", 1, SAME},
    {"mlp.down.bias", H "mlp.c_proj.bias", 1, VECTOR},
};

typedef struct table {
  const entry *entries;
  size_t count;
} table;

#define TABLE(name)                                                                                \
  { name, PLR_COUNT_OF(name) }

/* The names of a kind of checkpoint: its own table, then the one it shares. */
static const table tables[PLR_NAMES_COUNT][2] = {
    [PLR_NAMES_LLAMA] = {TABLE(llamalike)},
    [PLR_NAMES_MIXTRAL] = {TABLE(mixtral), TABLE(llamalike)},
    [PLR_NAMES_QWEN3_MOE] = {TABLE(qwen3_moe), TABLE(llamalike)},
    [PLR_NAMES_GPT2] = {TABLE(gpt2)},
};

/* "blocks.12.attn.q.weight" -> 12 and "attn.q.weight"; 0 when it is not in a block. */
static int split_name(const char *name, uint32_t *block, const char **rest) {
  int used = 0;
  *rest = name;
  if (sscanf(name, "blocks.%u.%n", block, &used) != 1 || used == 0) return 0;
  *rest = name + used;
  return 1;
}

static const entry *find(uint32_t naming, const char *ours, int in_block) {
  for (int t = 0; t < 2; t++)
    for (size_t i = 0; i < tables[naming][t].count; i++) {
      const entry *e = &tables[naming][t].entries[i];
      if (e->block == in_block && strcmp(e->ours, ours) == 0) return e;
    }
  return NULL;
}

static const entry *find_param(const plr_model *model, const plr_param *p, uint32_t *block) {
  const char *rest;
  int in_block = split_name(p->name, block, &rest);
  return find(model->origin.naming, rest, in_block);
}

uint32_t plr__foreign_pieces(const plr_model *model, const plr_param *p) {
  uint32_t block = 0;
  if (model->origin.naming == PLR_NAMES_OURS) return 1;
  const entry *e = find_param(model, p, &block);
  if (!e) return 0;
  return strchr(e->theirs, '@') ? model->origin.experts : 1;
}

/* theirs with the numbers put in. */
static void spell(const char *theirs, uint32_t block, uint32_t expert, char *out, size_t size) {
  size_t n = 0;
  for (const char *c = theirs; *c && n + 1 < size; c++) {
    if (*c == '#' || *c == '@')
      n += (size_t)snprintf(out + n, size - n, "%u", *c == '#' ? block : expert);
    else
      out[n++] = *c;
  }
  out[PLR_MIN(n, size - 1)] = 0;
}

static void foreign_of(const plr_model *model, const plr_param *p, uint32_t i, int tied,
                       plr_foreign *out) {
  uint32_t block = 0;
  memset(out, 0, sizeof *out);
  out->parts = 1;
  if (model->origin.naming == PLR_NAMES_OURS) {
    snprintf(out->name, sizeof out->name, "%s", p->name);
    return;
  }
  const entry *e = find_param(model, p, &block);
  const char *theirs = e->theirs;
  if (tied && strcmp(e->ours, "head.weight") == 0)
    theirs = find(model->origin.naming, "embed.weight", 0)->theirs;
  spell(theirs, block, i, out->name, sizeof out->name);
  out->transposed = e->layout == TURNED;
  out->vector = p->rows == 1 && (e->layout == VECTOR || e->layout >= PART0);
  if (e->layout >= PART0) out->part = e->layout - PART0, out->parts = 3;
}

void plr__foreign_read(const plr_model *model, const plr_param *p, uint32_t i, plr_foreign *out) {
  foreign_of(model, p, i, model->origin.tied, out);
}

void plr__foreign_write(const plr_model *model, const plr_param *p, uint32_t i, plr_foreign *out) {
  foreign_of(model, p, i, 0, out);
}

const char *plr__foreign_other(const plr_model *model, const plr_foreign *t) {
  size_t n = strlen(GPT2);
  int prefixed = model->origin.naming == PLR_NAMES_GPT2 && strncmp(t->name, GPT2, n) == 0;
  return prefixed ? t->name + n : NULL;
}

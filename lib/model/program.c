/* Writes a program: every operation is checked against the table of layers.c and against the values before it. */
#include "model/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BROKEN       0xffffffffu /* part: a list was refused, nothing can follow */
#define BLOCK_PARAMS 64u         /* streams of random numbers a block has */

void plr__program_init(plr_program *p, plr_context *ctx, uint32_t d_model, uint32_t vocab) {
  memset(p, 0, sizeof *p);
  p->ctx = ctx, p->d_model = d_model, p->vocab = vocab;
}

void plr__program_release(plr_program *p) {
  if (!p->ctx) return;
  plr__free(p->ctx, p->ops);
  plr__free(p->ctx, p->blocks);
  memset(p, 0, sizeof *p);
}

/* ---- messages --------------------------------------------------------------------------------- */

/* The list being written; with op at least 0, an operation of it. */
static void place(const plr_program *p, int64_t op, char out[64]) {
  char index[24] = "";
  if (op >= 0) snprintf(index, sizeof index, "[%lld]", (long long)op);
  if (p->part == PLR_PART_BLOCK)
    snprintf(out, 64, "manifest.blocks[%u]%s%s", p->written - 1, op >= 0 ? ".ops" : "", index);
  else
    snprintf(out, 64, "manifest.%s%s", p->part == PLR_PART_EMBED ? "embed" : "head", index);
}

static plr_status refuse(const plr_program *p, int64_t op, const char *key, plr_error *err,
                         const char *fmt, ...) PLR_PRINTF(5, 6);

static plr_status refuse(const plr_program *p, int64_t op, const char *key, plr_error *err,
                         const char *fmt, ...) {
  char at[64], where[96], message[240];
  place(p, op, at);
  snprintf(where, sizeof where, "%s%s%s", at, *key ? "." : "", key);
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  return plr__fail(err, PLR_ERR_MALFORMED, where, "%s", message);
}

/* The newest operation, whose index in the list is list.count. */
static plr_status refuse_op(const plr_program *p, const char *key, plr_error *err, const char *fmt,
                            ...) PLR_PRINTF(4, 5);

static plr_status refuse_op(const plr_program *p, const char *key, plr_error *err, const char *fmt,
                            ...) {
  char message[240];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  return refuse(p, p->list.count, key, err, "%s", message);
}

/* ---- members of the description --------------------------------------------------------------- */

#define AT(member) offsetof(plr_op_desc, member)
static const size_t wholes[] = {
    AT(cols),  AT(bias),    AT(write), AT(heads), AT(kv_heads), AT(head_dim), AT(window),
    AT(count), AT(experts), AT(top_k), AT(act),   AT(scaling),  AT(original), AT(renormalise)};
static const size_t reals[] = {AT(std),       AT(down_std),  AT(eps),       AT(theta),
                               AT(balance),   AT(scale),     AT(factor),    AT(low_freq),
                               AT(high_freq), AT(beta_fast), AT(beta_slow), AT(attention_factor)};
static const size_t texts[] = {AT(in1), AT(in2), AT(in3), AT(out), AT(name)};

static uint32_t whole_at(const plr_op_desc *d, size_t offset) {
  uint32_t x;
  memcpy(&x, (const char *)d + offset, sizeof x);
  return x;
}

static double real_at(const plr_op_desc *d, size_t offset) {
  double x;
  memcpy(&x, (const char *)d + offset, sizeof x);
  return x;
}

static const char *text_at(const plr_op_desc *d, size_t offset) {
  const char *x;
  memcpy(&x, (const char *)d + offset, sizeof x);
  return x;
}

static int has(const plr_layer *layer, size_t offset) {
  for (uint32_t i = 0; layer && i < layer->key_count; i++)
    if (layer->keys[i].offset == offset) return 1;
  return 0;
}

static plr_status check_unused(const plr_program *p, const plr_layer *layer, const plr_op_desc *d,
                               plr_error *err) {
  const plr_layer *scaling = plr__scaling(d->scaling);
  int extra = d->reserved[0] || d->reserved[1];
  for (size_t i = 0; i < PLR_COUNT_OF(wholes); i++)
    extra |= whole_at(d, wholes[i]) && !has(layer, wholes[i]) && !has(scaling, wholes[i]);
  for (size_t i = 0; i < PLR_COUNT_OF(reals); i++)
    extra |= real_at(d, reals[i]) != 0.0 && !has(layer, reals[i]) && !has(scaling, reals[i]);
  for (size_t i = 0; i < PLR_COUNT_OF(texts); i++)
    extra |= text_at(d, texts[i]) && !has(layer, texts[i]);
  return extra ? refuse_op(p, "", err, "is given what %s does not have", layer->name) : PLR_OK;
}

/* Names are made of letters, digits, '_' and '.', so that they can be part of a global name. */
static plr_status check_text(const plr_program *p, const plr_layer_key *k, const char *text,
                             plr_error *err) {
  size_t most = k->kind == PLR_KEY_NAME ? PLR_OP_NAME_MAX : PLR_OUT_NAME_MAX;
  if (!text) return refuse_op(p, k->key, err, "is missing");
  size_t len = strlen(text);
  if (len == 0 || len > most)
    return refuse_op(p, k->key, err, "has %zu bytes, must have 1 .. %zu", len, most);
  for (size_t i = 0; i < len; i++) {
    char c = text[i];
    int good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || (c == '.' && i > 0 && i + 1 < len);
    if (!good)
      return refuse_op(p, k->key, err, "\"%s\" must be letters, digits, '_' and inner '.'", text);
  }
  return PLR_OK;
}

static plr_status check_key(const plr_program *p, const plr_layer_key *k, const plr_op_desc *d,
                            plr_error *err);

static plr_status check_scaling(const plr_program *p, const plr_op_desc *d, plr_error *err) {
  if (d->scaling == PLR_SCALING_NONE) return PLR_OK;
  const plr_layer *scaling = plr__scaling(d->scaling);
  if (!scaling) return refuse_op(p, "scaling", err, "%u is not known", d->scaling);
  for (uint32_t i = 0; i < scaling->key_count; i++)
    PLR_TRY(check_key(p, &scaling->keys[i], d, err));
  if (d->scaling == PLR_SCALING_LLAMA3 && d->low_freq >= d->high_freq)
    return refuse_op(p, "scaling.low_freq", err, "must be below high_freq");
  if (d->scaling == PLR_SCALING_YARN && d->beta_slow >= d->beta_fast)
    return refuse_op(p, "scaling.beta_slow", err, "must be below beta_fast");
  return PLR_OK;
}

static plr_status check_key(const plr_program *p, const plr_layer_key *k, const plr_op_desc *d,
                            plr_error *err) {
  uint32_t whole;
  double real;
  switch (k->kind) {
  case PLR_KEY_VALUE:
  case PLR_KEY_OUT:
  case PLR_KEY_NAME:
    return check_text(p, k, text_at(d, k->offset), err);
  case PLR_KEY_WHOLE:
  case PLR_KEY_FLAG:
    whole = whole_at(d, k->offset);
    if (k->optional && whole == 0) return PLR_OK;
    if (whole < k->min || whole > k->max)
      return refuse_op(p, k->key, err, "is %u, must be in %.0f .. %.0f", whole, k->min, k->max);
    return PLR_OK;
  case PLR_KEY_REAL:
    real = real_at(d, k->offset);
    if (k->optional && real == 0.0) return PLR_OK;
    if (!(real >= k->min && real <= k->max))
      return refuse_op(p, k->key, err, "is %g, must be in %g .. %g", real, k->min, k->max);
    return PLR_OK;
  case PLR_KEY_ACT:
    if (d->act >= PLR_LAYER_SILU && d->act <= PLR_LAYER_RELU2) return PLR_OK;
    return refuse_op(p, k->key, err, "is not an activation");
  case PLR_KEY_SCALING:
    return check_scaling(p, d, err);
  }
  return PLR_ERR_INTERNAL;
}

/* ---- values ----------------------------------------------------------------------------------- */

static plr_op *list_op(const plr_program *p, uint32_t i) {
  return &p->ops[p->list.first + i];
}

/* The newest value of that name. */
static plr_status resolve(const plr_program *p, const plr_layer_key *k, const char *name,
                          uint32_t *out, plr_error *err) {
  for (uint32_t i = p->list.count; i-- > 0;) {
    if (strcmp(list_op(p, i)->out, name) != 0) continue;
    *out = i + 1;
    return PLR_OK;
  }
  if (p->part != PLR_PART_EMBED && strcmp(name, "x") == 0) {
    *out = 0;
    return PLR_OK;
  }
  return refuse_op(p, k->key, err, "\"%s\" is not a value here", name);
}

static uint32_t operands_of(uint32_t op) {
  const plr_layer *layer = plr__layer(op);
  uint32_t count = 0;
  for (uint32_t i = 0; i < layer->key_count; i++) count += layer->keys[i].kind == PLR_KEY_VALUE;
  return count;
}

static int64_t cols_of(const plr_program *p, uint32_t operand) {
  return operand == 0 ? p->d_model : list_op(p, operand - 1)->cols;
}

static plr_status match(const plr_program *p, const char *key, int64_t have, int64_t want,
                        plr_error *err) {
  if (have == want) return PLR_OK;
  return refuse_op(p, key, err, "has %lld columns, must have %lld", (long long)have,
                   (long long)want);
}

static plr_status infer_attention(const plr_program *p, plr_op *op, plr_error *err) {
  const plr_op_desc *d = &op->d;
  uint64_t q = (uint64_t)d->heads * d->head_dim, kv = (uint64_t)d->kv_heads * d->head_dim;
  if (d->kv_heads > d->heads || d->heads % d->kv_heads)
    return refuse_op(p, "kv_heads", err, "is %u, must divide heads %u", d->kv_heads, d->heads);
  if (q > PLR_COLS_MAX)
    return refuse_op(p, "head_dim", err, "heads * head_dim exceeds %u", PLR_COLS_MAX);
  PLR_TRY(match(p, "q", cols_of(p, op->in[0]), (int64_t)q, err));
  PLR_TRY(match(p, "k", cols_of(p, op->in[1]), (int64_t)kv, err));
  PLR_TRY(match(p, "v", cols_of(p, op->in[2]), (int64_t)kv, err));
  op->cols = (int64_t)q;
  return PLR_OK;
}

static plr_status infer_moe(const plr_program *p, plr_op *op, plr_error *err) {
  const plr_op_desc *d = &op->d;
  if (d->top_k > d->experts)
    return refuse_op(p, "top_k", err, "is %u, must not exceed experts %u", d->top_k, d->experts);
  if ((int64_t)d->experts * d->cols > PLR_TENSOR_MAX / cols_of(p, op->in[0]))
    return refuse_op(p, "experts", err, "a tensor exceeds 2^40 elements");
  op->cols = cols_of(p, op->in[0]);
  return PLR_OK;
}

/* Columns of the result, from those of the operands. */
static plr_status infer(const plr_program *p, plr_op *op, plr_error *err) {
  const plr_op_desc *d = &op->d;
  int64_t in = d->op == PLR_LAYER_EMBEDDING ? 0 : cols_of(p, op->in[0]);
  op->cols = in;
  switch (d->op) {
  case PLR_LAYER_EMBEDDING:
    if (p->part != PLR_PART_EMBED) return refuse_op(p, "op", err, "embedding is for embed only");
    op->cols = p->d_model;
    return PLR_OK;
  case PLR_LAYER_LINEAR:
    op->cols = d->cols;
    if (in * d->cols > PLR_TENSOR_MAX)
      return refuse_op(p, "cols", err, "a tensor exceeds 2^40 elements");
    return d->write ? match(p, "cols", d->cols, p->d_model, err) : PLR_OK;
  case PLR_LAYER_RMSNORM:
    if (d->heads && in % d->heads)
      return refuse_op(p, "heads", err, "is %u, must divide %lld columns", d->heads, (long long)in);
    return PLR_OK;
  case PLR_LAYER_ROPE:
    if (d->head_dim % 2) return refuse_op(p, "head_dim", err, "is %u, must be even", d->head_dim);
    if (in % d->head_dim)
      return refuse_op(p, "head_dim", err, "is %u, must divide %lld columns", d->head_dim,
                       (long long)in);
    return PLR_OK;
  case PLR_LAYER_ATTENTION:
    return infer_attention(p, op, err);
  case PLR_LAYER_SWIGLU:
    return match(p, "up", cols_of(p, op->in[1]), in, err);
  case PLR_LAYER_ADD:
  case PLR_LAYER_MUL:
    return match(p, "b", cols_of(p, op->in[1]), in, err);
  case PLR_LAYER_MOE:
    return infer_moe(p, op, err);
  default:
    return PLR_OK;
  }
}

/* ---- parameters ------------------------------------------------------------------------------- */

static uint32_t params_of(const plr_op_desc *d) {
  switch (d->op) {
  case PLR_LAYER_LINEAR:
  case PLR_LAYER_LAYERNORM:
    return 1 + d->bias;
  case PLR_LAYER_EMBEDDING:
  case PLR_LAYER_POSITIONS:
  case PLR_LAYER_RMSNORM:
    return 1;
  case PLR_LAYER_MOE:
    return 4;
  default:
    return 0;
  }
}

/* `a` is `b` or lies under it. */
static int under(const char *a, const char *b) {
  size_t n = strlen(b);
  return strncmp(a, b, n) == 0 && (a[n] == 0 || a[n] == '.');
}

static plr_status check_against(const plr_program *p, const plr_op *op, const plr_op_list *list,
                                plr_error *err) {
  for (uint32_t i = list->first; i < list->first + list->count; i++) {
    const char *other = p->ops[i].name;
    if (*other && (under(op->name, other) || under(other, op->name)))
      return refuse_op(p, "name", err, "\"%s\" is taken by \"%s\"", op->name, other);
  }
  return PLR_OK;
}

static plr_status check_name(const plr_program *p, const plr_op *op, plr_error *err) {
  const char *reserved = p->part == PLR_PART_BLOCK ? "boundary" : "blocks";
  if (under(op->name, reserved)) return refuse_op(p, "name", err, "\"%s\" is reserved", reserved);
  /* names of embed and head are global */
  if (p->part == PLR_PART_HEAD) PLR_TRY(check_against(p, op, &p->embed, err));
  return check_against(p, op, &p->list, err);
}

static plr_status check_params(const plr_program *p, const plr_op *op, plr_error *err) {
  if (p->params + params_of(&op->d) > BLOCK_PARAMS)
    return refuse_op(p, "", err, "more than %u parameters in a list", BLOCK_PARAMS);
  return *op->name ? check_name(p, op, err) : PLR_OK;
}

/* ---- operations ------------------------------------------------------------------------------- */

static void copy_numbers(plr_op_desc *to, const plr_op_desc *from) {
  *to = *from;
  to->struct_size = 0;
  to->in1 = to->in2 = to->in3 = to->out = to->name = NULL;
  for (size_t i = 0; i < PLR_COUNT_OF(reals); i++)
    if (real_at(to, reals[i]) == 0.0) memset((char *)to + reals[i], 0, sizeof(double)); /* no -0 */
}

static plr_status fill(const plr_program *p, const plr_layer *layer, const plr_op_desc *d,
                       plr_op *op, plr_error *err) {
  uint32_t operand = 0;
  copy_numbers(&op->d, d);
  for (uint32_t i = 0; i < layer->key_count; i++) {
    const plr_layer_key *k = &layer->keys[i];
    if (k->kind == PLR_KEY_VALUE)
      PLR_TRY(resolve(p, k, text_at(d, k->offset), &op->in[operand++], err));
  }
  if (d->name) snprintf(op->name, sizeof op->name, "%s", d->name);
  snprintf(op->out, sizeof op->out, "%s", d->out);
  PLR_TRY(check_params(p, op, err));
  return infer(p, op, err);
}

static int reserve(plr_context *ctx, void **array, uint32_t count, uint32_t *cap, size_t size) {
  if (count < *cap) return 1;
  uint32_t want = *cap ? *cap * 2 : 16;
  void *grown = plr__realloc(ctx, *array, want * size);
  if (!grown) return 0;
  *array = grown, *cap = want;
  return 1;
}

plr_status plr__program_add(plr_program *p, const plr_op_desc *d, plr_error *err) {
  if (p->part == 0 || p->part == BROKEN)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "manifest", "an operation outside a part");
  if (p->list.count >= PLR_LIST_MAX)
    return refuse_op(p, "", err, "more than %u operations in a list", PLR_LIST_MAX);
  const plr_layer *layer = plr__layer(d->op);
  if (!layer) return refuse_op(p, "op", err, "%u is not an operation", d->op);
  PLR_TRY(check_unused(p, layer, d, err));
  for (uint32_t i = 0; i < layer->key_count; i++) PLR_TRY(check_key(p, &layer->keys[i], d, err));
  void *array = p->ops;
  if (!reserve(p->ctx, &array, p->op_count, &p->op_cap, sizeof *p->ops))
    return plr__no_memory(err, "manifest");
  p->ops = array;
  plr_op *op = &p->ops[p->op_count];
  memset(op, 0, sizeof *op);
  PLR_TRY(fill(p, layer, d, op, err));
  p->op_count++, p->list.count++;
  p->params += params_of(&op->d);
  return PLR_OK;
}

/* ---- lists ------------------------------------------------------------------------------------ */

static plr_status find_result(plr_program *p, plr_error *err) {
  const char *name = p->part == PLR_PART_HEAD ? "logits" : "x";
  uint32_t want = p->part == PLR_PART_HEAD ? p->vocab : p->d_model, i = p->list.count;
  while (i > 0 && strcmp(list_op(p, i - 1)->out, name) != 0) i--;
  if (i == 0) return refuse(p, -1, "", err, "does not make \"%s\"", name);
  if (list_op(p, i - 1)->cols != want)
    return refuse(p, i - 1, "out", err, "\"%s\" has %lld columns, must have %u", name,
                  (long long)list_op(p, i - 1)->cols, want);
  p->list.result = i;
  return PLR_OK;
}

static int is_used(const plr_program *p, uint32_t operand) {
  if (p->list.result == operand) return 1;
  for (uint32_t i = operand; i < p->list.count; i++) {
    const plr_op *op = list_op(p, i);
    for (uint32_t j = 0; j < operands_of(op->d.op); j++)
      if (op->in[j] == operand) return 1;
  }
  return 0;
}

/* A result nobody uses has no gradient, nor have the parameters behind it. */
static plr_status check_used(const plr_program *p, plr_error *err) {
  if (p->part != PLR_PART_EMBED && !is_used(p, 0))
    return refuse(p, -1, "", err, "does not use \"x\"");
  for (uint32_t i = 0; i < p->list.count; i++)
    if (!is_used(p, i + 1))
      return refuse(p, i, "out", err, "\"%s\" is not used", list_op(p, i)->out);
  return PLR_OK;
}

static int same_ops(const plr_program *p, const plr_op_list *a, const plr_op_list *b) {
  return a->count == b->count && a->result == b->result &&
         memcmp(p->ops + a->first, p->ops + b->first, a->count * sizeof *p->ops) == 0;
}

/* Two neighbours of the same kind are one, repeated: so that both ways of writing it have one hash. */
static plr_status end_block(plr_program *p, plr_error *err) {
  plr_op_list *last = p->kind_count ? &p->blocks[p->kind_count - 1] : NULL;
  if (last && same_ops(p, last, &p->list)) {
    last->repeat += p->list.repeat;
    p->op_count = p->list.first;
  } else {
    void *array = p->blocks;
    if (!reserve(p->ctx, &array, p->kind_count, &p->kind_cap, sizeof *p->blocks))
      return plr__no_memory(err, "manifest");
    p->blocks = array;
    p->blocks[p->kind_count++] = p->list;
  }
  p->block_count += p->list.repeat;
  return PLR_OK;
}

static plr_status end_list(plr_program *p, plr_error *err) {
  if (p->part == 0) return PLR_OK;
  PLR_TRY(find_result(p, err));
  PLR_TRY(check_used(p, err));
  uint64_t total = p->total + (uint64_t)p->list.count * p->list.repeat;
  if (total > PLR_PROGRAM_MAX)
    return refuse(p, -1, "", err, "the model has more than %u operations", PLR_PROGRAM_MAX);
  for (uint32_t i = 0; i < p->list.count; i++) memset(list_op(p, i)->out, 0, sizeof p->ops->out);
  if (p->part == PLR_PART_BLOCK) PLR_TRY(end_block(p, err));
  if (p->part == PLR_PART_EMBED) p->embed = p->list;
  if (p->part == PLR_PART_HEAD) p->head = p->list;
  p->total = (uint32_t)total;
  return PLR_OK;
}

static int in_order(const plr_program *p, uint32_t part) {
  switch (part) {
  case PLR_PART_EMBED:
    return p->part == 0;
  case PLR_PART_BLOCK:
    return p->part == PLR_PART_EMBED || p->part == PLR_PART_BLOCK;
  default:
    return part == PLR_PART_HEAD && p->part == PLR_PART_BLOCK;
  }
}

static plr_status begin(plr_program *p, uint32_t part, uint32_t repeat, plr_error *err) {
  PLR_TRY(end_list(p, err));
  p->part = part;
  p->written += part == PLR_PART_BLOCK;
  p->params = 0;
  memset(&p->list, 0, sizeof p->list);
  p->list.first = p->op_count, p->list.repeat = part == PLR_PART_BLOCK ? repeat : 1;
  if (part == PLR_PART_BLOCK && (repeat == 0 || repeat > PLR_MAX_BLOCKS - p->block_count))
    return refuse(p, -1, "repeat", err, "is %u; a model has 1 .. %u blocks", repeat,
                  PLR_MAX_BLOCKS);
  return PLR_OK;
}

plr_status plr__program_begin(plr_program *p, uint32_t part, uint32_t repeat, plr_error *err) {
  if (!in_order(p, part))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "manifest",
                     "parts come in the order embed, blocks, head");
  plr_status st = begin(p, part, repeat, err);
  if (st != PLR_OK) p->part = BROKEN;
  return st;
}

plr_status plr__program_finish(plr_program *p, plr_error *err) {
  if (p->part != PLR_PART_HEAD)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "manifest",
                     "embed, blocks and head must be given");
  PLR_TRY(end_list(p, err));
  p->part = 0;
  return PLR_OK;
}

const plr_op_list *plr__program_block(const plr_program *p, uint32_t block) {
  uint32_t kind = 0;
  while (block >= p->blocks[kind].repeat) block -= p->blocks[kind++].repeat;
  return &p->blocks[kind];
}

uint32_t plr__program_positions(const plr_program *p) {
  uint32_t least = 0;
  for (uint32_t i = 0; i < p->op_count; i++) {
    uint32_t count = p->ops[i].d.count;
    if (count && (least == 0 || count < least)) least = count;
  }
  return least;
}

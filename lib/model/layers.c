/* What each operation of a block may be given: the one table that the manifest, the builder and the families go by. */
#include "model/program.h"

#include <string.h>

#define AT(member) offsetof(plr_op_desc, member)
#define IN(key, member)                                                                            \
  { key, PLR_KEY_VALUE, 0, AT(member), 0, 0 }
#define OUT                                                                                        \
  { "out", PLR_KEY_OUT, 0, AT(out), 0, 0 }
#define NAME                                                                                       \
  { "name", PLR_KEY_NAME, 0, AT(name), 0, 0 }
#define WHOLE(member, min, max)                                                                    \
  { #member, PLR_KEY_WHOLE, 0, AT(member), min, max }
#define MAYBE(member, min, max)                                                                    \
  { #member, PLR_KEY_WHOLE, 1, AT(member), min, max }
#define REAL(member, min, max)                                                                     \
  { #member, PLR_KEY_REAL, 0, AT(member), min, max }
#define FLAG(member, optional)                                                                     \
  { #member, PLR_KEY_FLAG, optional, AT(member), 0, 1 }

#define DIM      65536.0
#define COLS     ((double)PLR_COLS_MAX)
#define POSITIVE 1e-30
#define LARGE    1e6

static const plr_layer_key embedding[] = {OUT, NAME, REAL(std, 0, LARGE)};
static const plr_layer_key positions[] = {IN("in", in1), OUT, NAME, REAL(std, 0, LARGE),
                                          WHOLE(count, 1, 16777216)};
static const plr_layer_key linear[] = {
    IN("in", in1),       OUT,           NAME,          WHOLE(cols, 1, COLS),
    REAL(std, 0, LARGE), FLAG(bias, 0), FLAG(write, 1)};
static const plr_layer_key rmsnorm[] = {IN("in", in1), OUT, NAME, REAL(eps, POSITIVE, 1),
                                        MAYBE(heads, 1, DIM)};
static const plr_layer_key layernorm[] = {IN("in", in1), OUT, NAME, REAL(eps, POSITIVE, 1),
                                          FLAG(bias, 0)};
static const plr_layer_key rope[] = {
    IN("in", in1),
    OUT,
    WHOLE(head_dim, 2, DIM),
    REAL(theta, 1, 1e12),
    {"scaling", PLR_KEY_SCALING, 1, AT(scaling), 0, 0},
};
static const plr_layer_key attention[] = {
    IN("q", in1),
    IN("k", in2),
    IN("v", in3),
    OUT,
    WHOLE(heads, 1, DIM),
    WHOLE(kv_heads, 1, DIM),
    WHOLE(head_dim, 1, DIM),
    MAYBE(window, 1, 2147483647.0),
    {"scale", PLR_KEY_REAL, 1, AT(scale), POSITIVE, LARGE},
};
static const plr_layer_key element[] = {IN("in", in1), OUT};
static const plr_layer_key swiglu[] = {IN("gate", in1), IN("up", in2), OUT};
static const plr_layer_key pair[] = {IN("a", in1), IN("b", in2), OUT};
static const plr_layer_key scale[] = {
    IN("in", in1), OUT, {"by", PLR_KEY_REAL, 0, AT(scale), -LARGE, LARGE}};
static const plr_layer_key moe[] = {
    IN("in", in1),
    OUT,
    NAME,
    WHOLE(experts, 1, 4096),
    WHOLE(top_k, 1, 256),
    WHOLE(cols, 1, COLS),
    {"act", PLR_KEY_ACT, 0, AT(act), 0, 0},
    REAL(std, 0, LARGE),
    REAL(down_std, 0, LARGE),
    REAL(balance, 0, 1e3),
    FLAG(renormalise, 0),
};

#define LAYER(name, op, keys)                                                                      \
  { name, PLR_LAYER_##op, PLR_COUNT_OF(keys), keys }

static const plr_layer layers[] = {
    LAYER("embedding", EMBEDDING, embedding),
    LAYER("positions", POSITIONS, positions),
    LAYER("linear", LINEAR, linear),
    LAYER("rmsnorm", RMSNORM, rmsnorm),
    LAYER("layernorm", LAYERNORM, layernorm),
    LAYER("rope", ROPE, rope),
    LAYER("attention", ATTENTION, attention),
    LAYER("silu", SILU, element),
    LAYER("gelu", GELU, element),
    LAYER("gelu_tanh", GELU_TANH, element),
    LAYER("relu2", RELU2, element),
    LAYER("swiglu", SWIGLU, swiglu),
    LAYER("add", ADD, pair),
    LAYER("mul", MUL, pair),
    LAYER("scale", SCALE, scale),
    LAYER("moe", MOE, moe),
};

#define FACTOR   REAL(factor, POSITIVE, LARGE)
#define ORIGINAL WHOLE(original, 1, 16777216)

static const plr_layer_key by_linear[] = {FACTOR};
static const plr_layer_key by_llama3[] = {FACTOR, REAL(low_freq, POSITIVE, LARGE),
                                          REAL(high_freq, POSITIVE, LARGE), ORIGINAL};
static const plr_layer_key by_yarn[] = {FACTOR, REAL(beta_fast, POSITIVE, LARGE),
                                        REAL(beta_slow, POSITIVE, LARGE),
                                        REAL(attention_factor, POSITIVE, LARGE), ORIGINAL};

static const plr_layer scalings[] = {
    {"linear", PLR_SCALING_LINEAR, PLR_COUNT_OF(by_linear), by_linear},
    {"llama3", PLR_SCALING_LLAMA3, PLR_COUNT_OF(by_llama3), by_llama3},
    {"yarn", PLR_SCALING_YARN, PLR_COUNT_OF(by_yarn), by_yarn},
};

static const plr_layer *find(const plr_layer *list, size_t count, uint32_t op, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (name ? strcmp(list[i].name, name) == 0 : list[i].op == op) return &list[i];
  return NULL;
}

const plr_layer *plr__layer(uint32_t op) {
  return find(layers, PLR_COUNT_OF(layers), op, NULL);
}

const plr_layer *plr__layer_named(const char *name) {
  return find(layers, PLR_COUNT_OF(layers), 0, name);
}

const plr_layer *plr__scaling(uint32_t scaling) {
  return find(scalings, PLR_COUNT_OF(scalings), scaling, NULL);
}

const plr_layer *plr__scaling_named(const char *name) {
  return find(scalings, PLR_COUNT_OF(scalings), 0, name);
}

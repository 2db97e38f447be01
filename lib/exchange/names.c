/* Names of codecs: parts joined by '+'. */
#include "exchange/exchange_int.h"

#include <string.h>

typedef struct part {
  const char *name;
  uint32_t most; /* bits, or masks, that may follow the name; 0: none */
  plr_codec codec;
} part;

static const part firsts[] = {
    {"raw", 0, {.dtype = PLR_DTYPE_F32}},
    {"bf16", 0, {.dtype = PLR_DTYPE_BF16}},
    {"fp16", 0, {.dtype = PLR_DTYPE_F16}},
    {"int", 8, {.quant = PLR_QUANT_BLOCK_INT, .dtype = PLR_DTYPE_F32, .group = 32}},
    {"uniform",
     12,
     {.quant = PLR_QUANT_UNIFORM, .entropy = PLR_ENTROPY_PARAMETRIC, .dtype = PLR_DTYPE_F32}},
    {"dither",
     12,
     {.quant = PLR_QUANT_DITHER, .entropy = PLR_ENTROPY_PARAMETRIC, .dtype = PLR_DTYPE_F32}},
    {"trellis",
     12,
     {.quant = PLR_QUANT_TRELLIS, .entropy = PLR_ENTROPY_PARAMETRIC, .dtype = PLR_DTYPE_F32}},
    {"topk",
     0,
     {.quant = PLR_QUANT_TOPK,
      .entropy = PLR_ENTROPY_RICE,
      .dtype = PLR_DTYPE_F32,
      .bits = 2,
      .group = 64}},
    {"eden",
     4,
     {.transform = PLR_TRANSFORM_HADAMARD,
      .quant = PLR_QUANT_EDEN,
      .dtype = PLR_DTYPE_F32,
      .group = 1024}},
    {"mask", 65535, {.quant = PLR_QUANT_MASK, .dtype = PLR_DTYPE_F32}},
};

/* A number of one to five digits without a leading 0; 0 when it is not that. */
static uint32_t number(const char *text, size_t len) {
  uint32_t v = 0;
  if (len == 0 || len > 5 || text[0] == '0') return 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9') return 0;
    v = 10 * v + (uint32_t)(text[i] - '0');
  }
  return v;
}

static int is(const char *text, size_t len, const char *name) {
  return strlen(name) == len && memcmp(text, name, len) == 0;
}

static int take_first(const char *text, size_t len, plr_codec *c) {
  for (size_t i = 0; i < PLR_COUNT_OF(firsts); i++) {
    const size_t n = strlen(firsts[i].name);
    if (len < n || memcmp(text, firsts[i].name, n) != 0) continue;
    *c = firsts[i].codec;
    const int counted = c->quant == PLR_QUANT_BLOCK_INT || c->quant == PLR_QUANT_MASK;
    if (len == n) {
      if (firsts[i].most) c->bits = 4;
      return !counted; /* those always say their number */
    }
    if (!firsts[i].most) continue;
    const uint32_t of = number(text + n, len - n);
    if (of == 0 || of > firsts[i].most) return 0;
    if (c->quant == PLR_QUANT_MASK)
      c->group = (uint16_t)of;
    else
      c->bits = (uint8_t)of;
    return 1;
  }
  return 0;
}

/* What an option sets, and to what; of each field only one may be named. */
typedef enum field { PREDICT, TRANSFORM, ENTROPY, GROUP, RULE, VALUES } field;

static const struct option {
  const char *name;
  field field;
  uint32_t value;
} options[] = {
    {"zstd", ENTROPY, PLR_ENTROPY_ZSTD},
    {"split", ENTROPY, PLR_ENTROPY_SPLIT},
    {"histogram", ENTROPY, PLR_ENTROPY_HISTOGRAM},
    {"token", RULE, PLR_STEP_TOKEN},
    {"g32", GROUP, 32},
    {"g64", GROUP, 64},
    {"g128", GROUP, 128},
    {"hadamard", TRANSFORM, PLR_TRANSFORM_HADAMARD},
    {"basis", TRANSFORM, PLR_TRANSFORM_BASIS},
    {"dct", TRANSFORM, PLR_TRANSFORM_DCT},
    {"sample", PREDICT, PLR_PREDICT_SAMPLE},
    {"anchor", PREDICT, PLR_PREDICT_ANCHOR},
    {"bf16", VALUES, 0}, /* of a mask */
    {"int4", VALUES, 4},
    {"int8", VALUES, 8},
};

/* 0 where plr__codec_check would not refuse what comes of it, but the codec has that already. */
static int set_field(plr_codec *c, const struct option *o) {
  switch (o->field) {
  case PREDICT:
    c->predict = (uint8_t)o->value;
    return 1;
  case TRANSFORM:
    c->transform = (uint8_t)o->value;
    return 1;
  case ENTROPY:
    if (c->entropy != PLR_ENTROPY_PACK) return 0;
    c->entropy = (uint8_t)o->value;
    return 1;
  case GROUP:
    c->group = (uint16_t)o->value;
    return c->quant == PLR_QUANT_BLOCK_INT || c->quant == PLR_QUANT_TOPK ||
           c->quant == PLR_QUANT_EDEN;
  case VALUES:
    c->bits = (uint8_t)o->value;
    if (!o->value) c->dtype = PLR_DTYPE_BF16;
    return c->quant == PLR_QUANT_MASK;
  default:
    c->group = (uint16_t)o->value;
    return plr__codec_parametric(c);
  }
}

static int take_option(const char *text, size_t len, plr_codec *c, uint32_t *seen) {
  for (size_t i = 0; i < PLR_COUNT_OF(options); i++) {
    if (!is(text, len, options[i].name)) continue;
    const uint32_t bit = 1u << options[i].field;
    if (*seen & bit) return 0;
    *seen |= bit;
    return set_field(c, &options[i]);
  }
  return 0;
}

plr_status plr_codec_from_name(const char *name, plr_codec *out) {
  if (!name || !out) return PLR_ERR_INVALID_ARGUMENT;
  plr_codec c = {0};
  uint32_t seen = 0;
  for (const char *at = name;; at++) {
    const size_t len = strcspn(at, "+");
    const int known = at == name ? take_first(at, len, &c) : take_option(at, len, &c, &seen);
    if (!known) return PLR_ERR_NOT_FOUND;
    at += len;
    if (*at == '\0') break;
  }
  if (plr__codec_check(&c, "codec", NULL) != PLR_OK) return PLR_ERR_NOT_FOUND;
  *out = c;
  return PLR_OK;
}

/* Names of codecs: parts joined by '+'. */
#include "exchange/exchange_int.h"

#include <string.h>

typedef struct part {
  const char *name;
  uint32_t most; /* bits that may follow the name; 0: none */
  plr_codec codec;
} part;

static const part firsts[] = {
    {"raw", 0, {.dtype = PLR_DTYPE_F32}},
    {"bf16", 0, {.dtype = PLR_DTYPE_BF16}},
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
};

/* 1 .. 12 of one or two digits without a leading 0; 0 when it is not that. */
static uint32_t number(const char *text, size_t len) {
  uint32_t v = 0;
  if (len == 0 || len > 2 || text[0] == '0') return 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9') return 0;
    v = 10 * v + (uint32_t)(text[i] - '0');
  }
  return v <= 12 ? v : 0;
}

static int is(const char *text, size_t len, const char *name) {
  return strlen(name) == len && memcmp(text, name, len) == 0;
}

static int take_first(const char *text, size_t len, plr_codec *c) {
  for (size_t i = 0; i < PLR_COUNT_OF(firsts); i++) {
    const size_t n = strlen(firsts[i].name);
    if (len < n || memcmp(text, firsts[i].name, n) != 0) continue;
    *c = firsts[i].codec;
    if (len == n) {
      if (firsts[i].most) c->bits = 4;
      return c->quant != PLR_QUANT_BLOCK_INT; /* which always says its bits */
    }
    if (!firsts[i].most) continue;
    const uint32_t bits = number(text + n, len - n);
    c->bits = (uint8_t)bits;
    return bits >= (c->quant == PLR_QUANT_BLOCK_INT ? 2u : 1u) && bits <= firsts[i].most;
  }
  return 0;
}

static int take_option(const char *text, size_t len, plr_codec *c, uint32_t *seen) {
  static const char *const options[] = {"zstd", "split", "token", "g32", "g64", "g128", "hadamard"};
  uint32_t i = 0;
  while (i < PLR_COUNT_OF(options) && !is(text, len, options[i])) i++;
  if (i == PLR_COUNT_OF(options)) return 0;
  const uint32_t kind = i < 2 ? 1u : i == 2 ? 2u : i < 6 ? 4u : 8u; /* one of each */
  if (*seen & kind) return 0;
  *seen |= kind;
  if (i < 2) {
    if (c->entropy != PLR_ENTROPY_PACK || (i == 1 && c->quant != PLR_QUANT_RAW)) return 0;
    c->entropy = i ? PLR_ENTROPY_SPLIT : PLR_ENTROPY_ZSTD;
  } else if (i == 2) {
    if (!plr__codec_parametric(c)) return 0;
    c->group = PLR_STEP_TOKEN;
  } else if (i == 6) {
    c->transform = PLR_TRANSFORM_HADAMARD;
  } else {
    c->group = (uint16_t)(4u << i);
  }
  return 1;
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

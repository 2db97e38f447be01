/* Text encodings: base64 (RFC 4648, section 4, canonical only), hexadecimal, and clean UTF-8. */
#include "base/base_int.h"

#include <string.h>

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t plr__base64_encode(const void *data, size_t len, char *out) {
  const uint8_t *p = data;
  char *o = out;
  for (size_t i = 0; i < len; i += 3) {
    size_t left = len - i;
    uint32_t v = (uint32_t)p[i] << 16;
    if (left > 1) v |= (uint32_t)p[i + 1] << 8;
    if (left > 2) v |= p[i + 2];
    *o++ = base64_alphabet[v >> 18];
    *o++ = base64_alphabet[v >> 12 & 63];
    *o++ = left > 1 ? base64_alphabet[v >> 6 & 63] : '=';
    *o++ = left > 2 ? base64_alphabet[v & 63] : '=';
  }
  *o = 0;
  return (size_t)(o - out);
}

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

int64_t plr__base64_decode(const char *text, size_t len, uint8_t *out, size_t cap) {
  if (len % 4 != 0 || len > PTRDIFF_MAX) return -1;
  if (len == 0) return 0;
  size_t pad = text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
  size_t n = len / 4 * 3 - pad;
  if (n > cap) return -1;
  size_t chars = len - pad, done = 0;
  uint32_t acc = 0, bits = 0;
  for (size_t i = 0; i < chars; i++) {
    int v = base64_value(text[i]);
    if (v < 0) return -1;
    acc = acc << 6 | (uint32_t)v;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[done++] = (uint8_t)(acc >> bits);
      acc &= (1u << bits) - 1;
    }
  }
  /* Bits left over must be zero, else two texts would decode to the same bytes. */
  return acc == 0 && done == n ? (int64_t)n : -1;
}

void plr__hex_encode(const void *data, size_t len, char *out) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *p = data;
  for (size_t i = 0; i < len; i++) {
    out[2 * i] = digits[p[i] >> 4];
    out[2 * i + 1] = digits[p[i] & 15];
  }
  out[2 * len] = 0;
}

size_t plr__utf8_length(const void *text, size_t left) {
  const uint8_t *p = text;
  if (left == 0) return 0;
  if (p[0] < 0x80) return 1;
  size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
             : p[0] >= 0xe0 && p[0] <= 0xef ? 3
             : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                            : 0;
  if (n > left) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
  if (p[0] == 0xed && p[1] > 0x9f) return 0;
  if (p[0] == 0xf0 && p[1] < 0x90) return 0;
  if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
  return n;
}

void plr__text_clean(char *text) {
  uint8_t *p = (uint8_t *)text, *end = p + strlen(text);
  while (p < end) {
    size_t n = plr__utf8_length(p, (size_t)(end - p));
    int control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && n == 2 && p[1] < 0xa0);
    if (n == 0 || control) *p = '?', n = 1;
    p += n;
  }
}

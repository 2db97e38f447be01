/* The strict pull reader. */
#include "base/json.h"

#include <string.h>

#define MAX_DEPTH 32u

void plr__json_init(plr_json *j, char *text, size_t len) {
  j->text = text, j->len = len, j->pos = 0, j->failed = NULL;
}

static void fail(plr_json *j, const char *what) {
  if (!j->failed) j->failed = what;
}

static void skip_space(plr_json *j) {
  while (j->pos < j->len && j->text[j->pos] && strchr(" \t\r\n", j->text[j->pos])) j->pos++;
}

char plr__json_peek(plr_json *j) {
  skip_space(j);
  return j->failed || j->pos >= j->len ? 0 : j->text[j->pos];
}

static int take(plr_json *j, char c) {
  if (plr__json_peek(j) != c) return 0;
  j->pos++;
  return 1;
}

void plr__json_open(plr_json *j, char bracket) {
  if (!take(j, bracket))
    fail(j, bracket == '{' ? "an object must be here" : "an array must be here");
}

int plr__json_more(plr_json *j, char bracket, int *first) {
  if (j->failed) return 0;
  int was_first = *first;
  *first = 0;
  if (take(j, bracket == '{' ? '}' : ']')) return 0;
  if (was_first) return 1;
  if (!take(j, ',')) {
    fail(j, bracket == '{' ? "',' or '}' must be here" : "',' or ']' must be here");
    return 0;
  }
  return 1;
}

const char *plr__json_key(plr_json *j) {
  const char *key = plr__json_string(j);
  if (key && !take(j, ':')) fail(j, "':' must be here");
  return j->failed ? NULL : key;
}

/* ---- strings ---------------------------------------------------------------------------------- */

/* Four hexadecimal digits at pos. */
static uint32_t hex4(plr_json *j) {
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    char c = j->pos < j->len ? j->text[j->pos] : 0;
    uint32_t digit;
    if (c >= '0' && c <= '9')
      digit = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = (uint32_t)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      digit = (uint32_t)(c - 'A') + 10;
    else {
      fail(j, "four hexadecimal digits must follow \\u");
      return 0;
    }
    v = v << 4 | digit;
    j->pos++;
  }
  return v;
}

/* The character after \u, a surrogate pair being one. 0 on failure. */
static uint32_t unicode(plr_json *j) {
  uint32_t c = hex4(j);
  if (j->failed) return 0;
  if (c >= 0xd800 && c < 0xdc00) {
    uint32_t low = 0;
    if (j->pos + 1 < j->len && j->text[j->pos] == '\\' && j->text[j->pos + 1] == 'u') {
      j->pos += 2;
      low = hex4(j);
    }
    if (low < 0xdc00 || low > 0xdfff) {
      fail(j, "half a surrogate pair");
      return 0;
    }
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  }
  if (c >= 0xdc00 && c < 0xe000) fail(j, "half a surrogate pair");
  if (c == 0) fail(j, "a NUL in a string");
  return j->failed ? 0 : c;
}

static size_t put_utf8(char *out, uint32_t c) {
  uint8_t *o = (uint8_t *)out;
  if (c < 0x80) {
    o[0] = (uint8_t)c;
    return 1;
  }
  if (c < 0x800) {
    o[0] = (uint8_t)(0xc0 | c >> 6), o[1] = (uint8_t)(0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    o[0] = (uint8_t)(0xe0 | c >> 12), o[1] = (uint8_t)(0x80 | (c >> 6 & 63));
    o[2] = (uint8_t)(0x80 | (c & 63));
    return 3;
  }
  o[0] = (uint8_t)(0xf0 | c >> 18), o[1] = (uint8_t)(0x80 | (c >> 12 & 63));
  o[2] = (uint8_t)(0x80 | (c >> 6 & 63)), o[3] = (uint8_t)(0x80 | (c & 63));
  return 4;
}

/* What follows a backslash, to out; returns its length. */
static size_t escape(plr_json *j, char *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char c = j->pos < j->len ? j->text[j->pos++] : 0;
  if (c == 'u') {
    uint32_t code = unicode(j);
    return j->failed ? 0 : put_utf8(out, code);
  }
  const char *at = c ? strchr(from, c) : NULL;
  if (!at) {
    fail(j, "an unknown escape in a string");
    return 0;
  }
  *out = to[at - from];
  return 1;
}

const char *plr__json_string(plr_json *j) {
  if (!take(j, '"')) {
    fail(j, "a string must be here");
    return NULL;
  }
  /* Decoded text is never longer than what it was written as, and the NUL takes the closing quote's place. */
  char *start = j->text + j->pos, *out = start;
  while (j->pos < j->len && j->text[j->pos] != '"') {
    uint8_t c = (uint8_t)j->text[j->pos];
    if (c < 0x20) fail(j, "a control character in a string");
    size_t n = j->failed ? 0 : plr__utf8_length(j->text + j->pos, j->len - j->pos);
    if (n == 0) fail(j, "a string is not UTF-8");
    if (j->failed) return NULL;
    if (c == '\\') {
      j->pos++;
      out += escape(j, out);
      if (j->failed) return NULL;
      continue;
    }
    memmove(out, j->text + j->pos, n);
    out += n, j->pos += n;
  }
  if (j->pos >= j->len) {
    fail(j, "the text ends in a string");
    return NULL;
  }
  *out = 0;
  j->pos++;
  return start;
}

/* ---- other values ----------------------------------------------------------------------------- */

static int digit(const plr_json *j, size_t at) {
  return at < j->len && j->text[at] >= '0' && j->text[at] <= '9';
}

uint64_t plr__json_whole(plr_json *j) {
  plr__json_peek(j);
  size_t start = j->pos;
  uint64_t v = 0;
  if (!j->failed && !digit(j, start)) fail(j, "a whole number must be here");
  if (j->failed) return 0;
  if (j->text[start] == '0' && digit(j, start + 1)) fail(j, "a number with a leading zero");
  size_t at = start;
  for (; digit(j, at); at++) {
    uint64_t d = (uint64_t)(j->text[at] - '0');
    if (v > ((uint64_t)INT64_MAX - d) / 10) fail(j, "a number above 2^63-1");
    if (j->failed) return 0;
    v = v * 10 + d;
  }
  if (at < j->len && j->text[at] && strchr(".eE", j->text[at]))
    fail(j, "a number with a fraction or exponent where a whole one must be");
  if (j->failed) return 0;
  j->pos = at;
  return v;
}

static void skip_number(plr_json *j) {
  size_t at = j->pos;
  if (at < j->len && j->text[at] == '-') at++;
  int good = digit(j, at) && !(j->text[at] == '0' && digit(j, at + 1));
  while (digit(j, at)) at++;
  if (good && at < j->len && j->text[at] == '.') {
    good = digit(j, ++at);
    while (digit(j, at)) at++;
  }
  if (good && at < j->len && (j->text[at] == 'e' || j->text[at] == 'E')) {
    at++;
    if (at < j->len && (j->text[at] == '+' || j->text[at] == '-')) at++;
    good = digit(j, at);
    while (digit(j, at)) at++;
  }
  if (!good) fail(j, "not a number");
  if (good) j->pos = at;
}

static void skip_word(plr_json *j) {
  static const char *const words[] = {"true", "false", "null"};
  for (size_t i = 0; i < PLR_COUNT_OF(words); i++) {
    size_t n = strlen(words[i]);
    if (j->len - j->pos < n || memcmp(j->text + j->pos, words[i], n) != 0) continue;
    j->pos += n;
    return;
  }
  fail(j, "a value must be here");
}

static void skip(plr_json *j, uint32_t depth) {
  char c = plr__json_peek(j);
  if (j->failed) return;
  if (c == '"') {
    plr__json_string(j);
  } else if (c == '{' || c == '[') {
    if (depth == 0) {
      fail(j, "nested too deep");
      return;
    }
    int first = 1;
    plr__json_open(j, c);
    while (plr__json_more(j, c, &first)) {
      if (c == '{') plr__json_key(j);
      skip(j, depth - 1);
    }
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    skip_number(j);
  } else {
    skip_word(j);
  }
}

void plr__json_skip(plr_json *j) {
  skip(j, MAX_DEPTH);
}

int plr__json_done(plr_json *j) {
  skip_space(j);
  if (!j->failed && j->pos < j->len) fail(j, "something follows the end");
  return !j->failed;
}

/* ---- writing ---------------------------------------------------------------------------------- */

void plr__json_put_string(plr_buffer *out, const char *text) {
  plr__buffer_u8(out, '"');
  for (const char *p = text; *p; p++) {
    uint8_t c = (uint8_t)*p;
    if (c == '"' || c == '\\') plr__buffer_u8(out, '\\');
    if (c < 0x20)
      (void)plr__buffer_printf(out, "\\u%04x", c);
    else
      plr__buffer_u8(out, c);
  }
  plr__buffer_u8(out, '"');
}

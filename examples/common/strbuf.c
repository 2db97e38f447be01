#include "strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void) {
  fputs("out of memory\n", stderr);
  exit(1);
}

void *must_alloc(size_t count, size_t size) {
  void *p = calloc(count ? count : 1, size ? size : 1);
  if (!p) out_of_memory();
  return p;
}

void *must_realloc(void *ptr, size_t size) {
  void *p = realloc(ptr, size ? size : 1);
  if (!p) out_of_memory();
  return p;
}

static void reserve(struct strbuf *b, size_t more) {
  if (b->cap - b->len > more) return;
  size_t cap = b->cap ? b->cap : 256;
  while (cap - b->len <= more) cap *= 2;
  b->text = must_realloc(b->text, cap);
  b->cap = cap;
}

void strbuf_add(struct strbuf *b, const void *data, size_t len) {
  reserve(b, len);
  if (len) memcpy(b->text + b->len, data, len);
  b->len += len;
  b->text[b->len] = 0;
}

void strbuf_puts(struct strbuf *b, const char *text) {
  strbuf_add(b, text, strlen(text));
}

void strbuf_printf(struct strbuf *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n > 0) {
    reserve(b, (size_t)n);
    vsnprintf(b->text + b->len, (size_t)n + 1, format, again);
    b->len += (size_t)n;
  }
  va_end(again);
}

/* Length of the UTF-8 sequence at s, 0 when it is not one (overlong forms and surrogates
 * included). */
static size_t utf8_sequence(const unsigned char *s, size_t left) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (s[0] < 0x80) return 1;
  size_t n = s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
  if (!n || s[0] >= 0xf8 || n > left) return 0;
  uint32_t code = s[0] & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (s[i] & 0x3fu);
  }
  int surrogate = code >= 0xd800 && code < 0xe000;
  return code < least[n] || code > 0x10ffff || surrogate ? 0 : n;
}

void strbuf_html(struct strbuf *b, const char *text, size_t len) {
  const unsigned char *s = (const unsigned char *)text;
  for (size_t i = 0; i < len;) {
    size_t n = utf8_sequence(s + i, len - i);
    int control = s[i] < 0x20 && s[i] != '\n' && s[i] != '\t';
    if (!n || control || s[i] == 0x7f) {
      strbuf_puts(b, "\xef\xbf\xbd");
      n = 1;
    } else if (s[i] == '<') {
      strbuf_puts(b, "&lt;");
    } else if (s[i] == '>') {
      strbuf_puts(b, "&gt;");
    } else if (s[i] == '&') {
      strbuf_puts(b, "&amp;");
    } else if (s[i] == '"') {
      strbuf_puts(b, "&quot;");
    } else {
      strbuf_add(b, s + i, n);
    }
    i += n;
  }
}

void strbuf_free(struct strbuf *b) {
  free(b->text);
  b->text = NULL;
  b->len = b->cap = 0;
}

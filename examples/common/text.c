#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "strbuf.h"

#define TEXT_MAX ((size_t)1 << 30)

static int fail(char *message, size_t cap, const char *path, const char *what) {
  snprintf(message, cap, "%s: %s", path, what);
  return -1;
}

/* Grows as it reads: the size a file claims is no promise (pipes, /proc). */
static int read_all(FILE *file, struct text *out) {
  size_t cap = 1 << 16;
  out->bytes = must_alloc(cap, 1);
  for (;;) {
    size_t got = fread(out->bytes + out->len, 1, cap - out->len, file);
    out->len += got;
    if (got == 0) return ferror(file) ? errno : 0;
    if (out->len > TEXT_MAX) return EFBIG;
    if (out->len == cap) out->bytes = must_realloc(out->bytes, cap *= 2);
  }
}

int text_load(const char *path, struct text *out, char *message, size_t message_cap) {
  memset(out, 0, sizeof *out);
  FILE *file = fopen(path, "rb");
  if (!file) return fail(message, message_cap, path, strerror(errno));
  struct stat st;
  int error = fstat(fileno(file), &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
  if (!error) error = read_all(file, out);
  fclose(file);
  if (error) {
    text_free(out);
    return fail(message, message_cap, path, strerror(error));
  }
  if (out->len == 0) {
    text_free(out);
    return fail(message, message_cap, path, "the text is empty");
  }
  return 0;
}

void text_free(struct text *text) {
  free(text->bytes);
  text->bytes = NULL;
  text->len = 0;
}

size_t text_train_len(const struct text *text) {
  return text->len - text->len / 10;
}

double text_bigram_entropy(const struct text *text) {
  size_t n = text_train_len(text);
  uint64_t *pair = must_alloc(256 * 256, sizeof *pair);
  uint64_t single[256] = {0}, first[256] = {0};
  for (size_t i = 0; i < n; i++) single[text->bytes[i]]++;
  for (size_t i = 0; i + 1 < n; i++) {
    pair[text->bytes[i] * 256 + text->bytes[i + 1]]++;
    first[text->bytes[i]]++;
  }
  double sum = 0;
  uint64_t count = 0;
  for (size_t i = n; i + 1 < text->len; i++, count++) {
    unsigned a = text->bytes[i], b = text->bytes[i + 1];
    double p = ((double)single[b] + 1) / ((double)n + 256);
    sum -= log(((double)pair[a * 256 + b] + p) / ((double)first[a] + 1));
  }
  free(pair);
  return count ? sum / (double)count : NAN;
}

/* Finds the key path of a byte in a text that is JSON up to about there. */
#include "model/model_int.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 8

typedef struct path {
  char key[MAX_DEPTH][48];   /* of an object: the newest key */
  uint32_t index[MAX_DEPTH]; /* of an array: the element it is at */
  char open[MAX_DEPTH];      /* '{' or '[' */
  uint32_t depth;            /* objects and arrays open around here */
} path;

/* The string that starts after the quote at `at`; returns the place after its closing quote. */
static size_t read_string(const char *json, size_t len, size_t at, char out[48]) {
  size_t n = 0;
  for (at++; at < len && json[at] != '"'; at++) {
    if (json[at] == '\\' && at + 1 < len) at++;
    if (n + 1 < 48) out[n++] = json[at];
  }
  out[n] = 0;
  return at < len ? at + 1 : len;
}

void plr__manifest_where(const char *json, size_t len, size_t offset, char where[64]) {
  path p = {.depth = 0};
  char text[48] = "";
  size_t end = PLR_MIN(offset, len);
  for (size_t at = 0; at < end;) {
    char c = json[at];
    if (c == '"') {
      at = read_string(json, len, at, text);
      size_t colon = at;
      while (colon < len && strchr(" \t\r\n", json[colon])) colon++;
      int key = colon < len && json[colon] == ':';
      if (key && p.depth > 0 && p.depth <= MAX_DEPTH) memcpy(p.key[p.depth - 1], text, sizeof text);
      continue;
    }
    if (c == '{' || c == '[') {
      if (p.depth < MAX_DEPTH) p.key[p.depth][0] = 0, p.index[p.depth] = 0, p.open[p.depth] = c;
      p.depth++;
    }
    if (c == ',' && p.depth > 0 && p.depth <= MAX_DEPTH) p.index[p.depth - 1]++;
    if ((c == '}' || c == ']') && p.depth > 0) p.depth--;
    at++;
  }
  size_t n = (size_t)snprintf(where, 64, "manifest");
  for (uint32_t i = 0; i < p.depth && i < MAX_DEPTH && n < 64; i++) {
    if (p.open[i] == '[')
      n += (size_t)snprintf(where + n, 64 - n, "[%u]", p.index[i]);
    else if (p.key[i][0])
      n += (size_t)snprintf(where + n, 64 - n, ".%s", p.key[i]);
  }
}

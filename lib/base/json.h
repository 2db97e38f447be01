/* A strict pull reader of JSON (RFC 8259) for texts that may be megabytes, as the headers of weight files are: no
 * tree, no allocation. The caller knows what must come next and asks for it; the first thing that is not so sticks
 * in `failed`, with where and why, and everything after it gives nothing. */
#ifndef PLR_BASE_JSON_H
#define PLR_BASE_JSON_H

#include "base/base.h"

typedef struct plr_json {
  char *text; /* changed in place: strings are decoded where they stand */
  size_t len, pos;
  const char *failed; /* NULL, or what is wrong at pos; a static string */
} plr_json;

/* text stays the caller's and is written to. */
void plr__json_init(plr_json *j, char *text, size_t len);

/* The character the next value begins with; 0 at the end or after a failure. */
char plr__json_peek(plr_json *j);

/* Goes into an object ('{') or an array ('['). */
void plr__json_open(plr_json *j, char bracket);
/* 1: another member or element follows. 0: the closing bracket was read, or something failed. *first starts as 1. */
int plr__json_more(plr_json *j, char bracket, int *first);
/* A member's name and the colon after it. */
const char *plr__json_key(plr_json *j);

/* A string: NUL-terminated, decoded, valid UTF-8 without NUL; lives in the text. NULL after a failure. */
const char *plr__json_string(plr_json *j);
/* A whole number 0 .. 2^63-1, without fraction or exponent. */
uint64_t plr__json_whole(plr_json *j);
/* Any value; at most 32 levels deep. */
void plr__json_skip(plr_json *j);

/* 1: nothing failed and only white space is left. */
int plr__json_done(plr_json *j);

/* Appends text as a JSON string, quotes included. The text must be valid UTF-8. */
void plr__json_put_string(plr_buffer *out, const char *text);

#endif

/* Single values of a manifest: checked, and refused by name ("manifest.train.lr"). */
#include "model/manifest_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

plr_status plr__refuse(plr_reading *r, plr_status st, const char *path, const char *key,
                       const char *fmt, ...) {
  char where[64], message[240];
  snprintf(where, sizeof where, "%s%s%s", path, *key ? "." : "", key);
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  return plr__fail(r->err, st, where, "%s", message);
}

static const char *type_name(const json_t *v) {
  switch (json_typeof(v)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "an array";
  case JSON_STRING:
    return "a string";
  case JSON_INTEGER:
    return "a whole number";
  case JSON_REAL:
    return "a number with a fraction or exponent";
  case JSON_NULL:
    return "null";
  default:
    return "a boolean";
  }
}

plr_status plr__wrong_type(plr_reading *r, const char *path, const char *key, const char *want,
                           const json_t *got) {
  return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "must be %s, not %s", want, type_name(got));
}

/* ---- single fields ---------------------------------------------------------------------------- */

plr_status plr__read_whole(plr_reading *r, const char *path, const char *key, const json_t *v,
                           double min, double max, uint64_t *out) {
  if (!json_is_integer(v)) return plr__wrong_type(r, path, key, "a whole number", v);
  json_int_t x = json_integer_value(v);
  if (x < (json_int_t)min || x > (json_int_t)max)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "is %lld, must be in %.0f .. %.0f",
                       (long long)x, min, max);
  *out = (uint64_t)x;
  return PLR_OK;
}

plr_status plr__read_u64(plr_reading *r, const char *path, const char *key, const json_t *v,
                         uint64_t *out) {
  if (!json_is_integer(v)) return plr__wrong_type(r, path, key, "a whole number", v);
  if (json_integer_value(v) < 0)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "is %lld, must not be negative",
                       (long long)json_integer_value(v));
  *out = (uint64_t)json_integer_value(v);
  return PLR_OK;
}

plr_status plr__read_real(plr_reading *r, const char *path, const char *key, const json_t *v,
                          double min, double max, double *out) {
  if (!json_is_number(v)) return plr__wrong_type(r, path, key, "a number", v);
  double x = json_number_value(v);
  if (!(x >= min && x <= max))
    return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "is %g, must be in %g .. %g", x, min, max);
  *out = x == 0.0 ? 0.0 : x; /* -0.0 says the same and must hash the same */
  return PLR_OK;
}

plr_status plr__read_choice(plr_reading *r, const char *path, const char *key, const json_t *v,
                            const plr_choice *choices, uint32_t *out) {
  if (!json_is_string(v)) return plr__wrong_type(r, path, key, "a string", v);
  char known[200] = "";
  for (const plr_choice *c = choices; c->text; c++) {
    if (strcmp(c->text, json_string_value(v)) == 0) {
      if (out) *out = c->value;
      return PLR_OK;
    }
    size_t n = strlen(known);
    snprintf(known + n, sizeof known - n, "%s\"%s\"", n ? ", " : "", c->text);
  }
  return plr__refuse(r, PLR_ERR_UNSUPPORTED, path, key, "\"%.48s\" is not known here; known: %s",
                     json_string_value(v), known);
}

plr_status plr__read_flag(plr_reading *r, const char *path, const char *key, const json_t *v,
                          uint32_t *out) {
  if (!json_is_boolean(v)) return plr__wrong_type(r, path, key, "true or false", v);
  *out = json_is_true(v);
  return PLR_OK;
}

plr_status plr__read_text(plr_reading *r, const char *path, const char *key, const json_t *v,
                          size_t max, char *out) {
  if (!json_is_string(v)) return plr__wrong_type(r, path, key, "a string", v);
  const char *text = json_string_value(v);
  size_t len = json_string_length(v);
  if (len == 0 || len > max)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "has %zu bytes, must have 1 .. %zu", len,
                       max);
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "holds a control character");
  memcpy(out, text, len + 1);
  return PLR_OK;
}

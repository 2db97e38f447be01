#include "format.h"

#include <stdio.h>
#include <string.h>

/* Three significant digits. */
static void three(char *buf, size_t cap, double v, const char *unit) {
  snprintf(buf, cap, v < 9.995 ? "%.2f%s" : v < 99.95 ? "%.1f%s" : "%.0f%s", v, unit);
}

char *format_bytes(char buf[FORMAT_CAP], double bytes) {
  static const char *const units[] = {" kB", " MB", " GB", " TB"};
  if (bytes < 999.5) {
    snprintf(buf, FORMAT_CAP, "%.0f B", bytes);
    return buf;
  }
  size_t unit = 0;
  for (bytes /= 1000; bytes >= 999.5 && unit < 3; unit++) bytes /= 1000;
  three(buf, FORMAT_CAP, bytes, units[unit]);
  return buf;
}

char *format_short(char buf[FORMAT_CAP], double value) {
  static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
  size_t unit = 0;
  for (; value >= 999.5 && unit < 6; unit++) value /= 1000;
  if (unit == 0) {
    snprintf(buf, FORMAT_CAP, "%.4g", value);
  } else {
    three(buf, FORMAT_CAP, value, units[unit]);
  }
  return buf;
}

char *format_count(char buf[FORMAT_CAP], uint64_t value) {
  char digits[24];
  int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), out = 0;
  for (int i = 0; i < n; i++) {
    if (i && (n - i) % 3 == 0) buf[out++] = ',';
    buf[out++] = digits[i];
  }
  buf[out] = 0;
  return buf;
}

char *format_rate(char buf[FORMAT_CAP], uint64_t bits_per_s) {
  static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"};
  double value = (double)bits_per_s;
  size_t unit = 0;
  for (; value >= 1000 && unit < 3; unit++) value /= 1000;
  if (bits_per_s) {
    snprintf(buf, FORMAT_CAP, "%.4g %s", value, units[unit]);
  } else {
    snprintf(buf, FORMAT_CAP, "unlimited");
  }
  return buf;
}

char *format_duration(char buf[FORMAT_CAP], double seconds) {
  uint64_t whole = (uint64_t)(seconds + 0.5);
  if (seconds < 1) {
    snprintf(buf, FORMAT_CAP, "%.3g ms", seconds * 1e3);
  } else if (seconds < 59.5) {
    snprintf(buf, FORMAT_CAP, "%.3g s", seconds);
  } else if (whole < 3600) {
    snprintf(buf, FORMAT_CAP, "%u min %02u s", (unsigned)(whole / 60), (unsigned)(whole % 60));
  } else {
    snprintf(buf, FORMAT_CAP, "%llu h %02u min", (unsigned long long)(whole / 3600),
             (unsigned)(whole / 60 % 60));
  }
  return buf;
}

char *format_money(char buf[FORMAT_CAP], uint64_t amount, uint32_t decimals) {
  uint64_t scale = 1;
  for (uint32_t i = 0; i < decimals && i < 18; i++) scale *= 10;
  format_count(buf, amount / scale);
  if (scale > 1) {
    size_t n = strlen(buf);
    snprintf(buf + n, FORMAT_CAP - n, ".%0*llu", (int)decimals,
             (unsigned long long)(amount % scale));
  }
  return buf;
}

char *format_hex(char *buf, size_t cap, const uint8_t *bytes, size_t len) {
  for (size_t i = 0; i < len && 2 * i + 2 < cap; i++) snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
  return buf;
}

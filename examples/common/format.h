/* Numbers as people read them. Each writes into buf and returns it. */
#ifndef EXAMPLES_FORMAT_H
#define EXAMPLES_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_CAP 48

char *format_bytes(char buf[FORMAT_CAP], double bytes);       /* 12.3 MB (decimal units) */
char *format_count(char buf[FORMAT_CAP], uint64_t value);     /* 4,404,412 */
char *format_short(char buf[FORMAT_CAP], double value);       /* 4.40 M */
char *format_rate(char buf[FORMAT_CAP], uint64_t bits_per_s); /* 80 Mbit/s, unlimited */
char *format_duration(char buf[FORMAT_CAP], double seconds);  /* 4 min 12 s, 25 ms */
char *format_money(char buf[FORMAT_CAP], uint64_t amount, uint32_t decimals); /* 1,000.00 */
char *format_hex(char *buf, size_t cap, const uint8_t *bytes, size_t len);    /* cap >= 2 len + 1 */

#endif

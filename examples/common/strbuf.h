/* A growing text buffer. Running out of memory in an example host ends the process with a
 * message. */
#ifndef EXAMPLES_STRBUF_H
#define EXAMPLES_STRBUF_H

#include <stddef.h>

struct strbuf {
  char *text; /* NUL-terminated once anything was added, else NULL */
  size_t len, cap;
};

#define STRBUF_PRINTF __attribute__((format(printf, 2, 3)))

void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_puts(struct strbuf *b, const char *text);
void strbuf_printf(struct strbuf *b, const char *format, ...) STRBUF_PRINTF;

/* Adds len bytes as HTML text: markup is escaped, bytes that are not UTF-8 become U+FFFD. */
void strbuf_html(struct strbuf *b, const char *text, size_t len);
void strbuf_free(struct strbuf *b);

/* malloc that cannot fail: zeroed memory, or the end of the process. */
void *must_alloc(size_t count, size_t size);
void *must_realloc(void *ptr, size_t size);

#endif

/* The text a model is trained on, and the yardstick its loss is held against. */
#ifndef EXAMPLES_TEXT_H
#define EXAMPLES_TEXT_H

#include <stddef.h>

struct text {
  unsigned char *bytes;
  size_t len;
};

/* Reads a whole file, at most 1 GiB. 0, or -1 with a message that names the file and what is
 * wrong. */
int text_load(const char *path, struct text *out, char *message, size_t message_cap);
void text_free(struct text *text);

/* Bytes of the training part; the rest is validation, split as plr_corpus does (last tenth,
 * rounded down). */
size_t text_train_len(const struct text *text);

/* Cross-entropy, in nats a byte, of the validation part under the bigram model of the training
 * part:
 *
 *   P(b | a) = (count(a,b) + P(b)) / (count(a) + 1),   P(b) = (count(b) + 1) / (n + 256)
 *
 * counts are those of the training part alone, so it is what a perfect table of byte pairs,
 * learned from the same text, scores on bytes it has not seen: a model that knows more context
 * than one byte must be below it. */
double text_bigram_entropy(const struct text *text);

#endif

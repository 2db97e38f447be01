/* Identities kept as files: one 32-byte Ed25519 seed each, readable by the owner only. */
#ifndef EXAMPLES_KEYS_H
#define EXAMPLES_KEYS_H

#include <pluralis/identity.h>

/* Opens <dir>/<name>.key, creating it from the kernel's randomness when it is not there. 0, or
 * -1 with a message that names the file. */
int keys_open(plr_context *ctx, const char *dir, const char *name, plr_identity **out,
              char *message, size_t message_cap);

/* Reads 64 hexadecimal digits. 0 or -1. */
int keys_from_hex(const char *hex, uint8_t key[32]);

/* Fills buf with fresh randomness (at most 256 bytes). 0 or -1. */
int keys_random(void *buf, size_t len);

#endif

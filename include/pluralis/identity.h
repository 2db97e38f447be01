/* libpluralis: an Ed25519 key pair (RFC 8032), by libsodium. Every node, designer and depositor signs with one. */
#ifndef PLURALIS_IDENTITY_H
#define PLURALIS_IDENTITY_H

#include <pluralis/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A key pair that can sign. */
typedef struct plr_identity plr_identity;

/* Creates an identity from a 32-byte secret seed, which is copied and wiped at destroy. The host makes the seed
 * from its own randomness and keeps it. Errors: NO_MEMORY, UNAVAILABLE (libsodium fails its self-test: it must
 * reject low-order and non-canonical points, see plr_verify). Since 0.1. */
PLR_API plr_status plr_identity_create(plr_context *ctx, const uint8_t seed[32], plr_identity **out,
                                       plr_error *err);
PLR_API void plr_identity_destroy(plr_identity *identity);

/* The 32-byte public key. Since 0.1. */
PLR_API void plr_identity_public_key(const plr_identity *identity, uint8_t out[32]);

/* Account id of a public key: SHA-256("pluralis.account/v1" ‖ key). Since 0.1. */
PLR_API void plr_account_id(const uint8_t public_key[32], plr_hash *out);

/* Signs len bytes; 64-byte signature, deterministic. Threads: const. Since 0.1. */
PLR_API void plr_identity_sign(const plr_identity *identity, const void *data, size_t len, uint8_t out[64]);

/* Verifies by the one rule of this project: libsodium accepts and A is a canonical point of prime order (R then
 * is too, because libsodium recomputes it without the cofactor). Threads: any.
 * Errors: SIGNATURE. Since 0.1. */
PLR_API plr_status plr_verify(const uint8_t public_key[32], const void *data, size_t len,
                              const uint8_t signature[64]);

#ifdef __cplusplus
}
#endif

#endif

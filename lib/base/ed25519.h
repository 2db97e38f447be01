/* Many Ed25519 signatures at once. */
#ifndef PLR_BASE_ED25519_H
#define PLR_BASE_ED25519_H

#include <stdint.h>

/* For each of eight: whether S·B - h·A has the encoding R. signature: R ‖ S, S below the group's order; h: 32 bytes,
 * SHA-512(R ‖ A ‖ message) reduced by it; key: A, which need not be a point. Needs AVX-512 with IFMA. */
uint32_t plr__ed25519_verify8(const uint8_t *const key[8], const uint8_t *const signature[8],
                              const uint8_t *const h[8]);

#endif

/* CRC-32C (Castagnoli, RFC 3720 section 12.1): polynomial 0x1EDC6F41, reflected, inverted at both
 * ends.
 *
 * Portable path: eight tables of 256 (Kounavis and Berry, "slicing-by-8", 2005). A CRC is linear
 * over GF(2), so each table follows from its values at the eight single bits, and the compiler
 * builds the constants. x86-64 and aarch64: the processor's instruction (crc32c_streams.h). */
#include "base/base_int.h"

#define B(n, bit, v) ((n) & (1u << (bit)) ? (v) : 0u)
#define ENTRY(n, a, b, c, d, e, f, g, h)                                                           \
  (B(n, 0, a) ^ B(n, 1, b) ^ B(n, 2, c) ^ B(n, 3, d) ^ B(n, 4, e) ^ B(n, 5, f) ^ B(n, 6, g) ^      \
   B(n, 7, h))
#define ROW4(n, ...)                                                                               \
  ENTRY(n, __VA_ARGS__), ENTRY(n + 1, __VA_ARGS__), ENTRY(n + 2, __VA_ARGS__),                     \
      ENTRY(n + 3, __VA_ARGS__)
#define ROW16(n, ...)                                                                              \
  ROW4(n, __VA_ARGS__), ROW4(n + 4, __VA_ARGS__), ROW4(n + 8, __VA_ARGS__),                        \
      ROW4(n + 12, __VA_ARGS__)
#define ROW64(n, ...)                                                                              \
  ROW16(n, __VA_ARGS__), ROW16(n + 16, __VA_ARGS__), ROW16(n + 32, __VA_ARGS__),                   \
      ROW16(n + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
  {                                                                                                \
    ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__), ROW64(128, __VA_ARGS__),                        \
        ROW64(192, __VA_ARGS__)                                                                    \
  }

/* table[k][b]: the remainder of byte b followed by k zero bytes. */
static const uint32_t table[8][256] = {
    TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu,
          0x82f63b78u),
    TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u,
          0xfbc3faf9u),
    TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u,
          0x8b277743u),
    TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u,
          0x52a0c93fu),
    TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu,
          0x6ea2d55cu),
    TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu,
          0x1c08b7d6u),
    TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au,
          0xf56e0ef4u),
    TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u,
          0x34019664u),
};

uint32_t plr__crc32c_portable(uint32_t crc, const void *data, size_t len) {
  const uint8_t *p = data;
  uint32_t c = ~crc;
  for (; len >= 8; len -= 8, p += 8) {
    uint32_t lo = plr__load_le32(p) ^ c, hi = plr__load_le32(p + 4);
    c = table[7][lo & 255] ^ table[6][lo >> 8 & 255] ^ table[5][lo >> 16 & 255] ^
        table[4][lo >> 24] ^ table[3][hi & 255] ^ table[2][hi >> 8 & 255] ^
        table[1][hi >> 16 & 255] ^ table[0][hi >> 24];
  }
  for (; len > 0; len--, p++) c = c >> 8 ^ table[0][(c ^ *p) & 255];
  return ~c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>

#define PLR_CRC_TARGET __attribute__((target("sse4.2,pclmul")))
#define crc_8          _mm_crc32_u8
#define crc_64         _mm_crc32_u64

PLR_CRC_TARGET static inline uint64_t crc_shift(uint64_t crc, uint32_t by) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
                                         _mm_cvtsi64_si128((int64_t)(uint64_t)by), 0);
  return (uint64_t)_mm_cvtsi128_si64(product);
}

#include "base/crc32c_streams.h"

uint32_t plr__crc32c(uint32_t crc, const void *data, size_t len) {
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
    return crc32c_streams(crc, data, len);
  return plr__crc32c_portable(crc, data, len);
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Bits of AT_HWCAP on Linux for aarch64 (its asm/hwcap.h, which other systems do not have). */
#define HAS_PMULL (1u << 4)
#define HAS_CRC32 (1u << 7)

uint32_t plr__crc32c(uint32_t crc, const void *data, size_t len) {
  const unsigned wanted = HAS_PMULL | HAS_CRC32;
  if ((getauxval(AT_HWCAP) & wanted) == wanted) return plr__crc32c_arm(crc, data, len);
  return plr__crc32c_portable(crc, data, len);
}

#else

uint32_t plr__crc32c(uint32_t crc, const void *data, size_t len) {
  return plr__crc32c_portable(crc, data, len);
}

#endif

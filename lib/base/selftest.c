/* A few microseconds at context creation that refuse a machine or a build whose results could not
 * be trusted. */
#include "base/base_int.h"

#include <math.h>
#include <string.h>

/* FIPS 180-4 example: SHA-256("abc"). */
static int sha256_works(void) {
  static const uint8_t want[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                   0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                   0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  plr_hash got;
  plr_sha256("abc", 3, &got);
  return memcmp(got.bytes, want, sizeof want) == 0;
}

/* The check value of the CRC catalogue ("123456789"), on the path in use and the portable one. */
static int crc32c_works(void) {
  static const char text[] = "123456789";
  return plr__crc32c(0, text, 9) == 0xe3069283u && plr__crc32c_portable(0, text, 9) == 0xe3069283u;
}

/* (1 + e)^2 - (1 + 2e) is e^2, but 0 when the product is rounded first; half the smallest normal
 * number is lost when denormals are flushed. */
static int arithmetic_works(void) {
  const volatile float e = 0x1p-13f, one = 1.0f, tiny = 0x1p-126f, half = 0.5f;
  plr_fpenv saved = plr__fpenv_enter();
  volatile float fused = fmaf(one + e, one + e, -(one + 2 * e));
  volatile float denormal = tiny * half;
  int works = fused == 0x1p-26f && denormal == 0x1p-127f;
  plr__fpenv_leave(saved);
  return works;
}

const char *plr__selftest(void) {
  if (!sha256_works()) return "SHA-256";
  if (!crc32c_works()) return "CRC-32C";
  if (!arithmetic_works()) return "floating-point arithmetic";
  return NULL;
}

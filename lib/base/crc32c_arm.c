/* CRC-32C by the instructions of ARMv8's CRC and PMULL extensions; this file alone is compiled with their flags. */
#include "base/base_int.h"

#include <arm_acle.h>
#include <arm_neon.h>

#define PLR_CRC_TARGET
#define crc_8 __crc32cb

static inline uint64_t crc_64(uint64_t crc, uint64_t data) {
  return __crc32cd((uint32_t)crc, data);
}

static inline uint64_t crc_shift(uint64_t crc, uint32_t by) {
  return vgetq_lane_u64(vreinterpretq_u64_p128(vmull_p64(crc, by)), 0);
}

#include "base/crc32c_streams.h"

uint32_t plr__crc32c_arm(uint32_t crc, const void *data, size_t len) {
  return crc32c_streams(crc, data, len);
}

/* CRC-32C by a processor's own instruction, on three streams at once because its latency is three cycles or more;
 * the streams are joined by carry-less multiplication. The file that includes this has defined PLR_CRC_TARGET (the
 * function attribute, if any), crc_8 and crc_64 (the instruction on one and on eight bytes) and crc_shift (the low
 * 64 bits of a carry-less product of two words of 32). */
#define STREAM 1024u /* bytes of each of the three streams */
/* x^(8n - 33) modulo the polynomial for n = 1024 and 2048 bytes, reflected: 32 less because the
 * crc32 instruction multiplies by x^32, one less because a reflected product is off by one bit. */
#define SHIFT_1 0x170076fa
#define SHIFT_2 0xa51b6135

PLR_CRC_TARGET static uint32_t crc32c_streams(uint32_t crc, const void *data, size_t len) {
  const uint8_t *p = data;
  uint64_t c = (uint32_t)~crc; /* wide, since the x86 instruction on 8 bytes is */
  for (; len >= 3 * STREAM; len -= 3 * STREAM, p += 3 * STREAM) {
    uint64_t c1 = 0, c2 = 0;
    for (size_t i = 0; i < STREAM; i += 8) {
      c = crc_64(c, plr__load_le64(p + i));
      c1 = crc_64(c1, plr__load_le64(p + STREAM + i));
      c2 = crc_64(c2, plr__load_le64(p + 2 * STREAM + i));
    }
    c = c2 ^ crc_64(0, crc_shift(c, SHIFT_2) ^ crc_shift(c1, SHIFT_1));
  }
  for (; len >= 8; len -= 8, p += 8) c = crc_64(c, plr__load_le64(p));
  for (; len > 0; len--, p++) c = crc_8((uint32_t)c, *p);
  return ~(uint32_t)c;
}

#include "internal.h"

/* CRC-32C (Castagnoli), as Go's hash/crc32 has it: by the processor's instruction, or by a table of half a byte. */

static const uint32_t NIBBLE[16] = {
  0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
  0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75
};

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t n) {
  for (; n > 0; n--, p++) {
    crc ^= *p;
    crc = crc >> 4 ^ NIBBLE[crc & 15];
    crc = crc >> 4 ^ NIBBLE[crc & 15];
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_processor(uint32_t crc, const uint8_t *p, size_t n) {
  uint64_t wide = crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    wide = __builtin_ia32_crc32di(wide, v);
  }
  crc = (uint32_t)wide;
  for (; n > 0; n--, p++) crc = __builtin_ia32_crc32qi(crc, *p);
  return crc;
}

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#else
static uint32_t by_processor(uint32_t crc, const uint8_t *p, size_t n) { return by_table(crc, p, n); }
static int has_instruction(void) { return 0; }
#endif

/* Goes on from the CRC of what comes before, 0 at the beginning. */
uint32_t wippy_crc32c(uint32_t crc, const void *bytes, size_t n) {
  crc = ~crc;
  crc = has_instruction() ? by_processor(crc, bytes, n) : by_table(crc, bytes, n);
  return ~crc;
}

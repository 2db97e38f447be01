/* The processor's floating-point control register, for the tests of who sets it and who finds it again. */
#ifndef PLR_TESTS_FLOAT_MODE_H
#define PLR_TESTS_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

#define FLOAT_MODE_EXACT 0x1f80u /* nearest, denormals kept, exceptions masked */
#define FLOAT_MODE_FLUSH 0x8040u /* denormals are zero, as results and as arguments */
#define FLOAT_MODE_UP    0x4000u
#define FLOAT_MODE_CHOP  0x6000u
#define FLOAT_MODE_NOTES 0x003fu /* exceptions that happened: not a mode */

static inline uint64_t float_mode(void) {
  return _mm_getcsr();
}
static inline void set_float_mode(uint64_t mode) {
  _mm_setcsr((unsigned)mode);
}

#elif defined(__aarch64__)

#define FLOAT_MODE_EXACT 0u
#define FLOAT_MODE_FLUSH ((uint64_t)1 << 24)
#define FLOAT_MODE_UP    ((uint64_t)1 << 22)
#define FLOAT_MODE_CHOP  ((uint64_t)3 << 22)
#define FLOAT_MODE_NOTES 0u

static inline uint64_t float_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
  return mode;
}
static inline void set_float_mode(uint64_t mode) {
  __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}

#else
/* Sets nothing, so that a test sees its mode is not kept and says that it skips. */
#define FLOAT_MODE_EXACT 0u
#define FLOAT_MODE_FLUSH 1u
#define FLOAT_MODE_UP    2u
#define FLOAT_MODE_CHOP  4u
#define FLOAT_MODE_NOTES 0u

static inline uint64_t float_mode(void) {
  return 0;
}
static inline void set_float_mode(uint64_t mode) {
  (void)mode;
}
#endif

#endif

/* The floating-point environment of profile `exact`: round to nearest even, denormals kept,
 * exceptions masked. */
#include "base/base.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#define PLR_MXCSR_EXACT 0x1F80u

plr_fpenv plr__fpenv_enter(void) {
  plr_fpenv saved = _mm_getcsr();
  _mm_setcsr(PLR_MXCSR_EXACT);
  return saved;
}

void plr__fpenv_leave(plr_fpenv saved) {
  _mm_setcsr((unsigned)saved);
}

#elif defined(__aarch64__)

plr_fpenv plr__fpenv_enter(void) {
  plr_fpenv saved;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  __asm__ volatile("msr fpcr, %0" : : "r"((plr_fpenv)0));
  return saved;
}

void plr__fpenv_leave(plr_fpenv saved) {
  __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}

#else

/* Elsewhere C has no way to name denormal modes; the self-test refuses a machine where they are
 * lost. */
plr_fpenv plr__fpenv_enter(void) {
  return 0;
}

void plr__fpenv_leave(plr_fpenv saved) {
  (void)saved;
}

#endif

/* Fibers: a stack each, and a switch. On x86-64 the switch is the calling convention's six registers; elsewhere
 * it is swapcontext, correct but some thirty times slower (it saves the signal mask by a system call). */
#include "runtime.h"

#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#endif
#if defined(EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

fiber *running;

char *new_stack() {
  char *m = static_cast<char *>(mmap(nullptr, stack_size + page, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (m == MAP_FAILED) return nullptr;
  mprotect(m, page, PROT_NONE);
  return m + page;
}

#if defined(EMULATION_ASAN)
/* The address sanitizer keeps track of which stack is in use. */
const void *main_stack;
size_t main_stack_size;
void *main_fake_stack;
void (*first_entry)();

void sanitized_entry() {
  __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);
  first_entry();
}
void leave_main(fiber &f) {
  __sanitizer_start_switch_fiber(&main_fake_stack, f.stack, stack_size);
}
void back_in_main() {
  __sanitizer_finish_switch_fiber(main_fake_stack, nullptr, nullptr);
}
void leave_fiber() {
  __sanitizer_start_switch_fiber(nullptr, main_stack, main_stack_size);
}
void back_in_fiber() {
  __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);
}
void clean_stack(fiber &f) {
  __asan_unpoison_memory_region(f.stack, stack_size);
}
#else
void leave_main(fiber &) {}
void back_in_main() {}
void leave_fiber() {}
void back_in_fiber() {}
void clean_stack(fiber &) {}
#endif

} // namespace

#if defined(__x86_64__)

/* Saves the callee's registers and the stack pointer at *save, and goes on from `to`. */
extern "C" void emulation_switch(void **save, void *to);
asm(".text\n"
    ".globl emulation_switch\n"
    ".hidden emulation_switch\n"
    ".type emulation_switch, @function\n"
    "emulation_switch:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n"
    "  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n"
    ".size emulation_switch, . - emulation_switch\n");

static void *scheduler;

void fiber_reset(fiber &f, void (*entry)()) {
  if (!f.stack) f.stack = new_stack();
  clean_stack(f);
#if defined(EMULATION_ASAN)
  first_entry = entry;
  entry = sanitized_entry;
#endif
  /* As after a call: a (never used) return address on top of the stack, at 8 modulo 16. */
  void **top = reinterpret_cast<void **>(f.stack + stack_size) - 1;
  top[0] = nullptr;
  top[-1] = reinterpret_cast<void *>(entry);
  f.saved = top - 7;
}

void fiber_enter(fiber &f) {
  running = &f;
  leave_main(f);
  emulation_switch(&scheduler, f.saved);
  back_in_main();
}

void fiber_leave() {
  leave_fiber();
  emulation_switch(&running->saved, scheduler);
  back_in_fiber();
}

#else

static ucontext_t scheduler;

void fiber_reset(fiber &f, void (*entry)()) {
  if (!f.stack) {
    f.stack = new_stack();
    f.saved = new ucontext_t;
  }
  clean_stack(f);
#if defined(EMULATION_ASAN)
  first_entry = entry;
  entry = sanitized_entry;
#endif
  ucontext_t *u = static_cast<ucontext_t *>(f.saved);
  getcontext(u);
  u->uc_stack.ss_sp = f.stack;
  u->uc_stack.ss_size = stack_size;
  u->uc_link = nullptr;
  makecontext(u, entry, 0);
}

void fiber_enter(fiber &f) {
  running = &f;
  leave_main(f);
  swapcontext(&scheduler, static_cast<ucontext_t *>(f.saved));
  back_in_main();
}

void fiber_leave() {
  leave_fiber();
  swapcontext(static_cast<ucontext_t *>(running->saved), &scheduler);
  back_in_fiber();
}

#endif

} // namespace emulation

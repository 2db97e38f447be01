/* Every planted fault is found, by name, and the same program without it runs clean, in many orders. Built twice: with
 * the checker in the kernels (EMULATION_CHECKED) and without, where only some faults can be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulation.h"
#include "faults.h"

typedef struct fault_case {
  const char *name;
  int (*run)(int bug);
  const char *checked, *plain; /* what the report must contain; NULL: not found in this build */
} fault_case;

static const fault_case cases[] = {
    {"missing __syncthreads", reverse_in_block, "shared memory", NULL},
    {"missing __syncwarp", reverse_in_warp, "shared memory", NULL},
    {"barrier in a branch", barrier_in_branch, "barrier of faults.cu", "barrier of faults.cu"},
    {"thread ends before a barrier", early_return, "barrier of faults.cu", "barrier of faults.cu"},
    {"lane missing from a shuffle", shuffle_without_lane, "warp operation of faults.cu",
     "warp operation of faults.cu"},
    {"write past device memory", write_past_end, "covers bytes 128 to 132 of an allocation of 128",
     NULL},
    {"write past a shared variable", write_past_shared, "outside a variable",
     "beside a shared variable"},
    {"read of unwritten memory", read_unwritten, "that nothing has written", NULL},
    {"read of unwritten shared memory", read_unwritten_shared, "that nothing has written", NULL},
    {"blocks add without atomics", sum_of_blocks, "race on device memory", NULL},
    {"host pointer in a kernel", kernel_reads_host, "not memory of the device", NULL},
    {"use after free", use_after_free, "was freed", NULL},
    {"memory of another device", memory_of_other_device, "memory of device 1", NULL},
    {"copy past the end", copy_past_end, "cudaMemcpyAsync: the source covers bytes 0 to 136",
     "cudaMemcpyAsync: the source covers bytes 0 to 136"},
    {"stream used without waiting for another", streams_without_wait, "on another stream", NULL},
    {"ranks disagree", gather_with_other_count, "disagree on the count", "disagree on the count"},
    {"two threads write one byte", bytes_of_one_word, "race on device memory", NULL},
};
#define CASES (sizeof cases / sizeof cases[0])

static const char *expected(const fault_case *c) {
#if defined(EMULATION_CHECKED)
  return c->checked;
#else
  return c->plain;
#endif
}

static void clean_programs_are_clean(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 8; seed++)
    for (size_t i = 0; i < CASES; i++) {
      emulation_seed(seed);
      int right = cases[i].run(0);
      if (!right || emulation_error()[0])
        fail_msg("%s, seed %d, without the fault: %s", cases[i].name, (int)seed, emulation_error());
    }
}

/* A read that nothing orders after the write is a race when it comes later, and a read of unwritten memory when it
 * comes first. */
static void planted_faults_are_found(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 4; seed++)
    for (size_t i = 0; i < CASES; i++) {
      const char *wanted = expected(&cases[i]);
      if (!wanted) continue;
      emulation_seed(seed);
      cases[i].run(1);
      if (!strstr(emulation_error(), wanted))
        fail_msg("%s, seed %d: \"%s\" does not say \"%s\"", cases[i].name, (int)seed,
                 emulation_error(), wanted);
      if (seed == 0) print_message("%s: %s\n", cases[i].name, emulation_error());
      emulation_reset();
    }
}

/* Runs it in a child; 1 when that died of a bad memory access. */
static int dies(int (*run)(int)) {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    _exit(run(1) ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) ||
         (WIFEXITED(status) && WEXITSTATUS(status) > 1); /* a sanitizer's own exit */
}

static void device_pointer_on_the_host(void **state) {
  (void)state;
  print_message("memory is guarded by %s\n",
                emulation_uses_key() ? "a protection key" : "page protection");
  assert_true(host_reads_device(0));
  assert_true(dies(host_reads_device));
#if !defined(EMULATION_CHECKED)
  assert_true(dies(use_after_free));
#endif
}

static void host_that_does_not_wait(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 8; seed++) {
    emulation_seed(seed);
    assert_true(host_does_not_wait(0));
    assert_false(host_does_not_wait(1));
  }
}

static void limits_of_a_launch(void **state) {
  (void)state;
  assert_true(launch_too_large(0));
  assert_false(launch_too_large(1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clean_programs_are_clean),   cmocka_unit_test(planted_faults_are_found),
      cmocka_unit_test(device_pointer_on_the_host), cmocka_unit_test(host_that_does_not_wait),
      cmocka_unit_test(limits_of_a_launch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

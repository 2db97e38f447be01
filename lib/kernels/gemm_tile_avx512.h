/* The full register tile of AVX-512 in assembly: up to 14 rows x 32 columns of C, which take 28 of the 32 registers.
 * Compilers differ by a tenth on this loop, for they spill or recompute addresses as soon as it does more than the
 * multiply-adds; written out, it also fetches what it will need: B some steps ahead, as it streams from the
 * second-level cache, and, spread over the loop, the lines of C that the next tile starts from. (In one burst they
 * would fill the miss buffers that B needs.)
 *
 * Per step of k: two loads of B, a broadcast of A for each row, two multiply-adds a row. Rows 0-4, 5-9 and 10-13 of A
 * are addressed from three pointers with the row stride times 0, 1, 2, 3 and 4. */
#ifndef PLR_KERNELS_GEMM_TILE_AVX512_H
#define PLR_KERNELS_GEMM_TILE_AVX512_H

#include <stddef.h>
#include <stdint.h>

/* Read by the assembly at these offsets. Strides in bytes. */
typedef struct plr__tile512 {
  const float *a;     /*  0: row r, step p at a + r * row_stride + p * k_stride */
  int64_t row_stride; /*  8 */
  int64_t k_stride;   /* 16 */
  const float *b;     /* 24: 32 columns of step p at b + p * b_stride */
  int64_t b_stride;   /* 32 */
  float *c;           /* 40 */
  int64_t c_stride;   /* 48 */
  const float *next;  /* 56: C of the next tile, its rows c_stride apart */
  int64_t rows;       /* 64 */
  int64_t depth;      /* 72: above 0 */
  int64_t resume;     /* 80: 0 when chains start at +0 */
  float *pack;        /* 88: where the packing tile writes B, 128 bytes a step */
} plr__tile512;

_Static_assert(offsetof(plr__tile512, b_stride) == 32 && offsetof(plr__tile512, c_stride) == 48 &&
                   offsetof(plr__tile512, rows) == 64 && offsetof(plr__tile512, pack) == 88,
               "the assembly below has these offsets");

/* X(address of A's row, left accumulator, right accumulator) for the first rows of a tile. */
#define PLR_T1(X)  X("(%%rsi)", "0", "1")
#define PLR_T2(X)  PLR_T1(X) X("(%%rsi,%%r8)", "2", "3")
#define PLR_T3(X)  PLR_T2(X) X("(%%rsi,%%r8,2)", "4", "5")
#define PLR_T4(X)  PLR_T3(X) X("(%%rsi,%%r9)", "6", "7")
#define PLR_T5(X)  PLR_T4(X) X("(%%rsi,%%r8,4)", "8", "9")
#define PLR_T6(X)  PLR_T5(X) X("(%%rdi)", "10", "11")
#define PLR_T7(X)  PLR_T6(X) X("(%%rdi,%%r8)", "12", "13")
#define PLR_T8(X)  PLR_T7(X) X("(%%rdi,%%r8,2)", "14", "15")
#define PLR_T9(X)  PLR_T8(X) X("(%%rdi,%%r9)", "16", "17")
#define PLR_T10(X) PLR_T9(X) X("(%%rdi,%%r8,4)", "18", "19")
#define PLR_T11(X) PLR_T10(X) X("(%%rdx)", "20", "21")
#define PLR_T12(X) PLR_T11(X) X("(%%rdx,%%r8)", "22", "23")
#define PLR_T13(X) PLR_T12(X) X("(%%rdx,%%r8,2)", "24", "25")
#define PLR_T14(X) PLR_T13(X) X("(%%rdx,%%r9)", "26", "27")

#define PLR_TILE_ZERO(a, l, r)                                                                     \
  "vpxord %%zmm" l ", %%zmm" l ", %%zmm" l "\n\tvpxord %%zmm" r ", %%zmm" r ", %%zmm" r "\n\t"
#define PLR_TILE_LOAD(a, l, r)                                                                     \
  "vmovups (%%rax), %%zmm" l "\n\tvmovups 64(%%rax), %%zmm" r "\n\tadd %%r11, %%rax\n\t"
#define PLR_TILE_STORE(a, l, r)                                                                    \
  "vmovups %%zmm" l ", (%%rax)\n\tvmovups %%zmm" r ", 64(%%rax)\n\tadd %%r11, %%rax\n\t"
#define PLR_TILE_FMA(a, l, r)                                                                      \
  "vbroadcastss " a ", %%zmm30\n\t"                                                                \
  "vfmadd231ps %%zmm28, %%zmm30, %%zmm" l "\n\tvfmadd231ps %%zmm29, %%zmm30, %%zmm" r "\n\t"

/* rsi, rdi, rdx: A; r8, r9: row stride times 1 and 3; r10: k stride; rcx: B; rbx: its stride; r11: stride of C;
 * r12: next lines of C; r13: their stride, 0 once all are fetched; r14: rows left to fetch; r15: where B is packed. */
#define PLR_TILE_STEP(ROWS, LOAD_B)                                                                \
  LOAD_B ROWS(PLR_TILE_FMA) "add %%r10, %%rsi\n\tadd %%r10, %%rdi\n\tadd %%r10, %%rdx\n\t"

#define PLR_TILE_PANEL                                                                             \
  "vmovaps (%%rcx), %%zmm28\n\tvmovaps 64(%%rcx), %%zmm29\n\t"                                     \
  "prefetcht0 1024(%%rcx)\n\tprefetcht0 1088(%%rcx)\n\tsub $-128, %%rcx\n\t"

/* B in place, packed on the way. */
#define PLR_TILE_PACKING                                                                           \
  "vmovups (%%rcx), %%zmm28\n\tvmovups 64(%%rcx), %%zmm29\n\t"                                     \
  "prefetcht0 (%%rcx,%%r15)\n\tprefetcht0 64(%%rcx,%%r15)\n\t"                                     \
  "vmovaps %%zmm28, (%%r13)\n\tvmovaps %%zmm29, 64(%%r13)\n\tsub $-128, %%r13\n\tadd %%rbx, %%rcx\n\t"

#define PLR_TILE_OPEN(ROWS)                                                                        \
  "mov (%0), %%rsi\n\tmov 8(%0), %%r8\n\tmov 16(%0), %%r10\n\tmov 24(%0), %%rcx\n\t"               \
  "mov 48(%0), %%r11\n\tlea (%%r8,%%r8,2), %%r9\n\t"                                               \
  "lea (%%rsi,%%r8,4), %%rdi\n\tadd %%r8, %%rdi\n\tlea (%%rdi,%%r8,4), %%rdx\n\tadd %%r8, %%rdx\n\t" \
  "mov 40(%0), %%rax\n\tcmpq $0, 80(%0)\n\tjne 1f\n\t" ROWS(PLR_TILE_ZERO) "jmp 2f\n1:\n\t"        \
  ROWS(PLR_TILE_LOAD) "2:\n\t"

#define PLR_TILE_CLOSE(ROWS) "mov 40(%0), %%rax\n\t" ROWS(PLR_TILE_STORE)

#define PLR_TILE_CLOBBERS                                                                          \
  "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r13",                       \
      "cc", "memory", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8",      \
      "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18",     \
      "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27", "zmm28",    \
      "zmm29", "zmm30"

#define PLR_TILE_FUNCTION(n)                                                                       \
  static void tile_##n(const plr__tile512 *t) {                                                    \
    __asm__ volatile(PLR_TILE_OPEN(PLR_T##n)                                                       \
                     "mov 56(%0), %%r12\n\tmov %%r11, %%r13\n\tmov 64(%0), %%r14\n\t"              \
                     "mov 72(%0), %%rax\n\txor %%ebx, %%ebx\n\tsub $4, %%rax\n\tjl 4f\n"           \
                     ".p2align 5\n3:\n\t"                                                          \
                     "prefetcht0 (%%r12)\n\tprefetcht0 64(%%r12)\n\tadd %%r13, %%r12\n\t"          \
                     "sub $1, %%r14\n\tcmovle %%rbx, %%r13\n\t"                                    \
                     PLR_TILE_STEP(PLR_T##n, PLR_TILE_PANEL) PLR_TILE_STEP(PLR_T##n, PLR_TILE_PANEL) \
                     PLR_TILE_STEP(PLR_T##n, PLR_TILE_PANEL) PLR_TILE_STEP(PLR_T##n, PLR_TILE_PANEL) \
                     "sub $4, %%rax\n\tjge 3b\n4:\n\tadd $4, %%rax\n\tjle 6f\n5:\n\t"              \
                     PLR_TILE_STEP(PLR_T##n, PLR_TILE_PANEL) "sub $1, %%rax\n\tjg 5b\n6:\n\t"      \
                     PLR_TILE_CLOSE(PLR_T##n)                                                      \
                     :                                                                             \
                     : "r"(t)                                                                      \
                     : "r12", "r14", PLR_TILE_CLOBBERS);                                                         \
  }

/* Fetches B twelve steps ahead of where it is read; it comes from further away. */
#define PLR_TILE_PACK_FUNCTION(n)                                                                  \
  static void tile_pack_##n(const plr__tile512 *t) {                                               \
    __asm__ volatile(PLR_TILE_OPEN(PLR_T##n)                                                       \
                     "mov 32(%0), %%rbx\n\tmov 88(%0), %%r13\n\tlea (%%rbx,%%rbx,2), %%r15\n\t"    \
                     "shl $3, %%r15\n\tmov 72(%0), %%rax\n5:\n\t"                                  \
                     PLR_TILE_STEP(PLR_T##n, PLR_TILE_PACKING) "sub $1, %%rax\n\tjg 5b\n\t"        \
                     PLR_TILE_CLOSE(PLR_T##n)                                                      \
                     :                                                                             \
                     : "r"(t)                                                                      \
                     : "r15", PLR_TILE_CLOBBERS);                                                         \
  }

#endif

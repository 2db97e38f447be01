#include "permute.h"

#define ROUNDS 6u

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

void plr__permutation_init(plr__permutation *p, uint64_t n, uint64_t key) {
  p->n = n;
  p->half = 1;
  while (p->half < 30 && (UINT64_C(1) << (2 * p->half)) < n) p->half++;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    key += UINT64_C(0x9e3779b97f4a7c15);
    p->keys[i] = mix(key);
  }
}

static uint64_t once(const plr__permutation *p, uint64_t x) {
  uint64_t mask = (UINT64_C(1) << p->half) - 1, left = x >> p->half, right = x & mask;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    uint64_t next = left ^ (mix(right ^ p->keys[i]) & mask);
    left = right, right = next;
  }
  return left << p->half | right;
}

uint64_t plr__permute(const plr__permutation *p, uint64_t i) {
  do i = once(p, i);
  while (i >= p->n);
  return i;
}

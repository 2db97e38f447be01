/* Orthonormal basis from a seed: modified Gram-Schmidt on a Gaussian matrix, each column orthogonalised twice
 * ("twice is enough", Giraud, Langou & Rozloznik 2005), in fp64.
 *
 * The order is part of the numeric profile. Columns go left to right. A column v takes two passes over the
 * finished columns q_0, q_1, ...; each step is h = <q_i, v>, then v -= h q_i. A dot product is one chain over
 * increasing row starting at +0, each term a rounded product that is then added (no fused multiply-add); so is
 * the squared norm. Last, v is divided by the square root of the squared norm, which makes the diagonal of R
 * positive, and rounded to fp32. */
#include "kernels/kernels_int.h"

#include <math.h>
#include <string.h>

static double dot(const double *x, const double *y, int64_t d) {
  double sum = 0.0;
  for (int64_t r = 0; r < d; r++) {
    const double product = x[r] * y[r];
    sum = sum + product;
  }
  return sum;
}

static void subtract(double *v, double h, const double *q, int64_t d) {
  for (int64_t r = 0; r < d; r++) {
    const double product = h * q[r];
    v[r] = v[r] - product;
  }
}

/* Columns are stored one after the other here; u is row-major. */
static plr_status orthonormalise(double *columns, int64_t d, int64_t k) {
  for (int64_t j = 0; j < k; j++) {
    double *v = columns + j * d;
    for (int pass = 0; pass < 2; pass++)
      for (int64_t i = 0; i < j; i++) {
        const double *q = columns + i * d;
        subtract(v, dot(q, v, d), q, d);
      }
    const double norm = sqrt(dot(v, v, d));
    /* A Gaussian column all but inside the span of the others: no seed is known to do it. */
    if (!(norm > 1e-8)) return PLR_ERR_INVALID_ARGUMENT;
    for (int64_t r = 0; r < d; r++) v[r] = v[r] / norm;
  }
  return PLR_OK;
}

plr_status plr__basis(uint64_t seed, uint32_t stream, int64_t d, int64_t k, double *scratch,
                      float *u) {
  if (d < 1 || k < 1 || k > d || d > UINT32_MAX) return PLR_ERR_INVALID_ARGUMENT;
  plr_fpenv saved = plr__fpenv_enter();
  for (int64_t r = 0; r < d; r++)
    for (int64_t j = 0; j < k; j++)
      scratch[j * d + r] = (double)plr__normal(seed, stream, (uint32_t)r, (uint32_t)j);
  const plr_status st = orthonormalise(scratch, d, k);
  if (st == PLR_OK)
    for (int64_t r = 0; r < d; r++)
      for (int64_t j = 0; j < k; j++) u[r * k + j] = (float)scratch[j * d + r];
  plr__fpenv_leave(saved);
  return st;
}

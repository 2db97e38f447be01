/* A backward operation against central differences of its forward written in float64. The loss is the sum of the
 * outputs weighted by random numbers, which are the incoming gradient. Include after cmocka.h. */
#ifndef PLR_TESTS_KERNELS_GRADIENT_H
#define PLR_TESTS_KERNELS_GRADIENT_H

#include <math.h>

#include "kernels_support.h"

/* Writes outputs y (count known to the caller) of the inputs x. */
typedef void (*forward_fn)(const double *x, const void *shape, double *y);

static inline double weighted(forward_fn f, const double *x, const void *shape,
                              const float *weight, double *y, int64_t outputs) {
  double sum = 0.0;
  f(x, shape, y);
  for (int64_t i = 0; i < outputs; i++) sum += (double)weight[i] * y[i];
  return sum;
}

static inline void check(const char *what, forward_fn f, const void *shape, const float *x,
                         int64_t inputs, const float *got_y, const float *weight, int64_t outputs,
                         const float *gradient) {
  double *v = (double *)allocate((size_t)inputs * 8), *y = (double *)allocate((size_t)outputs * 8);
  double size = 0.0, h = 1e-5;
  for (int64_t i = 0; i < inputs; i++) v[i] = (double)x[i];
  f(v, shape, y);
  for (int64_t i = 0; i < outputs && got_y; i++) {
    if (fabs((double)got_y[i] - y[i]) > 3e-6 * (1.0 + fabs(y[i])))
      fail_msg("%s: output %d is %.9g, float64 gives %.9g", what, (int)i, (double)got_y[i], y[i]);
  }
  for (int64_t i = 0; i < inputs; i++) size = fmax(size, fabs((double)gradient[i]));
  assert_true(size > 1e-3); /* a gradient that is nearly nothing would prove nothing */
  for (int64_t i = 0; i < inputs; i++) {
    double at = v[i];
    v[i] = at + h;
    double up = weighted(f, v, shape, weight, y, outputs);
    v[i] = at - h;
    double slope = (up - weighted(f, v, shape, weight, y, outputs)) / (2.0 * h);
    v[i] = at;
    if (fabs((double)gradient[i] - slope) > 1e-5 * size)
      fail_msg("%s: d/dx[%d] is %.9g, differences give %.9g", what, (int)i, (double)gradient[i],
               slope);
  }
  free(v), free(y);
}

#endif

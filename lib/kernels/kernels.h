/* CPU kernels of profile `exact` (EXACT.md), chosen at run time by the context's instruction set.
 * All of them give the same bits on every instruction set and thread count. */
#ifndef PLR_KERNELS_KERNELS_H
#define PLR_KERNELS_KERNELS_H

#include "kernels/ops.h"
#include "base/base.h"

/* Runs one operation with the floating-point environment of the profile. args: the struct ops.h names for the id.
 * Errors: UNSUPPORTED (unknown id), INVALID_ARGUMENT (sizes), LIMIT. Never allocates. */
plr_status plr__cpu_run(plr_context *ctx, plr_op_id op, const void *args);

/* 1 when plr__cpu_run knows the operation. */
int plr__cpu_supports(plr_op_id op);
/* Scratch bytes `work` must have for these args (0 for most operations). */
size_t plr__cpu_workspace(plr_context *ctx, plr_op_id op, const void *args);

/* The same operations written naively, one element after the other: the truth the tests compare against.
 * Single-threaded, may be slow; allocates nothing. */
plr_status plr__reference_run(plr_op_id op, const void *args);

/* Orthonormal basis U (d x k, row-major fp32) from a seed: QR of a d x k Gaussian in fp64 in a fixed order,
 * diagonal of R positive, then rounded. scratch: d*k doubles. */
plr_status plr__basis(uint64_t seed, uint32_t stream, int64_t d, int64_t k, double *scratch, float *u);

/* Scalar functions of the profile, the same on every machine. */
float plr__expf(float x);
float plr__logf(float x);
float plr__tailf(float x, float *shape); /* P(Z > x), x >= 0; e^(-x^2/2) */
double plr__exp(double x);
double plr__ln(double x);
double plr__pow(double x, double y); /* x > 0 */
void plr__sincos(double x, double *s, double *c);
float plr__normal(uint64_t seed, uint32_t stream, uint32_t row, uint32_t i);

#endif

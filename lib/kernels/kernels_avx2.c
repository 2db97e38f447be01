/* The kernels of body_*.h for AVX2 and FMA; this file alone is compiled with their flags. */
#include "kernels/vec_kernels.h"

#include "kernels/vec_avx2.h"

#include "kernels/bodies.h"

const plr_vec_kernels plr__vec_avx2 = PLR_VEC_KERNELS;

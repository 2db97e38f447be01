/* The kernels of body_*.h for AVX-512; this file alone is compiled with its flags. */
#include "kernels/vec_kernels.h"

#include "kernels/vec_avx512.h"

#include "kernels/bodies.h"

const plr_vec_kernels plr__vec_avx512 = PLR_VEC_KERNELS;

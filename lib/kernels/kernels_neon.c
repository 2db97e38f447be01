/* The kernels of body_*.h for NEON, which every aarch64 processor has. */
#include "kernels/vec_kernels.h"

#include "kernels/vec_neon.h"

#include "kernels/bodies.h"

const plr_vec_kernels plr__vec_neon = PLR_VEC_KERNELS;

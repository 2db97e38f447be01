/* The kernels of body_*.h in plain C. */
#include "kernels/vec_kernels.h"

#include "kernels/vec_portable.h"

#include "kernels/bodies.h"

const plr_vec_kernels plr__vec_portable = PLR_VEC_KERNELS;

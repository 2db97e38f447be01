/* The kernels of body_*.h for NEON, which every aarch64 processor has. */
#include "kernels/vec_kernels.h"

#include <math.h>
#include <string.h>

#include "kernels/vec_neon.h"

#include "kernels/vec_math.h"

#include "kernels/body_attention.h"
#include "kernels/body_cache.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_gaussian.h"
#include "kernels/body_rows.h"

const plr_vec_kernels plr__vec_neon = PLR_VEC_KERNELS;

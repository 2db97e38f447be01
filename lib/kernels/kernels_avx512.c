/* The kernels of body_*.h for AVX-512; this file alone is compiled with its flags. */
#include "kernels/vec_kernels.h"

#include <math.h>
#include <string.h>

#include "kernels/vec_avx512.h"

#include "kernels/vec_math.h"

#include "kernels/body_activation.h"
#include "kernels/body_attention.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_gaussian.h"
#include "kernels/body_moe.h"
#include "kernels/body_norm.h"
#include "kernels/body_optim.h"
#include "kernels/body_rows.h"

const plr_vec_kernels plr__vec_avx512 = PLR_VEC_KERNELS;

/* The kernels of body_*.h in plain C. */
#include "kernels/vec_kernels.h"

#include <math.h>
#include <string.h>

#include "kernels/vec_portable.h"

#include "kernels/vec_math.h"

#include "kernels/body_activation.h"
#include "kernels/body_attention.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_gaussian.h"
#include "kernels/body_moe.h"
#include "kernels/body_norm.h"
#include "kernels/body_optim.h"
#include "kernels/body_rows.h"

const plr_vec_kernels plr__vec_portable = PLR_VEC_KERNELS;

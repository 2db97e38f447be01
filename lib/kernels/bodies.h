/* Every kernel over 16 lanes, for the instruction set whose vec_*.h has been included before. */
#ifndef PLR_KERNELS_BODIES_H
#define PLR_KERNELS_BODIES_H

#include <math.h>
#include <string.h>

#include "kernels/vec_math.h"

#include "kernels/body_activation.h"
#include "kernels/body_attention.h"
#include "kernels/body_cache.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_gaussian.h"
#include "kernels/body_moe.h"
#include "kernels/body_norm.h"
#include "kernels/body_optim.h"
#include "kernels/body_rows.h"

#endif

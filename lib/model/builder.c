/* A model from C: operations one by one, and the rest as the text of a manifest without them. */
#include "model/manifest_int.h"

void plr_op_desc_init(plr_op_desc *desc, uint32_t struct_size) {
  plr_op_desc d = {.op = 0};
  plr__options_init(desc, struct_size, &d, (uint32_t)sizeof d);
}

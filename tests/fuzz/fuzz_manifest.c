/* Fuzz: a manifest from anywhere. What is accepted must be consistent and must hash the same again. */
#include <stdlib.h>

#include "base/base.h"
#include "model/model_int.h"

static void check(const plr_model *model) {
  plr_model_info info = {.struct_size = sizeof info};
  if (plr_model_get_info(model, &info) != PLR_OK) abort();
  if (info.blocks == 0 || info.cut_count >= info.blocks) abort();
  if (info.format == 1 && info.heads % info.kv_heads) abort();
  if (info.boundary_width == 0 || info.boundary_width > info.d_model) abort();
  if (info.parameters == 0 || !plr_model_can_cut(model, 0)) abort();
  for (uint32_t i = 0; i < info.cut_count; i++)
    if (!plr_model_can_cut(model, plr_model_cut(model, i))) abort();
  for (uint32_t b = 0; b < info.blocks; b++)
    if (plr_model_block_cost(model, b) == 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plr_context *ctx;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  plr_model *model, *again;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_model_from_json(ctx, (const char *)data, size, &model, &err);
  if (st == PLR_OK) {
    check(model);
    plr_hash a, b;
    plr_model_hash(model, &a);
    if (plr_model_from_json(ctx, (const char *)data, size, &again, NULL) != PLR_OK) abort();
    plr_model_hash(again, &b);
    if (!plr__hash_equal(&a, &b)) abort();
    plr_model_destroy(again);
    plr_model_destroy(model);
  } else if (model || err.status != st || !err.where[0] || !err.message[0]) {
    abort(); /* every refusal names what and where */
  }
  plr_context_destroy(ctx);
  return 0;
}

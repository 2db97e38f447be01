/* Fuzz: config.json from anywhere. What is accepted is a consistent model, and its own config is accepted too. */
#include <pluralis/model.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plr_context *ctx;
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.max_memory = (uint64_t)64 << 20; /* a large model is a large graph */
  if (plr_context_create(&o, &ctx, NULL) != PLR_OK) abort();
  plr_model *model, *again;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_model_from_config(ctx, (const char *)data, size, NULL, &model, &err);
  if (st == PLR_OK) {
    plr_model_info info = {.struct_size = sizeof info};
    if (plr_model_get_info(model, &info) != PLR_OK || info.parameters == 0) abort();
    const char *text = plr_model_config(model);
    if (!text) abort();
    plr_hash a, b;
    plr_model_hash(model, &a);
    st = plr_model_from_config(ctx, text, strlen(text), NULL, &again, NULL);
    if (st != PLR_OK && st != PLR_ERR_NO_MEMORY) abort();
    if (st == PLR_OK) {
      plr_model_hash(again, &b);
      if (memcmp(&a, &b, sizeof a) != 0) abort(); /* tied or not, it is the same model */
      plr_model_destroy(again);
    }
    plr_model_destroy(model);
  } else if (model || err.status != st || !err.where[0] || !err.message[0]) {
    abort();
  }
  plr_context_destroy(ctx);
  return 0;
}

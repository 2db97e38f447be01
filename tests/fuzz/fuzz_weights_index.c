/* Fuzz: the index of a checkpoint from anywhere. No name it gives may leave the folder; every refusal says what. */
#include <pluralis/weights.h>

#include <stdlib.h>
#include <string.h>

static plr_status open_none(void *user, const char *name, plr_source *out) {
  (void)user, (void)out;
  if (!name[0] || name[0] == '.' || strpbrk(name, "/\\:")) abort();
  return PLR_ERR_NOT_FOUND;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plr_context *ctx;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  plr_source_opener opener = {NULL, open_none};
  plr_weights *w;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_weights_open_index(ctx, (const char *)data, size, &opener, &w, &err);
  if (st == PLR_OK) {
    for (uint32_t i = 0; i < plr_weights_count(w); i++) {
      plr_weights_tensor t = {.struct_size = sizeof t};
      if (plr_weights_get(w, i, &t, &err) != PLR_ERR_NOT_FOUND || !err.message[0]) abort();
    }
    plr_weights_destroy(w);
  } else if (w || err.status != st || !err.where[0] || !err.message[0]) {
    abort();
  }
  plr_context_destroy(ctx);
  return 0;
}

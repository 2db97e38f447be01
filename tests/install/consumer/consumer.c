/* Uses one function of each part, so that a library with something missing does not link. */
#include <pluralis/pluralis.h>
#include <stdio.h>

int main(void) {
  plr_context *ctx;
  plr_codec codec;
  plr_ledger_options options;
  plr_error err;
  plr_model *model;
  if (plr_context_create(NULL, &ctx, &err) != PLR_OK) return 1;
  plr_ledger_options_init(&options, sizeof options);
  if (plr_codec_from_name("int4", &codec) != PLR_OK) return 2;
  if (plr_model_from_json(ctx, "{}", 2, &model, &err) != PLR_ERR_MALFORMED) return 3;
  plr_shard_destroy(NULL);
  plr_stage_destroy(NULL);
  plr_mirror_options mirror; /* refused for what it lacks, or because this build has no libcurl */
  plr_mirror *copy;
  plr_mirror_options_init(&mirror, sizeof mirror);
  plr_status remote = plr_mirror_create(ctx, &mirror, &copy, NULL);
  if (remote != PLR_ERR_INVALID_ARGUMENT && remote != PLR_ERR_UNSUPPORTED) return 4;
  plr_link_destroy(NULL);
  plr_context_destroy(ctx);
  printf("pluralis %d.%d.%d%s: %s\n", (int)(plr_version() >> 16), (int)(plr_version() >> 8 & 255),
         (int)(plr_version() & 255), remote == PLR_ERR_UNSUPPORTED ? " without libcurl" : "", err.where);
  return 0;
}

/* Token frames: packed ids, and byte planes through zstd. */
#include "fuzz_decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static fuzz_decoder f;
  static int32_t ids[4096];
  plr_frame_info info = {0};
  plr_error err = {0};
  if (!f.ctx) fuzz_setup(&f);
  uint8_t *copy = malloc(size + 1);
  if (!copy) abort();
  if (size) memcpy(copy, data, size);
  if (size >= PLR_FRAME_HEADER) copy[14] = PLR_ROLE_TOKENS;
  test_fix_frame(copy, size);
  const plr_status st = plr_tokens_decode(f.ctx, copy, size, ids, 4096, &info, &err);
  if (st == PLR_ERR_NO_MEMORY || (st != PLR_OK && !err.message[0])) abort();
  for (size_t i = 0; st == PLR_OK && i < (size_t)info.rows * info.cols; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= info.vocab) abort();
  free(copy);
  return 0;
}

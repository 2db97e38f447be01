/* Frames from anyone: parsed and decoded as they come, and again with their checksums made right, so that what lies
 * behind a checksum is reached too. A frame that decodes must hold what it promises. */
#include "../unit/frame_fix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 96, COLS = 70000 };

static plr_context *ctx;
static plr_decoder *decoder;
static float *values;
static int32_t *ids;

static void setup(void) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.max_frame = 1 << 20;
  if (plr_context_create(&o, &ctx, NULL) != PLR_OK) abort();
  if (plr_decoder_create(ctx, ROWS, COLS, &decoder, NULL) != PLR_OK) abort();
  values = malloc(sizeof *values * ROWS * COLS);
  ids = malloc(sizeof *ids * ROWS * COLS);
  if (!values || !ids) abort();
}

static void check_tensor(const uint8_t *data, size_t size, const plr_frame_info *info) {
  plr_tensor x;
  if (info->rows > ROWS || info->cols > COLS) return;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, info->rows, info->cols);
  if (plr_decoder_decode(decoder, data, size, &x, NULL, NULL) != PLR_OK) return;
  const plr_codec *c = &info->codec;
  const int raw = c->quant == PLR_QUANT_RAW || (c->quant == PLR_QUANT_MASK && c->bits == 0);
  if (raw && c->dtype == PLR_DTYPE_F32) return; /* any bits */
  for (size_t i = 0; i < (size_t)info->rows * info->cols; i++)
    if (!isfinite(values[i])) abort();
}

static void check_tokens(const uint8_t *data, size_t size) {
  plr_frame_info info = {0};
  if (plr_tokens_decode(ctx, data, size, ids, (size_t)ROWS * COLS, &info, NULL) != PLR_OK) return;
  for (size_t i = 0; i < (size_t)info.rows * info.cols; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= info.vocab) abort();
}

static void check_control(const uint8_t *data, size_t size) {
  const uint8_t *payload;
  uint32_t len;
  if (plr_control_decode(ctx, data, size, &payload, &len, NULL, NULL) != PLR_OK) return;
  if (payload < data || len > size || payload + len != data + size) abort();
}

static void check(const uint8_t *data, size_t size) {
  plr_frame_info info = {0};
  plr_error err = {0};
  plr_status st = plr_frame_parse(ctx, data, size, &info, &err);
  if (st != PLR_OK) {
    if (err.status != st || !err.message[0]) abort();
    return;
  }
  if (info.role == PLR_ROLE_TOKENS)
    check_tokens(data, size);
  else if (info.role == PLR_ROLE_CONTROL)
    check_control(data, size);
  else
    check_tensor(data, size, &info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!ctx) setup();
  check(data, size);
  uint8_t *copy = malloc(size + 1);
  if (!copy) abort();
  if (size) memcpy(copy, data, size);
  test_fix_frame(copy, size);
  check(copy, size);
  free(copy);
  return 0;
}

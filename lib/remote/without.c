/* A build without libcurl: every call says so. */
#include "remote/remote_int.h"

static plr_status absent(plr_error *err) {
  return plr__fail(err, PLR_ERR_UNSUPPORTED, "remote", "this build has no libcurl (PLR_REMOTE)");
}

plr_status plr_mirror_create(plr_context *ctx, const plr_mirror_options *options, plr_mirror **out,
                             plr_error *err) {
  (void)ctx, (void)options;
  if (out) *out = NULL;
  return absent(err);
}

void plr_mirror_destroy(plr_mirror *mirror) {
  (void)mirror;
}

plr_status plr_mirror_update(plr_mirror *mirror, uint64_t *size, plr_error *err) {
  (void)mirror, (void)size;
  return absent(err);
}

plr_ledger *plr_mirror_ledger(plr_mirror *mirror) {
  (void)mirror;
  return NULL;
}

plr_status plr_mirror_shown(const plr_mirror *mirror, char *buf, size_t cap, size_t *len) {
  (void)mirror, (void)buf, (void)cap, (void)len;
  return PLR_ERR_UNSUPPORTED;
}

plr_status plr_mirror_get_stats(const plr_mirror *mirror, plr_mirror_stats *out) {
  (void)mirror, (void)out;
  return PLR_ERR_UNSUPPORTED;
}

plr_status plr_ledger_publish_url(plr_ledger *ledger, const char *url,
                                  const plr_remote_options *remote, uint64_t *size,
                                  plr_error *err) {
  (void)ledger, (void)url, (void)remote, (void)size;
  return absent(err);
}

plr_status plr_ledger_cosign_url(plr_ledger *ledger, const plr_witness_key *witness,
                                 const char *url, const plr_remote_options *remote,
                                 plr_error *err) {
  (void)ledger, (void)witness, (void)url, (void)remote;
  return absent(err);
}

plr_status plr_ledger_guard_url(plr_ledger *ledger, const char *url,
                                const plr_remote_options *remote, plr_error *err) {
  (void)ledger, (void)url, (void)remote;
  return absent(err);
}

/* Options, in builds with libcurl and without. */
#include "remote/remote_int.h"

void plr_remote_options_init(plr_remote_options *options, uint32_t struct_size) {
  plr_remote_options o = {.struct_size = sizeof o,
                          .parallel = 8,
                          .retries = 5,
                          .backoff_ms = 500,
                          .connect_timeout_ms = 10000,
                          .stall_timeout_s = 30,
                          .timeout_ms = 600000};
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

void plr_mirror_options_init(plr_mirror_options *options, uint32_t struct_size) {
  plr_mirror_options o = {.struct_size = sizeof o};
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

plr_status plr__remote_options_read(const plr_remote_options *given, plr_remote_options *out,
                                    plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  plr_remote_options_init(out, sizeof *out);
  PLR_TRY(plr__options_read(out, (uint32_t)sizeof *out, given, "remote options", err));
  if (out->parallel < 1 || out->parallel > 64)
    return plr__fail(err, bad, "remote.parallel", "%u, not 1 to 64", out->parallel);
  if (out->retries > 100) return plr__fail(err, bad, "remote.retries", "more than 100");
  if (!out->connect_timeout_ms || !out->stall_timeout_s || !out->timeout_ms ||
      out->connect_timeout_ms > INT32_MAX || out->stall_timeout_s > 86400 ||
      out->timeout_ms > INT32_MAX)
    return plr__fail(err, bad, "remote.timeout", "a time-out is 0 or too large");
  if (out->sigv4 && !out->user)
    return plr__fail(err, bad, "remote.user", "signing needs the two keys");
  return PLR_OK;
}

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

static plr_status check_mirror(const plr_mirror_options *o, plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (!o->url) return plr__fail(err, bad, "mirror.url", "missing");
  if (!o->origin) return plr__fail(err, bad, "mirror.origin", "missing");
  if (!o->public_key) return plr__fail(err, bad, "mirror.public_key", "missing");
  if (o->path && !*o->path) return plr__fail(err, bad, "mirror.path", "empty");
  if (o->witness_count > 1024 || (o->witness_count && !o->witnesses))
    return plr__fail(err, bad, "mirror.witnesses", "NULL, or more than 1024");
  if (o->quorum > o->witness_count)
    return plr__fail(err, bad, "mirror.quorum", "%u of %u witnesses", o->quorum, o->witness_count);
  for (uint32_t i = 0; i < o->witness_count; i++)
    if (!o->witnesses[i].name)
      return plr__fail(err, bad, "mirror.witnesses", "number %u has no name", i);
  return PLR_OK;
}

plr_status plr__mirror_options_read(const plr_mirror_options *given, plr_mirror_options *out,
                                    plr_error *err) {
  plr_mirror_options_init(out, sizeof *out);
  PLR_TRY(plr__options_read(out, (uint32_t)sizeof *out, given, "mirror options", err));
  return check_mirror(out, err);
}

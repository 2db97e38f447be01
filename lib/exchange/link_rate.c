/* How fast the bytes of a link arrive, from the peer's reports: what arrived between two reports over the time between
 * them, while there always was something to send. A burst of such bytes is a sample, however short it is: so the rate
 * follows as quickly when frames are small, which they are while the rate is thought to be low. The lower quartile of
 * the last 16 samples, moved when it differs by a tenth, is the rate. */
#include "exchange/link_int.h"

#include <string.h>

#define SAMPLE_NS UINT64_C(10000000) /* a longer burst is several samples */
#define LEAST_NS  UINT64_C(1000000)  /* shorter ones are one sample together */

void plr__rate_restart(plr__rate *r) {
  r->started = r->idles = 0;
  r->pos = r->delivered = r->burst_bytes = r->burst_ns = 0;
  memset(r->idle, 0, sizeof r->idle);
}

void plr__rate_idle(plr__rate *r, uint64_t pos) {
  if (r->idles && r->idle[(r->idles - 1) % PLR_RATE_IDLES] == pos) return;
  r->idle[r->idles++ % PLR_RATE_IDLES] = pos;
}

/* The last pause before `pos` that is not before `from`; PLR_NEVER: there was none. */
static uint64_t pause_in(const plr__rate *r, uint64_t from, uint64_t pos) {
  const uint32_t kept = PLR_MIN(r->idles, PLR_RATE_IDLES);
  uint64_t last = PLR_NEVER;
  for (uint32_t i = 0; i < kept; i++)
    if (r->idle[i] >= from && r->idle[i] < pos && (last == PLR_NEVER || r->idle[i] > last))
      last = r->idle[i];
  return last;
}

/* Nothing that matters from the last report on has been forgotten. */
static int remembered(const plr__rate *r) {
  return r->idles <= PLR_RATE_IDLES || r->idle[r->idles % PLR_RATE_IDLES] <= r->pos;
}

static void take_sample(plr__rate *r, uint64_t value) {
  uint64_t sorted[PLR_RATE_SAMPLES];
  uint32_t n = 0;
  r->sample[r->at] = value;
  r->at = (r->at + 1) % PLR_RATE_SAMPLES;
  if (r->samples < PLR_RATE_SAMPLES) r->samples++;
  for (uint32_t i = 0; i < r->samples; i++) {
    uint32_t k = n++;
    for (; k > 0 && sorted[k - 1] > r->sample[i]; k--) sorted[k] = sorted[k - 1];
    sorted[k] = r->sample[i];
  }
  const uint64_t quartile = sorted[r->samples / 4];
  const uint64_t moved = quartile > r->rate ? quartile - r->rate : r->rate - quartile;
  if (moved > r->rate / 10) r->rate = quartile;
}

static void end_burst(plr__rate *r) {
  take_sample(r, (uint64_t)((double)r->burst_bytes * 1e9 / (double)r->burst_ns));
  r->burst_bytes = r->burst_ns = 0;
}

void plr__rate_report(plr__rate *r, uint64_t pos, uint64_t delivered, uint64_t time_ns) {
  if (r->started && (pos <= r->pos || time_ns <= r->time_ns)) return;
  const int known = r->started && delivered > r->delivered && remembered(r);
  const uint64_t pause = pause_in(r, r->pos, pos), bytes = delivered - r->delivered;
  const int more = known && pause == PLR_NEVER, over = pause_in(r, pos, pos + 1) != PLR_NEVER;
  if (more) {
    r->burst_bytes += bytes;
    r->burst_ns += time_ns - r->time_ns;
  }
  r->started = 1;
  r->pos = pos;
  r->delivered = delivered;
  r->time_ns = time_ns;
  if (r->burst_ns >= SAMPLE_NS || (r->burst_ns >= LEAST_NS && (!more || over))) end_burst(r);
  if (!known || !over || more) return;
  /* A burst that came at once took less than can be timed. That never makes the rate smaller, and where bursts are so
   * short nothing else would make it larger. */
  const uint64_t least = PLR_MIN(bytes, pos - pause) * (UINT64_C(1000000000) / LEAST_NS);
  if (r->rate && least > r->rate) take_sample(r, least);
}

/* RFC 6298, section 2. */
void plr__rtt_sample(plr__rtt *r, uint64_t ns) {
  r->latest_ns = ns;
  if (r->smooth_ns == 0) {
    r->smooth_ns = r->min_ns = PLR_MAX(ns, 1u);
    r->var_ns = ns / 2;
    return;
  }
  const uint64_t off = ns > r->smooth_ns ? ns - r->smooth_ns : r->smooth_ns - ns;
  r->var_ns = (3 * r->var_ns + off) / 4;
  r->smooth_ns = PLR_MAX((7 * r->smooth_ns + ns) / 8, 1u);
  r->min_ns = PLR_MIN(r->min_ns, ns);
}

plr_status plr_link_budget(const plr_link *link, uint64_t interval_ns, uint64_t *bytes) {
  PLR_GUARD_CONST(link);
  if (!link || !bytes) return PLR_ERR_INVALID_ARGUMENT;
  *bytes = 0;
  if (link->rate.rate == 0) return PLR_ERR_AGAIN;
  /* A tenth is left for everything that is not this tensor. */
  const double most = (double)link->rate.rate * ((double)interval_ns * 1e-9) * 0.9;
  *bytes = most < 1 ? 1 : most > 9e18 ? UINT64_C(9000000000000000000) : (uint64_t)most;
  return PLR_OK;
}

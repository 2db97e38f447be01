/* How fast datagrams go: by the rate at which they arrive, not by the absence of loss, so that a path that loses one
 * in a hundred at random is not starved. After Cardwell et al., "BBR: Congestion-Based Congestion Control" (2016): the
 * largest delivery rate of the last rounds and the smallest time there and back bound what is sent and under way.
 * Simplified: no phase that drains the path to time it, and a round that loses a quarter forgets older rates. */
#include "exchange/link_int.h"

#include <string.h>

#define ROUNDS      8u
#define RTT_NS      UINT64_C(10000000000)
#define BURST_NS    UINT64_C(4000000)
#define SLACK_NS    UINT64_C(10000000) /* the peer's delay of acknowledgements, and ours */
#define MIN_PACKETS 16u

static const double gains[8] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};

void plr__pace_restart(plr__pace *p) {
  memset(p, 0, sizeof *p);
}

static uint64_t rate_of(const plr__pace *p) {
  return PLR_MAX(p->max_rate[0], p->max_rate[1]);
}

static uint64_t rtt_of(const plr__pace *p) {
  const uint64_t a = p->min_rtt[0], b = p->min_rtt[1];
  return a && b ? PLR_MIN(a, b) : a + b;
}

static double gain(const plr__pace *p) {
  return p->steady ? gains[p->phase] : 2.77; /* 4 ln 2: doubles in each round */
}

static uint64_t most_in_flight(const plr__pace *p, uint32_t size) {
  const uint64_t least = (uint64_t)MIN_PACKETS * size;
  const double g = p->steady ? 2 : 2.77;
  const double most = (double)rate_of(p) * (g * (double)rtt_of(p) + (double)SLACK_NS) * 1e-9;
  if (most > 1e18) return (uint64_t)1e18;
  return (uint64_t)most > 2 * least || rate_of(p) ? PLR_MAX((uint64_t)most, least) : 2 * least;
}

uint64_t plr__pace_next_ns(const plr__pace *p, uint32_t size) {
  if (p->flight + size > most_in_flight(p, size)) return PLR_NEVER;
  return p->next_ns > BURST_NS ? p->next_ns - BURST_NS : 0;
}

void plr__pace_sent(plr__pace *p, plr__packet *packet, uint64_t now_ns, uint32_t size) {
  if (p->flight == 0) p->delivered_ns = now_ns;
  packet->sent_ns = now_ns;
  packet->delivered = p->delivered;
  packet->delivered_ns = p->delivered_ns;
  packet->limited = p->limited_until > p->delivered;
  p->flight += packet->bytes;
  const uint64_t rate = rate_of(p), rtt = rtt_of(p);
  if (!rate) return;
  /* However little came of late, some packets go in each round. */
  const double least = rtt ? 4e9 * size / (double)rtt : 0, paced = (double)rate * gain(p);
  p->next_ns = PLR_MAX(p->next_ns, now_ns) +
               (uint64_t)((double)packet->bytes * 1e9 / (paced > least ? paced : least));
}

static void turn_round(plr__pace *p, int limited) {
  const uint64_t all = p->round_lost + p->round_delivered;
  if (p->round_lost * 4 > all && p->round_rate) p->max_rate[0] = p->max_rate[1] = p->round_rate;
  /* Rounds in which there was little to send tell nothing, and so do not age what was measured. */
  if (p->round_full && ++p->round % ROUNDS == 0) {
    p->max_rate[1] = p->max_rate[0];
    p->max_rate[0] = p->round_rate;
  }
  p->round_end = p->delivered;
  p->round_lost = p->round_delivered = p->round_rate = p->round_full = 0;
  if (p->steady || limited) return;
  if (rate_of(p) >= p->full_rate + p->full_rate / 4) {
    p->full_rate = rate_of(p);
    p->full_rounds = 0;
  } else if (++p->full_rounds >= 3) {
    p->steady = 1;
    p->phase = 1; /* what startup put on the path drains first */
  }
}

static void take_rtt(plr__pace *p, uint64_t ns, uint64_t now_ns) {
  if (!ns) return;
  if (now_ns - p->rtt_turn_ns > RTT_NS) {
    p->min_rtt[1] = p->min_rtt[0];
    p->min_rtt[0] = 0;
    p->rtt_turn_ns = now_ns;
  }
  if (!p->min_rtt[0] || ns < p->min_rtt[0]) p->min_rtt[0] = ns;
}

static void take_rate(plr__pace *p, const plr__packet *packet, uint64_t now_ns) {
  const uint64_t time = now_ns - packet->delivered_ns;
  if (time == 0 || time < rtt_of(p) / 2) return;
  const uint64_t rate = (uint64_t)((double)(p->delivered - packet->delivered) * 1e9 / (double)time);
  if (packet->limited && rate < rate_of(p)) return;
  p->max_rate[0] = PLR_MAX(p->max_rate[0], rate);
  p->round_rate = PLR_MAX(p->round_rate, rate);
  p->round_full |= !packet->limited;
}

void plr__pace_acked(plr__pace *p, const plr__packet *packet, const plr__rtt *rtt,
                     uint64_t now_ns) {
  p->delivered += packet->bytes;
  p->round_delivered += packet->bytes;
  p->delivered_ns = now_ns;
  p->flight -= packet->bytes;
  take_rtt(p, rtt->latest_ns, now_ns);
  take_rate(p, packet, now_ns);
  if (packet->delivered >= p->round_end) turn_round(p, packet->limited != 0);
  if (p->steady && now_ns - p->phase_ns > rtt_of(p)) {
    p->phase = (p->phase + 1) % 8;
    p->phase_ns = now_ns;
  }
}

void plr__pace_lost(plr__pace *p, const plr__packet *packet) {
  p->flight -= packet->bytes;
  p->round_lost += packet->bytes;
}

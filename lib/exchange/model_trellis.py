"""Tables of the trellis quantiser for model_tables.py (which needs numpy for them): how often each symbol is chosen is
simulated, because the encoder's choice (least error + weight x bits) depends on the tables themselves; a Gaussian guess
smooths the tails.

The trellis is the 16-state one of FRAME.md: quantiser = state & 1, next = NEXT[state][q & 1]. All tables are simulated at
once, each over many short sequences.
"""
import math

import numpy as np

from model_tables import CENTROIDS, TABLES, TOTAL, best_table, cost, scale

STATES = 16
NEXT = [[(s >> 1) ^ (9 * (s & 1)) ^ (2 * ((s ^ q) & 1)) for q in (0, 1)] for s in range(STATES)]
FROM = [[next(s for s in range(STATES) if NEXT[s][q] == to) for to in range(STATES)] for q in (0, 1)]
ROUNDS = 6
PRIOR = 300.0
LANES = 64
MOST = 256  # magnitudes that are counted


def weight(index):
    """Squared steps a bit, as in trellis.c."""
    return 0.6 if index < 37 else 0.45


def point(quantiser, q):
    return 2 * q - (quantiser and (q > 0) - (q < 0))


def bits_of(f):
    """Bits of each magnitude below MOST."""
    escape = TOTAL - f[0] - 2 * sum(f[1:])
    known = [-math.log2(v / TOTAL) for v in f]
    return known + [2 * math.log2(q - len(f) + 1) + 2 - math.log2(escape / TOTAL) for q in range(len(f), MOST)]


def arcs_of(m, rate):
    """Cost and magnitude of the best point of each quantiser and parity; m: [tables][lanes], rate:
    [2][tables][MOST], weighted."""
    costs, chosen = [], []
    zeros = m * m
    for quantiser in (0, 1):
        even = 2 * np.floor((m + quantiser) / 4 + 0.5).astype(np.int64)
        odd = np.maximum(2 * np.floor((m + quantiser - 2) / 4 + 0.5).astype(np.int64) + 1, 1)
        for parity, q in enumerate((even, odd)):
            q = np.minimum(q, MOST - 2 + parity)
            total = (m - np.where(q > 0, 2 * q - quantiser, 0)) ** 2 + np.take_along_axis(rate[quantiser], q, axis=1)
            if parity == 0:
                zero = zeros + rate[quantiser][:, :1]
                q = np.where(zero < total, 0, q)
                total = np.minimum(zero, total)
            costs.append(total)
            chosen.append(q)
    return costs, chosen


def simulate(tables, steps, seed, lagrange, offsets=None):
    """Per table: counts of magnitudes [2][MOST], how far below its point the mean of each lies, and the mean square error when
    points are moved by `offsets` [2][tables][CENTROIDS]."""
    rng = np.random.default_rng(seed)
    s = np.array([2 * scale(i) for i in range(TABLES)])[:, None]  # the model's unit is the step of either quantiser
    rate = [np.array([lagrange[i] * np.array(bits_of(tables[i][k])) for i in range(TABLES)]) for k in (0, 1)]
    x = np.abs(rng.standard_normal((steps, TABLES, LANES)) * s)
    costs = np.full((STATES, TABLES, LANES), 1e30)
    costs[0] = 0
    decisions = np.empty((steps, STATES, TABLES, LANES), dtype=bool)
    chosen = np.empty((steps, 4, TABLES, LANES), dtype=np.int16)
    for t in range(steps):
        arc, q = arcs_of(x[t], rate)
        chosen[t] = q
        fresh = np.empty_like(costs)
        for to in range(STATES):
            a, b = FROM[0][to], FROM[1][to]
            even, odd = costs[a] + arc[(a & 1) * 2], costs[b] + arc[(b & 1) * 2 + 1]
            decisions[t, to] = odd < even
            fresh[to] = np.minimum(odd, even)
        costs = fresh - fresh.min(axis=0)
    state = costs.argmin(axis=0)
    before = np.array(FROM)
    counts, sums = np.zeros((2, TABLES, MOST)), np.zeros((2, TABLES, MOST))
    error = np.zeros(TABLES)
    rows = np.broadcast_to(np.arange(TABLES)[:, None], (TABLES, LANES))
    for t in range(steps - 1, -1, -1):
        parity = np.take_along_axis(decisions[t], state[None], axis=0)[0].astype(np.int64)
        state = before[parity, state]
        quantiser = state & 1
        m = np.take_along_axis(chosen[t], (2 * quantiser + parity)[None], axis=0)[0].astype(np.int64)
        away = np.where(m > 0, 2 * m - quantiser, 0) - x[t]
        np.add.at(counts, (quantiser, rows, m), 1)
        np.add.at(sums, (quantiser, rows, m), away)
        if offsets is not None:
            away = away - np.where(m > 0, offsets[quantiser, rows, np.minimum(m, CENTROIDS - 1)] / 128.0, 0)
        error += (away ** 2).mean(axis=1)
    return counts, sums, error / steps


def centroids(counts, sums):
    """In 1/128 of a step."""
    row = [0]
    for m in range(1, CENTROIDS):
        seen = counts[m]
        row.append(max(-127, min(127, round(128 * sums[m] / seen))) if seen >= 60 else row[-1])
    return row


def gaussian_guess(quantiser, s):
    spread = math.sqrt(s * s + 0.2)
    widths = {0: 1.0, 1: 1.5} if quantiser else {}
    p = [widths.get(q, 2.0) * math.exp(-0.5 * (point(quantiser, q) / spread) ** 2)
         for q in range(0, max(6, int(5 * s)) + 2)]
    total = p[0] + 2 * sum(p[1:])
    return [v / total for v in p]


def blended(guess, counts):
    n = counts.sum()
    out = []
    for q, v in enumerate(guess):
        both = PRIOR * (v if q == 0 else 2 * v) + counts[q]
        out.append(both / (PRIOR + n) / (1 if q == 0 else 2))
    return out


def trellis_families(arguments):
    steps = int(arguments[0]) // LANES if arguments else 500
    guess = [[gaussian_guess(k, 2 * scale(i)) for k in (0, 1)] for i in range(TABLES)]
    tables = [[best_table(p) for p in g] for g in guess]
    for turn in range(ROUNDS):
        ramp = min(1.0, (turn + 1) / (ROUNDS - 2))
        counts, sums, unused = simulate(tables, steps, turn, [ramp * weight(i) for i in range(TABLES)])
        tables = [[best_table(blended(guess[i][k], counts[k, i])) for k in (0, 1)] for i in range(TABLES)]
    offsets = np.array([[centroids(counts[k, i], sums[k, i]) for i in range(TABLES)] for k in (0, 1)])
    counts, unused, error = simulate(tables, steps, ROUNDS, [weight(i) for i in range(TABLES)], offsets)
    bits = []
    for i in range(TABLES):
        total = 0.0
        for k in (0, 1):
            seen = max(1.0, counts[k, i].sum())
            last = int(np.max(np.nonzero(counts[k, i])[0], initial=0))
            real = [counts[k, i, q] / seen / (1 if q == 0 else 2) for q in range(last + 1)]
            total += seen / (steps * LANES) * cost(real, tables[i][k])
        bits.append(round(1024 * total))
    return ([t[0] for t in tables], [t[1] for t in tables], bits, [min(65535, round(65536 * e)) for e in error],
            [list(map(int, offsets[k, i])) for k in (0, 1) for i in range(TABLES)])

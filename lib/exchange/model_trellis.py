"""Tables of the trellis quantiser for model_tables.py: how often each symbol is chosen is simulated, because the encoder's
choice (least error + weight x bits) depends on the tables themselves; a Gaussian guess smooths the tails.

The trellis is the 8-state one of FRAME.md: quantiser = state & 1, next = NEXT[state][q & 1].
"""
import math
import random

from model_tables import CENTROIDS, TABLES, TOTAL, best_table, cost, scale

NEXT = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))
ROUNDS = 5
PRIOR = 300.0


def weight(index):
    """Squared steps a bit, as in trellis.c."""
    return 0.6 if index < 37 else 0.45


def point(quantiser, q):
    return 2 * q - (quantiser and (q > 0) - (q < 0))


def subset_candidates(x):
    """The nearest symbol of each quantiser and parity, and 0 of each quantiser."""
    out = [0] * 4
    q = 2 * math.floor(x / 4 + 0.5)
    out[0] = q
    out[1] = 2 * math.floor((x - 2) / 4 + 0.5) + 1
    m = abs(x)
    even = 2 * math.floor((m + 1) / 4 + 0.5)  # points 0, 3, 7, ..
    if even and abs(m) < abs(m - (2 * even - 1)):
        even = 0
    odd = max(1, 2 * math.floor((m + 1 - 2) / 4 + 0.5) + 1)  # points 1, 5, 9, ..
    out[2] = even if x >= 0 else -even
    out[3] = odd if x >= 0 else -odd
    return out


def rates(f):
    escape = TOTAL - f[0] - 2 * sum(f[1:])
    return [-math.log2(v / TOTAL) for v in f], -math.log2(escape / TOTAL)


def bits_of(rate, q):
    q = abs(q)
    known, escape = rate
    return known[q] if q < len(known) else escape + 2 * math.log2(q - len(known) + 1) + 2


def simulate(s, tables, n, seed, lagrange, offsets=None):
    """Counts of the magnitudes by quantiser, how far below its point the mean of each lies, and the mean square error
    when points are moved by `offsets`."""
    generator = random.Random(seed)
    xs = [generator.gauss(0.0, s) for _ in range(n)]
    rate = [rates(f) for f in tables]
    costs = [0.0] + [1e30] * 7
    history = []
    for x in xs:
        arcs = []
        for k, q in enumerate(subset_candidates(x)):
            quantiser = k >> 1
            best = ((x - point(quantiser, q)) ** 2 + lagrange * bits_of(rate[quantiser], q), q)
            if not k & 1 and q:
                best = min(best, (x * x + lagrange * bits_of(rate[quantiser], 0), 0))
            arcs.append(best)
        fresh = [1e30] * 8
        back = [None] * 8
        for state in range(8):
            for parity in (0, 1):
                step, q = arcs[(state & 1) * 2 + parity]
                total = costs[state] + step
                to = NEXT[state][parity]
                if total < fresh[to]:
                    fresh[to] = total
                    back[to] = (state, q)
        costs = fresh
        history.append(back)
    counts, sums = ({}, {}), ({}, {})
    error = 0.0
    state = min(range(8), key=lambda i: costs[i])
    for x, back in zip(reversed(xs), reversed(history)):
        state, q = back[state]
        quantiser = state & 1
        m, away = abs(q), abs(point(quantiser, q)) - (x if q > 0 else -x)
        counts[quantiser][m] = counts[quantiser].get(m, 0) + 1
        sums[quantiser][m] = sums[quantiser].get(m, 0.0) + away
        if q and offsets:
            away -= offsets[quantiser][min(m, CENTROIDS - 1)] / 128.0
        error += away ** 2 if q else x * x
    return counts, centroids(counts, sums), error / n


def centroids(counts, sums):
    """In 1/128 of a step."""
    rows = []
    for k in (0, 1):
        row = [0]
        for m in range(1, CENTROIDS):
            seen = counts[k].get(m, 0)
            row.append(max(-127, min(127, round(128 * sums[k][m] / seen))) if seen >= 60 else row[-1])
        rows.append(row)
    return rows


def gaussian_guess(quantiser, s):
    spread = math.sqrt(s * s + 0.2)
    widths = {0: 1.0, 1: 1.5} if quantiser else {}
    p = [widths.get(q, 2.0) * math.exp(-0.5 * (point(quantiser, q) / spread) ** 2)
         for q in range(0, max(6, int(5 * s)) + 2)]
    total = p[0] + 2 * sum(p[1:])
    return [v / total for v in p]


def blended(guess, counts):
    n = sum(counts.values())
    out = []
    for q, v in enumerate(guess):
        both = PRIOR * (v if q == 0 else 2 * v) + counts.get(q, 0)
        out.append(both / (PRIOR + n) / (1 if q == 0 else 2))
    return out


def one_table(index, n):
    s = 2 * scale(index)  # the model's unit is the step of either quantiser, 2 delta
    guess = [gaussian_guess(k, s) for k in (0, 1)]
    tables = [best_table(p) for p in guess]
    for turn in range(ROUNDS):
        lagrange = weight(index) * min(1.0, (turn + 1) / (ROUNDS - 1))
        counts, offsets, error = simulate(s, tables, n, 1000 * index + turn, lagrange)
        p = [blended(guess[k], counts[k]) for k in (0, 1)]
        tables = [best_table(v) for v in p]
    counts, unused, error = simulate(s, tables, n, 1000 * index + ROUNDS, weight(index), offsets)
    bits = 0.0
    for k in (0, 1):
        total = max(1, sum(counts[k].values()))
        real = [counts[k].get(q, 0) / total / (1 if q == 0 else 2) for q in range(max(counts[k], default=0) + 1)]
        bits += total / n * cost(real, tables[k])
    return tables, bits, error, offsets


def trellis_families(arguments):
    n = int(arguments[0]) if arguments else 30000
    rows = [one_table(i, n) for i in range(TABLES)]
    return ([r[0][0] for r in rows], [r[0][1] for r in rows], [round(1024 * r[1]) for r in rows],
            [min(65535, round(65536 * r[2])) for r in rows], [r[3][k] for k in (0, 1) for r in rows])

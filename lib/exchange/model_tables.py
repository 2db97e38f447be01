"""Writes model_tables.c: the baked tables of the parametric entropy coder (FRAME.md). Run it again only to make a new
family: a frame names its tables by number, so the ones that exist never change.

    python3 lib/exchange/model_tables.py 30000 > lib/exchange/model_tables.c

A table is the 12-bit frequencies of the symbols of a Gaussian value of scale s = sigma / delta, s = 2^((i - 32) / 8) for
table i, averaged over the half step of 1/16 octave that the scale may be off by. Families: nearest rounding, subtractive
dither (the dither averaged over), and one for each quantiser of the trellis.
"""
import math
import struct
import sys
import textwrap

TABLES = 64
TOTAL = 4096
CENTROIDS = 16


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def density(x):
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def scale(index):
    return 2.0 ** ((index - 32) / 8.0)


def nearest(s, q):
    """Probability that round(x) = q for x ~ N(0, s)."""
    return phi((q + 0.5) / s) - phi((q - 0.5) / s)


def integral_phi(x):
    return x * phi(x) + density(x)


def dithered(s, q):
    """Probability that round(x + u) = q, u uniform in [-1/2, 1/2): the second difference of the integral of phi."""
    return s * (integral_phi((q + 1) / s) - 2.0 * integral_phi(q / s) + integral_phi((q - 1) / s))


def averaged(probability, index, q):
    return sum(w * probability(scale(index) * 2.0 ** o, q)
               for w, o in ((0.25, -0.05), (0.5, 0.0), (0.25, 0.05)))


def exp_golomb_bits(v):
    return 2 * (v + 1).bit_length() - 1


def frequencies(p, limit):
    """The best table of symbols 0..limit (both signs of each but 0 share a frequency) and an escape."""
    tail = max(1e-9, 1.0 - p[0] - 2.0 * sum(p[1:limit + 1]))
    escape = max(1, round(tail * TOTAL))
    f = [max(1, int(v * TOTAL)) for v in p[:limit + 1]]
    left = TOTAL - escape - f[0] - 2 * sum(f[1:])
    while left < 0:
        k = min((i for i in range(1, limit + 1) if f[i] > 1), default=None,
                key=lambda i: p[i] * math.log(f[i] / (f[i] - 1)))
        if k is None:
            return None
        f[k] -= 1
        left += 2
    while left >= 2 and limit:
        k = max(range(limit + 1),
                key=lambda i: (2 * p[i] if i else p[0]) * math.log((f[i] + (1 if i else 2)) / f[i]))
        f[k] += 1 if k else 2
        left -= 2
    f[0] += left
    return f if f[0] > 0 else None


def cost(p, f):
    """Bits a symbol when p is coded by f, escapes with their Exp-Golomb code."""
    escape = TOTAL - f[0] - 2 * sum(f[1:])
    bits = 0.0
    for q, v in enumerate(p):
        both = v if q == 0 else 2.0 * v
        if q < len(f):
            bits -= both * math.log2(f[q] / TOTAL)
        else:
            bits += both * (1 + exp_golomb_bits(q - len(f)) - math.log2(escape / TOTAL))  # with its sign
    return bits


def best_table(p):
    best = None
    for limit in range(0, min(128, len(p))):
        f = frequencies(p, limit)
        if f is None or f[0] + 2 * sum(f[1:]) >= TOTAL:
            continue
        c = cost(p, f)
        if best is None or c < best[0]:
            best = (c, f)
        elif limit > 2 * len(best[1]) + 8:
            break
    return best[1]


def centroid_offset(s, q):
    """How far the mean of cell q lies below q, in 1/256 of a step."""
    mass = nearest(s, q)
    if mass < 1e-12:
        return None
    mean = s * (density((q - 0.5) / s) - density((q + 0.5) / s)) / mass
    return max(0, min(127, round(256.0 * (q - mean))))


def centroids(s):
    row = [0]
    for q in range(1, CENTROIDS):
        d = centroid_offset(s, q)
        row.append(row[-1] if d is None else d)
    return row


def nearest_error(s, offsets):
    """Mean square error in steps, by integrating over the cells."""
    total = 0.0
    for q in range(0, int(8 * s) + 2):
        low, high = (q - 0.5) / s, (q + 0.5) / s
        mass = phi(high) - phi(low)
        first = s * (density(low) - density(high))
        second = s * s * (mass + low * density(low) - high * density(high))
        y = q - offsets[min(q, CENTROIDS - 1)] / 256.0
        total += (1 if q == 0 else 2) * (second - 2 * y * first + y * y * mass)
    return total


def family(probability):
    tables, bits = [], []
    for i in range(TABLES):
        p = [averaged(probability, i, q) for q in range(0, max(6, int(9 * scale(i))) + 2)]
        tables.append(best_table(p))
        bits.append(round(1024 * cost(p, tables[-1])))
    return tables, bits


def rows(name, kind, values):
    body = textwrap.fill(", ".join(str(v) for v in values), 100, initial_indent="    ", subsequent_indent="    ")
    return "static const %s %s[%d] = {\n%s,\n};" % (kind, name, len(values), body)


def main():
    from model_trellis import trellis_families  # slow, hence in its own file
    offsets = [centroids(scale(i)) for i in range(TABLES)]
    errors = [round(65536 * nearest_error(scale(i), offsets[i])) for i in range(TABLES)]
    families = [family(nearest), family(dithered)]
    dither_errors = [round(65536 / 12)] * TABLES
    quantiser0, quantiser1, trellis_bits, trellis_errors, trellis_offsets = trellis_families(sys.argv[1:])
    tables = [f[0] for f in families] + [quantiser0, quantiser1]
    print("/* Made by model_tables.py; do not edit. */")
    print('#include "exchange/model.h"\n')
    print("/* Largest magnitude of a symbol of each table. */")
    print(rows("limits", "uint8_t", [len(f) - 1 for t in tables for f in t]))
    print("\n/* Frequencies of the magnitudes 0 to the largest, table after table; the escape has what is left of 4096. */")
    print(rows("frequencies", "uint16_t", [v for t in tables for f in t for v in f]))
    print("\n/* Cell means lie this much below the integers: 1/256 step, 16 magnitudes a table. */")
    print(rows("centroids", "uint8_t", [v for r in offsets for v in r]))
    print("\n/* The same of the trellis: 1/128 step, quantiser 0, then 1. */")
    print(rows("trellis_centroids", "int8_t", [v for r in trellis_offsets for v in r]))
    print("\n/* Bits a value, 1/1024. */")
    print(rows("bits", "uint16_t", families[0][1] + families[1][1] + trellis_bits))
    print("\n/* Mean square error, 1/65536 step^2. */")
    print(rows("errors", "uint16_t", errors + dither_errors + trellis_errors))
    print("\n/* 2^(k/64) as binary32. */")
    print(rows("steps", "uint32_t", ["0x%08x" % struct.unpack("<I", struct.pack("<f", 2.0 ** (k / 64)))[0]
                                     for k in range(64)]))
    print("\n/* Mantissas of 2^((k + 1/2) / 32) in binary64: where the logarithm rounds up. */")
    print(rows("bounds", "uint64_t", ["UINT64_C(0x%013x)" % (struct.unpack("<Q", struct.pack("<d", 2.0 ** ((k + 0.5) / 32)))[0]
                                                       & (1 << 52) - 1) for k in range(32)]))
    print("""
const plr__model_data plr__model = {
    limits, frequencies, centroids, trellis_centroids, bits, errors, steps, bounds};""")


if __name__ == "__main__":
    main()

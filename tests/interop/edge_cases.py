"""The edge cases of Ed25519 verification, made systematically: the classes of C2SP/CCTV's ed25519 vectors (low-order,
non-canonical and mixed-order A and R, each where the equation without cofactor holds and where only that with it does).

https://github.com/C2SP/CCTV/tree/main/ed25519 describes the classes; the vectors themselves are made here.
"""
import hashlib

from replayer import ed25519 as ed

P, L = ed.P, ed.L


def torsion():
    """The eight points of order dividing 8, as multiples of one of order 8."""
    y = 2
    while True:
        point = ed.decode(y.to_bytes(32, "little"))
        y += 1
        if point:
            point = ed.multiply(L, point)
            if not ed.is_zero(ed.multiply(4, point)):
                return [ed.multiply(i, point) for i in range(8)]


def encodings(point):
    """All 32-byte strings that a lenient reader takes for a point of low order."""
    canonical = int.from_bytes(ed.encode(point), "little")
    y, sign = canonical & (1 << 255) - 1, canonical >> 255
    signs = (0, 1) if y in (1, P - 1) else (sign,)  # x = 0: either sign
    values = [y] + ([y + P] if y + P < 1 << 255 else [])
    return [(v | s << 255).to_bytes(32, "little") for v in values for s in signs]


def points(scalar):
    """(name, encoding, index of its torsion part, scalar of its prime-order part): all of low order, eight of mixed
    order."""
    base, out = ed.BASE.multiply(scalar), []
    for i, low in enumerate(torsion()):
        out += [("low %d %s" % (i, raw.hex()[:8]), raw, i, 0) for raw in encodings(low)]
        out.append(("mixed %d" % i, ed.encode(ed.add(base, low)), i, scalar))
    return out


def cases():
    """(name, key, message, signature, whether the equation without cofactor holds)."""
    secret = int.from_bytes(hashlib.sha512(b"A").digest(), "little") % L
    nonce = int.from_bytes(hashlib.sha512(b"R").digest(), "little") % L
    for a_name, a_raw, a_low, a in points(secret):
        for r_name, r_raw, r_low, r in points(nonce):
            wanted = {True, False}
            for i in range(64):
                message = b"edge %d" % i
                k = int.from_bytes(hashlib.sha512(r_raw + a_raw + message).digest(), "little") % L
                s = (r + k * a) % L
                exact = (r_low + k * a_low) % 8 == 0  # sB - kA - R is of low order in any case
                if exact in wanted:
                    wanted.discard(exact)
                    yield ("A %s, R %s" % (a_name, r_name), a_raw, message, r_raw + s.to_bytes(32, "little"), exact)
                if not wanted:
                    break

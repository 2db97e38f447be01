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


SECRET = int.from_bytes(hashlib.sha512(b"A").digest(), "little") % L
NONCE = int.from_bytes(hashlib.sha512(b"R").digest(), "little") % L


def signature(key, secret, r_raw, nonce, message):
    """R of a given encoding, and S so that the equation with cofactor holds."""
    k = int.from_bytes(hashlib.sha512(r_raw + key + message).digest(), "little") % L
    return r_raw + ((nonce + k * secret) % L).to_bytes(32, "little"), k


def cases():
    """(name, key, message, signature, whether the equation without cofactor holds)."""
    for a_name, a_raw, a_low, a in points(SECRET):
        for r_name, r_raw, r_low, r in points(NONCE):
            wanted = {True, False}
            for i in range(64):
                message = b"edge %d" % i
                raw, k = signature(a_raw, a, r_raw, r, message)
                exact = (r_low + k * a_low) % 8 == 0  # sB - kA - R is of low order in any case
                if exact in wanted:
                    wanted.discard(exact)
                    yield ("A %s, R %s" % (a_name, r_name), a_raw, message, raw, exact)
                if not wanted:
                    break


def changed(random, raw):
    """A good signature with something wrong."""
    how, r, s = random.randrange(8), raw[:32], int.from_bytes(raw[32:], "little")
    if how == 0:  # the same number modulo the order of the group
        s += L * random.randrange(1, 15)
    elif how == 1:
        s = random.choice((0, 1, L - 1, L, L + 1, 2 ** 252, 2 ** 253, 2 ** 255 - 19, 2 ** 256 - 1))
    elif how == 2:
        s = (L - s) % L
    elif how == 3:  # -R
        r = r[:31] + bytes([r[31] ^ 0x80])
    elif how == 4:  # R's coordinate as if it were not reduced, or not a point
        r = ((int.from_bytes(r, "little") + random.choice((1, P, 2 ** 255))) % 2 ** 256).to_bytes(32, "little")
    elif how == 5:
        r, s = raw[32:], int.from_bytes(r, "little")
    elif how == 6:
        at = random.randrange(256)
        s ^= 1 << at
    else:
        at = random.randrange(32)
        r = r[:at] + bytes([r[at] ^ 1 << random.randrange(8)]) + r[at + 1:]
    return r + s.to_bytes(32, "little")

"""Ed25519 (RFC 8032, 5.1) with the ledger's rule: no cofactor, and the key a canonical point of prime order.

Speed is for a test: a multiplication by a point that comes back often is a sum of table entries.
"""
import hashlib

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
ZERO = (0, 1, 1, 0)  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, XY = ZT


def add(a, b):
    """RFC 8032, 5.1.4; complete, so it doubles too."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    out = ZERO
    while scalar:
        if scalar & 1:
            out = add(out, point)
        point, scalar = add(point, point), scalar >> 1
    return out


def is_zero(a):
    return a[0] % P == 0 and (a[1] - a[2]) % P == 0


def encode(a):
    inverse = pow(a[2], -1, P)
    x, y = a[0] * inverse % P, a[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(raw):
    """RFC 8032, 5.1.3; None when it is no point or not its canonical encoding."""
    number = int.from_bytes(raw, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * ROOT_OF_MINUS_1 % P
        if v * x * x % P != u:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


class Table:
    """Multiples d·16^i of a point, d below 16, i below 64."""

    def __init__(self, point):
        self.rows = []
        for _ in range(64):
            row = [ZERO]
            for _ in range(15):
                row.append(add(row[-1], point))
            self.rows.append(row)
            point = add(row[-1], point)

    def multiply(self, scalar, out=ZERO):
        """out + scalar times the point, scalar below 2^256."""
        for row in self.rows:
            digit = scalar & 15
            if digit:
                out = add(out, row[digit])
            scalar >>= 4
        return out


BASE = Table(decode((4 * pow(5, -1, P) % P).to_bytes(32, "little")))


def good_key(raw):
    """The point of a canonical encoding, if it is of prime order; else None."""
    point = decode(raw)
    return point if point and not is_zero(point) and is_zero(multiply(L, point)) else None


class Verifier:
    """Remembers the tables of the keys it has met, and its verdicts."""

    def __init__(self, limit=256):
        self.tables, self.limit, self.known = {}, limit, {}

    def _table(self, key):
        if key not in self.tables:
            if len(self.tables) >= self.limit:
                self.tables.clear()
            point = good_key(key)
            self.tables[key] = Table((P - point[0], point[1], 1, P - point[3])) if point else None
        return self.tables[key]

    def verify(self, key, message, signature):
        """R, recomputed, must come out as the very bytes in the signature: that is the rule without cofactor, and it
        makes R canonical. With A of prime order R is, too, except for the neutral element, which is refused."""
        question = (key, message, signature)
        if question not in self.known:
            if len(self.known) >= 1 << 16:
                self.known.clear()
            self.known[question] = self._verify(key, message, signature)
        return self.known[question]

    def _verify(self, key, message, signature):
        if len(signature) != 64 or len(key) != 32:
            return False
        r, s = signature[:32], int.from_bytes(signature[32:], "little")
        if s >= L:
            return False
        table = self._table(key)
        if table is None:
            return False
        k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
        point = table.multiply(k, BASE.multiply(s))
        return encode(point) == r and not is_zero(point)


def _expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def public_key(seed):
    return encode(BASE.multiply(_expand(seed)[0]))


def sign(seed, message):
    scalar, prefix = _expand(seed)
    key = encode(BASE.multiply(scalar))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    point = encode(BASE.multiply(r))
    k = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little") % L
    return point + ((r + k * scalar) % L).to_bytes(32, "little")

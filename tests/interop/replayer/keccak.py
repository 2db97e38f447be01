"""Keccak-256 as Ethereum uses it (the Keccak submission's padding, not FIPS 202's), and OpenZeppelin's Merkle tree."""
import functools

RATE = 136
MASK = (1 << 64) - 1


def _round_constants():
    """From the submission's LFSR x^8 + x^6 + x^5 + x^4 + 1."""
    out, state = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if state & 1:
                constant |= 1 << (1 << j) - 1
            state = state << 1 ^ (0x171 if state & 0x80 else 0)
        out.append(constant)
    return out


def _offsets():
    """(from, to, rotation) of rho and pi, one lane after the other."""
    x, y, out = 1, 0, []
    for t in range(24):
        nx, ny = y, (2 * x + 3 * y) % 5
        out.append((x + 5 * y, nx + 5 * ny, (t + 1) * (t + 2) // 2 % 64))
        x, y = nx, ny
    return out


CONSTANTS, MOVES = _round_constants(), _offsets()


def _turn(value, by):
    return (value << by | value >> 64 - by) & MASK


def _permute(a):
    for constant in CONSTANTS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[(x + 4) % 5] ^ _turn(c[(x + 1) % 5], 1) for x in range(5)]
        b = [a[0] ^ d[0]] + [0] * 24
        for source, target, by in MOVES:
            b[target] = _turn(a[source] ^ d[source % 5], by)
        a = [b[i] ^ ~b[i // 5 * 5 + (i + 1) % 5] & b[i // 5 * 5 + (i + 2) % 5] for i in range(25)]
        a[0] ^= constant
    return a


@functools.lru_cache(1 << 16)
def keccak256(data, padding=0x01):
    padded = bytearray(data) + bytes(RATE - len(data) % RATE)
    padded[len(data)] |= padding
    padded[-1] |= 0x80
    state = [0] * 25
    for at in range(0, len(padded), RATE):
        for i in range(RATE // 8):
            state[i] ^= int.from_bytes(padded[at + 8 * i:at + 8 * i + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


class StandardTree:
    """OpenZeppelin's StandardMerkleTree over leaves that are ABI-encoded already: leaf = keccak(keccak(abi)), leaves in
    ascending order from the end of an array of 2n - 1, node = keccak(its two children in ascending order)."""

    def __init__(self, encoded):
        hashes = [keccak256(keccak256(one)) for one in encoded]
        order = sorted(range(len(hashes)), key=lambda i: hashes[i])
        self.tree, self.place = [b""] * (2 * len(hashes) - 1), {}
        for rank, i in enumerate(order):
            at = len(self.tree) - 1 - rank
            self.tree[at], self.place[i] = hashes[i], at
        for i in range(len(hashes) - 2, -1, -1):
            self.tree[i] = join(self.tree[2 * i + 1], self.tree[2 * i + 2])

    @property
    def root(self):
        return self.tree[0]

    def proof(self, index):
        at, out = self.place[index], []
        while at > 0:
            out.append(self.tree[at + 1 if at % 2 else at - 1])
            at = (at - 1) // 2
        return out


def join(a, b):
    return keccak256(min(a, b) + max(a, b))


def proof_root(encoded, proof):
    out = keccak256(keccak256(encoded))
    for one in proof:
        out = join(out, one)
    return out


def word(value):
    """An address (20 bytes) or a number as one ABI word."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(32 - len(value)) + value


def claim_leaf(account, reward, claimable):
    """(address account, address reward, uint256 claimable), as Morpho's UniversalRewardsDistributor."""
    return word(account) + word(reward) + word(claimable)

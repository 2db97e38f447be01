"""The Merkle tree of RFC 6962, 2.1, and the verifiers of RFC 9162, 2.1.3.2 and 2.1.4.2."""
import hashlib


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """Grows leaf by leaf and keeps the roots of its perfect subtrees only."""

    def __init__(self, hashes=()):
        self.size, self.stack = 0, []
        for one in hashes:
            self.push(one)

    def push(self, one):
        size = self.size
        while size & 1:
            one = node_hash(self.stack.pop(), one)
            size >>= 1
        self.stack.append(one)
        self.size += 1

    @property
    def root(self):
        if not self.stack:
            return hashlib.sha256(b"").digest()
        out = self.stack[-1]
        for left in reversed(self.stack[:-1]):
            out = node_hash(left, out)
        return out


def root_of(hashes):
    return Tree(hashes).root


def definition(hashes):
    """MTH as RFC 6962 writes it down."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(definition(hashes[:k]), definition(hashes[k:]))


def inclusion(hashes, index):
    """PATH(m, D[n]) of RFC 6962, 2.1.1."""
    if len(hashes) <= 1:
        return []
    k = 1 << (len(hashes) - 1).bit_length() - 1
    if index < k:
        return inclusion(hashes[:k], index) + [definition(hashes[k:])]
    return inclusion(hashes[k:], index - k) + [definition(hashes[:k])]


def consistency(hashes, old):
    """PROOF(m, D[n]) of RFC 6962, 2.1.2."""
    def sub(part, m, whole):
        if m == len(part):
            return [] if whole else [definition(part)]
        k = 1 << (len(part) - 1).bit_length() - 1
        if m <= k:
            return sub(part[:k], m, whole) + [definition(part[k:])]
        return sub(part[k:], m - k, False) + [definition(part[:k])]
    return sub(hashes, old, True)


def check_inclusion(leaf, index, size, proof, root):
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def check_consistency(old, old_root, new, new_root, proof):
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    proof = ([old_root] if old & old - 1 == 0 else []) + list(proof)
    if not proof:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == old_root and sr == new_root and sn == 0


def tile_path(number):
    groups = ["%03d" % (number % 1000)]
    while number >= 1000:
        number //= 1000
        groups.insert(0, "x%03d" % (number % 1000))
    return "/".join(groups)


def tiles(size):
    """Paths and widths of all hash tiles of a tree of this size: (level, number, width), C2SP tlog-tiles."""
    level = 0
    while size >> 8 * level:
        count = size >> 8 * level
        for number in range(count // 256):
            yield level, number, 256
        if count % 256:
            yield level, count // 256, count % 256
        level += 1


def resource(kind, number, width):
    return "tile/%s/%s%s" % (kind, tile_path(number), "" if width == 256 else ".p/%d" % width)

"""Where a log comes from: an export file, or the published tiles."""
import os

from . import merkle, note
from .fields import Malformed, Reader


def read_export(data):
    """(checkpoint, entries) of FORMAT.md section 2, Export file."""
    r = Reader(data)
    if r.take(8) != b"PLRLEDG1":
        raise Malformed("not an export")
    point, entries = r.take(r.integer(4)), []
    while r.at < len(data):
        length = r.integer(2)
        if not length:
            raise Malformed("an entry of no bytes")
        entries.append(r.take(length))
    return point, entries


def write_export(point, entries):
    return b"".join([b"PLRLEDG1", len(point).to_bytes(4, "big"), point]
                    + [part for one in entries for part in (len(one).to_bytes(2, "big"), one)])


def split_bundle(data):
    r, out = Reader(data), []
    while r.at < len(data):
        out.append(r.take(r.integer(2)))
    return out


def read_site(folder):
    """(checkpoint, entries) of published files. Every hash tile must be what the entries say."""
    def get(path):
        with open(os.path.join(folder, *path.split("/")), "rb") as f:
            return f.read()

    point, entries = get("checkpoint"), []
    size = note.parse_checkpoint(note.split(point)[0])[1]
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        bundle = split_bundle(get(merkle.resource("entries", number, width)))
        if len(bundle) != width:
            raise Malformed("bundle %d holds %d entries" % (number, len(bundle)))
        entries += bundle
    level_hashes = [[merkle.leaf_hash(one) for one in entries]]
    for level, number, width in merkle.tiles(size):
        while len(level_hashes) <= level:
            below = level_hashes[-1]
            level_hashes.append([merkle.root_of(below[i:i + 256]) for i in range(0, len(below) // 256 * 256, 256)])
        if get(merkle.resource(level, number, width)) != b"".join(level_hashes[level][256 * number:][:width]):
            raise Malformed("tile %d/%d" % (level, number))
    return point, entries

"""C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1."""
import base64
import binascii
import hashlib

NOTE, COSIGNATURE = 1, 4
DASH = "\u2014 "


class BadNote(ValueError):
    """Not a note, or one whose signatures do not hold."""


def key_id(name, kind, key):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


def vkey(name, kind, key):
    return "%s+%s+%s" % (name, key_id(name, kind, key).hex(), base64.b64encode(bytes([kind]) + key).decode())


def parse_vkey(text):
    """(name, kind, key); the name has no '+', base64 may."""
    name, hexid, encoded = text.split("+", 2)
    raw = unbase64(encoded)
    if len(raw) != 33 or key_id(name, raw[0], raw[1:]).hex() != hexid:
        raise BadNote("not a verifier key")
    return name, raw[0], raw[1:]


def unbase64(text):
    """Standard base64, one spelling only."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("base64") from None
    if base64.b64encode(raw).decode() != text:
        raise BadNote("base64")
    return raw


def split(note):
    """(text, [(name, base64 text)]) of a signed note, with the limits of FORMAT.md."""
    if len(note) > 65536:
        raise BadNote("too long")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise BadNote("not UTF-8") from None
    if any(ord(c) < 32 and c != "\n" for c in whole):
        raise BadNote("control character")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n"):
        raise BadNote("no signatures")
    text, lines = whole[:at + 1], whole[at + 2:].split("\n")[:-1]
    if not 1 <= len(lines) <= 128:
        raise BadNote("number of signatures")
    signatures = []
    for line in lines:
        name, space, encoded = line[len(DASH):].partition(" ")
        if not line.startswith(DASH) or not name or not space or "+" in name:
            raise BadNote("signature line")
        size = len(encoded.encode())
        if size < 8 or size % 4:
            raise BadNote("signature line")
        signatures.append((name, encoded))
    return text, signatures


def line_id(encoded):
    """Key id that a signature line claims; none when it does not begin as base64."""
    try:
        return unbase64(encoded[:8])[:4]
    except BadNote:
        return b""


def signed_text(kind, text, raw):
    """(message, signature) of a signature line's bytes behind the key id."""
    if len(raw) != (64 if kind == NOTE else 72):
        raise BadNote("length of a signature")
    if kind == NOTE:
        return text.encode(), raw
    time = int.from_bytes(raw[:8], "big")
    return b"cosignature/v1\ntime %d\n" % time + text.encode(), raw[8:]


def verify(note, keys, verifier):
    """(text, keys that signed). keys: (name, kind, public key). A line under a known name and id that does not hold
    refuses the note; unknown ones are ignored."""
    text, signatures = split(note)
    good = []
    for name, encoded in signatures:
        for key in keys:
            if key[0] == name and key_id(*key) == line_id(encoded):
                message, signature = signed_text(key[1], text, unbase64(encoded)[4:])
                if not verifier.verify(key[2], message, signature):
                    raise BadNote("the signature of %s does not hold" % name)
                good += [key] if key not in good else []
    return text, good


def sign(text, name, seed, ed25519):
    raw = key_id(name, NOTE, ed25519.public_key(seed)) + ed25519.sign(seed, text.encode())
    return (text + "\n" + DASH + name + " " + base64.b64encode(raw).decode() + "\n").encode()


def cosign(text, name, seed, time, ed25519):
    """A signature line."""
    message = b"cosignature/v1\ntime %d\n" % time + text.encode()
    raw = key_id(name, COSIGNATURE, ed25519.public_key(seed)) + time.to_bytes(8, "big") + ed25519.sign(seed, message)
    return (DASH + name + " " + base64.b64encode(raw).decode() + "\n").encode()


def checkpoint_text(origin, size, root):
    return "%s\n%d\n%s\n" % (origin, size, base64.b64encode(root).decode())


def parse_checkpoint(text):
    """(origin, size, root). More lines may follow, none of them empty; ours have none."""
    lines = text.split("\n")[:-1]
    if len(lines) < 3 or "" in lines[3:]:
        raise BadNote("not a checkpoint")
    root = unbase64(lines[2])
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1] or len(root) != 32:
        raise BadNote("not a checkpoint")
    if int(lines[1]) >= 2 ** 63:
        raise BadNote("size")
    return lines[0], int(lines[1]), root


def open_checkpoint(note, origin, key, verifier):
    """(size, root) of a checkpoint that this log has signed."""
    ours = (origin, NOTE, key)
    text, good = verify(note, [ours], verifier)
    if ours not in good:
        raise BadNote("not signed by %s" % origin)
    name, size, root = parse_checkpoint(text)
    if name != origin:
        raise BadNote("a checkpoint of %s" % name)
    return size, root

"""Valid histories with something changed: an entry's bytes, its fields (signed anew), its signatures, the order.

Both sides then judge the same bytes. Closes of an epoch are made anew from what the replayer comes to, so that the
library's acceptance of one says that both have the same state.
"""
from replayer import Machine, check_everything, entry as e
from replayer.fields import INTEGERS, ONES


def scrambled(random, data):
    """Bytes that were an entry: cut, grown, with bits, bytes or stretches changed; one to three times."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        at, how = random.randrange(len(out)), random.randrange(6)
        if how == 0:
            out = out[:max(1, at)]
        elif how == 1:
            out += random.randbytes(random.randrange(1, 70))
        elif how == 2:
            out[at] ^= 1 << random.randrange(8)
        elif how == 3:
            out[at] = random.choice((0, 1, 127, 128, 255))
        elif how == 4:
            out[at:at + 8] = bytes([random.choice((0, 255))]) * random.choice((1, 2, 4, 8))
        else:
            other = random.randrange(len(out))
            out[at:at + 8] = out[other:other + 8]
    return bytes(out[:e.ENTRY_MAX])


class Mutator:
    def __init__(self, teller, verifier):
        self.teller, self.verifier, self.random = teller, verifier, teller.random
        self.base = [one for one, code in zip(teller.entries, teller.codes) if code != "MALFORMED"]
        self.by_type = {}  # places in the history; all but Genesis
        for i, data in enumerate(self.base[1:], 1):
            self.by_type.setdefault(data[4], []).append(i)
        self.types = sorted(self.by_type)

    def number(self, value, bits):
        r = self.random
        return r.choice((0, 1, value - 1, value + 1, value * 2, value ^ 1 << r.randrange(bits), 2 ** bits - 1,
                         2 ** (bits - 1), 2 ** (bits - 1) - 1, r.getrandbits(bits))) % 2 ** bits

    def octets(self, value):
        r, people = self.random, self.teller.people
        return r.choice((bytes(len(value)), r.randbytes(len(value)), r.choice(people),
                         self.teller.public(r.choice(people)), r.choice(self.teller.models)))[:len(value)]

    def value(self, old, kind):
        r = self.random
        if isinstance(old, int):
            return self.number(old, 8 * (INTEGERS.get(kind) or ONES[kind]))
        if isinstance(kind, int):
            return self.octets(old) if kind == 32 else r.randbytes(kind)
        if isinstance(old, bytes):
            return r.choice((b"", old + b"x", old[:-1], bytes([r.randrange(256)]) * 5))
        out, how = list(old), r.randrange(4)
        if how == 0 and out:
            at = r.randrange(len(out))
            which = r.randrange(len(kind[2]))
            group = list(out[at])
            group[which] = self.value(group[which], kind[2][which][1])
            out[at] = tuple(group)
        elif how == 1 and out:
            out.pop(r.randrange(len(out)))
        elif how == 2 and out:
            out.insert(r.randrange(len(out) + 1), r.choice(out))
        else:
            r.shuffle(out)
        return out

    def resigned(self, data, entry, **changes):
        """The entry with some of it changed, under the keys that signed it before where its signers are the same."""
        new = entry._replace(**changes)
        try:
            signers = e.signers(new.type, new.author, new.body)
        except AttributeError:  # the body is of another type
            signers = e.signers(entry.type, new.author, new.body)
        keys, same = self.teller.used[data], {s[:2] for s in entry.signatures}
        unsigned = e.unsigned_part(new.type, new.author, new.nonce, new.body, new.valid_to_epoch)
        return self.teller.attach(unsigned, signers, {role: keys[role] for role, account in signers
                                                      if (role, account) in same})

    def of_field(self, data):
        """One field of the body, signed anew by those it names."""
        entry = e.parse(data)
        body = entry.body.copy()
        name, kind = self.random.choice(body.layout.fields)
        setattr(body, name, self.value(getattr(body, name), kind))
        return self.resigned(data, entry, body=body)

    def of_head(self, data):
        entry, r = e.parse(data), self.random
        which = r.randrange(4)
        if which == 0:
            change = dict(nonce=self.number(entry.nonce, 64))
        elif which == 1:
            change = dict(valid_to_epoch=self.number(entry.valid_to_epoch, 64))
        elif which == 2:
            change = dict(author=r.choice(self.teller.people))
        else:
            change = dict(type=r.choice(list(e.BODIES)))
        return self.resigned(data, entry, **change)

    def of_signatures(self, data):
        entry, r = e.parse(data), self.random
        out = [list(s) for s in entry.signatures]
        one, which = r.choice(out), r.randrange(7)
        if which == 0:
            out.remove(one)
        elif which == 1:
            out.append(list(one))
        elif which == 2:
            one[0] = r.randrange(4)
        elif which == 3:
            one[1] = r.choice(self.teller.people)
        elif which == 4:  # the same number modulo the order of the group
            s = int.from_bytes(one[2][32:], "little") + 2 ** 252 + 27742317777372353535851937790883648493
            one[2] = one[2][:32] + s.to_bytes(32, "little")
        elif which == 5:
            at = r.randrange(64)
            one[2] = one[2][:at] + bytes([one[2][at] ^ 1 << r.randrange(8)]) + one[2][at + 1:]
        else:
            other = r.choice(out)
            one[2], other[2] = other[2], one[2]
        return e.attach(entry.unsigned, out)

    def mutated(self):
        """(what was done, entries); the first stays Genesis."""
        r, out = self.random, list(self.base)
        i, j = r.choice(self.by_type[r.choice(self.types)]), r.randrange(1, len(out))
        how = r.choice(("bytes", "field", "field", "field", "head", "signatures", "swap", "move", "drop", "double"))
        if how == "bytes":
            out[i] = self.teller.spoil(out[i])
        elif how == "field":
            out[i] = self.of_field(out[i])
        elif how == "head":
            out[i] = self.of_head(out[i])
        elif how == "signatures":
            out[i] = self.of_signatures(out[i])
        elif how == "swap":
            out[i], out[j] = out[j], out[i]
        elif how == "move":
            out.insert(j, out.pop(i))
        elif how == "drop":
            out.pop(i)
        else:
            out.insert(j, out[i])
        return "%s %d %d" % (how, i, j), [one for one in out if one]

    def replayed(self, entries):
        """(machine, entries with closes made anew, codes)."""
        teller, codes, final = self.teller, [], []
        original = set(self.base)
        machine = Machine(teller.origin, teller.machine.key, self.verifier)
        for data in entries:
            if data in original and data[4] == e.EPOCH_CLOSE and machine.open:
                data = teller.true_close(machine)
            final.append(data)
            codes.append(machine.append(data))
        check_everything(machine.state)
        return machine, final, codes

"""Byte layouts as lists of (name, type): one text reads and writes bodies of entries and records of the state.

Types: u8 u16 u32 u64 u128, an int n for n bytes, "algorithm" and "rules" (u8 and u16 that must be 1), "origin" and
"currency" (names: length u8, characters), "text" (length u16, bytes), ("list", type of the count, layout, least, most)
for that many groups of fields, read as tuples.
"""
import struct

LENGTHS = {"origin": 1, "currency": 1, "text": 2}  # bytes of the length before them
NAMES = {"origin": 128, "currency": 16}  # most characters
ONES = {"algorithm": 1, "rules": 2}  # bytes of the number
INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "u128": 16}


class Malformed(ValueError):
    """Bytes that are no entry."""


class Truncated(Malformed):
    """They end before the entry does."""


class Version(Malformed):
    """Of a type, version, algorithm or rules that are not known."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise Truncated("%d bytes at %d" % (count, self.at))
        out, self.at = self.data[self.at:end], end
        return out

    def integer(self, count):
        return int.from_bytes(self.take(count), "big")

    def end(self):
        if self.at != len(self.data):
            raise Malformed("bytes left over at %d" % self.at)


def name_ok(name, most):
    return 1 <= len(name) <= most and all(0x21 <= c <= 0x7e and c != 0x2b for c in name)


class Run:
    """Fields of fixed length, one behind the other. Within lists there are no u128."""

    CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "u128": "16s"}
    made = {}

    def __new__(cls, fields):
        fields = tuple(fields)
        if fields not in cls.made:
            self = cls.made[fields] = super().__new__(cls)
            self.names = [name for name, _ in fields]
            self.struct = struct.Struct(">" + "".join(cls.CODES.get(kind) or "%ds" % kind for _, kind in fields))
            self.wide = [name for name, kind in fields if kind == "u128"]
            self.octets = [(name, kind) for name, kind in fields if isinstance(kind, int)]
        return cls.made[fields]

    def read(self, reader, values):
        values.update(zip(self.names, self.struct.unpack(reader.take(self.struct.size))))
        for name in self.wide:
            values[name] = int.from_bytes(values[name], "big")

    def write(self, values):
        for name, size in self.octets:
            if len(values[name]) != size:
                raise ValueError("%s: %d bytes where %d belong" % (name, len(values[name]), size))
        if not self.wide:
            return self.struct.pack(*[values[name] for name in self.names])
        return self.struct.pack(*[values[name].to_bytes(16, "big") if name in self.wide else values[name]
                                  for name in self.names])


class Record:
    """Values by name, with the layout that writes them."""

    def __init__(self, layout, values):
        self.__dict__.update(values)
        self.layout = layout

    def copy(self):
        out = Record.__new__(Record)
        out.__dict__.update(self.__dict__)
        for name, kind in self.layout.lists:
            out.__dict__[name] = list(self.__dict__[name])
        return out

    def encode(self):
        return self.layout.write(self.__dict__)

    def __repr__(self):
        return "{%s}" % ", ".join("%s: %s" % (name, v.hex() if isinstance(v, bytes) else v)
                                  for name, _ in self.layout.fields for v in [self.__dict__[name]])


class Layout:
    def __init__(self, *fields):
        self.fields = fields
        self.lists = [f for f in fields if isinstance(f[1], tuple)]
        self.zeros = {name: 0 if kind in INTEGERS or kind in ONES else b"" if kind in LENGTHS else bytes(kind)
                      for name, kind in fields if not isinstance(kind, tuple)}
        self.parts = []  # runs of fields of fixed length as (names, struct, which are u128), others as (name, kind)
        run = []
        for name, kind in (*fields, (None, None)):
            if name is None or isinstance(kind, tuple) or kind in LENGTHS or kind in ONES:
                if run:
                    self.parts.append(Run(run))
                run = []
                if name is not None:
                    self.parts.append((name, kind))
            else:
                run.append((name, kind))

    def read(self, reader):
        values = {}
        for part in self.parts:
            if isinstance(part, Run):
                part.read(reader, values)
            else:
                values[part[0]] = self._read(reader, part[1])
        return Record(self, values)

    def _read(self, reader, kind):
        if kind in ONES:
            if reader.integer(ONES[kind]) != 1:
                raise Version(kind)
            return 1
        if isinstance(kind, str):
            found = reader.take(reader.integer(LENGTHS[kind]))
            if kind in NAMES and not name_ok(found, NAMES[kind]):
                raise Malformed("not a name")
            return found
        count, group = reader.integer(INTEGERS[kind[1]]), Run(kind[2])
        if len(kind) > 3 and not kind[3] <= count <= kind[4]:
            raise Malformed("%d of what there are %d to %d" % (count, kind[3], kind[4]))
        return list(group.struct.iter_unpack(reader.take(count * group.struct.size))) if count else []

    def write(self, values):
        return b"".join([part.write(values) if isinstance(part, Run) else self._write(values[part[0]], part[1])
                         for part in self.parts])

    def _write(self, value, kind):
        if kind in ONES:
            return value.to_bytes(ONES[kind], "big")
        if isinstance(kind, str):
            return len(value).to_bytes(LENGTHS[kind], "big") + value
        pack = Run(kind[2]).struct.pack
        return len(value).to_bytes(INTEGERS[kind[1]], "big") + b"".join([pack(*group) for group in value])

    def make(self, **values):
        """A record; what is not given is zero."""
        unknown = set(values) - {name for name, _ in self.fields}
        if unknown:
            raise TypeError("no field %s" % ", ".join(sorted(unknown)))
        return Record(self, {**self.zeros, **{name: [] for name, _ in self.lists}, **values})


def u16(number):
    return number.to_bytes(2, "big")


def u32(*numbers):
    return b"".join(n.to_bytes(4, "big") for n in numbers)


def u64(*numbers):
    return b"".join(n.to_bytes(8, "big") for n in numbers)

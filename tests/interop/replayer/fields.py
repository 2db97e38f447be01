"""Byte layouts as lists of (name, type): one text reads and writes bodies of entries and records of the state.

Types: u8 u16 u32 u64 u128, an int n for n bytes, "name" (length u8, bytes), "text" (length u16, bytes), ("list", type of the count, layout,
least, most) for that many groups of fields, read as tuples.
"""
LENGTHS = {"name": 1, "text": 2}  # bytes of the length before them
INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "u128": 16}


class Malformed(ValueError):
    """Bytes that are no entry."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise Malformed("%d bytes at %d" % (count, self.at))
        out, self.at = self.data[self.at:end], end
        return out

    def integer(self, count):
        return int.from_bytes(self.take(count), "big")

    def end(self):
        if self.at != len(self.data):
            raise Malformed("bytes left over at %d" % self.at)


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
        self.zeros = {name: 0 if kind in INTEGERS else b"" if kind in LENGTHS else bytes(kind)
                      for name, kind in fields if not isinstance(kind, tuple)}

    def read(self, reader):
        return Record(self, {name: self._read(reader, kind) for name, kind in self.fields})

    def _read(self, reader, kind):
        if isinstance(kind, int):
            return reader.take(kind)
        if isinstance(kind, str) and kind in INTEGERS:
            return reader.integer(INTEGERS[kind])
        if isinstance(kind, str):
            return reader.take(reader.integer(LENGTHS[kind]))
        count = reader.integer(INTEGERS[kind[1]])
        if len(kind) > 3 and not kind[3] <= count <= kind[4]:
            raise Malformed("%d of what there are %d to %d" % (count, kind[3], kind[4]))
        return [tuple(self._read(reader, k) for _, k in kind[2]) for _ in range(count)]

    def write(self, values):
        return b"".join([self._write(values[name], kind) for name, kind in self.fields])

    def _write(self, value, kind):
        if isinstance(kind, int):
            if len(value) != kind:
                raise ValueError("%d bytes where %d belong" % (len(value), kind))
            return value
        if isinstance(kind, str) and kind in INTEGERS:
            return value.to_bytes(INTEGERS[kind], "big")
        if isinstance(kind, str):
            return len(value).to_bytes(LENGTHS[kind], "big") + value
        return len(value).to_bytes(INTEGERS[kind[1]], "big") + b"".join(
            self._write(v, k) for group in value for v, (_, k) in zip(group, kind[2]))

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

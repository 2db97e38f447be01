"""The state, FORMAT.md section 3: a map of records, changed in transactions, and its root."""
from .entry import BODIES, GENESIS, MODEL_REGISTER
from .fields import Layout
from .merkle import leaf_hash, root_of

RECORDS = {
    "A": Layout(("algorithm", "u8"), ("key", 32), ("nonce", "u64"), ("opened", "u64")),
    "E": Layout(("epoch", "u64"), ("accounts", "u64"), ("models", "u64"), ("receipts", "u64"), ("units", "u128"),
                ("minted", "u128"), ("deposited", "u64"), ("paid", "u64")),
    "G": BODIES[GENESIS],
    "H": Layout(("shares", "u64"), ("matured", "u64"), ("credited", "u64"), ("paid", "u64"), ("fraction", "u64"),
                ("receipts", "u64"), ("snap", "u128"), ("units", "u128"),
                ("tranches", ("list", "u16", (("start", "u64"), ("shares", "u64"))))),
    "M": Layout(("designer", 32), ("registered", "u64"), *BODIES[MODEL_REGISTER].fields),
    "O": Layout(("units", "u128"), ("receipts", "u64")),
    "R": Layout(("worker", 32)),
    "T": Layout(("work", "u128"), ("supply", "u64"), ("designer_minted", "u64"), ("data_minted", "u64"),
                ("receipts", "u64"), ("holders", "u64"), ("acc", "u128"), ("remainder", "u64"), ("held", "u64"),
                ("deposited", "u64"), ("credited", "u64"), ("paid", "u64"), ("fractions", "u128"),
                ("unsettled", "u128")),
    "W": Layout(("units", "u128"), ("receipts", "u64")),
}


class State:
    """Records by key. A transaction keeps what it changes first, so that it can be taken back."""

    def __init__(self):
        self.records, self.leaves, self.before, self.models = {}, {}, {}, []

    def get(self, kind, *parts):
        """To be looked at; None when there is none."""
        return self.records.get(kind.encode() + b"".join(parts))

    def edit(self, kind, *parts):
        """To be changed; None when there is none."""
        key = kind.encode() + b"".join(parts)
        found = self.records.get(key)
        if found is not None and key not in self.before:
            self.before[key] = found
            found = self.records[key] = found.copy()
        return found

    def make(self, kind, *parts, **values):
        key = kind.encode() + b"".join(parts)
        self.before.setdefault(key, self.records.get(key))
        made = self.records[key] = RECORDS[kind].make(**values)
        return made

    def edit_or_make(self, kind, *parts, **values):
        return self.edit(kind, *parts) or self.make(kind, *parts, **values)

    def remove(self, key):
        self.before.setdefault(key, self.records.get(key))
        del self.records[key]

    def keys(self, prefix):
        return sorted(key for key in self.records if key.startswith(prefix))

    def commit(self):
        """The keys that were touched."""
        touched, self.before = self.before, {}
        for key, record in touched.items():
            self.leaves.pop(key, None)
            if record is None and key[:1] == b"T":
                self.models.append(key)
        return touched

    def rollback(self):
        for key, record in self.before.items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
            self.leaves.pop(key, None)
        self.before = {}

    def root(self):
        for key in self.before:
            self.leaves.pop(key, None)
        for key, record in self.records.items():
            if key not in self.leaves:
                self.leaves[key] = leaf_hash(len(key).to_bytes(2, "big") + key + record.encode())
        return root_of(self.leaves[key] for key in sorted(self.records))

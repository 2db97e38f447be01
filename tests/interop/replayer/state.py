"""The state, FORMAT.md section 3: a map of records, changed in transactions, and its root."""
from .entry import BODIES, COSTS, GENESIS, PARAMETERS, SETTLEMENT_ROOT, TERMS
from .fields import Layout
from .merkle import leaf_hash, root_of

RECORDS = {
    "A": Layout(("algorithm", "u8"), ("key", 32), ("nonce", "u64"), ("opened", "u64"), ("previous", 32),
                ("recovery", 32), ("pending", "u64")),
    "B": Layout(("account", 32), ("bps", "u16"), ("base", "u64"), ("minted", "u64"), ("registered", "u64"),
                ("tokens", "u64")),
    "C": Layout(("commitment", 32), ("revealed", "u8"), ("secret", 32)),
    "D": Layout(),
    "E": Layout(("epoch", "u64"), ("oldest", "u64"), ("accounts", "u64"), ("models", "u64"), ("receipts", "u64"),
                ("units", "u128"), ("minted", "u128"), ("burned", "u128"), ("deposited", "u64"), ("paid", "u64")),
    "F": Layout(("count", "u32"), ("since", "u64"), ("reporter", 32)),
    "G": BODIES[GENESIS],
    "H": Layout(("shares", "u64"), ("matured", "u64"), ("outgoing", "u64"), ("credited", "u64"), ("paid", "u64"),
                ("fraction", "u64"), ("receipts", "u64"), ("snap", "u128"), ("units", "u128"), ("data", "u128"),
                ("tranches", ("list", "u16", (("start", "u64"), ("shares", "u64"), ("vested", "u64"),
                                              ("slashed", "u64"))))),
    "I": Layout(("server", 32), ("block_end", "u32")),
    "J": Layout(("auditor", 32), ("disputer", 32), ("upstream", 32), ("downstream", 32), ("rounds", "u32")),
    "K": Layout(("key", 32), ("recovery", 32)),
    "L": Layout(("claimed", "u64")),
    "M": Layout(("designer", 32), ("registered", "u64"), ("depth", "u8"), *TERMS, COSTS),
    "N": Layout(("epoch", "u64"), *BODIES[SETTLEMENT_ROOT].fields),
    "O": Layout(("units", "u128"), ("receipts", "u64"), ("data", "u128")),
    "P": Layout(*((name, "u64") for name, _, _, _ in PARAMETERS)),
    "Q": Layout(("value", "u64")),
    "R": Layout(("worker", 32), ("units", "u64"), ("tokens", "u32"), ("block_end", "u32"), ("mb_count", "u32"),
                ("counted", "u64"), ("standing", "u8")),
    "S": Layout(("seed", 32), ("audit_bps", "u16"), ("auditors", ("list", "u16", (("auditor", 32),)))),
    "T": Layout(("work", "u128"), ("minted", "u64"), ("burned", "u64"), ("provisional", "u64"),
                ("designer_minted", "u64"), ("data_minted", "u64"), ("receipts", "u64"), ("holders", "u64"),
                ("data", "u128"), ("served", "u128"), ("datasets", "u16"), ("datasets_bps", "u16"),
                ("milestones", "u32"), ("milestone_epoch", "u64"), ("confirmed", "u8"), ("acc", "u128"),
                ("remainder", "u64"), ("held", "u64"), ("deposited", "u64"), ("gross", "u64"), ("royalty_in", "u64"),
                ("royalty_out", "u64"), ("pulled", "u64"), ("escrow", "u64"), ("served_paid", "u64"),
                ("credited", "u64"), ("paid", "u64"), ("fractions", "u128"), ("unsettled", "u128")),
    "U": Layout(("deposited", "u64"), ("spent", "u64")),
    "V": Layout(("reporter", 32), ("bps", "u16")),
    "W": Layout(("units", "u128"), ("receipts", "u64"), ("data", "u128")),
    "X": Layout(("kind", "u8"), ("epoch", "u64")),
    "Y": Layout(("shares", "u64")),
    "Z": Layout(("root", 32)),
}

# Records that are looked for by the beginning of their keys: how long it is. (R: epoch, model, step, lane.)
GROUP = {"R": 53, "I": 77, "B": 33, "H": 33, "U": 33, "V": 33, "W": 33, "Y": 33}


class State:
    """Records by key. A transaction keeps what it changes first, so that it can be taken back."""

    def __init__(self):
        self.records, self.leaves, self.before = {}, {}, {}
        self.groups = {kind: {} for kind in RECORDS}  # by kind, by beginning: the set of keys

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

    def make(self, kind, /, *parts, **values):
        key = kind.encode() + b"".join(parts)
        self.before.setdefault(key, self.records.get(key))
        self._note(key)
        made = self.records[key] = RECORDS[kind].make(**values)
        return made

    def edit_or_make(self, kind, /, *parts, **values):
        return self.edit(kind, *parts) or self.make(kind, *parts, **values)

    def take(self, *parts):
        """Removes a record; it."""
        key = b"".join(parts)
        self.before.setdefault(key, self.records.get(key))
        self._forget(key)
        return self.records.pop(key)

    def keys(self, kind, *parts):
        """All keys of a kind, or of a group of it, in order."""
        groups = self.groups[kind]
        if parts:
            return sorted(groups.get(kind.encode() + b"".join(parts), ()))
        return sorted(key for group in groups.values() for key in group)

    def _note(self, key):
        kind = chr(key[0])
        self.groups[kind].setdefault(key[:GROUP.get(kind, 1)], set()).add(key)

    def _forget(self, key):
        kind = chr(key[0])
        group = self.groups[kind][key[:GROUP.get(kind, 1)]]
        group.discard(key)
        if not group:
            del self.groups[kind][key[:GROUP.get(kind, 1)]]

    def commit(self):
        """The keys that were touched."""
        touched, self.before = self.before, {}
        for key in touched:
            self.leaves.pop(key, None)
        return touched

    def rollback(self):
        for key, record in self.before.items():
            self.leaves.pop(key, None)
            if record is not None:
                self.records[key] = record
                self._note(key)
            elif key in self.records:
                del self.records[key]
                self._forget(key)
        self.before = {}

    def root(self):
        for key in self.before:
            self.leaves.pop(key, None)
        for key, record in self.records.items():
            if key not in self.leaves:
                self.leaves[key] = leaf_hash(len(key).to_bytes(2, "big") + key + record.encode())
        return root_of(self.leaves[key] for key in sorted(self.records))

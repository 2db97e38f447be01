"""Ledgers in a store of the host's, and from their published files."""
import os
import tempfile
import unittest

from support import ORIGIN, seed

import pluralis
from pluralis import entries, errors


class Kept(pluralis.LedgerStore):
    """In memory, but it outlives the ledger; `fail` is raised by the method of that name."""

    def __init__(self):
        self.rows, self.records, self.before = [], {}, None
        self.fail, self.compacted = {}, 0

    def _may(self, name):
        if name in self.fail:
            raise self.fail[name]

    def begin(self):
        self._may("begin")
        self.before = list(self.rows), dict(self.records)

    def append(self, index, row):
        self._may("append")
        assert index == len(self.rows)
        self.rows.append(row)

    def put(self, name, data):
        self._may("put")
        self.records.pop(name, None)
        if data is not None:
            self.records[name] = data

    def commit(self):
        self._may("commit")
        self.before = None

    def rollback(self):
        if self.before:
            (self.rows, self.records), self.before = self.before, None
        self._may("rollback")

    def row(self, index):
        self._may("row")
        return self.rows[index] if index < len(self.rows) else None

    def get(self, name):
        self._may("get")
        return self.records.get(name)

    def compact(self):
        self.compacted += 1


class StoreTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.me = pluralis.Identity(self.ctx, seed(1))
        self.store = Kept()

    def open(self, **more):
        return pluralis.Ledger(self.ctx, store=self.store, origin=ORIGIN, sequencer=self.me, **more)

    def grow(self, ledger, number):
        ledger.append(entries.account_open(pluralis.Identity(self.ctx, seed(number)), ORIGIN, 1))

    def test_life(self):
        with self.assertRaises(errors.NotFound):
            pluralis.Ledger(self.ctx, store=self.store)
        with self.open() as ledger:
            self.grow(ledger, 2)
            ledger.compact()
            self.assertEqual(self.store.compacted, 1)
            want = ledger.summary
        with pluralis.Ledger(self.ctx, store=self.store) as reader:
            self.assertEqual(reader.summary, want)
            with self.assertRaises(errors.InvalidState):
                reader.compact()
        self.assertEqual(len(self.store.rows), 2)
        with self.assertRaises(TypeError):
            pluralis.Ledger(self.ctx, store=object(), origin=ORIGIN, sequencer=self.me)
        with self.assertRaises(errors.InvalidArgument):
            self.open(path="a.db")

    def test_what_a_store_raises(self):
        for method in ("begin", "append", "put", "commit"):
            self.store.fail = {method: KeyError(method)}
            with self.assertRaises(KeyError):
                self.open()
            self.assertEqual(self.store.rows, [])
        self.store.fail = {}
        ledger = self.open()
        for method in ("begin", "append", "put", "commit"):
            before = ledger.summary
            self.store.fail = {method: OSError("disc"), "rollback": ValueError("second")}
            with self.assertRaisesRegex(OSError, "disc"):
                self.grow(ledger, 2)
            self.assertEqual(ledger.summary, before)
            self.assertEqual(len(self.store.rows), 1)
        self.store.fail = {"row": ZeroDivisionError()}
        with self.assertRaises(ZeroDivisionError):
            ledger.entry(0)
        self.store.fail = {}
        self.grow(ledger, 2)
        self.store.records["head"] = b"?"
        ledger.close()
        with self.assertRaises(errors.Corrupt):
            self.open()

    def test_rebuild(self):
        ledger = self.open()
        for number in range(2, 8):
            self.grow(ledger, number)
        ledger.checkpoint()
        site, copy, seen = {}, Kept(), []
        ledger.publish(lambda path, data, _immutable: site.__setitem__(path, data))
        known = {"origin": ORIGIN, "public_key": ledger.public_key}
        with self.assertRaises(errors.NotFound):
            pluralis.rebuild_ledger(self.ctx, {}.get, store=copy, **known)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.rebuild_ledger(self.ctx, site.get, **known)
        with self.assertRaises(errors.BadSignature):
            pluralis.rebuild_ledger(self.ctx, site.get, store=copy, origin=ORIGIN, public_key=self.ctx_key())
        self.assertEqual(copy.rows, [])
        got = pluralis.rebuild_ledger(self.ctx, site.get, store=copy, progress=lambda *now: seen.append(now), **known)
        self.assertEqual(got, ledger.summary)
        self.assertEqual(seen[-1], (7, 7))
        self.assertEqual(copy.rows, self.store.rows)
        self.grow(ledger, 9)
        ledger.checkpoint()
        with tempfile.TemporaryDirectory() as folder:
            files, path = os.path.join(folder, "site"), os.path.join(folder, "copy.db")
            ledger.publish(files)
            pluralis.rebuild_ledger(self.ctx, files, store=copy, **known)
            self.assertEqual(len(copy.rows), 8)
            pluralis.rebuild_ledger(self.ctx, files, path, **known)
            with pluralis.Ledger(self.ctx, path) as reader:
                self.assertEqual(reader.summary, ledger.summary)
            site["checkpoint"] = ledger.resource("checkpoint")
            changed = bytearray(ledger.resource("tile/entries/000.p/8"))
            changed[40] ^= 1
            site["tile/entries/000.p/8"] = bytes(changed)
            site["tile/0/000.p/8"] = ledger.resource("tile/0/000.p/8")
            with self.assertRaises(errors.ChecksumMismatch):
                pluralis.rebuild_ledger(self.ctx, site.get, os.path.join(folder, "other.db"), **known)

        def fails(_path):
            raise RuntimeError("no network")

        with self.assertRaisesRegex(RuntimeError, "no network"):
            pluralis.rebuild_ledger(self.ctx, fails, store=copy, **known)

    def ctx_key(self):
        return pluralis.Identity(self.ctx, seed(77)).public_key


if __name__ == "__main__":
    unittest.main()

"""The ledger: entries, epochs, money, proofs, export, verification."""
import io
import os
import tempfile
import unittest

from support import MANIFEST, ORIGIN, seed

import pluralis
from pluralis import entries, errors, log


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.me = pluralis.Identity(self.ctx, seed(1))
        self.other = pluralis.Identity(self.ctx, seed(2))
        self.model = pluralis.Model(self.ctx, MANIFEST)
        self.ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me, decimals=3, receipt_window=2)

    def register(self, author=None, **changes):
        author = author or self.me
        terms = dict(model=self.model, halving_units=2 ** 70, rate=1, rate_divisor=2 ** 20, designer_bps=500)
        terms.update(changes)
        return entries.model_register(author, ORIGIN, self.ledger.next_nonce(author.account), **terms)

    def test_entries(self):
        ledger = self.ledger
        self.assertEqual((ledger.origin, ledger.public_key), (ORIGIN, self.me.public_key))
        self.assertEqual(ledger.summary.entries, 1)
        opened = entries.account_open(self.other, ORIGIN, ledger.next_nonce(self.other.account))
        self.assertEqual(ledger.append(opened), 1)
        self.assertEqual(ledger.entry(1), opened)
        self.assertEqual(ledger.next_nonce(self.other.account), 2)
        self.assertEqual(ledger.append(self.register()), 2)
        ledger.append(entries.revenue_deposit(self.me, ORIGIN, ledger.next_nonce(self.me.account), model=self.model,
                                              amount=12345))
        totals = ledger.model(self.model.hash)
        self.assertEqual((totals.designer, totals.deposited, totals.held, totals.block_count),
                         (self.me.account, 12345, 12345, 4))
        self.assertEqual(ledger.close_epoch(), 4)
        summary = ledger.summary
        self.assertEqual((summary.epoch, summary.accounts, summary.models, summary.deposited), (1, 2, 1, 12345))
        self.assertEqual(ledger.balance(self.other.account, self.model.hash).shares, 0)
        self.assertEqual(list(ledger.holders(self.model.hash)), [])

    def test_refused_entries(self):
        ledger = self.ledger
        opened = entries.account_open(self.other, ORIGIN, 1)
        for bad, kind in ((b"", errors.DataError), (b"x" * 100, errors.DataError), (opened[:-1], errors.DataError),
                          (opened[:-1] + b"\0", errors.BadSignature),
                          (entries.account_open(self.other, "elsewhere", 1), errors.PluralisError),
                          (entries.account_open(self.other, ORIGIN, 2), errors.OutOfSequence),
                          (entries.claim(self.other, ORIGIN, 1, model=self.model), errors.NotFound)):
            with self.assertRaises(kind):
                ledger.append(bad)
        self.assertEqual(ledger.summary.entries, 1)
        outcome = ledger.append_many([opened, opened, b"x", bytearray(self.register())])
        self.assertEqual([done.index for done in outcome], [1, None, None, 2])
        self.assertEqual([type(done.error) for done in outcome][::3], [type(None)] * 2)
        self.assertIsInstance(outcome[1].error, (errors.OutOfSequence, errors.AlreadyExists))
        self.assertIsInstance(outcome[2].error, errors.DataError)
        self.assertEqual(ledger.append_many([]), [])

    def test_unknown_things(self):
        for call in (lambda: self.ledger.model(bytes(32)), lambda: self.ledger.balance(bytes(32), bytes(32)),
                     lambda: list(self.ledger.holders(bytes(32))), lambda: self.ledger.entry(99)):
            with self.assertRaises(LookupError):
                call()
        self.assertEqual(self.ledger.next_nonce(bytes(32)), 1)
        for bad in (b"short", bytes(33)):
            with self.assertRaises(errors.InvalidArgument):
                self.ledger.model(bad)
        with self.assertRaises(TypeError):
            self.ledger.model("x" * 32)

    def test_numbers_are_kept_whole(self):
        with self.assertRaises(errors.InvalidArgument):
            self.register(halving_units=2 ** 128)
        with self.assertRaises(errors.InvalidArgument):
            self.register(designer_bps=2 ** 32 + 1)
        with self.assertRaises(errors.InvalidArgument):
            entries.revenue_deposit(self.me, ORIGIN, 1, model=self.model, amount=2 ** 64 + 1)
        with self.assertRaises(TypeError):
            entries.revenue_deposit(self.me, ORIGIN, 1, model=self.model, amount=0.5)
        with self.assertRaises(TypeError):
            self.register(model=self.model.hash)
        with self.assertRaises(errors.InvalidArgument):
            self.register(model=self.model.hash, costs=[-1], microbatch_tokens=1)
        self.ledger.append(self.register(model=self.model.hash, costs=[1, 2], microbatch_tokens=16,
                                         halving_units=2 ** 64 + 7))

    def test_log(self):
        for _ in range(5):
            self.ledger.close_epoch()
        note = self.ledger.checkpoint()
        point = log.verify_checkpoint(note, ORIGIN, self.me.public_key)
        self.assertEqual((point.size, point.root), (6, self.ledger.summary.root))
        leaf = log.leaf_hash(self.ledger.entry(2))
        self.assertEqual(leaf, pluralis.sha256(b"\0" + self.ledger.entry(2)))
        proof = self.ledger.prove_inclusion(2, 6)
        log.verify_inclusion(leaf, 2, 6, proof, point.root)
        old_root = self._root(3)
        consistency = self.ledger.prove_consistency(3, 6)
        log.verify_consistency(3, old_root, 6, point.root, consistency)
        for call in (lambda: log.verify_inclusion(leaf, 3, 6, proof, point.root),
                     lambda: log.verify_inclusion(leaf, 2, 6, proof[:-1], point.root),
                     lambda: log.verify_inclusion(leaf, 2, 6, proof * 30, point.root),
                     lambda: log.verify_consistency(3, bytes(32), 6, point.root, consistency)):
            with self.assertRaises(errors.BadProof):
                call()
        with self.assertRaises(errors.InvalidArgument):
            self.ledger.prove_inclusion(6, 6)
        with self.assertRaises(errors.BadSignature):
            log.verify_checkpoint(note, ORIGIN, self.other.public_key)
        with self.assertRaises(errors.DataError):
            log.verify_checkpoint(note, "elsewhere", self.me.public_key)
        with self.assertRaises(errors.DataError):
            log.verify_checkpoint(b"\0", ORIGIN, self.me.public_key)
        self.assertTrue(log.vkey(ORIGIN, self.me.public_key).startswith(ORIGIN + "+"))

    def _root(self, size):
        """RFC 6962 2.1, by its definition."""
        def tree(leaves):
            if len(leaves) == 1:
                return leaves[0]
            k = 1 << (len(leaves) - 1).bit_length() - 1
            return pluralis.sha256(b"\1" + tree(leaves[:k]) + tree(leaves[k:]))
        return tree([log.leaf_hash(self.ledger.entry(i)) for i in range(size)])

    def test_export_and_verify(self):
        self.ledger.append(self.register())
        self.ledger.close_epoch()
        out = io.BytesIO()
        self.ledger.export(out)
        known = dict(origin=ORIGIN, public_key=self.me.public_key)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "job.plog")
            self.ledger.export(path)
            for origin_file in (path, out.getvalue(), io.BytesIO(out.getvalue())):
                summary = pluralis.verify_ledger(self.ctx, origin_file, **known)
                self.assertEqual((summary.entries, summary.epoch, summary.root), (3, 1, self.ledger.summary.root))
        for at in range(0, len(out.getvalue()), 31):
            bad = bytearray(out.getvalue())
            bad[at] ^= 1
            with self.assertRaises(errors.DataError):
                pluralis.verify_ledger(self.ctx, bad, **known)
        with self.assertRaises(errors.DataError):
            pluralis.verify_ledger(self.ctx, out.getvalue(), origin=ORIGIN, public_key=self.other.public_key)
        with self.assertRaises(errors.DataError):
            pluralis.verify_ledger(self.ctx, b"", **known)

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "job.ledger")
            with self.assertRaises(errors.NotFound):
                pluralis.Ledger(self.ctx, path)
            with pluralis.Ledger(self.ctx, path, origin=ORIGIN, sequencer=self.me, currency="EUR") as ledger:
                ledger.append(self.register())
                with self.assertRaises(errors.Unavailable):
                    pluralis.Ledger(self.ctx, path, origin=ORIGIN, sequencer=self.me)
            with pluralis.Ledger(self.ctx, path) as ledger:  # closed at once, so it can be opened again
                self.assertEqual((ledger.summary.entries, ledger.origin), (2, ORIGIN))
                with self.assertRaises(errors.InvalidState):
                    ledger.close_epoch()
            with self.assertRaises(errors.Mismatch):
                pluralis.Ledger(self.ctx, path, origin="elsewhere", sequencer=self.me)
            with open(os.path.join(folder, "other"), "wb") as f:
                f.write(b"not a ledger" * 1000)
            with self.assertRaises(errors.FatalError):
                pluralis.Ledger(self.ctx, os.path.join(folder, "other"), origin=ORIGIN, sequencer=self.me)

    def test_wrong_options(self):
        for bad in (dict(origin="a b"), dict(origin="ä"), dict(origin=""), dict(decimals=19), dict(decimals=-1),
                    dict(currency="x" * 17), dict(receipt_window=0), dict(treasurer=b"x"), dict(origin="a\0b")):
            with self.assertRaises(errors.InvalidArgument, msg=repr(bad)):
                pluralis.Ledger(self.ctx, **{"origin": ORIGIN, "sequencer": self.me, **bad})
        with self.assertRaises(TypeError):
            pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.ctx)
        with self.assertRaises(TypeError):
            pluralis.Ledger(self.ctx, origin=5, sequencer=self.me)


if __name__ == "__main__":
    unittest.main()

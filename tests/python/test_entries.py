"""Entries of every type from Python: a fork and its royalties, receipts of three, transfers, keys, settlement."""
import unittest

from support import ORIGIN, seed

import pluralis
from pluralis import entries, errors, settlement

MODEL, FORK, REWARD = b"m" * 32, b"f" * 32, b"\xaa" * 20


class EntriesTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.people = [pluralis.Identity(self.ctx, seed(n)) for n in range(1, 6)]
        self.me, self.worker, self.feeder, self.tail, self.designer = self.people
        self.ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me)
        for person in self.people[1:]:
            self.ledger.append(entries.account_open(person, ORIGIN, 1))

    def put(self, make, author, *arguments, **named):
        entry = make(*arguments, author, ORIGIN, self.ledger.next_nonce(author.account), **named)
        self.ledger.append(entry)
        return entry

    def register(self, model, author, **named):
        self.put(entries.model_register, author, model=model, halving_units=10 ** 9, rate=1, rate_divisor=10,
                 costs=[10, 20], microbatch_tokens=64, **named)

    def work(self, model, step, epoch):
        entry = entries.write("receipt", self.worker, ORIGIN, 0, model=model, profile=pluralis.profile_hash(),
                              epoch=epoch, step=step, mb_count=1, block_end=2, tokens=64, units=64 * 30,
                              upstream=self.feeder.account, downstream=self.tail.account)
        entry = entries.countersign(entry, self.tail, "downstream", ORIGIN)
        return entries.countersign(entry, self.feeder, "upstream", ORIGIN)

    def test_receipt_of_three(self):
        self.register(MODEL, self.designer)
        entry = self.work(MODEL, 0, 0)
        told = entries.describe(self.ctx, entry)
        self.assertEqual((told["type"], told["units"], told["upstream"], [s["role"] for s in told["signatures"]]),
                         ("receipt", "1920", self.feeder.account.hex(), [0, 1, 2]))
        with self.assertRaises(errors.PluralisError):
            entries.countersign(entry, self.tail, "downstream", ORIGIN)
        self.ledger.append(entry)
        overlapping = entries.write("receipt", self.worker, ORIGIN, 0, model=MODEL, profile=pluralis.profile_hash(),
                                    mb_count=1, block_first=1, block_end=2, tokens=64, units=64 * 20,
                                    upstream=self.feeder.account, downstream=self.tail.account)
        overlapping = entries.countersign(overlapping, self.tail, "downstream", ORIGIN)
        overlapping = entries.countersign(overlapping, self.feeder, "upstream", ORIGIN)
        with self.assertRaises(errors.AlreadyExists):
            self.ledger.append(overlapping)

    def test_fork_pays_parent_and_settles(self):
        self.register(MODEL, self.designer)
        self.register(FORK, self.tail, parents=[(MODEL, 2500)])
        self.assertEqual(self.ledger.parents(FORK), [(MODEL, 2500)])
        self.ledger.append(self.work(MODEL, 0, 0))
        self.ledger.append(self.work(FORK, 0, 0))
        self.ledger.close_epoch()
        self.put(entries.revenue_deposit, self.me, model=FORK, amount=1537)
        self.ledger.close_epoch()
        parent, fork = self.ledger.model(MODEL), self.ledger.model(FORK)
        self.assertEqual((parent.royalty_in, fork.royalty_out, parent.deposited, fork.depth), (384, 384, 0, 1))
        self.assertEqual(self.ledger.balance(self.worker.account, MODEL).payable, 384)
        self.assertEqual(self.ledger.balance(self.worker.account, FORK).payable, 1152)  # the odd unit waits
        self.put(entries.claim, self.worker, model=MODEL, address=b"\x11" * 20)
        self.put(entries.claim, self.worker, model=FORK, amount=50, address=b"\x22" * 20)
        leaves = self.ledger.settlement_leaves(REWARD, 16, page=1)
        self.assertEqual(leaves, [(b"\x11" * 20, REWARD, 384 * 10 ** 16), (b"\x22" * 20, REWARD, 50 * 10 ** 16)])
        root = self.ledger.settle(REWARD, 16)
        self.assertEqual(root, settlement.root(self.ctx, leaves[::-1]))
        for index, leaf in enumerate(leaves):
            proof = settlement.prove(self.ctx, leaves, index)
            settlement.verify(leaf, proof, root)
            with self.assertRaises(errors.PluralisError):
                settlement.verify(leaf._replace(claimable=leaf.claimable + 1), proof, root)

    def test_transfer_and_keys(self):
        self.register(MODEL, self.designer)
        self.ledger.append(self.work(MODEL, 0, 0))
        self.ledger.close_epoch()
        self.put(lambda *a, **k: entries.write("transfer", *a, **k), self.worker, model=MODEL,
                 to=self.tail.account, shares=92)
        self.assertEqual(self.ledger.balance(self.tail.account, MODEL).shares, 0)
        self.ledger.close_epoch()
        self.assertEqual([self.ledger.balance(p.account, MODEL).shares for p in (self.worker, self.tail)], [100, 92])
        another = pluralis.Identity(self.ctx, seed(77))
        rotate = entries.write("key_rotate", self.worker, ORIGIN, self.ledger.next_nonce(self.worker.account),
                               key=another.public_key)
        self.ledger.append(entries.countersign(rotate, another, "new_key", ORIGIN))
        nonce = self.ledger.next_nonce(self.worker.account)
        give = dict(model=MODEL, to=self.tail.account, shares=1)
        with self.assertRaises(errors.BadSignature):
            self.ledger.append(entries.write("transfer", self.worker, ORIGIN, nonce, **give))
        self.ledger.append(entries.write("transfer", another, ORIGIN, nonce, account=self.worker.account, **give))

    def test_every_type(self):
        """Each can be written, described and read back; fields that are not there, or do not fit, are refused."""
        minimal = dict(data_register=dict(bps=1), audit_result=dict(verdict=1, receipt=dict(model=MODEL, step=7)),
                       dispute=dict(receipt=dict(model=MODEL)), evidence=dict(first=b"one", second=b"two"),
                       milestone=dict(number=1), transfer=dict(shares=1), param_change=dict(parameter=6, value=1),
                       inference_receipt=dict(block_end=1, tokens=1, units=1),
                       receipt=dict(mb_count=1, block_end=1, tokens=1, units=1), slash=dict(slashed=b"s" * 32))
        for kind in entries.TYPES:
            entry = entries.write(kind, self.worker, ORIGIN, 1, **minimal.get(kind, {}))
            told = entries.describe(self.ctx, entry)
            self.assertEqual((told["type"], told["author"]), (kind, self.worker.account.hex()))
        self.assertEqual(entries.describe(self.ctx, entries.write("evidence", self.worker, ORIGIN, 1, first=b"one",
                                                                  second=b""))["first"], b"one".hex())
        with self.assertRaises(TypeError):
            entries.write("transfer", self.worker, ORIGIN, 1, money=3)
        with self.assertRaises(TypeError):
            entries.write("transference", self.worker, ORIGIN, 1)
        with self.assertRaises(errors.PluralisError):
            entries.write("param_change", self.worker, ORIGIN, 1, parameter=70000)

    def test_commit_and_vectors(self):
        secret, hashed = b"s" * 32, entries.commit_hash(self.worker.account, 0, b"s" * 32)
        self.put(lambda *a, **k: entries.write("commit", *a, **k), self.worker, epoch=0, value=hashed)
        self.ledger.close_epoch()
        self.put(lambda *a, **k: entries.write("commit", *a, **k), self.worker, epoch=0, phase=1, value=secret)
        self.assertEqual(settlement.keccak256(b"").hex(),
                         "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")


if __name__ == "__main__":
    unittest.main()

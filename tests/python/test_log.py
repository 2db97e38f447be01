"""The log as others read it: published files, witnesses, proofs to carry away."""
import os
import tempfile
import unittest

from support import ORIGIN, seed

import pluralis
from pluralis import entries, errors, log

NAME = "witness.example/w"


class Kept(log.WitnessStore):
    def __init__(self):
        self.state, self.fail = {}, None

    def load(self, origin):
        if self.fail:
            raise self.fail
        return self.state.get(origin)

    def swap(self, origin, old, new):
        if self.state.get(origin) != old:
            return False
        self.state[origin] = new
        return True


class LogTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.me, self.wit = pluralis.Identity(self.ctx, seed(1)), pluralis.Identity(self.ctx, seed(7))
        self.ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me)
        self.store = Kept()
        self.witness = log.Witness(self.ctx, NAME, self.wit, self.store)
        self.witness.add_log(ORIGIN, self.me.public_key)

    def grow(self, number):
        other = pluralis.Identity(self.ctx, seed(number))
        self.ledger.append(entries.account_open(other, ORIGIN, 1))
        return self.ledger.checkpoint()

    def test_publish(self):
        with self.assertRaises(errors.NotFound):
            self.ledger.resource("checkpoint")
        self.grow(20)
        site, order = {}, []

        def put(path, data, immutable):
            site[path] = data
            order.append((path, immutable))

        self.assertEqual(self.ledger.publish(put), 2)
        self.assertEqual(order[-1], ("checkpoint", False))
        self.assertTrue(all(immutable for _path, immutable in order[:-1]))
        for path, data in site.items():
            self.assertEqual(self.ledger.resource(path), data)
        bundle = site["tile/entries/000.p/2"]
        length = int.from_bytes(bundle[:2], "big")
        self.assertEqual(bundle[2:2 + length], self.ledger.entry(0))
        self.assertEqual(site["tile/0/000.p/2"][:32], log.leaf_hash(self.ledger.entry(0)))
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.ledger.publish(folder), 2)  # what was published before is not put again
            self.assertEqual(os.listdir(folder), ["checkpoint"])
            self.grow(21)
            self.assertEqual(self.ledger.publish(os.path.join(folder, "deeper")), 3)
            self.assertTrue(os.path.exists(os.path.join(folder, "deeper", "tile", "entries", "000.p", "3")))
        self.grow(22)

        def broken(_path, _data, _immutable):
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            self.ledger.publish(broken)

    def test_witness_and_proof(self):
        self.grow(20)
        answer = self.witness.add_checkpoint(1700000000, self.ledger.witness_request())
        self.assertEqual(answer.http_status, 200)
        self.ledger.cosign(NAME, self.wit.public_key, answer.body)
        note = self.ledger.resource("checkpoint")
        keys = [(NAME, self.wit.public_key)]
        self.assertEqual(log.count_cosignatures(self.ctx, note, keys), (1, 1700000000))
        self.assertEqual(self.witness.add_checkpoint(0, self.ledger.witness_request()), (409, b"2\n"))
        proof, entry = self.ledger.proof(1), self.ledger.entry(1)
        policy = dict(origin=ORIGIN, public_key=self.me.public_key, witnesses=keys)
        self.assertEqual(log.verify_proof(self.ctx, proof, entry, quorum=1, **policy), (1, 2))
        with self.assertRaises(errors.BadSignature):
            log.verify_proof(self.ctx, proof, entry, quorum=2, **policy)
        with self.assertRaises(errors.BadProof):
            log.verify_proof(self.ctx, proof, entry + b"x", quorum=1, **policy)
        self.assertTrue(log.cosigner_vkey(NAME, self.wit.public_key).startswith(NAME + "+"))
        self.store.fail = ZeroDivisionError()
        with self.assertRaises(ZeroDivisionError):
            self.witness.add_checkpoint(0, self.ledger.witness_request())

    def test_guard_and_fork(self):
        mine = self.grow(20)
        self.ledger.guard(mine)
        twin = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me)
        twin.append(entries.account_open(pluralis.Identity(self.ctx, seed(30)), ORIGIN, 1))
        theirs = twin.checkpoint()
        log.verify_fork(mine, theirs, ORIGIN, self.me.public_key)
        with self.assertRaises(errors.BadProof):
            log.verify_fork(mine, mine, ORIGIN, self.me.public_key)
        newer = self.grow(21)
        with self.assertRaises(errors.OutOfSequence):
            twin.guard(newer)
        with self.assertRaises(errors.OutOfSequence):
            twin.checkpoint()


if __name__ == "__main__":
    unittest.main()

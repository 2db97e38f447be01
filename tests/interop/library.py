"""The library under test, through its Python package, asked the questions that the replayer answers too."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))

import pluralis  # noqa: E402

from replayer import entry as e  # noqa: E402


def code_of(error):
    return error.name.replace("PLR_ERR_", "") if error else "OK"


class Library:
    def __init__(self):
        self.context, self.identities = pluralis.Context(logger=False), {}

    def identity(self, seed):
        if seed not in self.identities:
            self.identities[seed] = pluralis.Identity(self.context, seed)
        return self.identities[seed]

    def sign(self, seed, message):
        return self.identity(seed).sign(message)

    def ledger(self, genesis, seed):
        """In memory, as this Genesis entry says, which must come out byte for byte; of the sequencer with this seed.
        What is invalid is logged."""
        b = e.parse(genesis).body
        out = pluralis.Ledger(self.context, origin=b.origin.decode(), sequencer=self.identity(seed),
                              currency=b.currency.decode(), decimals=b.decimals, receipt_window=b.receipt_window,
                              treasurer=b.treasurer, log_invalid=True)
        if out.entry(0) != genesis:
            raise AssertionError("another Genesis")
        return out

    def codes(self, entries, seed):
        """(ledger, code of every entry), Genesis included."""
        ledger = self.ledger(entries[0], seed)
        return ledger, ["OK"] + [code_of(done.error) for done in ledger.append_many(entries[1:])]

    def verify(self, export, origin, key, skip_signatures=False):
        """A summary, or the name of what is wrong."""
        try:
            return pluralis.verify_ledger(self.context, export, origin=origin, public_key=key,
                                          skip_signatures=skip_signatures)
        except pluralis.PluralisError as error:
            return code_of(error)

"""The library under test, through its Python package, asked the questions that the replayer answers too."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))

import pluralis  # noqa: E402

from replayer import entry as e  # noqa: E402

UNREADABLE = {"MALFORMED", "TRUNCATED", "VERSION"}  # FORMAT.md: which of them is said is not a rule


def code_of(error):
    name = error.name.replace("PLR_ERR_", "") if error else "OK"
    return "MALFORMED" if name in UNREADABLE else name


class Library:
    def __init__(self):
        self.context, self.identities = pluralis.Context(logger=False), {}

    def identity(self, person):
        if person.seed not in self.identities:
            self.identities[person.seed] = pluralis.Identity(self.context, person.seed)
        return self.identities[person.seed]

    def sign(self, person, message):
        return self.identity(person).sign(message)

    def ledger(self, genesis, person, log_invalid=True):
        """In memory, as this Genesis entry says, which must come out byte for byte."""
        b = e.parse(genesis).body
        out = pluralis.Ledger(self.context, origin=b.origin.decode(), sequencer=self.identity(person),
                              currency=b.currency.decode(), decimals=b.decimals, receipt_window=b.receipt_window,
                              treasurer=b.treasurer, log_invalid=log_invalid)
        if out.entry(0) != genesis:
            raise AssertionError("another Genesis")
        return out

    def codes(self, entries, person):
        """(ledger, code of every entry), Genesis included."""
        ledger = self.ledger(entries[0], person)
        return ledger, ["OK"] + [code_of(done.error) for done in ledger.append_many(entries[1:])]

    def verify(self, export, origin, key, skip_signatures=False):
        """A summary, or the name of what is wrong."""
        try:
            return pluralis.verify_ledger(self.context, export, origin=origin, public_key=key,
                                          skip_signatures=skip_signatures)
        except pluralis.PluralisError as error:
            return code_of(error)

"""What an entry does, FORMAT.md section 4: the frame that all types share. Rules of each type are in rules_*.py."""
from . import entry as e
from .fields import Malformed
from .merkle import Tree, leaf_hash
from .money import SCALE, minted
from .state import State


class Refused(Exception):
    """The entry has no effect (but its nonce's); args[0] names the code."""


class Broken(Exception):
    """An identity of section 4 does not hold: a bug here or in the format."""


def refuse_unless(truth, code, what=""):
    if not truth:
        raise Refused(code, what)


RULES, NUMBERED = {}, set()


def rule(type_, numbered=True):
    """Registers rule(machine, entry), which changes machine.state or raises Refused."""
    def register(function):
        RULES[type_] = function
        if numbered:
            NUMBERED.add(type_)
        return function
    return register


class Machine:
    """Log and state. verifier None: signatures of entries are believed."""

    def __init__(self, origin, sequencer_key, verifier=None):
        self.origin, self.key, self.verifier = origin.encode(), sequencer_key, verifier
        self.sequencer = e.account_id(sequencer_key)
        self.state, self.log, self.rejected = State(), Tree(), 0
        self.wrong_closes = 0  # of the sequencer, with nonce and signature right

    @property
    def open(self):
        """The record E; its epoch is the open one."""
        return self.state.get("E")

    def append(self, data):
        """Logs an entry; "OK" or the name of the code that says why it has no effect."""
        self.log.push(leaf_hash(data))
        code = self.apply(data)
        self.rejected += code != "OK"
        return code

    def apply(self, data):
        try:
            entry = e.parse(data)
        except Malformed:
            return "MALFORMED"
        try:
            refuse_unless((self.open is None) == (entry.type == e.GENESIS), "MISMATCH", "Genesis comes first, and once")
            if entry.type in NUMBERED:
                self.use_nonce(entry)
            RULES[entry.type](self, entry)
        except Refused as refused:
            self.state.rollback()
            return refused.args[0]
        self.check(self.state.commit())
        return "OK"

    def account(self, account):
        found = self.state.get("A", account)
        refuse_unless(found, "NOT_FOUND", "account")
        return found

    def use_nonce(self, entry):
        author = self.account(entry.author)
        refuse_unless(entry.nonce == author.nonce + 1, "SEQUENCE", "nonce")
        refuse_unless(entry.valid_to_epoch >= self.open.epoch, "SEQUENCE", "expired")
        self.check_signatures(entry)
        self.state.edit("A", entry.author).nonce = entry.nonce
        self.check(self.state.commit())

    def check_signatures(self, entry, key=None):
        """key: of an author whose account is not open yet."""
        for role, account, raw in entry.signatures:
            public = key if key is not None else self.account(account).key
            refuse_unless(self.verify(public, entry.unsigned, raw), "SIGNATURE", "role %d" % role)

    def verify(self, public, unsigned, raw):
        return self.verifier is None or self.verifier.verify(public, e.message(unsigned, self.origin), raw)

    # ---- identities -----------------------------------------------------------------------------

    def check(self, touched):
        """After an entry, in the time of what it touched."""
        models = {key[1:33] for key in touched if key[:1] == b"T"}
        for model in models:
            self.check_model(model)
        if models or b"E" in touched:
            self.check_totals()

    def check_model(self, model):
        t, terms = self.state.get("T", model), self.state.get("M", model)
        held = (t.credited + t.held) * SCALE + t.fractions + t.unsettled + t.remainder
        if held != t.deposited * SCALE:
            raise Broken("model %s: money" % model.hex())
        if t.paid > t.credited:
            raise Broken("model %s: paid more than was owed" % model.hex())
        if t.supply != minted(t.work, terms):
            raise Broken("model %s: supply" % model.hex())

    def check_totals(self):
        every = [self.state.records[key] for key in self.state.models]
        total, names = self.open, (("minted", "supply"), ("deposited",) * 2, ("paid",) * 2, ("receipts",) * 2,
                                   ("units", "work"))
        for whole, part in names:
            if getattr(total, whole) != sum(getattr(t, part) for t in every):
                raise Broken("sum of %s" % whole)
        if len(every) != total.models:
            raise Broken("number of models")

    def check_everything(self):
        """The full sums over holders."""
        self.check_totals()
        for key in self.state.models:
            model, t = key[1:], self.state.records[key]
            self.check_model(model)
            every = [self.state.records[k] for k in self.state.keys(b"H" + model)]
            sums = {"supply": sum(h.shares for h in every), "credited": sum(h.credited for h in every),
                    "paid": sum(h.paid for h in every), "fractions": sum(h.fraction for h in every),
                    "unsettled": sum((t.acc - h.snap) * h.shares for h in every), "holders": len(every),
                    "work": sum(h.units for h in every), "receipts": sum(h.receipts for h in every)}
            for name, value in sums.items():
                if getattr(t, name) != value:
                    raise Broken("model %s: %s of all holders" % (model.hex(), name))
            for h in every:
                if h.matured + sum(shares for _, shares in h.tranches) != h.shares or h.paid > h.credited:
                    raise Broken("model %s: a holder" % model.hex())

"""What an entry does, FORMAT.md section 4: the frame that all types share. Rules of each type are in rules_*.py."""
from . import ed25519
from . import entry as e
from .fields import Malformed
from .identities import check_model, check_totals
from .merkle import Tree, leaf_hash
from .state import State


class Refused(Exception):
    """The entry has no effect (but its nonce's); args[0] names the code."""


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
        self.strict = verifier or ed25519.Verifier()  # for what is verified in any case
        self.sequencer = e.account_id(sequencer_key)
        self.state, self.log, self.rejected = State(), Tree(), 0
        self.wrong_closes = 0  # of the sequencer, with nonce and signature right

    @property
    def open(self):
        """The record E; its epoch is the open one."""
        return self.state.get("E")

    @property
    def epoch(self):
        return self.state.get("E").epoch

    @property
    def parameters(self):
        return self.state.get("P")

    def append(self, data):
        """Logs an entry; "OK" or the name of the code that says why it has no effect."""
        self.log.push(leaf_hash(data))
        code = self.apply(data)
        self.rejected += code != "OK"
        return code

    def apply(self, data):
        try:
            entry = e.parse(data)
        except Malformed as error:
            return type(error).__name__.upper()
        try:
            refuse_unless(entry.type == e.GENESIS or self.open, "SEQUENCE", "before Genesis")
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
        author, b = self.account(entry.author), entry.body
        refuse_unless(entry.nonce == author.nonce + 1, "SEQUENCE", "nonce")
        refuse_unless(entry.valid_to_epoch >= self.epoch, "SEQUENCE", "expired")
        keys = {}
        if entry.type == e.KEY_ROTATE:
            refuse_unless(entry.author != self.sequencer, "MISMATCH", "the sequencer's key stays")
            keys = {e.NEW_KEY: b.key}
            if b.way == 1:
                refuse_unless(author.recovery not in (e.NOBODY,) and author.recovery == e.account_id(b.recovery_key),
                              "MISMATCH", "recovery key")
                keys[e.AUTHOR] = b.recovery_key
        self.check_signatures(entry, keys)
        self.state.edit("A", entry.author).nonce = entry.nonce
        self.check(self.state.commit())

    def check_signatures(self, entry, keys=()):
        """keys: by role, where it is not that of the account."""
        for role, account, raw in entry.signatures:
            public = keys[role] if role in keys else self.account(account).key
            refuse_unless(self.verifier is None or self.signed(public, entry.unsigned, raw), "SIGNATURE",
                          "role %d" % role)

    def signed(self, public, unsigned, raw):
        return self.strict.verify(public, e.message(unsigned, self.origin), raw)

    def check(self, touched):
        """The identities, after an entry, in the time of what it touched."""
        models = {key[1:33] for key in touched if key[:1] == b"T"}
        for model in models:
            check_model(self.state, model)
        if models or b"E" in touched:
            check_totals(self.state)

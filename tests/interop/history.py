"""Random histories of a ledger: what fifty people might do with five models, most of it valid.

The teller keeps a replayer's Machine beside it, to know what is possible, and makes entries with the replayer's own
encoder. `sign(seed, message)` makes signatures; without it they are 64 zero bytes, for verifiers that skip them.
"""
import random

from deeds import Deeds
from keys import key_of, seeds
from replayer import Machine, ed25519, entry as e, merkle, note
from replayer.files import write_export
from replayer.rules_close import close_epoch

ORIGIN = "example.org/history"
PEOPLE, SEQUENCER = 50, 0


def no_signature(seed, message):
    return bytes(64)


class Teller(Deeds):
    """invalid: how often something is wrong; epoch_length: entries in an epoch, about; models: how many at most;
    wrong_closes: the sequencer miscounts, now and then; extreme: work, shares, money up to the ends of their fields."""

    def __init__(self, seed, sign=None, verifier=None, invalid=0.1, epoch_length=200, models=5, wrong_closes=False,
                 extreme=False):
        self.random, self.sign = random.Random(seed), sign or no_signature
        keys = [key_of(1000 + i) for i in range(PEOPLE)]
        self.first_key = {e.account_id(key): key for key in keys}
        self.people = list(self.first_key)
        self.sequencer, self.origin, self.verifier = self.people[SEQUENCER], ORIGIN, verifier
        self.machine = Machine(ORIGIN, keys[SEQUENCER], verifier)
        self.invalid, self.epoch_length = invalid, epoch_length
        self.most_models, self.wrong_closes, self.extreme = models, wrong_closes, extreme
        self.entries, self.codes, self.models, self.recent = [], [], [], []
        self.secrets, self.used, self.next_key = {}, {}, 0  # used: of an entry, the public key of each role
        self.actions = self.deeds()
        self.weights = [weight for weight, _ in self.actions]

    # ---- making entries ---------------------------------------------------------------------------

    @property
    def seed_of_sequencer(self):
        return seeds[self.machine.key]

    @property
    def state(self):
        return self.machine.state

    @property
    def epoch(self):
        return self.machine.epoch

    def new_key(self):
        """Of a pool, since tables of keys are what a verifier spends its time on."""
        self.next_key += 1
        return key_of(2000 + self.next_key % 97)

    def public(self, account):
        found = self.state.get("A", account)
        return found.key if found else self.first_key.get(account, key_of(1000))

    def nonce(self, account):
        found = self.state.get("A", account)
        return found.nonce + 1 if found else 1

    def person(self, opened=True):
        """Someone; with an open account, nearly always."""
        for _ in range(20):
            one = self.random.choice(self.people)
            if not opened or self.state.get("A", one) or self.random.random() < 0.01:
                return one
        return self.sequencer

    def signed(self, type_, author, body, nonce=None, valid_to_epoch=e.NO_EXPIRY, keys=()):
        """keys: public keys by role, where they are not those of the accounts."""
        if nonce is None:
            nonce = self.nonce(author)
        unsigned = e.unsigned_part(type_, author, nonce, body, valid_to_epoch)
        return self.attach(unsigned, e.signers(type_, author, body), keys)

    def attach(self, unsigned, signers, keys=()):
        message, out, used = e.message(unsigned, ORIGIN.encode()), [], {}
        for role, account in signers:
            used[role] = keys[role] if role in keys else self.public(account)
            out.append((role, account, self.sign(seeds[used[role]], message)))
        data = e.attach(unsigned, out)
        if self.sign is not no_signature:
            self.used[data] = used
        return data

    def numbered(self, type_, author, keys=(), **values):
        """An entry with the author's next nonce; now and then with another, or an expiry."""
        nonce, until, r = self.nonce(author), e.NO_EXPIRY, self.random.random()
        if r < self.invalid / 5:
            nonce += self.random.choice((-1, 1, 2 ** 40))
        elif r < self.invalid / 3:
            until = max(0, self.epoch - self.random.randrange(2))
        elif r < 0.3:
            until = self.epoch + self.random.randrange(3)
        return self.signed(type_, author, e.BODIES[type_].make(**values), nonce % 2 ** 64, until, keys)

    def bad(self, share=1.0):
        return self.random.random() < self.invalid * share

    def add(self, data):
        self.entries.append(data)
        self.codes.append(self.machine.append(data))
        if self.codes[-1] == "OK" and data[4] == e.MODEL_REGISTER:
            self.models.append(e.parse(data).body.model)
        return self.codes[-1]

    def genesis(self):
        r = self.random
        body = e.BODIES[e.GENESIS].make(
            rules=1, origin=ORIGIN.encode(), algorithm=e.ED25519, key=self.machine.key, currency=b"XTS",
            decimals=r.randrange(19), receipt_window=r.choice((1, 2, 3, 5)))
        return self.signed(e.GENESIS, self.sequencer, body, nonce=1)

    def close(self):
        """EpochClose by the sequencer: what the machine says it must say."""
        if self.bad(0.2):
            return self.numbered(e.EPOCH_CLOSE, self.random.choice(self.people[1:]), epoch=self.epoch)
        if self.wrong_closes and self.bad():
            return self.numbered(e.EPOCH_CLOSE, self.sequencer, epoch=self.epoch + self.random.randrange(2))
        return self.true_close(self.machine)

    def true_close(self, machine):
        machine.state.edit("A", self.sequencer).nonce += 1
        body, nonce = close_epoch(machine), machine.state.get("A", self.sequencer).nonce
        machine.state.rollback()
        return self.signed(e.EPOCH_CLOSE, self.sequencer, body, nonce)

    def spoil(self, data):
        """Bytes that are not an entry any more, or not this one."""
        r, out = self.random, bytearray(data)
        kind = r.randrange(4)
        if kind == 0:
            return data[:r.randrange(1, len(data))]
        if kind == 1:
            return data + bytes(r.randrange(1, 5))
        if kind == 2:
            out[r.randrange(len(out) - 1)] ^= 1 << r.randrange(8)
        else:
            out[r.randrange(50)] = r.randrange(256)
        return bytes(out)

    def step(self):
        """One entry more."""
        if self.random.random() * self.epoch_length < 1:
            return self.add(self.close())
        while True:
            data = self.random.choices(self.actions, self.weights)[0][1]()
            if data is not None and len(data) <= e.ENTRY_MAX:
                return self.add(self.spoil(data) if self.bad(0.2) else data)

    def run(self, count):
        """A history of count entries that begins with accounts and models and ends with an EpochClose."""
        self.add(self.genesis())
        for account in self.people[1:20]:
            self.add(self.signed(e.ACCOUNT_OPEN, account, e.BODIES[e.ACCOUNT_OPEN].make(
                algorithm=e.ED25519, key=self.first_key[account])))
        while len(self.models) < 2:
            data = self.register()
            if data:
                self.add(data)
        while len(self.entries) < count - 1:
            self.step()
        invalid, self.invalid = self.invalid, 0
        self.add(self.close())
        self.invalid = invalid
        return self

    def checkpoint(self, size=None, root=None):
        if root is None:
            root = merkle.root_of(map(merkle.leaf_hash, self.entries[:size]))
        return note.sign(note.checkpoint_text(ORIGIN, len(self.entries) if size is None else size, root), ORIGIN,
                         seeds[self.machine.key], ed25519)

    def export(self):
        return write_export(self.checkpoint(), self.entries)

"""Random histories of a ledger: what fifty people might do with five models, most of it valid.

The teller keeps a replayer's Machine beside it, to know what is possible, and makes entries with the replayer's own
encoder. `sign(person, message)` makes signatures; without it they are 64 zero bytes, for verifiers that skip them.
"""
import random

from replayer import Machine, ed25519, entry as e, merkle, note
from replayer.files import write_export
from replayer.rules_base import close_epoch

ORIGIN = "example.org/history"
PEOPLE, MODELS = 50, 5
SEQUENCER = 0


class Person:
    keys = {}  # seed number: public key, made once for all histories

    def __init__(self, number):
        self.seed = number.to_bytes(32, "little")
        if number not in Person.keys:
            Person.keys[number] = ed25519.public_key(self.seed)
        self.key = Person.keys[number]
        self.account = e.account_id(self.key)


class Teller:
    def __init__(self, seed, sign=None, verifier=None, invalid=0.1, epoch_length=200, wrong_closes=False):
        self.random, self.sign = random.Random(seed), sign or (lambda person, message: bytes(64))
        self.people = [Person(1000 + i) for i in range(PEOPLE)]
        self.by_account = {p.account: p for p in self.people}
        self.machine = Machine(ORIGIN, self.people[SEQUENCER].key, verifier)
        self.invalid, self.epoch_length, self.wrong_closes = invalid, epoch_length, wrong_closes
        self.entries, self.codes, self.models, self.recent = [], [], [], []
        self.origin = ORIGIN
        self.actions = [(2, self.open_account), (1, self.register), (60, self.receipt), (12, self.deposit),
                        (20, self.claim)]

    # ---- making entries ---------------------------------------------------------------------------

    @property
    def open(self):
        return self.machine.open

    def nonce(self, account):
        found = self.machine.state.get("A", account)
        return found.nonce + 1 if found else 1

    def person(self, opened=True):
        """Someone; with an open account, nearly always."""
        for _ in range(20):
            one = self.random.choice(self.people)
            if not opened or self.machine.state.get("A", one.account) or self.random.random() < 0.01:
                return one
        return self.people[SEQUENCER]

    def signed(self, type_, author, body, nonce=None, valid_to_epoch=e.NO_EXPIRY):
        if nonce is None:
            nonce = self.nonce(author)
        unsigned = e.unsigned_part(type_, author, nonce, body, valid_to_epoch)
        message = e.message(unsigned, ORIGIN.encode())
        return e.attach(unsigned, [(role, account, self.sign(self.by_account.get(account, self.people[0]), message))
                                   for role, account in e.signers(type_, author, body)])

    def numbered(self, type_, person, **values):
        """An entry with the author's next nonce; now and then with another, or an expiry."""
        nonce, until, r = self.nonce(person.account), e.NO_EXPIRY, self.random.random()
        if r < self.invalid / 5:
            nonce += self.random.choice((-1, 1, 2 ** 40))
        elif r < self.invalid / 3:
            until = max(0, self.open.epoch - self.random.randrange(2))
        elif r < 0.3:
            until = self.open.epoch + self.random.randrange(3)
        return self.signed(type_, person.account, e.BODIES[type_].make(**values), nonce % 2 ** 64, until)

    def bad(self, share=1.0):
        return self.random.random() < self.invalid * share

    def add(self, data):
        self.entries.append(data)
        self.codes.append(self.machine.append(data))
        return self.codes[-1]

    # ---- what people do ---------------------------------------------------------------------------

    def genesis(self, window=None, treasurer=None):
        one = self.people[SEQUENCER]
        body = e.BODIES[e.GENESIS].make(
            rules=1, origin=ORIGIN.encode(), algorithm=e.ED25519, key=one.key, currency=b"XTS",
            decimals=self.random.randrange(19), receipt_window=window or self.random.choice((1, 2, 3, 5)),
            treasurer=treasurer or e.NOBODY)
        return self.signed(e.GENESIS, one.account, body, nonce=1)

    def open_account(self):
        one = self.person(opened=False)
        if self.machine.state.get("A", one.account) and not self.bad(0.3):
            return None
        key = self.person(opened=False).key if self.bad(0.3) else one.key
        return self.numbered(e.ACCOUNT_OPEN, one, algorithm=e.ED25519, key=key)

    def terms(self):
        """Terms of a model: short halvings and slow ones, many and few shares."""
        r = self.random
        designer, data = r.choice(((0, 0), (1500, 500), (10000, 0), (1, 9999), (3333, 3333)))
        vest = r.choice((0, 1, 4, 9, 1024))
        while True:
            halving, rate = 1 << r.randrange(8, 70), 1 << r.randrange(0, 40)
            divisor = r.randrange(1, 1 << r.randrange(1, 50))
            if e.mint_ok(halving, rate, divisor):
                break
        return dict(designer_bps=designer, data_bps=data, data_account=self.person().account if data else e.NOBODY,
                    halving=halving, rate=rate, rate_divisor=divisor, vest_epochs=vest,
                    vest_cliff=r.randrange(vest + 1), microbatch_tokens=r.choice((1, 128, 4096)),
                    costs=[(r.randrange(1, 1 << r.choice((4, 16, 40))),) for _ in range(r.randrange(1, 9))])

    def register(self):
        again = len(self.models) >= MODELS or self.models and self.bad()
        if again and not self.bad():
            return None
        model = self.random.choice(self.models) if again else self.random.randbytes(32)
        data = self.numbered(e.MODEL_REGISTER, self.person(), model=model, profile=b"\1" * 32, **self.terms())
        if not again:
            self.models.append(model)
        return data

    def model(self):
        return self.random.randbytes(32) if self.bad(0.1) or not self.models else self.random.choice(self.models)

    def receipt(self):
        r, model = self.random, self.model()
        if self.recent and self.bad(0.5):
            return r.choice(self.recent)
        terms = self.machine.state.get("M", model)
        if terms is None:
            return None
        epoch, count = self.open.epoch, r.randrange(1, 9)
        if self.bad() or r.random() < 0.2:
            epoch += r.choice((-5, -1, -1, -1, 1 if self.bad() else 0))
        first = r.randrange(len(terms.costs))
        end = r.randrange(first + 1, len(terms.costs) + 1) + (1 if self.bad(0.2) else 0)
        tokens = r.randrange(1, count * terms.microbatch_tokens + 1) + (10 ** 5 if self.bad(0.1) else 0)
        units = tokens * sum(c for c, in terms.costs[first:end]) + (1 if self.bad(0.3) else 0)
        if units >= 2 ** 64 or not self.open:
            return None
        worker, up, down = self.person(), self.person(), self.person()
        while worker in (up, down) and not self.bad():
            worker = self.person()
        step = r.randrange(2 ** 20)
        body = e.BODIES[e.RECEIPT].make(
            model=model, profile=(b"\2" if self.bad(0.1) else b"\1") * 32, epoch=max(0, epoch), step=step,
            mb_first=r.randrange(64), mb_count=count, block_first=first, block_end=end, lane=r.randrange(2),
            tokens=tokens, units=units, frames_root=r.randbytes(32), weight_root=r.randbytes(32),
            weight_step=r.randrange(step + 1), upstream=up.account, downstream=down.account)
        data = self.signed(e.RECEIPT, worker.account, body, nonce=0, valid_to_epoch=body.epoch)
        self.recent = (self.recent + [data])[-64:]
        return data

    def amount(self):
        return self.random.choice((1, 2, 3, 7, self.random.randrange(1, 10 ** self.random.randrange(1, 13))))

    def deposit(self):
        amount = 2 ** 63 - self.random.randrange(1, 10) if self.bad(0.1) else self.amount()
        return self.numbered(e.REVENUE_DEPOSIT, self.person(), model=self.model(), amount=amount)

    def claim(self):
        return self.numbered(e.CLAIM, self.person(), model=self.model(),
                             amount=self.amount() if self.random.random() < 0.4 else 0)

    def close(self):
        """EpochClose by the sequencer: what the machine says it must say."""
        one, machine = self.people[SEQUENCER], self.machine
        if self.bad(0.2):
            return self.numbered(e.EPOCH_CLOSE, self.random.choice(self.people[1:]), epoch=self.open.epoch)
        if self.wrong_closes and self.bad():
            return self.numbered(e.EPOCH_CLOSE, one, epoch=self.open.epoch + self.random.randrange(2))
        machine.state.edit("A", one.account).nonce += 1
        body = close_epoch(machine)
        machine.state.rollback()
        return self.signed(e.EPOCH_CLOSE, one.account, body)

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
        if self.open is None:
            return self.add(self.genesis())
        if self.random.random() * self.epoch_length < 1:
            return self.add(self.close())
        weights = [w for w, _ in self.actions]
        while True:
            data = self.random.choices(self.actions, weights)[0][1]()
            if data is not None and len(data) <= e.ENTRY_MAX:
                return self.add(self.spoil(data) if self.bad(0.2) else data)

    def run(self, count):
        """A history of count entries that ends with an EpochClose; the first of everything comes early."""
        self.step()
        for one in self.people[1:20]:
            self.add(self.signed(e.ACCOUNT_OPEN, one.account, e.BODIES[e.ACCOUNT_OPEN].make(
                algorithm=e.ED25519, key=one.key)))
        while len(self.models) < 2:
            self.add(self.register())
        while len(self.entries) < count - 1:
            self.step()
        invalid, self.invalid = self.invalid, 0
        self.add(self.close())
        self.invalid = invalid
        return self

    # ---- what comes of it ---------------------------------------------------------------------------

    def export(self):
        one = self.people[SEQUENCER]
        text = note.checkpoint_text(ORIGIN, len(self.entries), merkle.root_of(map(merkle.leaf_hash, self.entries)))
        return write_export(note.sign(text, ORIGIN, one.seed, ed25519), self.entries)

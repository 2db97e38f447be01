"""What people do in a random history: one method a deed; it returns an entry, or None when there is nothing to do."""
from keys import seeds
from replayer import ed25519, entry as e
from replayer.fields import u64
from replayer.money import vested
from replayer.rules_audit import auditor_of, commitment, lot
from replayer.rules_money import settlement
from replayer.rules_work import FAILED, WAITS


def key_fields(key):
    """The fields of a receipt's key, from the key of its record."""
    return dict(epoch=int.from_bytes(key[1:9], "big"), model=key[9:41], step=int.from_bytes(key[41:49], "big"),
                lane=int.from_bytes(key[49:53], "big"), block_first=int.from_bytes(key[53:57], "big"),
                mb_first=int.from_bytes(key[57:61], "big"))


class Deeds:
    """Mixed into a Teller."""

    def deeds(self):
        """(weight, deed)."""
        return [(3, self.open_account), (2, self.rotate), (1, self.param_change), (2, self.register),
                (2, self.data_register), (2, self.milestone), (50, self.receipt), (12, self.serve), (10, self.commit),
                (3, self.assign), (10, self.audit), (8, self.dispute), (1, self.evidence), (4, self.slash),
                (12, self.deposit), (8, self.transfer), (12, self.claim), (1, self.settle)]

    def random_account(self):
        return self.random.randbytes(32) if self.bad(0.1) else self.person()

    def model(self):
        return self.random.randbytes(32) if self.bad(0.1) or not self.models else self.random.choice(self.models)

    def some(self, kind):
        """Key of some record of a kind; None."""
        found = self.state.keys(kind)
        return self.random.choice(found) if found else None

    # ---- accounts -----------------------------------------------------------------------------------

    def open_account(self):
        one = self.person(opened=False)
        if self.state.get("A", one) and not self.bad(0.3):
            return None
        key = self.first_key[self.person(opened=False) if self.bad(0.3) else one]
        return self.numbered(e.ACCOUNT_OPEN, one, {e.AUTHOR: key}, algorithm=e.ED25519, key=key)

    def rotate(self):
        r, one, key = self.random, self.person(), self.new_key()
        account = self.state.get("A", one)
        recovery = e.account_id(self.new_key()) if r.random() < 0.8 else e.NOBODY
        if account and account.recovery != e.NOBODY and r.random() < 0.6:
            lost = next((k for k in seeds if e.account_id(k) == account.recovery), None)
            if lost is None or self.bad():
                lost = self.new_key()
            return self.numbered(e.KEY_ROTATE, one, {e.AUTHOR: lost, e.NEW_KEY: key}, way=1, recovery_key=lost,
                                 algorithm=e.ED25519, key=key, recovery=recovery)
        return self.numbered(e.KEY_ROTATE, one, {e.NEW_KEY: key}, way=0, algorithm=e.ED25519, key=key,
                             recovery=recovery)

    def param_change(self):
        r, number = self.random, self.random.randrange(1, 9)
        _, least, most, _ = e.PARAMETERS[number - 1]
        value = r.randrange(least, min(most, 6) + 1) if number <= 5 else r.randrange(most + 1)
        author = self.person() if self.bad() else self.sequencer
        start = self.epoch + self.machine.parameters.change_delay + r.randrange(3) - (1 if self.bad() else 0)
        return self.numbered(e.PARAM_CHANGE, author, parameter=number, value=value, from_epoch=start)

    # ---- models -------------------------------------------------------------------------------------

    def terms(self):
        """Terms of a model: short halvings and slow ones, many and few shares."""
        r = self.random
        designer, data = r.choice(((0, 0), (1500, 500), (10000, 0), (1, 9999), (3333, 3333)))
        vest = r.choice((0, 1, 4, 9, 1024))
        while True:
            halving, rate, divisor = self.steep_mint() if self.extreme and r.random() < 0.8 else self.mint()
            if e.mint_ok(halving, rate, divisor):
                break
        most = 2 ** 64 if self.extreme and r.random() < 0.8 else 1 << r.choice((4, 16, 40))
        return dict(designer_bps=designer, data_bps=data, data_account=self.person() if data else e.NOBODY,
                    halving=halving, rate=rate, rate_divisor=divisor, vest_epochs=vest,
                    vest_cliff=r.randrange(vest + 1),
                    microbatch_tokens=1 if most == 2 ** 64 else r.choice((1, 128, 4096)),
                    serving_bps=r.choice((0, 0, 1, 2500, 9999, 10000)), milestone_epochs=r.choice((0, 0, 1, 3)),
                    parents=self.parents(), costs=[(r.randrange(max(1, most // 2), most),)
                                                   for _ in range(r.randrange(1, 9))])

    def mint(self):
        r = self.random
        return 1 << r.randrange(8, 70), 1 << r.randrange(0, 40), r.randrange(1, 1 << r.randrange(1, 50))

    def steep_mint(self):
        """As many shares as there can be, and nearly all of them for a few receipts of 2^64 units."""
        rate = self.random.randrange(2 ** 58, 2 ** 61)
        total = sum(rate >> k for k in range(64))
        halving = 2 ** 126 // total
        return halving, rate, halving * total // (2 ** 63 - 1) + 1

    def parents(self):
        """Mostly the latest models, so that lineages grow deep."""
        r, known = self.random, self.models[-3:] + self.models[:1]
        chosen = sorted(set(r.choice(known) for _ in range(r.choice((0, 1, 1, 2, 4))) if known))
        if chosen and self.bad(0.1):
            chosen = sorted(chosen[1:] + [r.randbytes(32)])
        return [(one, r.choice((1, 333, 1250, 5000 // len(chosen)))) for one in chosen]

    def register(self):
        again = len(self.models) >= self.most_models or self.models and self.bad()
        if again and not self.bad():
            return None
        model = self.random.choice(self.models) if again else self.random.randbytes(32)
        return self.numbered(e.MODEL_REGISTER, self.person(), model=model, profile=b"\1" * 32, **self.terms())

    def data_register(self):
        r, model = self.random, self.model()
        terms = self.state.get("M", model)
        if not terms or not terms.data_bps and not self.bad():
            return None
        account = terms.data_account if terms.data_bps and not self.bad() else self.person()
        return self.numbered(e.DATA_REGISTER, self.person(), model=model, root=bytes(31) + bytes([r.randrange(40)]),
                             bps=r.choice((1, 100, 700, 3000)), tokens=r.randrange(10 ** 9), data_account=account)

    def milestone(self):
        r, model = self.random, self.model()
        terms, t = self.state.get("M", model), self.state.get("T", model)
        if not terms:
            return None
        author = self.person() if self.bad() else terms.designer
        witness = self.person()
        if witness == author and not self.bad():
            return None
        return self.numbered(e.MILESTONE, author, model=model, number=t.milestones + 1 + self.bad(),
                             step=r.getrandbits(40), weight_root=r.randbytes(32), report=r.randbytes(32),
                             witness=witness)

    # ---- work ---------------------------------------------------------------------------------------

    def work(self, terms, stages=True):
        """Blocks, tokens, units. Mostly whole stages, so that receipts do not overlap by their cut."""
        r, count = self.random, len(terms.costs)
        first = r.randrange(count)
        end = r.randrange(first + 1, count + 1) + (1 if self.bad(0.1) else 0) if r.random() < 0.1 else first + 1
        return first, end

    def receipt_values(self, worker, model=None):
        """Fields of a receipt of the worker's; None."""
        r, model = self.random, model or self.model()
        terms = self.state.get("M", model)
        if terms is None:
            return None
        epoch, count = self.epoch, r.randrange(1, 9)
        if self.bad(0.5) or r.random() < 0.2:
            epoch += r.choice((-5, -1, -1, -1, 1 if self.bad() else 0))
        first, end = self.work(terms)
        tokens = r.randrange(1, count * terms.microbatch_tokens + 1) + (10 ** 5 if self.bad(0.1) else 0)
        if terms.costs[first][0] * tokens >= 2 ** 64:
            tokens = 1
        units = tokens * sum(c for c, in terms.costs[first:end]) + (1 if self.bad(0.2) else 0)
        up, down, step = self.person(), self.person(), r.randrange(2 ** 20)
        if units >= 2 ** 64 or worker in (up, down) and not self.bad():
            return None
        return dict(model=model, profile=(b"\2" if self.bad(0.1) else b"\1") * 32, epoch=max(0, epoch), step=step,
                    mb_first=r.randrange(64), mb_count=count, block_first=first, block_end=end, lane=r.randrange(2),
                    tokens=tokens, units=units, frames_root=r.randbytes(32), weight_root=r.randbytes(32),
                    weight_step=r.randrange(step + 1), upstream=up, downstream=down)

    def receipt(self):
        r = self.random
        if self.recent and self.bad(0.2):
            return r.choice(self.recent)
        worker, waiting = self.person(), self.waiting() if r.random() < 0.05 else []
        near = key_fields(r.choice(waiting)) if waiting else None  # work that waits for a signature, or beside it
        values = self.receipt_values(worker, near and near["model"])
        if values is None:
            return None
        if near:
            values.update({name: near[name] for name in ("epoch", "step", "lane", "mb_first")}, weight_step=0)
        elif self.recent and r.random() < 0.05:  # the step of an earlier one: another stage of it, or an overlap
            other = e.parse(r.choice(self.recent)).body
            values.update(step=other.step, lane=other.lane, weight_step=0)
        data = self.signed(e.RECEIPT, worker, e.BODIES[e.RECEIPT].make(**values), 0, values["epoch"])
        try:
            e.parse(data)
        except ValueError:
            return data
        self.recent = (self.recent + [data])[-64:]
        return data

    def serve(self):
        r, model, server = self.random, self.model(), self.person()
        terms = self.state.get("M", model)
        clients = [key[33:] for key in self.state.keys("U", model)]
        client = r.choice(clients) if clients and not self.bad() else self.person()
        if terms is None or client == server and not self.bad(0.1):
            return None
        u, (first, end) = self.state.get("U", model, client), self.work(terms)
        left = u.deposited - u.spent if u else 0
        price = r.choice((0, 1, left, left // 3, left // 100)) + (1 if self.bad(0.5) else 0)
        tokens = 1 if terms.costs[first][0] > 2 ** 50 else r.randrange(1, 2000)
        epoch = max(0, self.epoch - (r.random() < 0.1) + self.bad(0.2))
        units = tokens * sum(c for c, in terms.costs[first:end]) + (1 if self.bad(0.2) else 0)
        if units >= 2 ** 64:
            return None
        body = e.BODIES[e.INFERENCE_RECEIPT].make(
            model=model, epoch=epoch, session=bytes([r.randrange(256)] * 32), sequence=r.randrange(64),
            block_first=first, block_end=end, tokens=tokens, units=units, price=price, frames_root=r.randbytes(32),
            client=client)
        return self.signed(e.INFERENCE_RECEIPT, server, body, 0, epoch)

    # ---- audits -------------------------------------------------------------------------------------

    def commit(self):
        r = self.random
        waiting = [key for key in self.state.keys("C") if not self.state.records[key].revealed
                   and (int.from_bytes(key[1:9], "big") < self.epoch or self.bad())]
        if waiting and r.random() < 0.7:
            key = r.choice(waiting)
            epoch, one = int.from_bytes(key[1:9], "big"), key[9:]
            secret = self.secrets.get((epoch, one), bytes(32)) if not self.bad() else r.randbytes(32)
            return self.numbered(e.COMMIT, one, phase=1, epoch=epoch, value=secret)
        one, epoch = self.person(), self.epoch + self.bad(0.3)
        secret = self.secrets.setdefault((epoch, one), r.randbytes(32))
        return self.numbered(e.COMMIT, one, phase=0, epoch=epoch, value=commitment(one, epoch, secret))

    def assign(self):
        epoch = max(0, self.epoch - self.random.choice((0, 1, 1, 1, 1, 1, 2, 3)))
        return self.numbered(e.ASSIGN, self.person() if self.bad() else self.sequencer, epoch=epoch)

    def audit(self):
        """A verdict, nearly always of one who may, on one that was drawn, contested or refused."""
        r, state = self.random, self.state
        keys = state.keys("R")
        for _ in range(30):
            if not keys:
                return None
            key = r.choice(keys)
            b = e.BODIES[e.AUDIT_RESULT].make(**key_fields(key), verdict=1 + (r.random() < 0.4),
                                              trace_root=r.randbytes(32))
            s, record, j = state.get("S", u64(b.epoch)), state.records[key], state.get("J", key[1:])
            if self.bad(0.05):
                return self.signed(e.AUDIT_RESULT, self.person(), b)
            if s is None:
                continue
            disputed = bool(j and j.disputer != e.NOBODY)
            drawn = lot(s, b)[0] * e.BPS >> 64 < s.audit_bps
            author = auditor_of(s, b, record.worker, j.rounds if j else 0)
            if author and (disputed or record.standing in (0, WAITS) and (drawn or record.standing == WAITS)):
                return self.signed(e.AUDIT_RESULT, author, b)
        return None

    def waiting(self):
        """Keys of disputes about signatures."""
        found = [(key, self.state.records[key]) for key in self.state.keys("J")]
        return [key for key, j in found if j.upstream != e.NOBODY or j.downstream != e.NOBODY]

    def dispute(self):
        r, state = self.random, self.state
        what = r.randrange(4)
        if what == 0:
            author = self.person()
            values = self.receipt_values(author)
            if values is None:
                return None
            return self.numbered(e.DISPUTE, author, kind=e.REFUSED, refusers=r.randrange(1, 4), **values)
        waiting = self.waiting()
        if what == 1 and waiting:
            key = r.choice(waiting)
            j = state.records[key]
            author = r.choice([one for one in (j.upstream, j.downstream) if one != e.NOBODY])
            return self.numbered(e.DISPUTE, author, kind=e.ANSWER, **key_fields(key))
        key = self.some("R")
        if key is None:
            return None
        fields = key_fields(key)
        holders = [k[33:] for k in state.keys("H", fields["model"])]
        author = state.records[key].worker if state.records[key].standing == FAILED else \
            r.choice(holders) if holders else self.person()
        if self.bad():
            fields["step"] += 1
        return self.numbered(e.DISPUTE, author, kind=e.ANSWER if self.bad() else e.CONTEST, **fields)

    def evidence(self):
        """A fork, or two receipts of one worker; signed in earnest, since these are always verified."""
        r = self.random
        if r.random() < 0.3:
            size = r.randrange(1, 1000)
            roots = [bytes([r.randrange(2)]) * 32 for _ in range(2)]
            first, second = [self.checkpoint(size, root) for root in roots]
            kind = e.FORK
        else:
            if not self.recent:
                return None
            one = e.parse(r.choice(self.recent))
            body, account = one.body.copy(), self.state.get("A", one.author)
            body.frames_root, kind = r.randbytes(32), e.CONFLICT
            body.upstream = self.person()
            if self.bad():
                body.mb_first = r.randrange(64)
            if account is None:
                return None
            keys = [k for k in (account.key, account.previous) if k in seeds]
            first, second = [self.earnest(b, one.author, r.choice(keys)) for b in (one.body, body)]
            if self.bad(0.5):
                second = self.spoil(second)
        return self.numbered(e.EVIDENCE, self.person(), kind=kind, first=first, second=second)

    def earnest(self, body, worker, key):
        """A receipt with a true signature of the worker's and two of nobody's."""
        unsigned = e.unsigned_part(e.RECEIPT, worker, 0, body, body.epoch)
        raw = ed25519.sign(seeds[key], e.message(unsigned, self.origin.encode()))
        return e.attach(unsigned, [(role, account, raw if role == e.AUTHOR else bytes(64))
                                   for role, account in e.signers(e.RECEIPT, worker, body)])

    def slash(self):
        key = self.some("F")
        if key is None or self.bad(0.05):
            return self.numbered(e.SLASH, self.person(), model=self.model(), account=self.person())
        return self.numbered(e.SLASH, self.person(), model=key[1:33], account=key[33:])

    # ---- money --------------------------------------------------------------------------------------

    def amount(self):
        if self.extreme and self.random.random() < 0.02:
            return self.random.randrange(2 ** 57, 2 ** 59)
        return self.random.choice((1, 2, 3, 7, self.random.randrange(1, 10 ** self.random.randrange(1, 13))))

    def deposit(self):
        amount = 2 ** 63 - self.random.randrange(1, 10) if self.bad(0.05) else self.amount()
        return self.numbered(e.REVENUE_DEPOSIT, self.person(), model=self.model(), amount=amount)

    def holder(self, model):
        found = self.state.keys("H", model)
        return self.random.choice(found)[33:] if found and not self.bad() else self.person()

    def transfer(self):
        r, model = self.random, self.model()
        giver, receiver = self.holder(model), self.person()
        h, terms = self.state.get("H", model, giver), self.state.get("M", model)
        left = vested(h, self.epoch, terms) - h.outgoing if h else 0
        shares = r.choice((left, left // 2, left // 100, 1)) + (1 if self.bad() else 0)
        if not shares or giver == receiver and not self.bad(0.1):
            return None
        return self.numbered(e.TRANSFER, giver, model=model, to=receiver, shares=shares)

    def claim(self):
        r, model = self.random, self.model()
        one = self.holder(model)
        h, t = self.state.get("H", model, one), self.state.get("T", model)
        if h and h.credited == h.paid and (t.acc - h.snap) * h.shares + h.fraction < 2 ** 64 and not self.bad():
            return None
        return self.numbered(e.CLAIM, one, model=model, amount=self.amount() if r.random() < 0.2 else 0,
                             address=bytes([r.randrange(1, 8)]) * 20 if r.random() < 0.4 else bytes(20))

    def settle(self):
        r = self.random
        if not self.state.keys("L") and not self.bad():
            return None
        reward, scale = b"\xaa" * 20, r.choice((0, 6, 18))
        leaves, total, tree = settlement(self.machine, reward, scale) if self.state.keys("L") else (0, 0, None)
        return self.numbered(e.SETTLEMENT_ROOT, self.person() if self.bad() else self.sequencer, reward=reward,
                             scale=scale, leaves=leaves, total=total + self.bad(),
                             root=tree.root if tree else bytes(32))

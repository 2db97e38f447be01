"""Genesis, AccountOpen, ModelRegister, Receipt, RevenueDeposit, Claim, EpochClose."""
from . import entry as e
from . import money
from .machine import refuse_unless, rule


def u64(*numbers):
    return b"".join(n.to_bytes(8, "big") for n in numbers)


def u32(*numbers):
    return b"".join(n.to_bytes(4, "big") for n in numbers)


@rule(e.GENESIS, numbered=False)
def genesis(m, entry):
    b = entry.body
    refuse_unless(b.origin == m.origin and b.key == m.key, "MISMATCH", "origin or sequencer")
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    refuse_unless(entry.nonce == 1, "SEQUENCE", "nonce")
    m.check_signatures(entry, b.key)
    m.state.make("G", **{name: getattr(b, name) for name, _ in b.layout.fields})
    m.state.make("E", accounts=1)
    m.state.make("A", entry.author, algorithm=b.algorithm, key=b.key, nonce=1)


@rule(e.ACCOUNT_OPEN, numbered=False)
def account_open(m, entry):
    b = entry.body
    refuse_unless(entry.author == e.account_id(b.key), "MISMATCH", "author")
    refuse_unless(m.state.get("A", entry.author) is None, "EXISTS", "account")
    refuse_unless(entry.nonce == 1, "SEQUENCE", "nonce")
    refuse_unless(entry.valid_to_epoch >= m.open.epoch, "SEQUENCE", "expired")
    m.check_signatures(entry, b.key)
    m.state.make("A", entry.author, algorithm=b.algorithm, key=b.key, nonce=1, opened=m.open.epoch)
    m.state.edit("E").accounts += 1


@rule(e.MODEL_REGISTER)
def model_register(m, entry):
    b = entry.body
    refuse_unless(m.state.get("M", b.model) is None, "EXISTS", "model")
    if b.data_bps:
        m.account(b.data_account)
    m.state.make("M", b.model, designer=entry.author, registered=m.open.epoch,
                 **{name: getattr(b, name) for name, _ in b.layout.fields})
    m.state.make("T", b.model)
    m.state.edit("E").models += 1


def receipt_key(b):
    return (u64(b.epoch), b.model, u64(b.step), u32(b.lane, b.block_first, b.mb_first, b.mb_count))


@rule(e.RECEIPT, numbered=False)
def receipt(m, entry):
    b, epoch = entry.body, m.open.epoch
    refuse_unless(b.epoch <= epoch and epoch - b.epoch < m.state.get("G").receipt_window, "SEQUENCE", "epoch")
    terms = m.state.get("M", b.model)
    refuse_unless(terms, "NOT_FOUND", "model")
    refuse_unless(b.profile == terms.profile, "MISMATCH", "profile")
    refuse_unless(b.block_end <= len(terms.costs), "MISMATCH", "blocks")
    refuse_unless(b.tokens <= b.mb_count * terms.microbatch_tokens, "MISMATCH", "tokens")
    cost = sum(cost for cost, in terms.costs[b.block_first:b.block_end])
    refuse_unless(cost < 2 ** 64 and b.tokens * cost < 2 ** 64 and b.units == b.tokens * cost, "MISMATCH", "units")
    refuse_unless(m.state.get("R", *receipt_key(b)) is None, "EXISTS", "receipt")
    for _, account, _ in entry.signatures:
        m.account(account)
    m.check_signatures(entry)
    m.state.make("R", *receipt_key(b), worker=entry.author)
    for record in (m.state.edit_or_make("O", b.model), m.state.edit_or_make("W", b.model, entry.author)):
        record.units += b.units
        record.receipts += 1


def model_of(m, entry):
    t = m.state.edit("T", entry.body.model)
    refuse_unless(t, "NOT_FOUND", "model")
    return t


@rule(e.REVENUE_DEPOSIT)
def revenue_deposit(m, entry):
    b, treasurer = entry.body, m.state.get("G").treasurer
    refuse_unless(treasurer in (e.NOBODY, entry.author), "MISMATCH", "treasurer")
    t, total = model_of(m, entry), m.state.edit("E")
    refuse_unless(total.deposited + b.amount < e.MONEY_LIMIT, "LIMIT", "deposits")
    total.deposited += b.amount
    t.deposited += b.amount
    if t.supply == 0:
        t.held += b.amount
    else:
        money.distribute(t, b.amount)


@rule(e.CLAIM)
def claim(m, entry):
    b, t = entry.body, model_of(m, entry)
    h = m.state.edit("H", b.model, entry.author)
    refuse_unless(h, "NOT_FOUND", "holder")
    money.settle(t, h)
    payable = h.credited - h.paid
    amount = b.amount or payable
    refuse_unless(0 < amount <= payable, "LIMIT", "amount")
    for record in (h, t, m.state.edit("E")):
        record.paid += amount


def credit(m, model, account, shares, units=0, receipts=0):
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    h = m.state.edit("H", model, account)
    if h is None:
        h = m.state.make("H", model, account, snap=t.acc)
        t.holders += 1
    money.settle(t, h)
    if shares:
        money.grant(h, shares, m.open.epoch + 1, terms)
    h.units += units
    h.receipts += receipts


def close_model(m, model, work):
    """Turns the open epoch's work on a model into shares; how many."""
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    total = money.minted(t.work + work.units, terms)
    made = pool = total - t.supply
    workers = []
    for key in m.state.keys(b"W" + model):
        workers.append((key[33:], m.state.records[key]))
        m.state.remove(key)
    m.state.remove(b"O" + model)
    for bps, name, account in ((terms.designer_bps, "designer_minted", terms.designer),
                               (terms.data_bps, "data_minted", terms.data_account)):
        if bps:
            part = min(total * bps // 10 ** 4 - getattr(t, name), pool)
            pool -= part
            setattr(t, name, getattr(t, name) + part)
            credit(m, model, account, part)
    parts = money.by_units(pool, [(account, record.units) for account, record in workers])
    for account, record in workers:
        credit(m, model, account, parts[account], record.units, record.receipts)
    t.work += work.units
    t.supply = total
    t.receipts += work.receipts
    if t.held and t.supply:
        money.distribute(t, t.held)
        t.held = 0
    return made


def close_epoch(m):
    """Everything an EpochClose does, and the body that must say so."""
    total = m.state.edit("E")
    epoch, receipts, units, made = total.epoch, 0, 0, 0
    for key in m.state.keys(b"O"):
        work = m.state.records[key]
        receipts, units = receipts + work.receipts, units + work.units
        made += close_model(m, key[1:], work)
    window = m.state.get("G").receipt_window
    for key in m.state.keys(b"R"):
        if epoch + 1 - int.from_bytes(key[1:9], "big") < window:
            break
        m.state.remove(key)
    total.epoch, total.receipts = epoch + 1, total.receipts + receipts
    total.units, total.minted = total.units + units, total.minted + made
    return e.BODIES[e.EPOCH_CLOSE].make(epoch=epoch, receipts=receipts, units=units, minted=total.minted,
                                        deposited=total.deposited, paid=total.paid, state_root=m.state.root())


@rule(e.EPOCH_CLOSE)
def epoch_close(m, entry):
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    if close_epoch(m).encode() != entry.body.encode():
        m.wrong_closes += 1
        refuse_unless(False, "MISMATCH", "totals or state root")

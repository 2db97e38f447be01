"""EpochClose."""
from . import entry as e
from . import money
from .machine import refuse_unless, rule
from .rules_account import change_key
from .rules_money import income
from .rules_work import open_holding


def credit(m, model, account, shares, units=0, receipts=0, data=0):
    h = open_holding(m, model, account)
    money.settle(m.state.edit("T", model), h)
    if shares:
        money.grant(h, shares, m.epoch + 1, m.state.get("M", model))
    h.units += units
    h.receipts += receipts
    h.data += data


def pull_royalties(m):
    while True:
        waiting = m.state.keys("D")
        if not waiting:
            return
        model = waiting[0][2:]
        m.state.take(waiting[0])
        t = m.state.edit("T", model)
        for parent, bps in m.state.get("M", model).parents:
            y = t.gross * bps // e.BPS - t.pulled * bps // e.BPS
            if y:
                t.royalty_out += y
                m.state.edit("T", parent).royalty_in += y
                income(m, parent, y)
        t.pulled = t.gross


def burn(m, model):
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    for key in m.state.keys("V", model):
        account, v = key[33:], m.state.take(key)
        h = m.state.edit("H", model, account)
        if h is None:
            continue
        money.settle(t, h)
        money.sweep(h, m.epoch, terms)
        x = money.unvested(h) * v.bps // e.BPS
        money.slash(h, x)
        y = 0 if v.reporter == account else x * m.parameters.bounty_bps // e.BPS
        t.burned += x - y
        if y:
            credit(m, model, v.reporter, y)


def hand_over(m, model):
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    for key in m.state.keys("Y", model):
        shares = m.state.take(key).shares
        giver = m.state.edit("H", model, key[33:65])
        money.settle(t, giver)
        money.sweep(giver, m.epoch, terms)
        giver.shares -= shares
        giver.matured -= shares
        giver.outgoing -= shares
        receiver = open_holding(m, model, key[65:])
        money.settle(t, receiver)
        receiver.shares += shares
        receiver.matured += shares


def mint(m, model, work):
    """Designer's and data providers' parts; what is left for the workers."""
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    total = money.minted(t.work + work.units, terms)
    pool = total - t.minted
    if terms.designer_bps:
        p = min(total * terms.designer_bps // e.BPS - t.designer_minted, pool)
        pool -= p
        t.designer_minted += p
        if terms.milestone_epochs:
            t.provisional += p
        else:
            credit(m, model, terms.designer, p)
    if terms.data_bps:
        p = min(total * terms.data_bps // e.BPS - t.data_minted, pool)
        pool -= p
        t.data_minted += p
        for key in m.state.keys("B", model):
            b = m.state.edit("B", key[1:])
            q = min((total - b.base) * b.bps // e.BPS - b.minted, p)
            p -= q
            b.minted += q
            credit(m, model, b.account, q)
        credit(m, model, terms.data_account, p)
    t.minted = total
    t.work += work.units
    return pool


def close_model(m, model, work):
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    burn(m, model)
    hand_over(m, model)
    pool = mint(m, model, work) if work.units else 0
    workers = [(key[33:], m.state.take(key)) for key in m.state.keys("W", model)]
    parts = money.by_units(pool, [(account, w.units) for account, w in workers])
    for account, w in workers:
        credit(m, model, account, parts[account], w.units, w.receipts, w.data)
    t.receipts += work.receipts
    t.data += work.data
    if terms.milestone_epochs:
        if t.confirmed:
            credit(m, model, terms.designer, t.provisional)
            t.provisional = t.confirmed = 0
        elif t.provisional and m.epoch + 1 - t.milestone_epoch >= terms.milestone_epochs:
            t.burned += t.provisional
            t.provisional, t.milestone_epoch = 0, m.epoch + 1
        if t.provisional:
            m.state.make("O", model)
    if t.held and money.supply(t):
        held, t.held = t.held, 0
        money.distribute(t, held)


def sums(m):
    every = [m.state.records[key] for key in m.state.keys("T")]
    return [sum(getattr(t, name) for t in every) for name in ("receipts", "work", "minted", "burned")]


def close_epoch(m):
    """Everything an EpochClose does but `Z`, and the body that must say so."""
    total, before, epoch = m.state.edit("E"), sums(m), m.epoch
    pull_royalties(m)
    for model, work in [(key[1:], m.state.take(key)) for key in m.state.keys("O")]:
        close_model(m, model, work)
    for key in m.state.keys("K"):
        if int.from_bytes(key[1:9], "big") <= epoch + 1:
            k, account = m.state.take(key), m.state.edit("A", key[9:])
            change_key(account, k.key, k.recovery)
            account.pending = 0
    for key in m.state.keys("Q"):
        if int.from_bytes(key[1:9], "big") <= epoch + 1:
            name = e.PARAMETERS[int.from_bytes(key[9:], "big") - 1][0]
            setattr(m.state.edit("P"), name, m.state.take(key).value)
    total.oldest = max(total.oldest, epoch + 2 - m.parameters.receipt_window)
    for kind in "CIJRS":
        for key in m.state.keys(kind):
            if int.from_bytes(key[1:9], "big") < total.oldest - m.parameters.audit_window:
                m.state.take(key)
    receipts, units, minted, burned = [now - then for now, then in zip(sums(m), before)]
    total.epoch = epoch + 1
    total.receipts += receipts
    total.units += units
    total.minted += minted
    total.burned += burned
    return e.BODIES[e.EPOCH_CLOSE].make(epoch=epoch, receipts=receipts, units=units, minted=total.minted,
                                        deposited=total.deposited, paid=total.paid, state_root=m.state.root())


@rule(e.EPOCH_CLOSE)
def epoch_close(m, entry):
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    if close_epoch(m).encode() != entry.body.encode():
        m.wrong_closes += 1
        refuse_unless(False, "MISMATCH", "totals or state root")
    m.state.edit_or_make("Z").root = entry.body.state_root

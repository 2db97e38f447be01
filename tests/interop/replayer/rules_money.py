"""RevenueDeposit, Transfer, Claim, SettlementRoot."""
from . import entry as e
from . import keccak, money
from .machine import refuse_unless, rule
from .rules_model import mark, terms_of


def income(m, model, amount):
    """Of a model: to its holders, but for what its parents get at the EpochClose."""
    t, terms = m.state.edit("T", model), m.state.get("M", model)
    n = money.net(t.gross + amount, terms) - money.net(t.gross, terms)
    t.gross += amount
    if money.supply(t) == 0:
        t.held += n
    else:
        money.distribute(t, n)
    if terms.parents:
        m.state.edit_or_make("D", bytes([8 - terms.depth]), model)


@rule(e.REVENUE_DEPOSIT)
def revenue_deposit(m, entry):
    b = entry.body
    refuse_unless(m.state.get("G").treasurer in (e.NOBODY, entry.author), "MISMATCH", "treasurer")
    terms, total = terms_of(m, b.model), m.state.edit("E")
    refuse_unless(total.deposited + b.amount < e.MONEY_LIMIT, "LIMIT", "deposits")
    t = m.state.edit("T", b.model)
    y = money.serving(t.deposited + b.amount, terms) - money.serving(t.deposited, terms)
    t.escrow += y
    total.deposited += b.amount
    t.deposited += b.amount
    if terms.serving_bps:
        m.state.edit_or_make("U", b.model, entry.author).deposited += b.amount
    income(m, b.model, b.amount - y)


def holding_of(m, entry):
    h = m.state.edit("H", entry.body.model, entry.author)
    refuse_unless(h, "NOT_FOUND", "holder")
    return h


@rule(e.TRANSFER)
def transfer(m, entry):
    b = entry.body
    terms = terms_of(m, b.model)
    m.account(b.to)
    h = holding_of(m, entry)
    refuse_unless(b.shares <= money.vested(h, m.epoch, terms) - h.outgoing, "LIMIT", "shares")
    h.outgoing += b.shares
    m.state.edit_or_make("Y", b.model, entry.author, b.to).shares += b.shares
    mark(m, b.model)


@rule(e.CLAIM)
def claim(m, entry):
    b = entry.body
    terms_of(m, b.model)
    h, t = holding_of(m, entry), m.state.edit("T", b.model)
    money.settle(t, h)
    payable = h.credited - h.paid
    amount = b.amount or payable
    refuse_unless(0 < amount <= payable, "LIMIT", "amount")
    for record in (h, t, m.state.edit("E")):
        record.paid += amount
    if any(b.address):
        m.state.edit_or_make("L", b.address).claimed += amount


def settlement(m, reward, scale):
    """(number of leaves, their sum, tree) of all that was claimed to addresses."""
    claimed = [(key[1:], m.state.records[key].claimed) for key in m.state.keys("L")]
    tree = keccak.StandardTree([keccak.claim_leaf(address, reward, amount * 10 ** scale)
                                for address, amount in claimed])
    return len(claimed), sum(amount for _, amount in claimed), tree


@rule(e.SETTLEMENT_ROOT)
def settlement_root(m, entry):
    b = entry.body
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    refuse_unless(m.state.keys("L"), "NOT_FOUND", "an address")
    leaves, total, tree = settlement(m, b.reward, b.scale)
    refuse_unless((b.leaves, b.total, b.root) == (leaves, total, tree.root), "MISMATCH", "settlement")
    m.state.make("N", epoch=m.epoch, **{name: getattr(b, name) for name, _ in b.layout.fields})

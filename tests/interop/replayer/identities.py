"""The identities at the end of FORMAT.md."""
from .entry import BPS
from .money import SCALE, minted, net, serving, supply, unvested, vested


class Broken(Exception):
    """One does not hold: a bug here or in the format."""


def hold(truth, model, what):
    if not truth:
        raise Broken("model %s: %s" % (model.hex(), what))


def check_model(state, model):
    t, terms = state.get("T", model), state.get("M", model)
    hold((t.credited + t.held) * SCALE + t.fractions + t.unsettled + t.remainder
         == (net(t.gross, terms) + t.served_paid) * SCALE, model, "money")
    hold(t.escrow + t.served_paid == serving(t.deposited, terms), model, "escrow")
    hold(t.gross == t.deposited - serving(t.deposited, terms) + t.royalty_in, model, "gross")
    hold(t.royalty_out == sum(t.pulled * bps // BPS for _, bps in terms.parents) and t.pulled <= t.gross, model,
         "royalties")
    hold(t.paid <= t.credited, model, "paid more than was owed")
    hold(t.minted == minted(t.work, terms) and t.burned + t.provisional <= t.minted, model, "minted")
    hold(min(t.remainder, t.held, t.escrow, t.fractions, t.unsettled, t.acc) >= 0, model, "sign")


def check_totals(state):
    total, every = state.get("E"), [state.records[key] for key in state.keys("T")]
    for whole, part in (("minted", "minted"), ("burned", "burned"), ("deposited", "deposited"), ("paid", "paid"),
                        ("receipts", "receipts"), ("units", "work")):
        if getattr(total, whole) != sum(getattr(t, part) for t in every):
            raise Broken("sum of %s" % whole)
    if sum(t.royalty_in for t in every) != sum(t.royalty_out for t in every) or len(every) != total.models:
        raise Broken("sum of royalties, or the number of models")


def check_everything(state):
    """Also the full sums over holders, clients, datasets."""
    check_totals(state)
    epoch = state.get("E").epoch
    for key in state.keys("T"):
        model, t, terms = key[1:], state.records[key], state.get("M", key[1:])
        check_model(state, model)
        every = {k[33:]: state.records[k] for k in state.keys("H", model)}
        sums = {"credited": "credited", "paid": "paid", "fractions": "fraction", "work": "units",
                "receipts": "receipts", "data": "data"}
        for whole, part in sums.items():
            hold(getattr(t, whole) == sum(getattr(h, part) for h in every.values()), model, whole + " of all holders")
        hold(supply(t) == sum(h.shares for h in every.values()), model, "shares of all holders")
        hold(t.unsettled == sum((t.acc - h.snap) * h.shares for h in every.values()), model, "unsettled of all holders")
        hold(t.holders == len(every), model, "number of holders")
        hold(t.served_paid == sum(serving(state.records[k].spent, terms) for k in state.keys("U", model)), model,
             "clients")
        hold(sum(state.records[k].minted for k in state.keys("B", model)) <= t.data_minted, model, "datasets")
        leaving = {}
        for k in state.keys("Y", model):
            leaving[k[33:65]] = leaving.get(k[33:65], 0) + state.records[k].shares
        for account, h in every.items():
            hold(h.shares == h.matured + unvested(h) and h.paid <= h.credited, model, "a holder")
            hold(h.outgoing == leaving.pop(account, 0) and h.outgoing <= vested(h, epoch, terms), model, "transfers")
        hold(not leaving, model, "a transfer from nobody")

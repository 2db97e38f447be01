"""The integer arithmetic of FORMAT.md section 4, on the records T (totals), H (a holding) and M (terms) of a model.

Python's integers do not overflow; a value that does not fit its field fails when the record is written.
"""
from .entry import BPS

SCALE = 2 ** 64


def minted(work, terms):
    """F(w)."""
    total, left = 0, work
    for k in range(64):
        if left <= 0 or not terms.rate >> k:
            break
        total += min(terms.halving, left) * (terms.rate >> k)
        left -= terms.halving
    return total // terms.rate_divisor


def serving(deposited, terms):
    """P(d): what of the deposits is kept for those who serve."""
    return deposited * terms.serving_bps // BPS


def net(gross, terms):
    """N(g): what of the income is left after the parents' royalties."""
    return gross * (BPS - sum(bps for _, bps in terms.parents)) // BPS


def supply(t):
    return t.minted - t.burned - t.provisional


def distribute(t, amount):
    n, shares = amount * SCALE + t.remainder, supply(t)
    q, t.remainder = divmod(n, shares)
    t.acc += q
    t.unsettled += q * shares


def settle(t, h):
    o = (t.acc - h.snap) * h.shares
    s = o + h.fraction
    t.unsettled -= o
    t.fractions += s % SCALE - h.fraction
    h.credited += s // SCALE
    t.credited += s // SCALE
    h.fraction, h.snap = s % SCALE, t.acc


def sweep(h, epoch, terms):
    """Moves what has vested at an epoch from tranches (start, shares, vested, slashed) to matured."""
    kept = []
    for start, shares, vested, slashed in h.tranches:
        age = max(0, epoch - start)
        v = shares if age >= terms.vest_epochs else shares * age // terms.vest_epochs if age >= terms.vest_cliff else 0
        v = min(v, shares - slashed)
        h.matured += v - vested
        if age < terms.vest_epochs:
            kept.append((start, shares, v, slashed))
    h.tranches = kept


def vested(h, epoch, terms):
    h = h.copy()
    sweep(h, epoch, terms)
    return h.matured


def grant(h, shares, start, terms):
    """Shares that vest from epoch `start` on."""
    sweep(h, start, terms)
    h.shares += shares
    if terms.vest_epochs == 0:
        h.matured += shares
    elif h.tranches and h.tranches[-1][0] == start:
        _, before, moved, slashed = h.tranches[-1]
        h.tranches[-1] = (start, before + shares, moved, slashed)
    else:
        h.tranches.append((start, shares, 0, 0))


def unvested(h):
    return sum(shares - moved - slashed for _, shares, moved, slashed in h.tranches)


def slash(h, shares):
    """Takes unvested shares, the last first."""
    h.shares -= shares
    for i in range(len(h.tranches) - 1, -1, -1):
        start, all_, moved, slashed = h.tranches[i]
        part = min(shares, all_ - moved - slashed)
        h.tranches[i], shares = (start, all_, moved, slashed + part), shares - part


def by_units(pool, workers):
    """workers: [(account, units)] -> {account: shares}: largest remainders, ties to the lower account id."""
    total = sum(units for _, units in workers)
    if not pool:
        return {account: 0 for account, _ in workers}
    out, rests = {}, []
    for account, units in workers:
        out[account], rest = divmod(pool * units, total)
        rests.append((-rest, account))
    for _, account in sorted(rests)[:pool - sum(out.values())]:
        out[account] += 1
    return out

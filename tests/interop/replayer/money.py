"""The integer arithmetic of FORMAT.md section 4. Python's integers do not overflow, so bounds are asserted."""
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


def distribute(t, amount):
    n = amount * SCALE + t.remainder
    q, t.remainder = divmod(n, t.supply)
    t.acc += q
    t.unsettled += q * t.supply


def settle(t, h):
    o = (t.acc - h.snap) * h.shares
    s = o + h.fraction
    t.unsettled -= o
    t.fractions += s % SCALE - h.fraction
    h.credited += s // SCALE
    t.credited += s // SCALE
    h.fraction, h.snap = s % SCALE, t.acc


def grant(h, shares, start, terms):
    """Shares that vest from epoch `start` on."""
    while h.tranches and start - h.tranches[0][0] >= terms.vest_epochs:
        h.matured += h.tranches.pop(0)[1]
    h.shares += shares
    if terms.vest_epochs == 0:
        h.matured += shares
    elif h.tranches and h.tranches[-1][0] == start:
        h.tranches[-1] = (start, h.tranches[-1][1] + shares)
    else:
        h.tranches.append((start, shares))


def vested(h, epoch, terms):
    out = h.matured
    for start, shares in h.tranches:
        age = max(0, epoch - start)
        if age >= terms.vest_epochs:
            out += shares
        elif age >= terms.vest_cliff:
            out += shares * age // terms.vest_epochs
    return out


def by_units(pool, workers):
    """workers: [(account, units)] -> {account: shares}: largest remainders, ties to the lower account id."""
    total = sum(units for _, units in workers)
    out, rests = {}, []
    for account, units in workers:
        out[account], rest = divmod(pool * units, total)
        rests.append((-rest, account))
    for _, account in sorted(rests)[:pool - sum(out.values())]:
        out[account] += 1
    return out

"""Commit, Assign, AuditResult, Dispute, Evidence, Slash."""
import hashlib

from . import entry as e
from . import note
from .fields import Malformed, u32, u64
from .machine import refuse_unless, rule
from .rules_model import mark
from .rules_work import (ACCEPTED, FAILED, NOT_COUNTED, STANDS, WAITS, check_work, count, meet, overlap,
                         receipt_key, take_back, where, write_receipt)


@rule(e.COMMIT)
def commit(m, entry):
    b = entry.body
    if b.phase == 0:
        refuse_unless(b.epoch == m.epoch, "SEQUENCE", "epoch")
        refuse_unless(m.state.get("C", u64(b.epoch), entry.author) is None, "EXISTS", "commitment")
        m.state.make("C", u64(b.epoch), entry.author, commitment=b.value)
        return
    refuse_unless(b.epoch < m.epoch, "SEQUENCE", "epoch")
    c = m.state.edit("C", u64(b.epoch), entry.author)
    refuse_unless(c, "NOT_FOUND", "commitment")
    refuse_unless(not c.revealed, "EXISTS", "secret")
    refuse_unless(m.state.get("S", u64(b.epoch)) is None, "SEQUENCE", "assigned already")
    refuse_unless(c.commitment == commitment(entry.author, b.epoch, b.value), "MISMATCH", "secret")
    c.revealed, c.secret = 1, b.value


def commitment(author, epoch, secret):
    return hashlib.sha256(b"pluralis.commit/v1" + author + u64(epoch) + secret).digest()


@rule(e.ASSIGN)
def assign(m, entry):
    epoch = entry.body.epoch
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    refuse_unless(epoch < m.epoch, "SEQUENCE", "epoch")
    refuse_unless(m.state.get("S", u64(epoch)) is None, "EXISTS", "seed")
    found = [(key[9:], m.state.records[key].secret) for key in m.state.keys("C")
             if key[1:9] == u64(epoch) and m.state.records[key].revealed][:1024]
    refuse_unless(found, "NOT_FOUND", "a revealed secret")
    seed = hashlib.sha256(b"pluralis.audit/v1" + u64(epoch) + m.state.get("Z").root
                          + b"".join(account + secret for account, secret in found)).digest()
    m.state.make("S", u64(epoch), seed=seed, audit_bps=m.parameters.audit_bps,
                 auditors=[(account,) for account, _ in found])


def lot(s, b):
    """The two integers that a receipt draws."""
    h = hashlib.sha256(s.seed + b"".join(receipt_key(b))).digest()
    return int.from_bytes(h[:8], "big"), int.from_bytes(h[8:16], "big")


def auditor_of(s, b, worker, rounds):
    """Account, or None."""
    found = [account for account, in s.auditors if account != worker]
    return found[((lot(s, b)[1] * len(found) >> 64) + rounds) % len(found)] if found else None


def fault(m, model, account, reporter):
    f = m.state.edit_or_make("F", model, account)
    f.count += 1
    f.since, f.reporter = m.epoch, reporter


def withdraw(m, model, account):
    f = m.state.edit("F", model, account)
    if f:
        f.count -= 1
        if not f.count:
            m.state.take(b"F", model, account)


@rule(e.AUDIT_RESULT)
def audit_result(m, entry):
    b, author = entry.body, entry.author
    s = m.state.get("S", u64(b.epoch))
    refuse_unless(s, "SEQUENCE", "no seed yet")
    r = m.state.edit("R", *receipt_key(b))
    refuse_unless(r, "NOT_FOUND", "receipt")
    j = m.state.edit_or_make("J", *receipt_key(b))
    d, before = j.disputer != e.NOBODY, r.standing
    refuse_unless(before in (ACCEPTED, WAITS) or d, "EXISTS", "verdict")
    refuse_unless(lot(s, b)[0] * e.BPS >> 64 < s.audit_bps or d or before == WAITS, "MISMATCH", "not drawn")
    refuse_unless(author == auditor_of(s, b, r.worker, j.rounds), "MISMATCH", "author")
    worker, earlier, disputer = r.worker, j.auditor, j.disputer

    def blame(account, reporter):
        fault(m, b.model, account, reporter)

    if b.verdict == e.PASSED:
        r.standing = STANDS
        if r.counted == NOT_COUNTED:
            count(m, b.model, r)
        if before == WAITS:
            for one in {j.upstream, j.downstream} - {e.NOBODY}:
                blame(one, worker)
        elif before == FAILED:
            withdraw(m, b.model, worker)
            if earlier != author:
                blame(earlier, disputer)
        elif d:
            blame(disputer, worker)
    else:
        r.standing = FAILED
        take_back(m, b.model, r)
        if before == FAILED:
            blame(disputer, author)
        else:
            blame(worker, disputer if d else author)
        if before == STANDS and earlier != author:
            blame(earlier, disputer)
    j.auditor, j.disputer, j.upstream, j.downstream = author, e.NOBODY, e.NOBODY, e.NOBODY
    j.rounds += 1


@rule(e.DISPUTE)
def dispute(m, entry):
    b, author = entry.body, entry.author
    if b.kind == e.REFUSED:
        check_work(m, b, refused=True)
        for account in (b.upstream, b.downstream):
            m.account(account)
        write_receipt(m, b, author, WAITS)
        m.state.make("J", *receipt_key(b), upstream=b.upstream if b.refusers & 1 else e.NOBODY,
                     downstream=b.downstream if b.refusers & 2 else e.NOBODY)
        return
    r = m.state.edit("R", *receipt_key(b))
    if b.kind == e.CONTEST:
        refuse_unless(r, "NOT_FOUND", "receipt")
        j = m.state.edit_or_make("J", *receipt_key(b))
        refuse_unless(r.standing != WAITS and j.disputer == e.NOBODY, "EXISTS", "dispute")
        refuse_unless(j.rounds < 3, "LIMIT", "rounds")
        refuse_unless(author != r.worker or r.standing == FAILED, "MISMATCH", "author")
        h = m.state.get("H", b.model, author)
        refuse_unless(h and h.shares > 0, "NOT_FOUND", "holder")
        j.disputer = author
        return
    refuse_unless(r and r.standing == WAITS, "NOT_FOUND", "receipt")
    j = m.state.edit("J", *receipt_key(b))
    refuse_unless(author in (j.upstream, j.downstream), "MISMATCH", "author")
    if j.upstream == author:
        j.upstream = e.NOBODY
    if j.downstream == author:
        j.downstream = e.NOBODY
    if j.upstream == j.downstream == e.NOBODY:
        m.state.take(b"J", *receipt_key(b))
        r.standing = ACCEPTED
        count(m, b.model, r)


@rule(e.EVIDENCE)
def evidence(m, entry):
    b = entry.body
    what = is_fork(m, b.first, b.second) if b.kind == e.FORK else conflict(m, b.first, b.second)
    refuse_unless(what, "PROOF", "not evidence")
    digest = hashlib.sha256(b"pluralis.evidence/v1" + bytes([b.kind]) + what).digest()
    refuse_unless(m.state.get("X", digest) is None, "EXISTS", "evidence")
    m.state.make("X", digest, kind=b.kind, epoch=m.epoch)
    if b.kind == e.CONFLICT:
        fault(m, what[32:64], what[:32], entry.author)


def is_fork(m, first, second):
    """What it proves, as bytes; None."""
    try:
        (size, root), (other, other_root) = [note.open_checkpoint(text, m.origin.decode(), m.key, m.strict)
                                             for text in (first, second)]
    except note.BadNote:
        return None
    return u64(size) + min(root, other_root) + max(root, other_root) if size == other and root != other_root else None


def conflict(m, first, second):
    """Two receipts that cannot both be true: worker, model, epoch, step, lane, as bytes; None."""
    try:
        one, other = e.parse(first), e.parse(second)
    except Malformed:
        return None
    if one.type != e.RECEIPT or other.type != e.RECEIPT or one.author != other.author:
        return None
    a, b = one.body, other.body
    same = ("model", "epoch", "step", "lane", "weight_step", "weight_root")
    account = m.state.get("A", one.author)
    if not account or any(getattr(a, name) != getattr(b, name) for name in same):
        return None
    if not overlap(where(a), where(b)) or not meet(a.mb_first, a.mb_first + a.mb_count, b.mb_first,
                                                   b.mb_first + b.mb_count):
        return None
    if a.frames_root == b.frames_root or (a.upstream, a.downstream) == (b.upstream, b.downstream):
        return None
    if not m.state.get("M", a.model):
        return None
    for one_entry in (one, other):
        raw = one_entry.signatures[0].bytes
        if not any(m.signed(key, one_entry.unsigned, raw) for key in (account.key, account.previous)):
            return None
    return one.author + a.model + u64(a.epoch, a.step) + u32(a.lane)


@rule(e.SLASH)
def slash(m, entry):
    b = entry.body
    f = m.state.get("F", b.model, b.account)
    refuse_unless(f, "NOT_FOUND", "fault")
    refuse_unless(f.since + m.parameters.slash_delay <= m.epoch, "SEQUENCE", "too early")
    refuse_unless(m.state.get("V", b.model, b.account) is None, "EXISTS", "slash")
    m.state.make("V", b.model, b.account, reporter=f.reporter, bps=min(e.BPS, f.count * m.parameters.slash_bps))
    m.state.take(b"F", b.model, b.account)
    mark(m, b.model)

"""Genesis, AccountOpen, KeyRotate, ParamChange."""
from . import entry as e
from .fields import u16, u64
from .machine import refuse_unless, rule


@rule(e.GENESIS, numbered=False)
def genesis(m, entry):
    b = entry.body
    refuse_unless(m.open is None, "EXISTS", "Genesis")
    refuse_unless(b.origin == m.origin and b.key == m.key, "MISMATCH", "origin or sequencer")
    refuse_unless(entry.author == m.sequencer and entry.nonce == 1, "MISMATCH", "author or nonce")
    m.check_signatures(entry, {e.AUTHOR: b.key})
    m.state.make("G", **{name: getattr(b, name) for name, _ in b.layout.fields})
    m.state.make("E", accounts=1)
    m.state.make("P", **{name: b.receipt_window if first is None else first for name, _, _, first in e.PARAMETERS})
    m.state.make("A", entry.author, algorithm=b.algorithm, key=b.key, nonce=1)


@rule(e.ACCOUNT_OPEN, numbered=False)
def account_open(m, entry):
    b = entry.body
    refuse_unless(entry.author == e.account_id(b.key), "MISMATCH", "author")
    refuse_unless(m.state.get("A", entry.author) is None, "EXISTS", "account")
    refuse_unless(entry.nonce == 1, "SEQUENCE", "nonce")
    refuse_unless(entry.valid_to_epoch >= m.epoch, "SEQUENCE", "expired")
    m.check_signatures(entry, {e.AUTHOR: b.key})
    m.state.make("A", entry.author, algorithm=b.algorithm, key=b.key, nonce=1, opened=m.epoch)
    m.state.edit("E").accounts += 1


def change_key(account, key, recovery):
    account.previous, account.key, account.recovery = account.key, key, recovery


@rule(e.KEY_ROTATE)
def key_rotate(m, entry):
    b, account = entry.body, m.state.edit("A", entry.author)
    if b.way == 0:
        if account.pending:
            m.state.take(b"K", u64(account.pending), entry.author)
            account.pending = 0
        change_key(account, b.key, b.recovery)
    else:
        refuse_unless(account.pending == 0, "EXISTS", "a recovery that waits")
        account.pending = m.epoch + m.parameters.recovery_delay
        m.state.make("K", u64(account.pending), entry.author, key=b.key, recovery=b.recovery)


@rule(e.PARAM_CHANGE)
def param_change(m, entry):
    b = entry.body
    refuse_unless(entry.author == m.sequencer, "MISMATCH", "author")
    refuse_unless(b.from_epoch >= m.epoch + m.parameters.change_delay, "SEQUENCE", "too early")
    refuse_unless(m.state.get("Q", u64(b.from_epoch), u16(b.parameter)) is None, "EXISTS", "change")
    m.state.make("Q", u64(b.from_epoch), u16(b.parameter), value=b.value)

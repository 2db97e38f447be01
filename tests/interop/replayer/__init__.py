"""An independent reader of the ledger: standard library only, written from lib/ledger/FORMAT.md and from no other code.

It shares nothing with the library, so that an agreement of the two says something about the format.
"""
from . import note as _note
from . import rules_account, rules_audit, rules_close, rules_model, rules_money, rules_work  # noqa: F401 they register
from .identities import Broken, check_everything
from .machine import Machine
from .merkle import leaf_hash as _leaf_hash, root_of as _root_of


class BadLog(ValueError):
    """Entries that are not what their sequencer says they are."""


def replay(point, entries, origin, key, verifier, skip_signatures=False):
    """(machine, code of every entry) of a checkpoint and its entries, replayed from nothing. Raises BadNote when the
    checkpoint is not the log's, BadLog when the entries are not those it covers or their sequencer miscounts, Broken
    when an identity does not hold."""
    size, root = _note.open_checkpoint(point, origin, key, verifier)
    if (len(entries), _root_of(map(_leaf_hash, entries))) != (size, root):
        raise BadLog("the entries are not those of the checkpoint")
    machine = Machine(origin, key, None if skip_signatures else verifier)
    codes = [machine.append(one) for one in entries]
    if machine.open is None or codes[0] != "OK":
        raise BadLog("it does not begin with the Genesis of this log")
    if machine.wrong_closes:
        raise BadLog("an EpochClose does not say what the log comes to")
    check_everything(machine.state)
    return machine, codes


__all__ = ["BadLog", "Broken", "Machine", "replay"]

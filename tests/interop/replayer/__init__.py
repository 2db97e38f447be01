"""An independent reader of the ledger: standard library only, written from lib/ledger/FORMAT.md and from no other code.

It shares nothing with the library, so that an agreement of the two says something about the format.
"""
from . import note as _note
from . import rules_base as _rules_base  # noqa: F401 registers its rules
from .machine import Broken, Machine


def replay(point, entries, origin, key, verifier, skip_signatures=False):
    """(machine, code of every entry) of a checkpoint and its entries, replayed from nothing. Raises BadNote when the
    checkpoint is not the log's or the entries are not those it covers, Broken when an identity does not hold."""
    size, root = _note.open_checkpoint(point, origin, key, verifier)
    machine = Machine(origin, key, None if skip_signatures else verifier)
    codes = [machine.append(one) for one in entries]
    if machine.open is None:
        raise _note.BadNote("no Genesis of this log")
    machine.check_everything()
    if (machine.log.size, machine.log.root) != (size, root):
        raise _note.BadNote("the entries are not those of the checkpoint")
    return machine, codes


__all__ = ["Broken", "Machine", "replay"]

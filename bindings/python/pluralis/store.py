"""A place of your own to keep a ledger in, instead of the built-in SQLite file."""
from __future__ import annotations

import ctypes
from typing import Optional

from . import _abi
from .io import Caught


class LedgerStore:
    """Rows, numbered from 0, that are only ever appended, and a few records by name that are replaced. Derive from it.

    What is written between begin and commit is one transaction: when commit returns all of it is durable; before, a
    crash leaves all of it or none. After rollback, which also follows a commit that raised, none of it is there. row
    and get see what was committed; nothing is read inside a transaction. One writer at a time is the host's to ensure.
    What a method raises is raised by the call on the ledger, which has then changed nothing."""

    def begin(self) -> None:
        raise NotImplementedError

    def append(self, index: int, row: bytes) -> None:
        """Appends row `index`, the next one."""
        raise NotImplementedError

    def put(self, name: str, data: Optional[bytes]) -> None:
        """Replaces a record, or removes it when data is None."""
        raise NotImplementedError

    def commit(self) -> None:
        raise NotImplementedError

    def rollback(self) -> None:
        raise NotImplementedError

    def row(self, index: int) -> Optional[bytes]:
        """None when there is none."""
        raise NotImplementedError

    def get(self, name: str) -> Optional[bytes]:
        """None when there is none."""
        raise NotImplementedError

    def compact(self) -> None:
        """Gives unused space back."""


class Bridge:
    """What C calls. It keeps the bytes that were read last, as long as C may look at them."""

    def __init__(self, store: LedgerStore):
        self.caught, self._read = Caught(), None
        caught = self.caught

        def give(found, data, length):
            if found is None:
                return _abi.PLR_ERR_NOT_FOUND
            self._read = bytes(found)
            ctypes.c_void_p.from_address(data).value = ctypes.cast(self._read, ctypes.c_void_p).value
            ctypes.c_size_t.from_address(length).value = len(self._read)
            return _abi.PLR_OK

        def look_up(function, key, data, length):
            found = []
            return caught.guard(lambda: found.append(function(key))) or give(found[0], data, length)

        def name_of(address):
            return ctypes.string_at(address).decode()

        self.vtable = _abi.plr_ledger_store(
            None,
            _abi.plr_ledger_store_begin_fn(lambda _u, _e: caught.guard(store.begin)),
            _abi.plr_ledger_store_append_fn(
                lambda _u, index, row, length, _e: caught.guard(store.append, index, ctypes.string_at(row, length))),
            _abi.plr_ledger_store_put_fn(
                lambda _u, name, data, length, _e: caught.guard(
                    store.put, name_of(name), ctypes.string_at(data, length) if length else None)),
            _abi.plr_ledger_store_commit_fn(lambda _u, _e: caught.guard(store.commit)),
            _abi.plr_ledger_store_rollback_fn(lambda _u: self._rollback(store)),
            _abi.plr_ledger_store_row_fn(
                lambda _u, index, data, length, _e: look_up(store.row, index, data, length)),
            _abi.plr_ledger_store_get_fn(
                lambda _u, name, data, length, _e: look_up(store.get, name_of(name), data, length)),
            _abi.plr_ledger_store_compact_fn(lambda _u, _e: caught.guard(store.compact)))

    def _rollback(self, store):
        """Runs even when an exception is already on its way: that is what it follows."""
        earlier, self.caught.exception = self.caught.exception, None
        self.caught.guard(store.rollback)
        self.caught.exception = earlier or self.caught.exception

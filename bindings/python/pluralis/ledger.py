"""The contribution ledger: an append-only log of signed entries, and the state that follows from it.

Times are epochs, counted from 0. Money is an integer of the currency's smallest unit. Accounts, models, roots and
proofs are 32-byte hashes. Entries are bytes, made by the functions of pluralis.entries or by a stage (receipts).
"""
from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from . import _abi, log
from ._buffer import reading
from ._handle import (Handle, create, hash_in, hashes_out, initialised, need, new_error, octets, sized, text, u32,
                      u64)
from ._load import C
from ._records import Balance, LedgerSummary, ModelTotals
from .context import Context
from .errors import PluralisError, failure
from .identity import Identity, key_in
from .io import Caught, Readable, Writable, reading_from, sink_for
from .settlement import Leaf, _read as read_leaf
from .store import Bridge, LedgerStore

ENTRY_MAX, NO_INDEX = _abi.PLR_ENTRY_MAX, 2 ** 64 - 1


class Appended(NamedTuple):
    """What became of one entry of append_many: its place in the log (None: not logged) and, if it was refused, why."""

    index: Optional[int]
    error: Optional[PluralisError]


class Ledger(Handle):
    """Opens or creates a ledger.

    path        SQLite file, created when absent, with one writer and any number of readers; None: in memory
    store       a LedgerStore instead of a path
    origin      name of the log ("example.org/job"); None: any, when the file exists
    sequencer   Identity that orders entries and signs checkpoints; None: the file must exist, and is only read
    log_invalid True: entries that fail are logged too, without effect but their nonce, and raise all the same
    currency, decimals, receipt_window, treasurer   of a new ledger; see include/pluralis/ledger.h
    """

    __slots__ = ("_context", "_bridge")

    def __init__(self, context: Context, path: Any = None, *, store: Optional[LedgerStore] = None,
                 origin: Optional[str] = None, sequencer: Optional[Identity] = None, log_invalid: bool = False,
                 currency: Optional[str] = None, decimals: Optional[int] = None, receipt_window: Optional[int] = None,
                 treasurer: Optional[bytes] = None):
        need(context, Context, "context")
        options, bridge = _where(path, store)
        options.log_invalid = bool(log_invalid)
        for name, value in (("origin", origin), ("currency", currency)):
            if value is not None:
                setattr(options, name, text(value, name))
        for name, value in (("decimals", decimals), ("receipt_window", receipt_window)):
            if value is not None:
                setattr(options, name, u32(value, name))
        options.treasurer = key_in(treasurer, "treasurer")
        parents = (context,) if sequencer is None else (context, need(sequencer, Identity, "sequencer"))

        def build(c, s=None):
            options.sequencer = s
            try:
                return create(C.plr_ledger_open, "Ledger", c, options)
            except PluralisError:
                if bridge:
                    bridge.caught.settle()
                raise

        self._make(C.plr_ledger_destroy, parents, build, bridge)
        self._context, self._bridge = context, bridge

    def _call(self, function, *arguments):
        try:
            return super()._call(function, *arguments)
        finally:
            if self._bridge:
                self._bridge.caught.settle()

    def _checked(self, where, call):
        """call(pointer, error) -> status, on a handle nobody else uses."""
        error = new_error()
        status = self._call(call, error)
        if status:
            raise failure(status, where, error)

    @property
    def origin(self) -> str:
        return self._read(lambda p: C.plr_ledger_origin(p, None).decode())

    @property
    def public_key(self) -> bytes:
        """The sequencer's: what those who verify need to know beforehand."""
        out = ctypes.create_string_buffer(32)
        self._read(C.plr_ledger_origin, out)
        return out.raw

    # ---- append ---------------------------------------------------------------------------------

    def append(self, entry: bytes) -> int:
        """Appends one entry and makes it durable; its place in the log. An entry that is not valid raises, with a
        status that says why, and leaves no trace (but see log_invalid)."""
        argument, length, _keep = reading(entry, "entry")
        index = ctypes.c_uint64()
        self._checked("Ledger.append", lambda p, e: C.plr_ledger_append(p, argument, length, ctypes.byref(index), e))
        return index.value

    def append_many(self, entries: Iterable[bytes]) -> List[Appended]:
        """Appends entries in order, in one transaction. Each has its own outcome; if this raises, none was appended."""
        views = [reading(entry, "entries[%d]" % i) for i, entry in enumerate(entries)]
        items = (_abi.plr_append_item * len(views))()
        for item, (argument, length, _keep) in zip(items, views):
            item.entry = ctypes.cast(argument, ctypes.c_void_p) if isinstance(argument, bytes) else argument
            item.len = length
        self._checked("Ledger.append_many", lambda p, e: C.plr_ledger_append_many(p, items, len(views), e))
        return [Appended(None if item.index == NO_INDEX else item.index,
                         failure(item.status, "entries[%d]" % i) if item.status else None)
                for i, item in enumerate(items)]

    def close_epoch(self) -> int:
        """Closes the open epoch: work becomes shares. Index of the EpochClose."""
        index = ctypes.c_uint64()
        self._checked("Ledger.close_epoch", lambda p, e: C.plr_ledger_close_epoch(p, ctypes.byref(index), e))
        return index.value

    def settle(self, reward: bytes, scale: int = 0) -> bytes:
        """Appends SettlementRoot over all that was claimed to addresses; its root. reward: the token, 20 bytes; what is
        claimable is 10^scale times the ledger's unit."""
        root, reward, scale = _abi.plr_hash(), octets(reward, 20, "reward"), u32(scale, "scale")
        self._checked("Ledger.settle", lambda p, e: C.plr_ledger_settle(p, reward, scale, root, None, e))
        return bytes(root)

    def settlement_leaves(self, reward: bytes, scale: int = 0, page: int = 256) -> List[Leaf]:
        """What was claimed to addresses until now, in order of address; see pluralis.settlement."""
        out, count = (_abi.plr_settlement_leaf * max(1, u32(page, "page")))(), ctypes.c_size_t()
        reward, scale, found = octets(reward, 20, "reward"), u32(scale, "scale"), []
        while True:
            status = self._read(C.plr_ledger_settlement_leaves, reward, scale, len(found), out, len(out),
                                ctypes.byref(count))
            if status:
                raise failure(status, "Ledger.settlement_leaves")
            found += [read_leaf(out[i]) for i in range(count.value)]
            if count.value < len(out):
                return found

    def compact(self) -> None:
        """Stores the state anew, so that the next opening replays nothing, and gives back space that is not used."""
        self._checked("Ledger.compact", lambda p, e: C.plr_ledger_compact(p, e))

    # ---- state ----------------------------------------------------------------------------------

    @property
    def summary(self) -> LedgerSummary:
        out = sized(_abi.plr_ledger_summary)
        status = self._read(C.plr_ledger_summarize, out)
        if status:
            raise failure(status, "Ledger.summary")
        return LedgerSummary.of(out)

    def next_nonce(self, account: bytes) -> int:
        """Nonce of the next entry of an account; 1 when it is unknown."""
        return self._read(C.plr_ledger_next_nonce, hash_in(account, "account"))

    def model(self, model: bytes) -> ModelTotals:
        """Totals of a registered model."""
        out = sized(_abi.plr_model_totals)
        status = self._read(C.plr_ledger_model, hash_in(model, "model"), out)
        if status:
            raise failure(status, "Ledger.model")
        return ModelTotals.of(out)

    def parents(self, model: bytes) -> List[Tuple[bytes, int]]:
        """(model, bps of revenue) of what a model is built on."""
        out, count = (_abi.plr_parent * 4)(), ctypes.c_uint32()
        status = self._read(C.plr_ledger_parents, hash_in(model, "model"), out, ctypes.byref(count))
        if status:
            raise failure(status, "Ledger.parents")
        return [(bytes(out[i].model), out[i].bps) for i in range(count.value)]

    def balance(self, account: bytes, model: bytes) -> Balance:
        """What one account has in one model; all zero when it has nothing."""
        out = _abi.plr_balance()
        status = self._read(C.plr_ledger_balance, hash_in(account, "account"), hash_in(model, "model"), out)
        if status:
            raise failure(status, "Ledger.balance")
        return Balance.of(out)

    def holders(self, model: bytes, page: int = 256) -> Iterator[Balance]:
        """Holders of a model in order of account id, read `page` at a time."""
        model, after = hash_in(model, "model"), None
        out, count = (_abi.plr_balance * max(1, u32(page, "page")))(), ctypes.c_size_t()
        while True:
            status = self._read(C.plr_ledger_holders, model, after, out, len(out), ctypes.byref(count))
            if status:
                raise failure(status, "Ledger.holders")
            found = [Balance.of(out[i]) for i in range(count.value)]
            yield from found
            if count.value < len(out):
                return
            after = hash_in(found[-1].account, "account")

    def entry(self, index: int) -> bytes:
        """Bytes of an entry."""
        out, length = ctypes.create_string_buffer(ENTRY_MAX), ctypes.c_size_t()
        index = u64(index, "index")
        self._checked("Ledger.entry",
                      lambda p, e: C.plr_ledger_entry(p, index, out, ENTRY_MAX, ctypes.byref(length), e))
        return out.raw[:length.value]

    # ---- log ------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Signs the log's size and root as a C2SP checkpoint."""
        out, length = ctypes.create_string_buffer(4096), ctypes.c_size_t()
        self._checked("Ledger.checkpoint",
                      lambda p, e: C.plr_ledger_checkpoint(p, out, len(out), ctypes.byref(length), e))
        return out.raw[:length.value]

    def prove_inclusion(self, index: int, size: int) -> List[bytes]:
        """Proof that entry `index` is in the tree of `size` entries (RFC 6962 2.1.1)."""
        return self._prove(C.plr_ledger_prove_inclusion, u64(index, "index"), u64(size, "size"))

    def prove_consistency(self, old_size: int, new_size: int) -> List[bytes]:
        """Proof that the tree of old_size entries is the beginning of that of new_size (RFC 6962 2.1.2)."""
        return self._prove(C.plr_ledger_prove_consistency, u64(old_size, "old_size"), u64(new_size, "new_size"))

    def _prove(self, function, first, second):
        proof, count = (_abi.plr_hash * (_abi.PLR_PROOF_MAX + 1))(), ctypes.c_uint32()
        self._checked("Ledger.prove", lambda p, e: function(p, first, second, proof, ctypes.byref(count), e))
        return hashes_out(proof, count.value)

    # ---- publication ----------------------------------------------------------------------------

    def _text(self, where, function, *arguments, cap=1 << 17):
        out, length = ctypes.create_string_buffer(cap), ctypes.c_size_t()
        self._checked(where, lambda p, e: function(p, *arguments, out, cap, ctypes.byref(length), e))
        return out.raw[:length.value]

    def resource(self, path: str) -> bytes:
        """One file of the published log by its path: "checkpoint", "tile/0/000", "tile/entries/000.p/3"."""
        name, out, length = text(path, "path"), ctypes.create_string_buffer(8192), ctypes.c_size_t()
        while True:
            error = new_error()
            status = self._call(C.plr_ledger_resource, name, out, len(out), ctypes.byref(length), error)
            if status == _abi.PLR_ERR_BUFFER_TOO_SMALL:
                out = ctypes.create_string_buffer(length.value)
                continue
            if status:
                raise failure(status, "Ledger.resource", error)
            return out.raw[:length.value]

    def publish(self, target: Union[str, os.PathLike, Callable[[str, bytes, bool], None]]) -> int:
        """Publishes what the recorded checkpoint needs, the checkpoint last: to a folder, or by calling
        target(path, data, immutable), which makes one file durable or raises. Entries under the checkpoint."""
        size = ctypes.c_uint64()
        if not callable(target):
            folder = _path(target)
            self._checked("Ledger.publish",
                          lambda p, e: C.plr_ledger_publish_path(p, folder, ctypes.byref(size), e))
            return size.value
        caught, error = Caught(), new_error()

        def put(_user, path, data, length, immutable):
            return caught.guard(target, ctypes.string_at(path).decode(), ctypes.string_at(data, length),
                                bool(immutable))

        publisher = _abi.plr_publisher(None, _abi.plr_publisher_put_fn(put))
        status = self._call(C.plr_ledger_publish, publisher, ctypes.byref(size), error)
        caught.settle()
        if status:
            raise failure(status, "Ledger.publish", error)
        return size.value

    def witness_request(self, old_size: int = 0) -> bytes:
        """Body of a POST to a witness's add-checkpoint, for one that has seen old_size entries."""
        return self._text("Ledger.witness_request", C.plr_ledger_witness_request, u64(old_size, "old_size"))

    def cosign(self, name: str, public_key: bytes, lines: bytes) -> None:
        """Adds a witness's line from its answer to the recorded checkpoint."""
        key, raw = log.witness_keys([(name, public_key)]), bytes(memoryview(lines))
        self._checked("Ledger.cosign", lambda p, e: C.plr_ledger_cosign(p, key, raw, len(raw), e))

    def guard(self, note: bytes) -> None:
        """Refuses to go on (OutOfSequence, Mismatch) when `note`, a checkpoint seen elsewhere, is of more entries
        than there are here or of another history."""
        raw = bytes(memoryview(note))
        self._checked("Ledger.guard", lambda p, e: C.plr_ledger_guard(p, raw, len(raw), e))

    def proof(self, index: int) -> bytes:
        """A proof file (c2sp.org/tlog-proof@v1) that entry `index` is under the recorded checkpoint."""
        return self._text("Ledger.proof", C.plr_ledger_proof, u64(index, "index"))

    def export(self, target: Writable) -> None:
        """Writes checkpoint and entries as one file that anyone can verify: to a path, a file object or a Sink."""
        self._owner.pointer  # a closed ledger raises before the sink is taken
        sink, error = sink_for(self._context, target), new_error()
        with sink:
            sink.check(self._call(lambda p: C.plr_ledger_export(p, sink.take(), error)), "Ledger.export", error)


def _path(path) -> bytes:
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError("path: a NUL character")
    return raw


def _where(path, store):
    """Options that name a store, and what must live as long as it is used."""
    options = initialised(_abi.plr_ledger_options, C.plr_ledger_options_init)
    bridge = Bridge(need(store, LedgerStore, "store")) if store is not None else None
    if path is not None:
        options.path = _path(path)
    if bridge:
        options.store = ctypes.pointer(bridge.vtable)
    return options, bridge


def _against(origin, public_key, skip_signatures):
    """plr_verify_options, and what it borrows."""
    options = initialised(_abi.plr_verify_options, C.plr_verify_options_init)
    key = octets(public_key, 32, "public_key")
    options.origin, options.skip_signatures = text(origin, "origin"), bool(skip_signatures)
    options.public_key = ctypes.cast(key, ctypes.c_void_p)
    return options, key


def _report(options, progress, caught):
    if progress is not None:
        options.progress = _abi.plr_verify_options_progress_fn(
            lambda _user, done, total: (caught.guard(progress, done, total), None)[1])


def rebuild_ledger(context: Context, published: Union[str, os.PathLike, Callable[[str], Optional[bytes]]],
                   path: Any = None, *, origin: str, public_key: bytes, store: Optional[LedgerStore] = None,
                   skip_signatures: bool = False,
                   progress: Optional[Callable[[int, int], None]] = None) -> LedgerSummary:
    """Makes a ledger, in the SQLite file `path` or in `store`, from its published files alone; or adds what is missing
    to one that has the beginning of it. Nothing is kept before its hash was found under the signed root, and every
    entry is replayed as verify_ledger does. What it comes to; open it with Ledger.

    published   folder, or a function from a path ("checkpoint", "tile/0/000") to the file; None: there is none
    origin, public_key   of the log, learned from elsewhere"""
    options, bridge = _where(path, store)
    against, _key = _against(origin, public_key, skip_signatures)
    caught, error, summary = Caught(), new_error(), sized(_abi.plr_ledger_summary)
    _report(against, progress, caught)
    if callable(published):
        function, source = C.plr_ledger_rebuild, _abi.plr_log_reader(None, _reader(published, caught))
    else:
        function, source = C.plr_ledger_rebuild_path, _path(published)
    status = need(context, Context, "context")._read(function, options, source, against, summary, error)
    caught.settle()
    if bridge:
        bridge.caught.settle()
    if status:
        raise failure(status, "rebuild_ledger", error)
    return LedgerSummary.of(summary)


def _reader(published, caught):
    last = [None, None]  # C asks a second time for a file that is longer than it thought

    def read(_user, path, buffer, cap, length):
        name = ctypes.string_at(path).decode()

        def fetch():
            if last[0] != name:
                last[:] = name, published(name)

        status = caught.guard(fetch)
        if status:
            return status
        if last[1] is None:
            return _abi.PLR_ERR_NOT_FOUND
        data = bytes(last[1])
        ctypes.c_size_t.from_address(length).value = len(data)
        if len(data) > cap:
            return _abi.PLR_ERR_BUFFER_TOO_SMALL
        last[:] = None, None
        ctypes.memmove(buffer, data, len(data))
        return _abi.PLR_OK

    return _abi.plr_log_reader_read_fn(read)


def verify_ledger(context: Context, origin_file: Readable, *, origin: str, public_key: bytes,
                  skip_signatures: bool = False,
                  progress: Optional[Callable[[int, int], None]] = None) -> LedgerSummary:
    """Reads an export and believes none of it: replays every entry from nothing and compares all roots. What it comes
    to, or an exception that says what is wrong and at which byte.

    origin, public_key   of the log, learned from elsewhere than the file
    progress(done, total)   entries; an exception it raises is raised by this call"""
    need(context, Context, "context")
    options, _key = _against(origin, public_key, skip_signatures)
    summary, error = sized(_abi.plr_ledger_summary), new_error()
    with reading_from(context, origin_file) as source:
        _report(options, progress, source.caught)
        source.check(context._read(C.plr_ledger_verify, source.struct, options, summary, error), "verify_ledger",
                     error)
    return LedgerSummary.of(summary)

"""Verifiers of the ledger's log, for whoever holds a checkpoint and no ledger."""
from __future__ import annotations

import ctypes
from typing import NamedTuple, Optional, Sequence, Tuple

from . import _abi
from ._buffer import reading
from ._handle import (Handle, create, hash_in, hash_out, hashes_in, initialised, need, new_error, octets, text, u32,
                      u64)
from ._load import C
from .context import Context
from .errors import failure
from .identity import Identity
from .io import Caught


class Checkpoint(NamedTuple):
    """Size and root of a log."""

    size: int
    root: bytes


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(00, entry)."""
    argument, length, _keep = reading(entry, "entry")
    return hash_out(C.plr_log_leaf_hash, argument, length)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 2.1.3.2. Raises BadProof unless the leaf is entry `index` of the tree of this size and root."""
    array, count = hashes_in(proof, "proof")
    status = C.plr_log_verify_inclusion(hash_in(leaf, "leaf"), u64(index, "index"), u64(size, "size"), array, count,
                                        hash_in(root, "root"))
    if status:
        raise failure(status, "log.verify_inclusion")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes,
                       proof: Sequence[bytes]) -> None:
    """RFC 9162 2.1.4.2. Raises BadProof unless the old tree is the beginning of the new one."""
    array, count = hashes_in(proof, "proof")
    status = C.plr_log_verify_consistency(u64(old_size, "old_size"), hash_in(old_root, "old_root"),
                                          u64(new_size, "new_size"), hash_in(new_root, "new_root"), array, count)
    if status:
        raise failure(status, "log.verify_consistency")


def verify_checkpoint(note: bytes, origin: str, public_key: bytes) -> Checkpoint:
    """Reads a checkpoint (C2SP tlog-checkpoint) and checks the signature of (origin, public_key)."""
    raw = bytes(memoryview(note))
    size, root, error = ctypes.c_uint64(), _abi.plr_hash(), new_error()
    status = C.plr_log_verify_checkpoint(raw, len(raw), text(origin, "origin"), octets(public_key, 32, "public_key"),
                                         ctypes.byref(size), root, error)
    if status:
        raise failure(status, "log.verify_checkpoint", error)
    return Checkpoint(size.value, bytes(root))


def vkey(origin: str, public_key: bytes) -> str:
    """The verifier key that other tools are configured with: name+hash+key."""
    buffer, length = ctypes.create_string_buffer(512), ctypes.c_size_t()
    status = C.plr_log_vkey(text(origin, "origin"), octets(public_key, 32, "public_key"), buffer, len(buffer),
                            ctypes.byref(length))
    if status:
        raise failure(status, "log.vkey")
    return buffer.value.decode()


def cosigner_vkey(name: str, public_key: bytes) -> str:
    """The verifier key of a witness (type 04)."""
    buffer, length = ctypes.create_string_buffer(512), ctypes.c_size_t()
    status = C.plr_log_cosigner_vkey(text(name, "name"), octets(public_key, 32, "public_key"), buffer, len(buffer),
                                     ctypes.byref(length))
    if status:
        raise failure(status, "log.cosigner_vkey")
    return buffer.value.decode()


def witness_keys(witnesses: Sequence[Tuple[str, bytes]]):
    """(name, public key) of each, as C takes them."""
    array = (_abi.plr_witness_key * max(1, len(witnesses)))()
    for item, (name, key) in zip(array, witnesses):
        item.name = text(name, "name")
        ctypes.memmove(item.public_key, octets(key, 32, "public_key"), 32)
    return array


class Cosignatures(NamedTuple):
    """How many of the witnesses have signed, and the latest of their times in seconds since 1970."""

    good: int
    time: int


def count_cosignatures(context: Context, note: bytes, witnesses: Sequence[Tuple[str, bytes]]) -> Cosignatures:
    """Counts the witnesses, (name, public key) each, whose cosignature on a checkpoint holds."""
    raw, good, time, error = bytes(memoryview(note)), ctypes.c_uint32(), ctypes.c_uint64(), new_error()
    keys = witness_keys(witnesses)
    status = need(context, Context, "context")._read(C.plr_log_count_cosignatures, raw, len(raw), keys, len(witnesses),
                                                     ctypes.byref(good), ctypes.byref(time), error)
    if status:
        raise failure(status, "log.count_cosignatures", error)
    return Cosignatures(good.value, time.value)


def verify_fork(a: bytes, b: bytes, origin: str, public_key: bytes) -> None:
    """Raises BadProof unless the two checkpoints prove that the log showed two histories."""
    a, b, error = bytes(memoryview(a)), bytes(memoryview(b)), new_error()
    status = C.plr_log_verify_fork(a, len(a), b, len(b), text(origin, "origin"), octets(public_key, 32, "public_key"),
                                   error)
    if status:
        raise failure(status, "log.verify_fork", error)


class Proven(NamedTuple):
    """Place of an entry, and the size of the log when that was proven."""

    index: int
    size: int


def verify_proof(context: Context, proof: bytes, entry: bytes, *, origin: str, public_key: bytes,
                 witnesses: Sequence[Tuple[str, bytes]] = (), quorum: int = 0) -> Proven:
    """Checks that a proof file shows that `entry` is in the log, and that `quorum` of the witnesses have signed."""
    policy = initialised(_abi.plr_proof_policy, C.plr_proof_policy_init)
    key, keys = octets(public_key, 32, "public_key"), witness_keys(witnesses)
    policy.origin, policy.quorum, policy.witness_count = text(origin, "origin"), u32(quorum, "quorum"), len(witnesses)
    policy.public_key, policy.witnesses = ctypes.cast(key, ctypes.c_void_p), keys
    raw, (argument, length, _keep) = bytes(memoryview(proof)), reading(entry, "entry")
    index, size, error = ctypes.c_uint64(), ctypes.c_uint64(), new_error()
    status = need(context, Context, "context")._read(C.plr_log_verify_proof, raw, len(raw), argument, length, policy,
                                                     ctypes.byref(index), ctypes.byref(size), error)
    if status:
        raise failure(status, "log.verify_proof", error)
    return Proven(index.value, size.value)


class WitnessStore:
    """What a witness has signed, to be kept by the host; derive from it. It must never forget."""

    def load(self, origin: bytes) -> Optional[Tuple[int, bytes]]:
        """Last (size, root) signed of the log whose origin has this SHA-256; None when there is none."""
        raise NotImplementedError

    def swap(self, origin: bytes, old: Optional[Tuple[int, bytes]], new: Tuple[int, bytes]) -> bool:
        """Replaces it durably if it still is `old`; False when it is not."""
        raise NotImplementedError


class Answer(NamedTuple):
    """What a witness answers to a request."""

    http_status: int
    body: bytes


class Witness(Handle):
    """Signs checkpoints of logs it knows, when they extend what it signed before (C2SP tlog-witness).

    identity   signs nothing else
    store      a WitnessStore; None: in memory, for tests"""

    __slots__ = ("_caught",)

    def __init__(self, context: Context, name: str, identity: Identity, store: Optional[WitnessStore] = None):
        caught = Caught()
        vtable = _store(store, caught) if store is not None else None
        raw = text(name, "name")

        def build(c, i):
            return create(C.plr_witness_create, "Witness", c, raw, i, vtable)

        self._make(C.plr_witness_destroy, (need(context, Context, "context"), need(identity, Identity, "identity")),
                   build, vtable, store)
        self._caught = caught

    def add_log(self, origin: str, public_key: bytes) -> None:
        """Makes a log known."""
        error, name, key = new_error(), text(origin, "origin"), octets(public_key, 32, "public_key")
        status = self._call(C.plr_witness_add_log, name, key, error)
        if status:
            raise failure(status, "Witness.add_log", error)

    def add_checkpoint(self, now_s: int, body: bytes) -> Answer:
        """Answers one add-checkpoint request."""
        raw, out = bytes(memoryview(body)), ctypes.create_string_buffer(1024)
        http, length = ctypes.c_uint32(), ctypes.c_size_t()
        status = self._call(C.plr_witness_add_checkpoint, u64(now_s, "now_s"), raw, len(raw), ctypes.byref(http), out,
                            len(out), ctypes.byref(length))
        self._caught.settle()
        if status:
            raise failure(status, "Witness.add_checkpoint")
        return Answer(http.value, out.raw[:length.value])


def _store(store, caught):
    def load(_user, origin, size, root):
        found = []
        status = caught.guard(lambda: found.append(store.load(ctypes.string_at(origin, 32))))
        if status:
            return status
        if found[0] is None:
            return _abi.PLR_ERR_NOT_FOUND
        ctypes.c_uint64.from_address(size).value = found[0][0]
        ctypes.memmove(root, bytes(found[0][1]), 32)
        return _abi.PLR_OK

    def swap(_user, origin, old_size, old_root, new_size, new_root):
        done = []
        old = (old_size, ctypes.string_at(old_root, 32)) if old_size else None
        status = caught.guard(lambda: done.append(store.swap(ctypes.string_at(origin, 32), old,
                                                             (new_size, ctypes.string_at(new_root, 32)))))
        return status or (_abi.PLR_OK if done[0] else _abi.PLR_ERR_SEQUENCE)

    return _abi.plr_witness_store(None, _abi.plr_witness_store_load_fn(load), _abi.plr_witness_store_swap_fn(swap))

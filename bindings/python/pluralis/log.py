"""Verifiers of the ledger's log, for whoever holds a checkpoint and no ledger."""
from __future__ import annotations

import ctypes
from typing import NamedTuple, Sequence

from . import _abi
from ._buffer import reading
from ._handle import hash_in, hash_out, hashes_in, new_error, octets, text, u64
from ._load import C
from .errors import failure


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

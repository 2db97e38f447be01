"""Paying out on a chain: the Merkle tree of OpenZeppelin and Morpho over what was claimed to addresses.

A leaf is (account, reward, claimable): two addresses of 20 bytes and a whole number below 2^256.
"""
from __future__ import annotations

import ctypes
from typing import Any, List, NamedTuple, Sequence

from . import _abi
from ._handle import hash_in, hash_out, hashes_in, hashes_out, hold, let_go, new_error, octets, u64
from ._load import C
from .errors import failure


class Leaf(NamedTuple):
    """What an account of the contract may claim in all: two addresses of 20 bytes, and whole units of the reward."""

    account: bytes
    reward: bytes
    claimable: int


def _leaf(leaf) -> _abi.plr_settlement_leaf:
    out = _abi.plr_settlement_leaf()
    out.account = type(out.account)(*octets(leaf[0], 20, "account"))
    out.reward = type(out.reward)(*octets(leaf[1], 20, "reward"))
    out.claimable = type(out.claimable)(*int(leaf[2]).to_bytes(32, "big"))
    return out


def _read(leaf) -> Leaf:
    return Leaf(bytes(leaf.account), bytes(leaf.reward), int.from_bytes(bytes(leaf.claimable), "big"))


def _call(context, where, function, leaves, *arguments):
    array, error, held = (_abi.plr_settlement_leaf * len(leaves))(*map(_leaf, leaves)), new_error(), hold([context])
    try:
        status = function(held[0].pointer, array, len(leaves), *arguments, error)
    finally:
        let_go(held)
    if status:
        raise failure(status, where, error)


def keccak256(data: bytes) -> bytes:
    """Keccak-256, as Ethereum pads it."""
    return hash_out(C.plr_keccak256, bytes(data), len(data))


def root(context: Any, leaves: Sequence[Leaf]) -> bytes:
    """Root of the tree over the leaves, in any order."""
    out = _abi.plr_hash()
    _call(context, "settlement.root", C.plr_settlement_compute, leaves, out)
    return bytes(out)


def prove(context: Any, leaves: Sequence[Leaf], index: int) -> List[bytes]:
    """Siblings from leaf `index` up to the root."""
    proof, count = (_abi.plr_hash * _abi.PLR_PROOF_MAX)(), ctypes.c_uint32()
    _call(context, "settlement.prove", C.plr_settlement_prove, leaves, u64(index, "index"), proof, ctypes.byref(count))
    return hashes_out(proof, count.value)


def verify(leaf: Leaf, proof: Sequence[bytes], root: bytes) -> None:
    """Raises unless the leaf is in the tree of that root."""
    hashes, count = hashes_in(proof, "proof")
    status = C.plr_settlement_verify(_leaf(leaf), hashes, count, hash_in(root, "root"))
    if status:
        raise failure(status, "settlement.verify")

"""Ledger entries: each function makes one, signed by its author, as bytes for Ledger.append or Stage.submit.

origin   of the ledger the entry is for: it is valid in that one only
nonce    1 for the author's first entry, then strictly one more: Ledger.next_nonce(author.account)
account  whose entry it is, when the key of that account has been rotated to the author's

write() makes the types of <pluralis/entries.h> from their fields by name:

    entries.write("transfer", author, origin, nonce, model=model.hash, to=account, shares=5)
"""
from __future__ import annotations

import ctypes
import json
from typing import Any, Dict, Optional, Sequence, Tuple

from . import _abi
from ._handle import hash_in, hash_out, hold, initialised, let_go, need, new_error, octets, text, u32, u64
from ._load import C
from .context import profile_hash
from .errors import InvalidArgument, failure
from .identity import Identity, key_in
from .model import Model

U128 = 2 ** 128 - 1


def _entry(function, author, origin, nonce, valid_to_epoch, *arguments, account=None):
    need(author, Identity, "author")
    options = initialised(_abi.plr_entry_options, C.plr_entry_options_init)
    options.origin, options.nonce = text(origin, "origin"), u64(nonce, "nonce")
    if valid_to_epoch is not None:
        options.valid_to_epoch = u64(valid_to_epoch, "valid_to_epoch")
    if account is not None:
        whose = hash_in(account, "account")
        options.account = ctypes.pointer(whose)
    buffer, length, error = ctypes.create_string_buffer(_abi.PLR_ENTRY_MAX), ctypes.c_size_t(), new_error()
    held = hold([author, author._context])
    try:
        options.author = held[0].pointer
        status = function(held[1].pointer, options, *arguments, buffer, len(buffer), ctypes.byref(length), error)
    finally:
        let_go(held)
    if status:
        raise failure(status, "entry", error)
    return buffer.raw[:length.value]


def account_open(author: Identity, origin: str, nonce: int, *, valid_to_epoch: Optional[int] = None) -> bytes:
    """Makes the author's key known."""
    return _entry(C.plr_entry_account_open, author, origin, nonce, valid_to_epoch)


def model_register(author: Identity, origin: str, nonce: int, *, model: Any, halving_units: int, rate: int,
                   rate_divisor: int, microbatch_tokens: Optional[int] = None, costs: Optional[Sequence[int]] = None,
                   designer_bps: int = 0, data_bps: int = 0, data_account: Optional[bytes] = None,
                   vest_epochs: int = 0, vest_cliff: int = 0, profile: Optional[bytes] = None,
                   parents: Sequence[Tuple[Any, int]] = (), serving_bps: int = 0, milestone_epochs: int = 0,
                   valid_to_epoch: Optional[int] = None, account: Optional[bytes] = None) -> bytes:
    """The author becomes the model's designer. model: a Model, which then gives costs and microbatch_tokens, or its
    hash. The first halving_units units yield halving_units * rate / rate_divisor shares, the next as many half of
    that, and so on. designer_bps, data_bps: parts of the mint, 1/10000. profile: None: this build's. parents: (model,
    bps of this model's revenue) of what it is built on. serving_bps: part of deposits that pays who serves."""
    if isinstance(model, Model):
        if microbatch_tokens is None:
            microbatch_tokens = model.info.micro_batch * model.info.seq_len
        costs, model = (model.costs if costs is None else costs), model.hash
    if costs is None or microbatch_tokens is None:
        raise TypeError("costs and microbatch_tokens are needed where model is a hash")
    if not 0 <= halving_units <= U128:
        raise InvalidArgument("%r is not in 0 .. 2^128 - 1" % (halving_units,), "halving_units")
    terms = initialised(_abi.plr_model_terms, C.plr_model_terms_init)
    for name, value in (("designer_bps", designer_bps), ("data_bps", data_bps), ("vest_epochs", vest_epochs),
                        ("vest_cliff", vest_cliff), ("microbatch_tokens", microbatch_tokens),
                        ("serving_bps", serving_bps), ("milestone_epochs", milestone_epochs)):
        setattr(terms, name, u32(value, name))
    terms.block_count = len(costs)
    array = (ctypes.c_uint64 * len(costs))(*[u64(cost, "costs[%d]" % i) for i, cost in enumerate(costs)])
    terms.costs = ctypes.cast(array, ctypes.c_void_p)
    lineage = (_abi.plr_parent * len(parents))()
    for slot, (parent, bps) in zip(lineage, parents):
        slot.model, slot.bps = _model(parent), u32(bps, "bps of a parent")
    terms.parents, terms.parent_count = ctypes.cast(lineage, ctypes.POINTER(_abi.plr_parent)), len(parents)
    terms.model = hash_in(model, "model")
    terms.profile = hash_in(profile_hash() if profile is None else profile, "profile")
    terms.data_account = key_in(data_account, "data_account")
    terms.halving_units = _abi.plr_units(halving_units & 2 ** 64 - 1, halving_units >> 64)
    terms.rate, terms.rate_divisor = u64(rate, "rate"), u64(rate_divisor, "rate_divisor")
    return _entry(C.plr_entry_model_register, author, origin, nonce, valid_to_epoch, terms, account=account)


def revenue_deposit(author: Identity, origin: str, nonce: int, *, model: Any, amount: int,
                    valid_to_epoch: Optional[int] = None, account: Optional[bytes] = None) -> bytes:
    """Revenue that is owed to the model's holders. amount: smallest units of the currency, above 0."""
    return _entry(C.plr_entry_revenue_deposit, author, origin, nonce, valid_to_epoch, _model(model),
                  u64(amount, "amount"), account=account)


def claim(author: Identity, origin: str, nonce: int, *, model: Any, amount: int = 0, address: Optional[bytes] = None,
          valid_to_epoch: Optional[int] = None, account: Optional[bytes] = None) -> bytes:
    """Moves what is payable to the author to paid. amount 0: all of it. address: 20 bytes, where a contract pays."""
    if address is None:
        return _entry(C.plr_entry_claim, author, origin, nonce, valid_to_epoch, _model(model), u64(amount, "amount"),
                      account=account)
    return _entry(C.plr_entry_claim_to, author, origin, nonce, valid_to_epoch, _model(model), u64(amount, "amount"),
                  octets(address, 20, "address"), account=account)


def _model(model):
    return hash_in(model.hash if isinstance(model, Model) else model, "model")


# ---- any type ---------------------------------------------------------------------------------------------------

TYPES = {name: (getattr(_abi, "PLR_ENTRY_" + name.upper()), getattr(_abi, "plr_" + name))
         for name in ("key_rotate", "data_register", "assign", "commit", "receipt", "audit_result", "dispute",
                      "evidence", "milestone", "inference_receipt", "transfer", "slash", "settlement_root",
                      "param_change")}
ROLES = {"upstream": _abi.PLR_SIGN_UPSTREAM, "downstream": _abi.PLR_SIGN_DOWNSTREAM,
         "new_key": _abi.PLR_SIGN_NEW_KEY, "counter": _abi.PLR_SIGN_COUNTER}


def _fill(record, fields, keep):
    kinds = dict(record._fields_)
    for name, value in fields.items():
        kind = kinds.get(name)
        if kind is None or name in ("struct_size", "reserved"):
            raise TypeError("%s has no field %r" % (type(record).__name__, name))
        if kind is ctypes.c_uint32:
            setattr(record, name, u32(value, name))
        elif kind is ctypes.c_uint64:
            setattr(record, name, u64(value, name))
        elif kind is _abi.plr_hash:
            setattr(record, name, hash_in(value.hash if isinstance(value, Model) else value, name))
        elif kind is ctypes.c_void_p:  # bytes, and their length beside them
            buffer = ctypes.create_string_buffer(bytes(value), len(value) or 1)
            keep.append(buffer)
            setattr(record, name, ctypes.cast(buffer, ctypes.c_void_p))
            setattr(record, name + "_len", len(value))
        elif issubclass(kind, ctypes.Array):
            setattr(record, name, kind(*octets(value, ctypes.sizeof(kind), name)))
        else:
            _fill(getattr(record, name), value, keep)


def write(kind: str, author: Identity, origin: str, nonce: int, *, valid_to_epoch: Optional[int] = None,
          account: Optional[bytes] = None, **fields: Any) -> bytes:
    """An entry of one of TYPES, signed by its author. fields: as in its struct of <pluralis/entries.h>; what is not
    given is zero; `receipt` of audit_result and dispute is a dict. The account that is slashed: slashed."""
    if kind not in TYPES:
        raise TypeError("unknown type %r" % (kind,))
    number, struct = TYPES[kind]
    record, keep = struct(), []
    if hasattr(record, "struct_size"):
        record.struct_size = ctypes.sizeof(record)
    if kind == "slash" and "slashed" in fields:
        fields["account"] = fields.pop("slashed")
    _fill(record, fields, keep)
    return _entry(C.plr_entry_write, author, origin, nonce, valid_to_epoch, number, ctypes.byref(record),
                  account=account)


def countersign(entry: bytes, identity: Identity, role: str, origin: str, *,
                account: Optional[bytes] = None) -> bytes:
    """The entry with one more signature. role: one of ROLES. Read what you sign: describe(entry)."""
    need(identity, Identity, "identity")
    number, whose = ROLES[role], None if account is None else hash_in(account, "account")
    buffer, length, error = ctypes.create_string_buffer(_abi.PLR_ENTRY_MAX), ctypes.c_size_t(len(entry)), new_error()
    ctypes.memmove(buffer, bytes(entry), min(len(entry), len(buffer)))
    name, held = text(origin, "origin"), hold([identity, identity._context])
    try:
        status = C.plr_entry_countersign(held[1].pointer, held[0].pointer, number, whose, name, buffer, len(buffer),
                                         ctypes.byref(length), error)
    finally:
        let_go(held)
    if status:
        raise failure(status, "entries.countersign", error)
    return buffer.raw[:length.value]


def describe(context: Any, entry: bytes) -> Dict[str, Any]:
    """The entry's fields, read from its JSON: hashes as hex, numbers of 64 bits and more as strings."""
    cap = 4096 + 24 * len(entry)
    buffer, length, error = ctypes.create_string_buffer(cap), ctypes.c_size_t(), new_error()
    held = hold([context])
    try:
        status = C.plr_entry_json(held[0].pointer, bytes(entry), len(entry), buffer, cap, ctypes.byref(length), error)
    finally:
        let_go(held)
    if status:
        raise failure(status, "entries.describe", error)
    return json.loads(buffer.raw[:length.value])


def commit_hash(account: bytes, epoch: int, secret: bytes) -> bytes:
    """What a commit of phase 0 says of a secret."""
    return hash_out(C.plr_commit_hash, hash_in(account, "account"), u64(epoch, "epoch"), hash_in(secret, "secret"))

"""Ledger entries: each function makes one, signed by its author, as bytes for Ledger.append or Stage.submit.

origin   of the ledger the entry is for: it is valid in that one only
nonce    1 for the author's first entry, then strictly one more: Ledger.next_nonce(author.account)
"""
from __future__ import annotations

import ctypes
from typing import Any, Optional, Sequence

from . import _abi
from ._handle import hash_in, hold, initialised, let_go, need, new_error, text, u32, u64
from ._load import C
from .context import profile_hash
from .errors import InvalidArgument, failure
from .identity import Identity, key_in
from .model import Model

U128 = 2 ** 128 - 1


def _entry(function, author, origin, nonce, valid_to_epoch, *arguments):
    need(author, Identity, "author")
    options = initialised(_abi.plr_entry_options, C.plr_entry_options_init)
    options.origin, options.nonce = text(origin, "origin"), u64(nonce, "nonce")
    if valid_to_epoch is not None:
        options.valid_to_epoch = u64(valid_to_epoch, "valid_to_epoch")
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
                   valid_to_epoch: Optional[int] = None) -> bytes:
    """The author becomes the model's designer. model: a Model, which then gives costs and microbatch_tokens, or its
    hash. The first halving_units units yield halving_units * rate / rate_divisor shares, the next as many half of
    that, and so on. designer_bps, data_bps: parts of the mint, 1/10000. profile: None: this build's."""
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
                        ("vest_cliff", vest_cliff), ("microbatch_tokens", microbatch_tokens)):
        setattr(terms, name, u32(value, name))
    terms.block_count = len(costs)
    array = (ctypes.c_uint64 * len(costs))(*[u64(cost, "costs[%d]" % i) for i, cost in enumerate(costs)])
    terms.costs = ctypes.cast(array, ctypes.c_void_p)
    terms.model = hash_in(model, "model")
    terms.profile = hash_in(profile_hash() if profile is None else profile, "profile")
    terms.data_account = key_in(data_account, "data_account")
    terms.halving_units = _abi.plr_units(halving_units & 2 ** 64 - 1, halving_units >> 64)
    terms.rate, terms.rate_divisor = u64(rate, "rate"), u64(rate_divisor, "rate_divisor")
    return _entry(C.plr_entry_model_register, author, origin, nonce, valid_to_epoch, terms)


def revenue_deposit(author: Identity, origin: str, nonce: int, *, model: Any, amount: int,
                    valid_to_epoch: Optional[int] = None) -> bytes:
    """Revenue that is owed to the model's holders. amount: smallest units of the currency, above 0."""
    return _entry(C.plr_entry_revenue_deposit, author, origin, nonce, valid_to_epoch, _model(model),
                  u64(amount, "amount"))


def claim(author: Identity, origin: str, nonce: int, *, model: Any, amount: int = 0,
          valid_to_epoch: Optional[int] = None) -> bytes:
    """Moves what is payable to the author to paid. amount 0: all of it."""
    return _entry(C.plr_entry_claim, author, origin, nonce, valid_to_epoch, _model(model), u64(amount, "amount"))


def _model(model):
    return hash_in(model.hash if isinstance(model, Model) else model, "model")

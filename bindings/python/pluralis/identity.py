"""Ed25519 key pairs (RFC 8032): every node, designer and depositor signs with one."""
from __future__ import annotations

import ctypes

from . import _abi
from ._buffer import reading
from ._handle import Handle, create, hash_out, need, octets
from ._load import C
from .context import Context
from .errors import failure


class Identity(Handle):
    """seed: 32 secret bytes of the host's own randomness (os.urandom(32)), which it keeps; the library's copy is wiped
    when the identity ends."""

    __slots__ = ("_context",)

    def __init__(self, context: Context, seed: bytes):
        need(context, Context, "context")
        seed = octets(seed, 32, "seed")
        self._make(C.plr_identity_destroy, (context,), lambda c: create(C.plr_identity_create, "Identity", c, seed))
        self._context = context

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        out = ctypes.create_string_buffer(32)
        self._read(C.plr_identity_public_key, out)
        return out.raw

    @property
    def account(self) -> bytes:
        """Account id of the public key, 32 bytes."""
        return account_id(self.public_key)

    def sign(self, data) -> bytes:
        """64 bytes, the same for the same data."""
        argument, length, _keep = reading(data, "data")
        out = ctypes.create_string_buffer(64)
        self._read(C.plr_identity_sign, argument, length, out)
        return out.raw


def account_id(public_key: bytes) -> bytes:
    """Account id of a public key."""
    return hash_out(C.plr_account_id, octets(public_key, 32, "public_key"))


def verify(public_key: bytes, data, signature: bytes) -> None:
    """Raises BadSignature unless signature is public_key's over data."""
    argument, length, _keep = reading(data, "data")
    status = C.plr_verify(octets(public_key, 32, "public_key"), argument, length, octets(signature, 64, "signature"))
    if status:
        raise failure(status, "verify")


NO_KEY = bytes(32)
KEY = _abi.c_uint8 * 32


def key_in(public_key, what):
    """uint8_t[32]; None is all zero, which the library takes for "any"."""
    return KEY.from_buffer_copy(NO_KEY if public_key is None else octets(public_key, 32, what))

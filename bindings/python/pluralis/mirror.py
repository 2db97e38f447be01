"""A copy of somebody's published ledger over HTTP, and how files are carried. <pluralis/mirror.h> is the manual."""
from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Optional, Sequence, Tuple

from . import _abi, log
from ._handle import Handle, create, initialised, need, new_error, octets, sized, text, u32
from ._load import C
from ._records import MirrorStats
from .context import Context
from .errors import failure
from .io import Caught
from .ledger import Ledger, _path


class Remote:
    """How files are carried. What is not given has the default of plr_remote_options.

    parallel, retries, backoff_ms, connect_timeout_ms, stall_timeout_s, timeout_ms   numbers
    no_tls_verify   True: any certificate is taken
    ca_file, user, sigv4, proxy   texts: certificates to trust; "name:password"; "aws:amz:REGION:s3"; URL"""

    __slots__ = ("_struct",)

    def __init__(self, *, no_tls_verify: bool = False, ca_file: Optional[str] = None, user: Optional[str] = None,
                 sigv4: Optional[str] = None, proxy: Optional[str] = None, **numbers: int):
        self._struct = initialised(_abi.plr_remote_options, C.plr_remote_options_init)
        self._struct.no_tls_verify = bool(no_tls_verify)
        for name, value in (("ca_file", ca_file), ("user", user), ("sigv4", sigv4), ("proxy", proxy)):
            if value is not None:
                setattr(self._struct, name, text(value, name))
        for name, value in numbers.items():
            if name not in ("parallel", "retries", "backoff_ms", "connect_timeout_ms", "stall_timeout_s",
                            "timeout_ms"):
                raise TypeError("Remote: there is no %s" % name)
            setattr(self._struct, name, u32(value, name))

    @staticmethod
    def pointer(remote: Optional["Remote"]) -> Any:
        """What C takes; None: the defaults."""
        return None if remote is None else ctypes.pointer(need(remote, Remote, "remote")._struct)


class Mirror(Handle):
    """Keeps a copy of a published log, and believes nothing it is sent.

    url          the folder of `checkpoint` and `tile/`
    path         SQLite file of the copy; None: in memory
    origin, public_key   of the log, learned from elsewhere
    witnesses, quorum    (name, public key) of those that count, and how many must have signed
    progress(entries done, entries in all, bytes)   an exception it raises ends the update, which raises it
    """

    __slots__ = ("_caught", "_context")

    def __init__(self, context: Context, url: str, path: Any = None, *, origin: str, public_key: bytes,
                 witnesses: Sequence[Tuple[str, bytes]] = (), quorum: int = 0, skip_signatures: bool = False,
                 remote: Optional[Remote] = None, progress: Optional[Callable[[int, int, int], None]] = None):
        options = initialised(_abi.plr_mirror_options, C.plr_mirror_options_init)
        key, keys, caught = octets(public_key, 32, "public_key"), log.witness_keys(witnesses), Caught()
        options.url, options.origin = text(url, "url"), text(origin, "origin")
        if path is not None:
            options.path = _path(os.fspath(path))
        options.public_key = ctypes.cast(key, ctypes.c_void_p)
        options.witnesses, options.witness_count = keys, len(witnesses)
        options.quorum, options.skip_signatures = u32(quorum, "quorum"), bool(skip_signatures)
        options.remote = Remote.pointer(remote)
        if progress is not None:
            options.progress = _abi.plr_mirror_options_progress_fn(
                lambda _user, done, total, received: caught.guard(progress, done, total, received))
        self._make(C.plr_mirror_destroy, (need(context, Context, "context"),),
                   lambda c: create(C.plr_mirror_create, "Mirror", c, options), options.progress)
        self._caught, self._context = caught, context

    def update(self) -> int:
        """Brings the copy up to what the server shows; the entries it then has. After any failure the copy is what it
        was, or holds more of the same log."""
        size, error = ctypes.c_uint64(), new_error()
        status = self._call(C.plr_mirror_update, ctypes.byref(size), error)
        self._caught.settle()
        if status:
            raise failure(status, "Mirror.update", error)
        return size.value

    @property
    def ledger(self) -> Optional[Ledger]:
        """The copy, read-only; None while it has no entry. Not to be used while an update runs."""
        pointer = self._call(C.plr_mirror_ledger)
        return _Copy(self, ctypes.c_void_p(pointer)) if pointer else None

    @property
    def shown(self) -> Optional[bytes]:
        """The checkpoint that the server showed last, accepted or not."""
        out, length = ctypes.create_string_buffer(65536), ctypes.c_size_t()
        status = self._read(C.plr_mirror_shown, out, len(out), ctypes.byref(length))
        if status == _abi.PLR_ERR_NOT_FOUND:
            return None
        if status:
            raise failure(status, "Mirror.shown")
        return out.raw[:length.value]

    @property
    def stats(self) -> MirrorStats:
        out = sized(_abi.plr_mirror_stats)
        status = self._read(C.plr_mirror_get_stats, out)
        if status:
            raise failure(status, "Mirror.stats")
        return MirrorStats.of(out)


class _Copy(Ledger):
    """A ledger that its mirror owns."""

    __slots__ = ()

    def __init__(self, mirror, pointer):  # pylint: disable=super-init-not-called  # it is open already
        self._make(_keep, (mirror,), lambda _mirror: pointer)
        self._context = mirror._context


def _keep(_pointer):
    """The mirror ends it."""


def publish(ledger: Ledger, url: str, remote: Optional[Remote] = None) -> int:
    """Publishes to a server that takes PUT, the checkpoint last. Entries under the checkpoint."""
    size = ctypes.c_uint64()
    address, how = text(url, "url"), Remote.pointer(remote)
    need(ledger, Ledger, "ledger")._checked(
        "mirror.publish", lambda p, e: C.plr_ledger_publish_url(p, address, how, ctypes.byref(size), e))
    return size.value


def cosign(ledger: Ledger, name: str, public_key: bytes, url: str, remote: Optional[Remote] = None) -> None:
    """Asks a witness to sign the recorded checkpoint, and keeps what it signed."""
    key, address, how = log.witness_keys([(name, public_key)]), text(url, "url"), Remote.pointer(remote)
    need(ledger, Ledger, "ledger")._checked(
        "mirror.cosign", lambda p, e: C.plr_ledger_cosign_url(p, key, address, how, e))


def guard(ledger: Ledger, url: str, remote: Optional[Remote] = None) -> None:
    """Refuses to go on (OutOfSequence, Mismatch) when the last checkpoint that a witness shows is not of our past."""
    address, how = text(url, "url"), Remote.pointer(remote)
    need(ledger, Ledger, "ledger")._checked(
        "mirror.guard", lambda p, e: C.plr_ledger_guard_url(p, address, how, e))

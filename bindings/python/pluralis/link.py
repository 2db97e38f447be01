"""A link carries frames between two identities over any byte stream, or datagrams, that the host owns.

The host gives it the bytes that came (receive), takes the bytes to send (transmit), tells it the time in nanoseconds
of any monotonic clock, and reads events. A link does no I/O and reads no clock.
"""
from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Optional, Tuple

from . import _abi
from ._buffer import reading, writing
from ._handle import Handle, create, hash_in, initialised, need, octets, sized, u32, u64
from ._load import C
from ._records import LinkStats
from .context import Context, profile_hash
from .errors import InvalidState, PluralisError, failure
from .identity import Identity, key_in
from .model import Model

NEVER = _abi.PLR_NEVER
EVENTS = {_abi.PLR_LINK_READY: "ready", _abi.PLR_LINK_FRAME: "frame", _abi.PLR_LINK_WRITABLE: "writable",
          _abi.PLR_LINK_CLOSED: "closed", _abi.PLR_LINK_RESUMED: "resumed"}
PIECE = 1 << 16


class LinkEvent(NamedTuple):
    """kind: "ready" (both hellos verified), "frame" (data), "writable" (after TryAgain), "resumed" (after resume),
    "closed" (error)."""

    kind: str
    data: bytes = b""
    error: Optional[PluralisError] = None


class Link(Handle):
    """One end of a link.

    model       the Model or its hash; both sides must have the same
    initiator   True on the side that connected
    nonce       32 fresh, secret random bytes (os.urandom(32)), from which the session's keys come: use them once
    peer_key    public key expected; None: any
    profile     hash of the numeric profile; None: this build's
    window      bytes of frames in flight, each direction
    keep_alive_ns, timeout_ns   0: none, never
    seal        False only where the host runs TLS or QUIC below; the same on both sides
    datagram    0: an ordered byte stream; else datagrams of at most this many bytes, one for each call
    """

    __slots__ = ("_stage",)

    def __init__(self, context: Context, identity: Identity, model: Any, *, initiator: bool, nonce: bytes,
                 peer_key: Optional[bytes] = None, profile: Optional[bytes] = None, window: Optional[int] = None,
                 keep_alive_ns: Optional[int] = None, timeout_ns: Optional[int] = None, seal: bool = True,
                 datagram: int = 0):
        need(context, Context, "context")
        need(identity, Identity, "identity")
        options = initialised(_abi.plr_link_options, C.plr_link_options_init)
        options.initiator = bool(initiator)
        options.model = hash_in(model.hash if isinstance(model, Model) else model, "model")
        options.profile = hash_in(profile_hash() if profile is None else profile, "profile")
        options.nonce = key_in(octets(nonce, 32, "nonce"), "nonce")
        options.peer_key = key_in(peer_key, "peer_key")
        options.seal = bool(seal)
        options.datagram = u32(datagram, "datagram")
        for name, value in (("window", window), ("keep_alive_ns", keep_alive_ns), ("timeout_ns", timeout_ns)):
            if value is not None:
                setattr(options, name, u64(value, name))
        self._stage = False
        self._make(C.plr_link_destroy, (context, identity),
                   lambda c, i: create(C.plr_link_create, "Link", c, i, options))

    def receive(self, now_ns: int, data: Any) -> None:
        """Bytes that arrived. A protocol fault ends the link: a DataError here, and the event "closed"."""
        argument, length, _keep = reading(data, "data")
        status = self._call(C.plr_link_receive, u64(now_ns, "now_ns"), argument, length)
        if status:
            raise failure(status, "Link.receive")

    def transmit(self, now_ns: int, most: int = PIECE) -> bytes:
        """Up to `most` bytes to send; b"" when there is nothing now."""
        buffer = bytearray(u64(most, "most"))
        return bytes(memoryview(buffer)[:self.transmit_into(now_ns, buffer)])

    def transmit_into(self, now_ns: int, buffer: Any) -> int:
        """The same into a writable buffer; how many bytes were written."""
        address, capacity, _keep = writing(buffer, "buffer")
        written = ctypes.c_size_t()
        status = self._call(C.plr_link_transmit, u64(now_ns, "now_ns"), address, capacity, ctypes.byref(written))
        if status:
            raise failure(status, "Link.transmit")
        return written.value

    def resume(self, now_ns: int, nonce: bytes) -> None:
        """The host has a new stream in place of one it lost: both ends shake hands again over that, what did not arrive
        is sent again, and "resumed" follows. nonce: 32 new random bytes."""
        status = self._call(C.plr_link_resume, u64(now_ns, "now_ns"), key_in(octets(nonce, 32, "nonce"), "nonce"))
        if status:
            raise failure(status, "Link.resume")

    def budget(self, interval_ns: int) -> int:
        """Bytes that the link carries in this time at its delivery rate, less a tenth; 0 while there is no rate. For
        Encoder budgets: bits follow bandwidth."""
        out = ctypes.c_uint64()
        status = self._read(C.plr_link_budget, u64(interval_ns, "interval_ns"), ctypes.byref(out))
        if status and status != _abi.PLR_ERR_AGAIN:
            raise failure(status, "Link.budget")
        return out.value

    def send(self, frame: Any, priority: int = 1) -> None:
        """Queues a frame, which is copied; priority 0 is sent first, 3 last. TryAgain: the queue is full until there is
        an event "writable"."""
        self._need_free("send")
        argument, length, _keep = reading(frame, "frame")
        status = self._call(C.plr_link_send, argument, length, u32(priority, "priority"))
        if status:
            raise failure(status, "Link.send")

    def next_event(self) -> Optional[LinkEvent]:
        """The next event; None when there is none."""
        self._need_free("next_event")
        return self._call(self._next)

    @staticmethod
    def _next(pointer):
        event = _abi.plr_link_event()
        status = C.plr_link_next_event(pointer, event)
        if status == _abi.PLR_ERR_AGAIN:
            return None
        if status:
            raise failure(status, "Link.next_event")
        error = None
        if event.type == _abi.PLR_LINK_CLOSED and event.status:
            error = failure(event.status, "link")
            if event.message:
                error = type(error)(event.message.decode("utf-8", "replace"), "link", 0, event.status)
        data = ctypes.string_at(event.data, event.len) if event.len else b""
        return LinkEvent(EVENTS.get(event.type, str(event.type)), data, error)

    def _need_free(self, what):
        if self._stage:
            raise InvalidState("this link was attached to a stage, which does that itself", "Link." + what)

    @property
    def next_deadline_ns(self) -> int:
        """Time of the next call to advance, or NEVER."""
        return self._read(C.plr_link_next_deadline_ns)

    def advance(self, now_ns: int) -> None:
        """Does what is due: acknowledgements and keep-alive, which then wait in transmit. PeerGone: silent too long."""
        status = self._call(C.plr_link_advance, u64(now_ns, "now_ns"))
        if status:
            raise failure(status, "Link.advance")

    def shut(self, why: int = _abi.PLR_ERR_CLOSED) -> None:
        """Ends the link for good; why: a status. Events can still be read."""
        if not -(1 << 31) <= why < 1 << 31:
            raise ValueError("why: %r is no status" % (why,))
        self._call(C.plr_link_close, why)

    @property
    def stats(self) -> LinkStats:
        stats = sized(_abi.plr_link_stats)
        status = self._read(C.plr_link_get_stats, stats)
        if status:
            raise failure(status, "Link.stats")
        return LinkStats.of(stats)

    @property
    def peer_key(self) -> bytes:
        """Public key of the peer; 32 zero bytes before "ready"."""
        out = ctypes.create_string_buffer(32)
        self._read(C.plr_link_peer_key, out)
        return out.raw


def pump(now_ns: int, one: Link, other: Link) -> Tuple[int, int]:
    """Moves all bytes that wait between two links of one process; how many each sent. For tests and simulations."""
    sent = [0, 0]
    moved = True
    while moved:
        moved = False
        for i, (source, target) in enumerate(((one, other), (other, one))):
            data = source.transmit(now_ns)
            if data:
                target.receive(now_ns, data)
                sent[i] += len(data)
                moved = True
    return sent[0], sent[1]

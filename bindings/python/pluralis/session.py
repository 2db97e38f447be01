"""Generation: sessions on a shard, and how tokens are drawn."""
from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Optional, Sequence

from . import _abi
from ._handle import Handle, create, initialised, need, new_error, u32, u64
from ._load import C
from .context import Context
from .errors import ShapeError, failure
from .io import Readable, Writable, reading_from, sink_for
from .shard import Shard, tokens_of
from .tensor import Tensor, fit


class Session(Handle):
    """A sequence of tokens as one shard has seen it: the keys and values of its attention layers. A model in several
    shards has one session on each. Shard and sessions of it are used by one thread at a time.

    max_tokens  how long it may become; 0: seq_len of the model
    """

    __slots__ = ("shard",)

    def __init__(self, shard: Shard, max_tokens: int = 0):
        need(shard, Shard, "shard")
        options = initialised(_abi.plr_session_options, C.plr_session_options_init)
        options.max_tokens = u32(max_tokens, "max_tokens")
        self.shard = shard

        def build(pointer):
            return shard._call(lambda _: create(C.plr_session_create, "Session", pointer, options))

        self._make(shard._end_session, (shard,), build)

    def __len__(self) -> int:
        """Tokens fed so far: the position of the next one."""
        return self._read(C.plr_session_length)

    def __bool__(self) -> bool:
        return True

    def truncate(self, length: int) -> None:
        """Forgets the tokens from `length` on."""
        pointer, length = self._owner.pointer, u32(length, "length")
        status = self.shard._call(lambda _: C.plr_session_truncate(pointer, length))
        if status:
            raise failure(status, "Session.truncate")

    def save(self, target: Writable) -> None:
        """Writes the session's state to a path, a binary file object or a Sink."""
        sink, error, pointer = sink_for(self.shard._context, target), new_error(), self._owner.pointer
        with sink:
            sink.check(self.shard._call(lambda _: C.plr_session_save(pointer, sink.take(), error)), "Session.save",
                       error)

    def load(self, origin: Readable) -> None:
        """Restores a state into this session, which must be empty; what follows has the same bits as if nothing had
        happened."""
        error, pointer = new_error(), self._owner.pointer
        with reading_from(self.shard._context, origin) as source:
            source.check(self.shard._call(lambda _: C.plr_session_load(pointer, source.struct, error)),
                         "Session.load", error)


class Rows(NamedTuple):
    """Rows of one session in a call of feed: its next tokens (ids, or how many where a shard needs none), and of how
    many of the last rows the logits are wanted."""

    session: Session
    tokens: Any
    logits: int = 0
    position: Optional[int] = None  # of the first; None: the session's next


def feed(shard: Shard, rows: Sequence[Rows], x: Any = None, out: Any = None) -> Optional[Tensor]:
    """Feeds rows of many sessions of one shard at once; how rows are cut into calls never changes a bit.

    x: R x w, all rows one after the other, None on the first shard. Returns R x w, on the last shard the logits asked
    for, L x V (None for none)."""
    entries = (_abi.plr_session_rows * len(rows))()
    total, wanted, kept = 0, 0, []
    for entry, row in zip(entries, rows):
        session = need(row.session, Session, "rows.session")
        entry.session = session._owner.pointer
        if isinstance(row.tokens, int):
            entry.count = u32(row.tokens, "rows.tokens")
        else:
            tokens = tokens_of(row.tokens)
            kept.append(tokens)
            entry.tokens, entry.count = tokens.address, u32(tokens.size, "rows.tokens")
        entry.first_position = len(session) if row.position is None else u32(row.position, "rows.position")
        entry.logits = u32(row.logits, "rows.logits")
        total, wanted = total + entry.count, wanted + entry.logits
    info = need(shard, Shard, "shard").model.info
    shape = (wanted, info.vocab) if shard.is_last else (total, info.boundary_width)
    if x is not None:
        x = fit(x, "x", "float32", (total, info.boundary_width))
    if out is not None:
        out = fit(out, "out", "float32", shape, True)
    elif shape[0] and total <= info.micro_batch * info.seq_len and wanted <= total:
        out = Tensor(shape)
    error = new_error()
    status = shard._call(C.plr_shard_feed, entries, len(rows), x if x is None else x._ref,
                         out if out is None else out._ref, error)
    if status:
        raise failure(status, "feed", error)
    return out


def draw(context: Context, logits: Any, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0,
         position: int = 0) -> int:
    """Draws one token from V logits (float32, one row) by Philox(seed, position). temperature 0: the largest. Only the
    top_k largest take part (0: all), and of these the most likely until their share reaches top_p."""
    logits = Tensor.of(logits, "logits")
    if logits.dtype != "float32" or not logits.contiguous or max(logits.shape) != logits.size:
        raise ShapeError("one row of contiguous float32 is needed, not %s of shape %r" % (logits.dtype, logits.shape),
                         "logits")
    options = initialised(_abi.plr_sample_options, C.plr_sample_options_init)
    options.temperature, options.top_p = temperature, top_p
    options.top_k, options.seed = u32(top_k, "top_k"), u64(seed, "seed")
    options.position = u64(position, "position")
    token = ctypes.c_int32()
    status = need(context, Context, "context")._read(
        C.plr_sample_logits, logits.address, u32(logits.size, "logits"), options, ctypes.byref(token))
    if status:
        raise failure(status, "draw")
    return token.value

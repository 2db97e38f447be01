"""Compressed activation exchange: a tensor becomes a frame of few bytes, and back."""
from __future__ import annotations

import ctypes
from ctypes import byref, c_size_t
from typing import Any, Sequence, Tuple, Union

from . import _abi
from ._buffer import reading, writing
from ._handle import U32, U64, Handle, create, integer, need, new_error, sized, text, u32, u64
from ._load import C
from ._records import Codec, EncoderStats, FrameInfo
from .context import Context
from .errors import BufferTooSmall, ShapeError, failure
from .shard import tokens_of
from .tensor import Tensor

ROLES = {"activation": _abi.PLR_ROLE_ACTIVATION, "gradient": _abi.PLR_ROLE_GRADIENT, "tokens": _abi.PLR_ROLE_TOKENS,
         "delta": _abi.PLR_ROLE_DELTA, "state": _abi.PLR_ROLE_STATE, "control": _abi.PLR_ROLE_CONTROL}
FLOATS = ("float32", "bfloat16", "float16")
FRAME_HEADER = _abi.PLR_FRAME_HEADER
ERROR_SIZE, INFO_SIZE = ctypes.sizeof(_abi.plr_error), ctypes.sizeof(_abi.plr_frame_info)


def codec(name: str) -> Codec:
    """The codec of a name: "raw", "bf16", "int8", "int4", "uniform4", "dither4", "trellis4" and so on, with options
    after a "+": "int4+g64+zstd", "uniform3+token". <pluralis/exchange.h> has the grammar."""
    out = _abi.plr_codec()
    status = C.plr_codec_from_name(text(name, "codec"), out)
    if status:
        raise failure(status, "codec %r" % name)
    return Codec.of(out)


def codec_in(value: Union[Codec, str], what: str) -> _abi.plr_codec:
    if isinstance(value, str):
        value = codec(value)
    need(value, Codec, what)
    limits = dict.fromkeys(Codec._fields, 255)
    limits["group"] = 65535
    return _abi.plr_codec(*[integer(number, limits[name], "%s.%s" % (what, name))
                            for name, number in zip(Codec._fields, value)])


def _check(stream, step, micro_batch, seed):
    """ctypes would cut a number to its width."""
    for value, what in ((stream, "stream"), (step, "step"), (micro_batch, "micro_batch")):
        u32(value, what)
    u64(seed, "seed")


def _info(role, stream, step, micro_batch, seed, key=False):
    """What the caller says of a frame."""
    _check(stream, step, micro_batch, seed)
    info = _abi.plr_frame_info(INFO_SIZE, role, stream, step, micro_batch, 0, seed)
    info.flags = _abi.PLR_FRAME_KEY if key else 0
    return info


def _floats(x, what, writable=False):
    """A matrix of floats, as a Tensor."""
    if x.__class__ is not Tensor:
        x = Tensor.of(x, what)
    if x.dtype not in FLOATS or len(x.shape) != 2 or (writable and x.readonly):
        raise ShapeError("%srows x cols of float32, bfloat16 or float16 are needed, not %r"
                         % ("writable " if writable else "", x), what)
    return x


def _role(role):
    number = ROLES.get(role)
    if number is None:
        raise ValueError("role %r is not one of %s" % (role, ", ".join(ROLES)))
    return number


def frame_info(context: Context, frame: Any) -> FrameInfo:
    """What a whole frame says of itself; header, extensions and length are checked, not the chunks' checksums."""
    need(context, Context, "context")
    argument, length, _keep = reading(frame, "frame")
    info, error = sized(_abi.plr_frame_info), new_error()
    status = context._read(C.plr_frame_parse, argument, length, info, error)
    if status:
        raise failure(status, "frame", error)
    return FrameInfo.of(info)


class Encoder(Handle):
    """Makes frames of tensors up to max_rows x max_cols by one codec (a Codec or its name)."""

    __slots__ = ("bound", "codec", "_info", "_info_ref", "_length", "_length_ref", "_x")

    def __init__(self, context: Context, codec_: Union[Codec, str], max_rows: int, max_cols: int):
        need(context, Context, "context")
        parts = codec_in(codec_, "codec")
        rows, cols = u32(max_rows, "max_rows"), u32(max_cols, "max_cols")
        self._make(C.plr_encoder_destroy, (context,),
                   lambda c: create(C.plr_encoder_create, "Encoder", c, parts, rows, cols))
        self.codec = Codec.of(parts)
        self._info, self._length = sized(_abi.plr_frame_info), c_size_t()
        self._info_ref, self._length_ref = byref(self._info), byref(self._length)
        self.bound = self._read(C.plr_encoder_bound)  # bytes of the largest frame

    def encode(self, x: Any, role: str = "activation", *, stream: int = 0, step: int = 0, micro_batch: int = 0,
               seed: int = 0, key: bool = False) -> bytes:
        """The frame of x: rows x cols float32, bfloat16 or float16, of any strides. role: "activation", "gradient",
        "delta" or "state". key, of codecs with a predictor: a frame that builds on no earlier one."""
        buffer = ctypes.create_string_buffer(self.bound)
        length = self.encode_into(buffer, x, role, stream=stream, step=step, micro_batch=micro_batch, seed=seed,
                                  key=key)
        return buffer.raw[:length]

    def encode_into(self, out: Any, x: Any, role: str = "activation", *, stream: int = 0, step: int = 0,
                    micro_batch: int = 0, seed: int = 0, key: bool = False) -> int:
        """The same into a writable buffer (a Tensor of uint8 is fastest; `bound` bytes are always enough). Returns the
        frame's length."""
        if out.__class__ is Tensor and out.dtype == "uint8" and out.contiguous and not out.readonly:
            address, capacity, _keep = out._pointer, out.size, out
        else:
            address, capacity, _keep = writing(out, "out")
            address = ctypes.c_void_p(address)
        x, number = _floats(x, "x"), _role(role)
        if not (0 <= stream <= U32 and 0 <= step <= U32 and 0 <= micro_batch <= U32 and 0 <= seed <= U64):
            _check(stream, step, micro_batch, seed)
        lock, info, length = self._lock, self._info, self._length
        if not lock.acquire(False):  # as in Handle._call
            raise self._in_use()
        try:
            if self._readers:
                raise self._in_use()
            info.role, info.stream, info.step, info.micro_batch, info.seed = number, stream, step, micro_batch, seed
            info.flags = _abi.PLR_FRAME_KEY if key else 0
            status = C.plr_encoder_encode(self._owner.pointer, self._info_ref, x._ref, address, c_size_t(capacity),
                                          self._length_ref)
            written = length.value
        finally:
            lock.release()
        if status == _abi.PLR_ERR_BUFFER_TOO_SMALL:
            raise BufferTooSmall("%d bytes are needed, there are %d" % (written, capacity), "Encoder.encode")
        if status:
            raise failure(status, "Encoder.encode")
        return written

    def begin(self, x: Any, role: str = "activation", *, stream: int = 0, step: int = 0, micro_batch: int = 0,
              seed: int = 0, key: bool = False) -> None:
        """Begins the frame of x, whose pieces next() gives; x has to stay as it is until the last."""
        x, info = _floats(x, "x"), _info(_role(role), stream, step, micro_batch, seed, key)
        status = self._call(C.plr_encoder_begin, info, x._ref)
        if status:
            raise failure(status, "Encoder.begin")
        self._x = x

    def next(self) -> Tuple[bytes, int]:
        """The next piece of the frame begun, and how many rows are left: with 0 the frame is complete."""
        buffer, length, left = ctypes.create_string_buffer(self.bound), c_size_t(), ctypes.c_uint32()
        status = self._call(C.plr_encoder_next, buffer, c_size_t(self.bound), byref(length), byref(left))
        if status:
            raise failure(status, "Encoder.next")
        if not left.value:
            self._x = None
        return buffer.raw[:length.value], left.value

    def set_store(self, entries: int, rows: int = 1) -> None:
        """Memory of a codec with a predictor: what the last `entries` samples or tokens, each of at most `rows` rows,
        decoded to. The decoder needs the same."""
        status = self._call(C.plr_encoder_set_store, u32(entries, "entries"), u32(rows, "rows"))
        if status:
            raise failure(status, "Encoder.set_store")

    def set_keys(self, keys: Sequence[int]) -> None:
        """What the rows of the next frame belong to: samples, or for "anchor" the token of each row."""
        keys = [u64(key, "keys") for key in keys]
        status = self._call(C.plr_encoder_set_keys, (ctypes.c_uint64 * len(keys))(*keys), u32(len(keys), "keys"))
        if status:
            raise failure(status, "Encoder.set_keys")

    def reset(self, generation: int) -> None:
        """Forgets all predictions, here and with the next frame at the decoder."""
        status = self._call(C.plr_encoder_reset, u32(generation, "generation"))
        if status:
            raise failure(status, "Encoder.reset")

    def set_basis(self, basis: Any, generation: int) -> None:
        """The orthonormal basis (cols x rank) of a "basis" codec. The decoder needs the same."""
        basis, error = _floats(basis, "basis"), new_error()
        status = self._call(C.plr_encoder_set_basis, basis._ref, u32(generation, "generation"), error)
        if status:
            raise failure(status, "Encoder.set_basis", error)

    def set_budget(self, frame_bytes: int) -> None:
        """Most bytes of a frame from now on; 0: no budget. For the codecs uniform, dither and trellis."""
        status = self._call(C.plr_encoder_set_budget, u64(frame_bytes, "frame_bytes"))
        if status:
            raise failure(status, "Encoder.set_budget")

    def set_snr(self, target_db: float = 0.0, floor_db: float = 0.0) -> None:
        """The signal-to-noise ratio to aim at, and the least that encode accepts; 0: none."""
        status = self._call(C.plr_encoder_set_snr, ctypes.c_double(target_db), ctypes.c_double(floor_db))
        if status:
            raise failure(status, "Encoder.set_snr")

    @property
    def stats(self) -> EncoderStats:
        stats = sized(_abi.plr_encoder_stats)
        status = self._read(C.plr_encoder_get_stats, stats)
        if status:
            raise failure(status, "Encoder.stats")
        return EncoderStats.of(stats)


class Decoder(Handle):
    """Turns tensor frames of any codec up to max_rows x max_cols back into tensors."""

    __slots__ = ("_context", "_most", "_out")

    def __init__(self, context: Context, max_rows: int, max_cols: int):
        need(context, Context, "context")
        rows, cols = u32(max_rows, "max_rows"), u32(max_cols, "max_cols")
        self._make(C.plr_decoder_destroy, (context,),
                   lambda c: create(C.plr_decoder_create, "Decoder", c, rows, cols))
        self._context, self._most = context, (rows, cols)

    def decode(self, frame: Any, out: Any = None) -> Tensor:
        """The tensor of a frame: rows x cols float32, in `out` if given, which then has to be of that shape (and may be
        bfloat16 or float16). When this
        fails the contents of out are unspecified. frame_info() says what else the frame says of itself."""
        if out is None:
            info = frame_info(self._context, frame)
            fits = info.rows <= self._most[0] and info.cols <= self._most[1]
            out = Tensor((info.rows, info.cols) if fits else (1, 1))  # else the decoder says what does not fit
        out = _floats(out, "out", writable=True)
        argument, length, _keep = reading(frame, "frame")
        error = _abi.plr_error(ERROR_SIZE)
        status = self._call(C.plr_decoder_decode, argument if _keep is None else ctypes.c_void_p(argument),
                            ctypes.c_size_t(length), out._ref, None, ctypes.byref(error))
        if status:
            raise failure(status, "Decoder.decode", error)
        return out

    def begin(self, out: Any) -> None:
        """The next frame comes in pieces, to feed(), and goes to `out`, which is of its shape."""
        out, error = _floats(out, "out", writable=True), new_error()
        status = self._call(C.plr_decoder_begin, out._ref, error)
        if status:
            raise failure(status, "Decoder.begin", error)
        self._out = out

    def feed(self, data: Any) -> Tuple[int, int]:
        """Takes bytes of the frame begun; returns how many of them (all, unless the frame is complete) and how many
        rows of `out` are finished."""
        argument, length, _keep = reading(data, "data")
        used, rows, error = c_size_t(), ctypes.c_uint32(), new_error()
        status = self._call(C.plr_decoder_feed, argument if _keep is None else ctypes.c_void_p(argument),
                            c_size_t(length), byref(used), byref(rows), None, error)
        if status:
            raise failure(status, "Decoder.feed", error)
        return used.value, rows.value

    def set_store(self, entries: int, rows: int = 1) -> None:
        """Memory for frames with a predictor, as Encoder.set_store. decode and feed then raise OutOfSequence when a
        frame was lost: the sender has to send a key frame."""
        status = self._call(C.plr_decoder_set_store, u32(entries, "entries"), u32(rows, "rows"))
        if status:
            raise failure(status, "Decoder.set_store")

    def set_basis(self, basis: Any, generation: int) -> None:
        """The basis of frames with one, as Encoder.set_basis."""
        basis, error = _floats(basis, "basis"), new_error()
        status = self._call(C.plr_decoder_set_basis, basis._ref, u32(generation, "generation"), error)
        if status:
            raise failure(status, "Decoder.set_basis", error)


class Feedback(Handle):
    """Error feedback for deltas of one tensor: a frame carries decay * error + x, and what it leaves out becomes the
    error when it is committed. `error`, rows x cols float32, may be read, and written to restore it."""

    __slots__ = ("_shape",)

    def __init__(self, context: Context, rows: int, cols: int, decay: float = 0.95):
        need(context, Context, "context")
        shape = u32(rows, "rows"), u32(cols, "cols")
        self._make(C.plr_feedback_destroy, (context,),
                   lambda c: create(C.plr_feedback_create, "Feedback", c, *shape, ctypes.c_float(decay)))
        self._shape = shape

    def encode(self, encoder: Encoder, decoder: Decoder, x: Any, *, stream: int = 0, step: int = 0,
               micro_batch: int = 0, seed: int = 0) -> bytes:
        """The frame of a delta, which is pending until commit() or rollback()."""
        need(encoder, Encoder, "encoder")
        need(decoder, Decoder, "decoder")
        x = Tensor.of(x, "x")
        if x.dtype not in FLOATS or x.shape != self._shape:
            raise ShapeError("%d x %d of float32, bfloat16 or float16 are needed, not %r" % (*self._shape, x), "x")
        info = _info(ROLES["delta"], stream, step, micro_batch, seed)
        return _write_frame("Feedback.encode", encoder.bound, lambda out, length: encoder._call(
            lambda e: decoder._call(lambda d: self._call(C.plr_feedback_encode, e, d, info, x._ref, out,
                                                         length._obj.value, length))))

    def commit(self) -> None:
        """The frame arrived."""
        self._do(C.plr_feedback_commit, "Feedback.commit")

    def rollback(self) -> None:
        """It did not: the same delta has to be encoded again."""
        self._do(C.plr_feedback_rollback, "Feedback.rollback")

    def _do(self, function, where):
        status = self._call(function)
        if status:
            raise failure(status, where)

    @property
    def hash(self) -> int:
        """XXH3-64 of the committed error."""
        out = ctypes.c_uint64()
        status = self._read(C.plr_feedback_hash, byref(out))
        if status:
            raise failure(status, "Feedback.hash")
        return out.value

    @property
    def error(self) -> Tensor:
        """A copy of the committed error."""
        out = Tensor(self._shape)
        ctypes.memmove(out.address, self._memory(), 4 * self._shape[0] * self._shape[1])
        return out

    @error.setter
    def error(self, value: Any) -> None:
        value = Tensor.of(value, "error")
        if value.dtype != "float32" or value.shape != self._shape or not value.contiguous:
            raise ShapeError("contiguous %d x %d float32 are needed, not %r" % (*self._shape, value), "error")
        ctypes.memmove(self._memory(), value.address, 4 * self._shape[0] * self._shape[1])

    def _memory(self):
        view = _abi.plr_tensor()
        status = self._call(C.plr_feedback_tensor, byref(view))
        if status:
            raise failure(status, "Feedback.error")
        return view.data


class Mask:
    """A keyed mask: the values of a tensor that round `round` of averaging takes, one of `masks` parts. The same key
    gives the same values everywhere; in `masks` rounds every value is taken once. A codec "mask20" carries them."""

    __slots__ = ("_mask",)

    def __init__(self, total: int, key: int, masks: int, round: int = 0):  # pylint: disable=redefined-builtin
        self._mask = _abi.plr_mask(u64(total, "total"), u64(key, "key"), u32(masks, "masks"), u32(round, "round"))
        len(self)

    def __len__(self) -> int:
        out = ctypes.c_uint64()
        self._do("Mask", C.plr_mask_count, byref(out))
        return out.value

    def indices(self, first: int = 0, count: Any = None) -> list:
        """Where values [first, first + count) of the mask lie in the tensor, in row-major order."""
        count = max(0, len(self) - first) if count is None else count
        out = (ctypes.c_uint64 * integer(count, len(self), "count"))()
        self._do("Mask.indices", C.plr_mask_indices, u64(first, "first"), len(out), out)
        return list(out)

    def gather(self, weights: Any, first: int = 0, count: Any = None) -> Tensor:
        """Those values of a contiguous tensor: 1 x count float32."""
        count = max(0, len(self) - first) if count is None else count
        out = Tensor((1, integer(count, len(self), "count")))
        self._do("Mask.gather", C.plr_mask_gather, u64(first, "first"), Tensor.of(weights, "weights")._ref, out._ref)
        return out

    def scatter_add(self, weights: Any, average: Any, sent: Any, first: int = 0) -> None:
        """weights += average - sent at those places."""
        weights = Tensor.of(weights, "weights")
        if weights.readonly:
            raise ShapeError("writable weights are needed", "weights")
        self._do("Mask.scatter_add", C.plr_mask_scatter_add, u64(first, "first"), weights._ref,
                 Tensor.of(average, "average")._ref, Tensor.of(sent, "sent")._ref)

    def _do(self, where, function, *arguments):
        status = function(self._mask, *arguments)
        if status:
            raise failure(status, where)


def _write_frame(where, first, call):
    """The frame that call(buffer, &length) writes, with a second try in the size it asks for."""
    capacity = first
    while True:
        buffer = bytearray(capacity)
        length = ctypes.c_size_t(capacity)
        status = call(writing(buffer, "frame")[0], ctypes.byref(length))
        if status == _abi.PLR_ERR_BUFFER_TOO_SMALL and length.value > capacity:
            capacity = length.value
            continue
        if status:
            raise failure(status, where)
        return bytes(memoryview(buffer)[:length.value])


def encode_tokens(context: Context, tokens: Any, vocab: int, *, rows: int = 1, stream: int = 0, step: int = 0,
                  micro_batch: int = 0, seed: int = 0) -> bytes:
    """A frame of token ids (rows x cols, each below vocab), packed to ceil(log2 vocab) bits or less. A flat sequence is
    cut into `rows`."""
    need(context, Context, "context")
    tokens = tokens_of(tokens)
    if len(tokens.shape) == 2:
        rows = tokens.shape[0]
    if not u32(rows, "rows") or tokens.size % rows:
        raise ShapeError("%d ids are not %d rows" % (tokens.size, rows), "tokens")
    cols, info = u32(tokens.size // rows, "tokens"), _info(ROLES["tokens"], stream, step, micro_batch, seed)
    return _write_frame("encode_tokens", FRAME_HEADER + 64 + 4 * tokens.size, lambda out, length: context._read(
        C.plr_tokens_encode, info, tokens.address, rows, cols, u32(vocab, "vocab"), out, length))


def decode_tokens(context: Context, frame: Any, capacity: int = 1 << 20) -> Tensor:
    """The ids of a token frame: rows x cols, int32, each below frame_info(frame).vocab. capacity: ids at most; a few
    bytes from a peer can say that they are very many."""
    info = frame_info(context, frame)
    argument, length, _keep = reading(frame, "frame")
    fits = info.rows * info.cols <= capacity
    out = Tensor((info.rows, info.cols) if fits else (1, 1), "int32")  # else the library says what does not fit
    error = new_error()
    status = context._read(C.plr_tokens_decode, argument, length, out.address, out.size, None, error)
    if status:
        raise failure(status, "decode_tokens", error)
    return out


def encode_control(payload: Any, *, stream: int = 0, step: int = 0, micro_batch: int = 0, seed: int = 0) -> bytes:
    """Opaque bytes as a frame."""
    argument, length, _keep = reading(payload, "payload")
    info, length = _info(ROLES["control"], stream, step, micro_batch, seed), u32(length, "payload")
    return _write_frame("encode_control", FRAME_HEADER + 64 + length, lambda out, size: C.plr_control_encode(
        info, argument, length, out, size))


def decode_control(context: Context, frame: Any) -> bytes:
    """The payload of a control frame."""
    need(context, Context, "context")
    argument, length, _keep = reading(frame, "frame")
    payload, size, error = ctypes.c_void_p(), ctypes.c_uint32(), new_error()
    status = context._read(C.plr_control_decode, argument, length, ctypes.byref(payload), ctypes.byref(size), None,
                           error)
    if status:
        raise failure(status, "decode_control", error)
    return ctypes.string_at(payload, size.value) if size.value else b""

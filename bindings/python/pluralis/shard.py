"""A shard: consecutive blocks of a model on one device, trained or used for inference."""
from __future__ import annotations

import ctypes
import math
from array import array
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Optional, Sequence

from . import _abi
from ._handle import (Handle, create, hash_out, hashes_in, hashes_out, initialised, need, new_error, sized, text, u32,
                      u64)
from ._load import C
from ._records import SnapshotInfo
from .context import Context
from .errors import InvalidArgument, NotFound, ShapeError, failure
from .io import Readable, Writable, reading_from, sink_for
from .model import Model
from .tensor import Tensor, fit, key_of, row_major
from .weights import Weights, dtype_number, reading_weights


def tokens_of(value: Any, what: str = "tokens") -> Tensor:
    """Ids as an int32 tensor: of an int32 tensor or buffer without a copy, else of bytes or a sequence of integers."""
    if isinstance(value, Tensor):
        tensor = value
    elif isinstance(value, (bytes, bytearray, list, tuple, range)):
        try:
            tensor = Tensor.of(array("i", list(value)), what)  # of bytes, array would take the memory
        except OverflowError as error:
            raise InvalidArgument(str(error), what) from None
    else:
        tensor = Tensor.of(value, what)
    if tensor.dtype != "int32" or not tensor.contiguous:
        raise ShapeError("contiguous int32 is needed, not %s with strides %r" % (tensor.dtype, tensor.strides), what)
    return tensor


WEIGHT_FORMATS = ("f32", "bf16", "q8", "q4")  # PLR_WEIGHTS_*
DELAYED = ("refused", "stash", "newest")


class Parameter(NamedTuple):
    """A matrix that a shard trains: y = x W, W rows x cols; a gain or a bias is 1 x cols."""

    name: str
    block: int
    rows: int
    cols: int


class Shard(Handle):
    """Blocks [first_block, end_block) of a model; end_block None: to the end.

    N = micro_batch * seq_len token rows, w = boundary_width, V = vocab of the model. What crosses a boundary is N x w
    float32. Tensors may be a Tensor or anything Tensor.of takes; a Tensor is the fastest.

    slots           micro-batches in flight
    inference_only  no gradients and optimizer state
    delayed         whether a step may come between a forward and its backward: "refused", "stash" (backward with the
                    weights of its forward) or "newest"
    versions        with "stash": weights of so many versions may be held at once
    recompute       keep of a micro-batch what crosses from block to block, compute the rest again: the same bits
    weights         Weights to start from, at step 0, instead of the seed
    weight_format   "f32"; with inference_only also "bf16", "q8", "q4": how weights are held
    """

    __slots__ = ("model", "first_block", "end_block", "slots", "is_first", "is_last", "_context", "_wire", "_tokens",
                 "_ended")

    def __init__(self, context: Context, model: Model, first_block: int = 0, end_block: Optional[int] = None, *,
                 slots: int = 1, inference_only: bool = False, recompute: bool = False, device: str = "cpu",
                 weights: Optional[Weights] = None, weight_format: str = "f32", delayed: str = "refused",
                 versions: int = 1):
        need(context, Context, "context")
        need(model, Model, "model")
        info = model.info
        options = initialised(_abi.plr_shard_options, C.plr_shard_options_init)
        options.first_block = u32(first_block, "first_block")
        options.end_block = info.blocks if end_block is None else u32(end_block, "end_block")
        options.slots, options.inference_only = u32(slots, "slots"), bool(inference_only)
        options.recompute = bool(recompute)
        options.device = text(device, "device")
        if weight_format not in WEIGHT_FORMATS:
            raise InvalidArgument("%r is not one of %s" % (weight_format, ", ".join(WEIGHT_FORMATS)), "weight_format")
        options.weight_format = WEIGHT_FORMATS.index(weight_format)
        if delayed not in DELAYED:
            raise InvalidArgument("%r is not one of %s" % (delayed, ", ".join(DELAYED)), "delayed")
        options.delayed, options.versions = DELAYED.index(delayed), u32(versions, "versions")
        self._ended = ended = []
        with reading_weights(weights) as options.weights:
            self._make(lambda pointer: _destroy(pointer, ended), (context, model),
                       lambda c, m: create(C.plr_shard_create, "Shard", c, m, options))
        self._context, self.model, self.slots = context, model, slots
        self.first_block, self.end_block = options.first_block, options.end_block
        self.is_first, self.is_last = self.first_block == 0, self.end_block == info.blocks
        wire, tokens = (info.micro_batch * info.seq_len, info.boundary_width), (info.micro_batch, info.seq_len + 1)
        self._wire = key_of("float32", wire, row_major(wire))
        self._tokens = key_of("int32", tokens, row_major(tokens))

    def _end_session(self, pointer):
        """Ends a session, at once or, when a call on the shard runs (the collector may come then), with a later one."""
        self._ended.append(pointer)
        if self._lock.acquire(False):
            try:
                while self._ended:
                    C.plr_session_destroy(self._ended.pop())
            finally:
                self._lock.release()

    def _ids(self, tokens):
        """micro_batch x (seq_len + 1) ids, in any shape."""
        tokens = tokens_of(tokens)
        _count(tokens, math.prod(self._tokens[1]), "tokens")
        return tokens

    def _cross(self, tensor, what, written=False):
        """A tensor that crosses a boundary, looked at closely."""
        return fit(tensor, what, "float32", self._wire[1], written)

    def _slot(self, slot):
        raise InvalidArgument("slot %r is not an integer in 0 .. %d" % (slot, self.slots - 1), "Shard")

    def forward(self, slot: int, tokens: Any, x: Any = None, out: Any = None) -> Any:
        """Training forward of one micro-batch into a slot.

        tokens: micro_batch x (seq_len + 1) ids. x: N x w, what the shard before gave; None on the first shard.
        Returns out (N x w, made when None), or on the last shard the sum of the cross-entropy over N rows, in nats."""
        wire, loss = self._wire, None
        if slot.__class__ is not int or not 0 <= slot < self.slots:
            self._slot(slot)
        if tokens.__class__ is not Tensor or tokens._key is not self._tokens:
            tokens = self._ids(tokens)
        if x is not None and (x.__class__ is not Tensor or x._key is not wire):
            x = self._cross(x, "x")
        if out is None:
            if self.is_last:
                loss = ctypes.c_double()
            else:
                out = Tensor(wire[1])
        elif out.__class__ is not Tensor or out._key is not wire:
            out = self._cross(out, "out", True)
        lock = self._lock  # as in Handle._call
        if not lock.acquire(False):
            raise self._in_use()
        try:
            if self._readers:
                raise self._in_use()
            status = C.plr_shard_forward(self._owner.pointer, slot, tokens._pointer, None if x is None else x._ref,
                                         None if out is None else out._ref,
                                         None if loss is None else ctypes.byref(loss))
        finally:
            lock.release()
        if status:
            raise failure(status, "Shard.forward")
        return out if loss is None else loss.value

    def backward(self, slot: int, grad_out: Any = None, out: Any = None) -> Optional[Tensor]:
        """Backward of the micro-batch in a slot, which becomes free; in micro-batch order.

        grad_out: N x w, the gradient of what forward returned; None on the last shard. Returns the gradient of x
        (N x w, written to `out` if given), None on the first shard."""
        wire = self._wire
        if slot.__class__ is not int or not 0 <= slot < self.slots:
            self._slot(slot)
        if grad_out is not None and (grad_out.__class__ is not Tensor or grad_out._key is not wire):
            grad_out = self._cross(grad_out, "grad_out")
        if out is None:
            if not self.is_first:
                out = Tensor(wire[1])
        elif out.__class__ is not Tensor or out._key is not wire:
            out = self._cross(out, "out", True)
        lock = self._lock  # as in Handle._call
        if not lock.acquire(False):
            raise self._in_use()
        try:
            if self._readers:
                raise self._in_use()
            status = C.plr_shard_backward(self._owner.pointer, slot, None if grad_out is None else grad_out._ref,
                                          None if out is None else out._ref)
        finally:
            lock.release()
        if status:
            raise failure(status, "Shard.backward")
        return out

    def step(self) -> None:
        """Applies the optimizer to the accumulated gradients, clears them and counts the step."""
        status = self._call(C.plr_shard_step)
        if status:
            raise failure(status, "Shard.step")

    def gradient_sums(self) -> array:
        """For a model with clip_scope "global": sum of squares of each block's accumulated gradient; infinity when one
        is not finite."""
        sums = array("d", bytes(8 * (self.end_block - self.first_block)))
        address, count = sums.buffer_info()
        status = self._call(C.plr_shard_gradient_sums, ctypes.cast(address, ctypes.POINTER(ctypes.c_double)), count)
        if status:
            raise failure(status, "Shard.gradient_sums")
        return sums

    def step_global(self, sums: Sequence[float]) -> None:
        """step, its gradient limited by the sums of all blocks of the model in order (every shard's gradient_sums)."""
        array_ = (ctypes.c_double * len(sums))(*sums)
        status = self._call(C.plr_shard_step_global, array_, len(sums))
        if status:
            raise failure(status, "Shard.step_global")

    @property
    def steps(self) -> int:
        """Optimizer steps done since the seeded start."""
        return self._read(C.plr_shard_steps)

    def infer(self, tokens: Any, x: Any = None, out: Any = None, rows: int = 1) -> Tensor:
        """Forward only. tokens: rows x seq ids (a flat sequence is cut into `rows`), seq <= seq_len, rows * seq <= N.
        x: rows*seq x w, None on the first shard. Returns rows*seq x w, on the last shard the logits rows*seq x V."""
        tokens, rows = tokens_of(tokens), u32(rows, "rows")
        count = tokens.size
        if len(tokens.shape) == 2:
            rows = tokens.shape[0]
        if not rows or not count or count % rows:
            raise ShapeError("%d ids are not %d rows" % (count, rows), "tokens")
        width = self.model.info.vocab if self.is_last else self.model.info.boundary_width
        if x is not None:
            x = fit(x, "x", "float32", (count, self.model.info.boundary_width))
        shape = (count, width)
        if out is None and count <= self._wire[1][0]:
            out = Tensor(shape)
        elif out is not None:
            out = fit(out, "out", "float32", shape, True)
        status = self._call(C.plr_shard_infer, tokens.address, rows, u32(count // rows, "tokens"),
                            x if x is None else x._ref, out if out is None else out._ref)
        if status:
            raise failure(status, "Shard.infer")
        return out

    def loss(self, logits: Any, labels: Any) -> float:
        """Cross-entropy of logits (rows x V, overwritten) against rows labels, summed in nats. Last shard only."""
        logits, labels = Tensor.of(logits, "logits"), tokens_of(labels, "labels")
        if len(logits.shape) != 2:
            raise ShapeError("rank is %d, 2 is needed" % len(logits.shape), "logits")
        logits = fit(logits, "logits", "float32", (logits.shape[0], self.model.info.vocab), True)
        _count(labels, logits.shape[0], "labels")
        total = ctypes.c_double()
        status = self._call(C.plr_shard_loss, logits._ref, labels.address, ctypes.byref(total))
        if status:
            raise failure(status, "Shard.loss")
        return total.value

    @property
    def parameters(self) -> list:
        """What the shard trains, in the order of the model."""
        found, info = [], sized(_abi.plr_parameter_info)
        for i in range(self._read(C.plr_shard_parameters)):
            status = self._read(C.plr_shard_parameter, i, info)
            if status:
                raise failure(status, "Shard.parameters")
            found.append(Parameter(info.name.decode("utf-8"), info.block, info.rows, info.cols))
        return found

    def _shape_of(self, name):
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter.rows, parameter.cols
        raise NotFound("blocks %d .. %d have no parameter %r" % (self.first_block, self.end_block, name), "Shard")

    def read(self, name: str, gradient: bool = False, out: Any = None) -> Tensor:
        """A parameter's weights, or its gradient since the last step, rows x cols."""
        shape, error = self._shape_of(name), new_error()
        out = Tensor(shape) if out is None else fit(out, "out", "float32", shape, True)
        what = _abi.PLR_PARAMETER_GRADIENT if gradient else _abi.PLR_PARAMETER_WEIGHT
        status = self._call(C.plr_shard_read, what, text(name, "name"), out._ref, error)
        if status:
            raise failure(status, "Shard.read", error)
        return out

    def write(self, name: str, values: Any) -> None:
        """Replaces a parameter's weights by rows x cols float32; optimizer state and step stay."""
        values, error = fit(values, "values", "float32", self._shape_of(name)), new_error()
        status = self._call(C.plr_shard_write, text(name, "name"), values._ref, error)
        if status:
            raise failure(status, "Shard.write", error)

    def export(self, target: Writable, dtype: str = "float32") -> None:
        """Writes the weights as safetensors under the names of the model's family: to a path, a binary file object or a
        Sink. dtype: float32 or bfloat16."""
        sink, error = sink_for(self._context, target), new_error()
        self._owner.pointer  # a closed shard raises before the sink is taken
        with sink:
            number = dtype_number(dtype)
            sink.check(self._call(lambda pointer: C.plr_shard_export(pointer, number, sink.take(), error)),
                       "Shard.export", error)

    def save(self, target: Writable) -> None:
        """Writes a snapshot (weights, optimizer state, step) to a path, a binary file object or a Sink."""
        sink, error = sink_for(self._context, target), new_error()
        self._owner.pointer  # a closed shard raises before the sink is taken
        with sink:
            sink.check(self._call(lambda pointer: C.plr_shard_save(pointer, sink.take(), error)), "Shard.save", error)

    def load(self, *origins: Readable) -> None:
        """Restores the shard's blocks from a snapshot that holds them, or from several that do together: paths, bytes,
        binary file objects or Sources. They may have been saved by any split of the same model at one step."""
        error = new_error()
        with _all_of(self._context, origins) as sources:
            if len(sources) == 1:
                status = self._call(C.plr_shard_load, sources[0].struct, error)
            else:
                status = self._call(C.plr_shard_load_parts, _structs(sources), len(sources), error)
            for source in sources[1:]:
                source.caught.settle()
            sources[0].check(status, "Shard.load", error)

    def leaves(self) -> list:
        """Hash of each of the shard's blocks: weights, moments and step."""
        count = self.end_block - self.first_block
        array_ = (_abi.plr_hash * count)()
        status = self._call(C.plr_shard_leaves, array_, count)
        if status:
            raise failure(status, "Shard.leaves")
        return hashes_out(array_, count)


def _destroy(pointer, ended):
    while ended:
        C.plr_session_destroy(ended.pop())
    C.plr_shard_destroy(pointer)


def _count(tensor, count, what):
    if tensor.size != count:
        raise ShapeError("%d ids are needed, not %d" % (count, tensor.size), what)


@contextmanager
def _all_of(context, origins):
    if not origins:
        raise InvalidArgument("no snapshot is given", "origins")
    with ExitStack() as stack:
        yield [stack.enter_context(reading_from(context, origin)) for origin in origins]


def _structs(sources):
    return (_abi.plr_source * len(sources))(*[source.struct for source in sources])


def snapshot_info(context: Context, model: Model, *origins: Readable) -> SnapshotInfo:
    """What snapshots of the model hold together: how many blocks, of which step, and, when all blocks are there, the
    weight root (else zeros). Reads headers only."""
    need(context, Context, "context")
    info, error = sized(_abi.plr_snapshot_info), new_error()
    with _all_of(context, origins) as sources:
        status = context._read(lambda c: need(model, Model, "model")._read(
            lambda m: C.plr_snapshot_inspect(c, m, _structs(sources), len(sources), info, error)))
        for source in sources[1:]:
            source.caught.settle()
        sources[0].check(status, "snapshot_info", error)
    return SnapshotInfo.of(info)


def weight_root(leaves: Sequence[bytes]) -> bytes:
    """Weight root of a whole model from the leaves of all its blocks in order (RFC 6962 tree)."""
    array_, count = hashes_in(leaves, "leaves")
    out = _abi.plr_hash()
    status = C.plr_weight_root(array_, count, out)
    if status:
        raise failure(status, "weight_root")
    return bytes(out)


def sample(logits: Any, *, temperature: float = 0.0, top_k: int = 0, seed: int = 0, position: int = 0) -> int:
    """Draws one token from V logits (float32, one row) by Philox(seed, position). temperature 0: the largest. top_k 0:
    all."""
    logits = Tensor.of(logits, "logits")
    if logits.dtype != "float32" or not logits.contiguous or max(logits.shape) != logits.size:
        raise ShapeError("one row of contiguous float32 is needed, not %s of shape %r" % (logits.dtype, logits.shape),
                         "logits")
    token = ctypes.c_int32()
    status = C.plr_sample(logits.address, logits.size, temperature, u32(top_k, "top_k"), u64(seed, "seed"),
                          u64(position, "position"), ctypes.byref(token))
    if status:
        raise failure(status, "sample")
    return token.value


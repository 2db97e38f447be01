"""The weights of a published model: safetensors files, one or many with an index."""
from __future__ import annotations

import ctypes
import json
import os
from contextlib import contextmanager
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple, Union

from . import _abi
from ._handle import Handle, create, need, new_error, sized, text
from ._load import C
from .context import Context
from .errors import InvalidArgument, failure
from .io import Caught, Readable, Source, Writable, sink_for
from .tensor import DTYPES

NAMES = {number: name for name, number in DTYPES.items()}


class WeightsTensor(NamedTuple):
    """A tensor of a checkpoint. dtype is None for a type that models are not read from; file is "" without an index."""

    name: str
    file: str
    dtype: Optional[str]
    shape: Tuple[int, ...]
    bytes: int


class Weights(Handle):
    """A checkpoint. origin: the path of a folder or of a safetensors file; or bytes, a seekable binary file object or a
    Source that is one file (a Source is used up). With opener: the index (its text, or a dict), and opener(name) gives
    each of its files when it is needed, as anything that Source takes."""

    __slots__ = ("_caught",)

    def __init__(self, context: Context, origin: Union[Readable, Mapping[str, Any]],
                 opener: Optional[Callable[[str], Readable]] = None):
        need(context, Context, "context")
        self._caught, kept = [], []
        if opener is not None:
            build = self._of_index(context, origin, opener, kept)
        elif isinstance(origin, (str, os.PathLike)):
            path = os.fsencode(origin)
            if b"\0" in path:
                raise ValueError("weights: the path has a NUL character")
            build = lambda c: create(C.plr_weights_open_path, "Weights", c, path)
        else:
            source = origin if isinstance(origin, Source) else Source(context, origin)
            struct = _take(source, kept, self._caught)
            build = lambda c: create(C.plr_weights_open, "Weights", c, struct)
        try:
            self._make(C.plr_weights_destroy, (context,), build, kept)
        finally:
            self.settle()

    def _of_index(self, context, index, opener, kept):
        given = json.dumps(index) if isinstance(index, Mapping) else index
        raw = given.encode("utf-8") if isinstance(given, str) else bytes(memoryview(given))
        caught, opened = Caught(), _abi.plr_source_opener()
        self._caught.append(caught)
        all_caught = self._caught  # not self: a cycle with the callback would keep files open

        def open_one(_user, name, out):
            def run():
                given = opener(ctypes.string_at(name).decode("utf-8"))
                source = given if isinstance(given, Source) else Source(context, given)
                _take(source, kept, all_caught)
                ctypes.memmove(out, ctypes.byref(source.struct), ctypes.sizeof(source.struct))
            return caught.guard(run)

        opened.open = _abi.plr_source_opener_open_fn(open_one)
        kept.append(opened)
        return lambda c: create(C.plr_weights_open_index, "Weights", c, raw, len(raw), opened)

    def settle(self):
        """Raises what a callback raised."""
        for caught in list(self._caught):
            caught.settle()

    @property
    def tensors(self) -> list:
        """Every tensor, by name; opens all files."""
        found, info, error = [], sized(_abi.plr_weights_tensor), new_error()
        for i in range(self._read(C.plr_weights_count)):
            status = self._call(C.plr_weights_get, i, info, error)
            self.settle()
            if status:
                raise failure(status, "Weights.tensors", error)
            found.append(WeightsTensor(info.name.decode("utf-8"), info.file.decode("utf-8"), NAMES.get(info.dtype),
                                       tuple(info.shape[:info.ndim]), info.bytes))
        return found


def _take(source, kept, caught):
    """The struct of a source, which is C's from here on."""
    source._need_open()
    source._open = False
    kept.append(source)
    caught.append(source.caught)
    return source.struct


@contextmanager
def reading_weights(weights):
    """The pointer, for a call that reads them; None for None."""
    if weights is None:
        yield None
        return
    need(weights, Weights, "weights")
    if not weights._lock.acquire(False):
        raise weights._in_use()
    try:
        try:
            yield weights._owner.pointer
        finally:
            weights.settle()
    finally:
        weights._lock.release()


def dtype_number(dtype: str) -> int:
    if dtype not in DTYPES:
        raise InvalidArgument("dtype %r is not one of %s" % (dtype, ", ".join(DTYPES)), "dtype")
    return DTYPES[dtype]


def write_index(context: Context, files: Mapping[str, Readable], target: Writable) -> None:
    """Writes the index of safetensors files {name: path, bytes, file object or Source} to a path, a file object or a
    Sink."""
    need(context, Context, "context")
    sources, mine, error = [], [], new_error()
    try:
        for origin in files.values():
            if not isinstance(origin, Source):
                mine.append(Source(context, origin))
            sources.append(origin if isinstance(origin, Source) else mine[-1])
            sources[-1]._need_open()
        structs = (_abi.plr_source * len(sources))(*[source.struct for source in sources])
        texts = [ctypes.create_string_buffer(text(name, "names")) for name in files]
        names = (ctypes.c_void_p * len(texts))(*[ctypes.addressof(buffer) for buffer in texts])
        sink = sink_for(context, target)
        with sink:
            status = context._read(C.plr_weights_write_index, names, structs, len(sources), sink.take(), error)
            for source in sources:
                source.caught.settle()
            sink.check(status, "write_index", error)
    finally:
        for source in mine:
            source.close()

"""Where bytes that outlive a process come from and go to: paths, memory, and Python's file objects."""
from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from typing import Any, BinaryIO, Union

from . import _abi
from ._buffer import SIMPLE, View, reading
from ._handle import hold, let_go, need, new_error, u64
from ._load import C
from .context import Context
from .errors import Closed, InvalidState, failure

Readable = Union[str, os.PathLike, bytes, bytearray, memoryview, BinaryIO, "Source"]
Writable = Union[str, os.PathLike, BinaryIO, "Sink"]


class Caught:
    """What a callback raised. C sees a status; the call that ran the callback raises the exception itself."""

    def __init__(self):
        self.exception = None

    def guard(self, function, *arguments):
        """Status of a callback that runs function."""
        if self.exception is not None:
            return _abi.PLR_ERR_IO
        try:
            function(*arguments)
            return _abi.PLR_OK
        except BaseException as exception:  # pylint: disable=broad-except  # raised again by settle
            self.exception = exception
            return _abi.PLR_ERR_IO

    def settle(self):
        exception, self.exception = self.exception, None
        if exception is not None:
            try:
                raise exception
            finally:
                del exception  # its traceback would hold this frame, which holds it


class Source:
    """Something that is read at any offset. origin: a path, bytes, or a seekable binary file object (not closed)."""

    def __init__(self, context: Context, origin: Readable):
        self._keep, self._open = [], False
        self.struct, self.caught = _abi.plr_source(), Caught()
        self._keep = hold([need(context, Context, "context")])  # C keeps the context too, but not its logger
        if isinstance(origin, (str, os.PathLike)):
            error = new_error()
            path = os.fsencode(origin)
            if b"\0" in path:
                raise ValueError("source: the path has a NUL character")
            status = context._read(C.plr_source_open_path, path, self.struct, error)
            if status:
                raise failure(status, "source", error)
        elif hasattr(origin, "read"):
            self._from_file(origin)
        else:
            self._from_memory(origin)
        self._open = True

    def _from_file(self, file):
        lock = threading.Lock()
        size = self.struct.size = file.seek(0, os.SEEK_END)

        def read(offset, address, length):
            _within(offset, length, size)
            target = memoryview((ctypes.c_char * length).from_address(address)).cast("B")
            with lock:
                file.seek(offset)
                while length:
                    piece = file.read(length)
                    if not piece:
                        raise EOFError("the file ended %d bytes early" % length)
                    target[-length:][:len(piece)] = piece
                    length -= len(piece)

        self._callbacks(read)

    def _from_memory(self, data):
        view = View(data, SIMPLE)
        start, self.struct.size = view.view.buf, view.view.len
        size = self.struct.size

        def read(offset, address, length, _view=view):
            _within(offset, length, size)
            ctypes.memmove(address, start + offset, length)

        self._callbacks(read)

    def _callbacks(self, read):
        caught = self.caught  # not self: a cycle with the callback would keep files open
        self.struct.read_at = _abi.plr_source_read_at_fn(
            lambda _user, offset, address, length: caught.guard(read, offset, address, length))
        self.struct.close = _abi.plr_source_close_fn(lambda _user: None)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.struct.size

    def read_at(self, offset: int, length: int) -> bytes:
        """length bytes from offset; Truncated past the end."""
        self._need_open()
        buffer = bytearray(u64(length, "length"))
        view = View(buffer, SIMPLE)
        status = self.struct.read_at(self.struct.user, u64(offset, "offset"), view.view.buf, length)
        self.check(status, "Source.read_at")
        return bytes(buffer)

    def _need_open(self):
        if not self._open:
            raise Closed("this Source is closed", "Source")

    def check(self, status, where, error=None):
        """Raises what a callback raised, else what the status says."""
        self.caught.settle()
        if status:
            raise failure(status, where, error)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.struct.close(self.struct.user)

    def __enter__(self):
        self._need_open()
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        self.close()
        let_go(self._keep)


def _within(offset, length, size):
    if offset > size or length > size - offset:
        raise EOFError("read of %d bytes at %d of %d" % (length, offset, size))


class Sink:
    """Something written front to back that becomes visible at commit. target: a path (written beside it, then renamed:
    an earlier file stays untouched until then), or a binary file object (flushed at commit, not closed; what was
    written to it before an abort stays)."""

    def __init__(self, context: Context, target: Writable):
        self._keep, self._open = [], False
        self.struct, self.caught = _abi.plr_sink(), Caught()
        self._keep = hold([need(context, Context, "context")])
        if isinstance(target, (str, os.PathLike)):
            error = new_error()
            path = os.fsencode(target)
            if b"\0" in path:
                raise ValueError("sink: the path has a NUL character")
            status = context._read(C.plr_sink_open_path, path, self.struct, error)
            if status:
                raise failure(status, "sink", error)
        elif hasattr(target, "write"):
            self._from_file(target)
        else:
            raise TypeError("sink: a path or a file object is needed, not %s" % type(target).__name__)
        self._open = True

    def _from_file(self, file):
        caught = self.caught

        def write(address, length):
            data = ctypes.string_at(address, length)
            while data:
                done = file.write(data)
                if done is None:
                    break
                data = data[done:]

        self.struct.write = _abi.plr_sink_write_fn(lambda _user, data, length: caught.guard(write, data, length))
        self.struct.commit = _abi.plr_sink_commit_fn(
            lambda _user: caught.guard(getattr(file, "flush", lambda: None)))
        self.struct.abort = _abi.plr_sink_abort_fn(lambda _user: None)

    def write(self, data: bytes) -> None:
        self._need_open()
        argument, length, _keep = reading(data, "data")
        self.check(self.struct.write(self.struct.user, argument, length), "Sink.write")

    def commit(self) -> None:
        """Makes everything written visible, and durable. The sink is closed then, also by a failure."""
        taken = self.take()
        self.check(taken.commit(taken.user), "Sink.commit")

    def close(self) -> None:
        """Aborts what was not committed: no trace is left of it."""
        if self._open:
            taken = self.take()
            taken.abort(taken.user)

    def take(self):
        """The struct, for a call that ends the sink whatever happens."""
        self._need_open()
        self._open = False
        return self.struct

    def _need_open(self):
        if not self._open:
            raise Closed("this Sink was committed, aborted or handed over", "Sink")

    check = Source.check

    def __enter__(self):
        self._need_open()
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        self.close()
        let_go(self._keep)


@contextmanager
def reading_from(context, origin):
    """A source for one call, closed after it unless it was one already."""
    if isinstance(origin, Source):
        origin._need_open()
        yield origin
    else:
        with Source(context, origin) as source:
            yield source


def sink_for(context, target) -> Sink:
    if not isinstance(target, Sink):
        return Sink(context, target)
    if not target._open:
        raise InvalidState("this Sink was committed, aborted or handed over", "Sink")
    return target

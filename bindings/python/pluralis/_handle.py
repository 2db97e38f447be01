"""What every object that owns a C handle shares: lifetime, one thread at a time, and checked arguments.

A Handle is what the user holds; its _Owner owns the C object and counts who needs it: the handle, and each object
that borrows it in C (a link borrows an identity, a stage a shard). The C object ends when nothing needs it any more,
so handles may be closed, forgotten or collected in any order.
"""
from __future__ import annotations

import ctypes
import operator
import threading

from . import _abi
from ._load import C
from .errors import Closed, InUse, InvalidArgument, failure

U32, U64 = 2 ** 32 - 1, 2 ** 64 - 1


class _Owner:
    """Owns one C object. Counted by hand: the garbage collector runs the finalisers of a cycle in any order.
    What release() needs are attributes, so that it works while the interpreter ends."""

    __slots__ = ("pointer", "_destroy", "_keep", "_uses", "_lock")

    counting = threading.RLock()  # the collector may run a release inside a release

    def __init__(self, pointer, destroy, keep):
        self.pointer, self._destroy, self._keep = pointer, destroy, keep
        self._uses, self._lock = 1, self.counting

    def hold(self):
        """One use more; the holder calls release() once."""
        with self._lock:
            if not self._uses:
                raise Closed("the handle is being closed")
            self._uses += 1
        return self

    def release(self):
        with self._lock:
            self._uses -= 1
            if self._uses:
                return
        self._destroy(self.pointer)
        for kept in self._keep:
            if hasattr(kept, "release"):
                kept.release()


class _Gone:
    """Stands where the owner was once a handle is closed."""

    __slots__ = ("_name",)

    def __init__(self, name):
        self._name = name

    @property
    def pointer(self):
        raise Closed("this %s is closed" % self._name, self._name)

    def hold(self):
        return self.pointer

    def release(self):
        pass


class Handle:
    """Base of all objects of the library: a context manager with close(). Using a closed one raises Closed."""

    __slots__ = ("_owner", "_lock", "_readers", "__weakref__")

    def _make(self, destroy, parents, build, *keep):
        """Makes the C object: build(pointer of each parent). Parents, and what is to be kept, stay until it ends."""
        held = hold(parents)
        try:
            pointer = build(*[owner.pointer for owner in held])
        except BaseException:
            let_go(held)
            raise
        self._lock, self._readers = threading.Lock(), []
        self._owner = _Owner(pointer, destroy, held + list(keep))

    @property
    def closed(self) -> bool:
        return not isinstance(self._owner, _Owner)

    def close(self) -> None:
        """Ends the object; closing twice does nothing. InUse: a call on it has not returned."""
        if not self._lock.acquire(False):
            raise self._in_use()
        try:
            if self._readers:
                raise self._in_use()
            owner, self._owner = self._owner, _Gone(type(self).__name__)
        finally:
            self._lock.release()
        owner.release()

    def __del__(self):
        owner = getattr(self, "_owner", None)  # None: the constructor failed
        if owner is not None:
            owner.release()

    def __enter__(self):
        self._owner.pointer  # a closed one raises here
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        return "<pluralis.%s%s>" % (type(self).__name__, " (closed)" if self.closed else "")

    def _in_use(self):
        name = type(self).__name__
        return InUse("another call on this %s has not returned; a handle is used by one thread at a time" % name, name)

    def _call(self, function, *arguments):
        """function(handle, *arguments), refused while another call on the handle runs."""
        if not self._lock.acquire(False):
            raise self._in_use()
        try:
            if self._readers:
                raise self._in_use()
            return function(self._owner.pointer, *arguments)
        finally:
            self._lock.release()

    def _read(self, function, *arguments):
        """The same for a function that takes a const handle: these may run at the same time as each other."""
        readers = self._readers
        readers.append(None)
        try:
            if self._lock.locked():
                raise self._in_use()
            return function(self._owner.pointer, *arguments)
        finally:
            readers.pop()


def hold(handles) -> list:
    """The owners of handles, each with one use more; Closed when one is."""
    held = []
    try:
        for handle in handles:
            held.append(handle._owner.hold())
    except BaseException:
        let_go(held)
        raise
    return held


def let_go(owners) -> None:
    for owner in owners:
        owner.release()


def new_error() -> _abi.plr_error:
    error = _abi.plr_error()
    C.plr_error_init(error, ctypes.sizeof(error))
    return error


def create(function, where, *arguments) -> ctypes.c_void_p:
    """Calls function(*arguments, &out, &err) and returns the new handle."""
    out, error = ctypes.c_void_p(), new_error()
    status = function(*arguments, ctypes.byref(out), error)
    if status:
        raise failure(status, where, error)
    return out


def sized(kind):
    """A struct with its struct_size filled in."""
    value = kind()
    value.struct_size = ctypes.sizeof(kind)
    return value


def initialised(kind, init):
    """An options struct with the library's defaults."""
    value = kind()
    init(value, ctypes.sizeof(kind))
    return value


# ---- arguments ----------------------------------------------------------------------------------


def need(value, kind, what):
    """value, which must be a `kind` that is not closed: another handle's pointer would be taken for it."""
    if not isinstance(value, kind):
        raise TypeError("%s: %s is needed, not %s" % (what, kind.__name__, type(value).__name__))
    if isinstance(value, Handle):
        value._owner.pointer  # a closed one raises here
    return value


def integer(value, most, what) -> int:
    """An integer in 0 .. most: ctypes would cut it to its width instead."""
    if value.__class__ is not int:
        value = operator.index(value)
    if 0 <= value <= most:
        return value
    raise InvalidArgument("%d is not in 0 .. %d" % (value, most), what)


def u32(value, what) -> int:
    return integer(value, U32, what)


def u64(value, what) -> int:
    return integer(value, U64, what)


def text(value, what) -> bytes:
    """UTF-8 without NUL, which would end it early in C."""
    if not isinstance(value, str):
        raise TypeError("%s: str is needed, not %s" % (what, type(value).__name__))
    raw = value.encode("utf-8")
    if b"\0" in raw:
        raise InvalidArgument("a NUL character", what)
    return raw


def octets(value, length, what) -> bytes:
    """bytes of exactly this length, from anything with the buffer protocol."""
    if isinstance(value, (str, int)):
        raise TypeError("%s: bytes are needed, not %s" % (what, type(value).__name__))
    raw = bytes(value)
    if len(raw) != length:
        raise InvalidArgument("%d bytes are needed, not %d" % (length, len(raw)), what)
    return raw


def hash_in(value, what) -> _abi.plr_hash:
    return _abi.plr_hash.from_buffer_copy(octets(value, 32, what))


def hash_out(function, *arguments) -> bytes:
    """Calls function(*arguments, &hash) and returns the 32 bytes."""
    out = _abi.plr_hash()
    function(*arguments, out)
    return bytes(out)


def hashes_in(values, what):
    """(array, count) of 32-byte hashes."""
    raw = b"".join(octets(value, 32, "%s[%d]" % (what, i)) for i, value in enumerate(values))
    return (_abi.plr_hash * (len(raw) // 32)).from_buffer_copy(raw), len(raw) // 32


def hashes_out(array, count) -> list:
    return [bytes(array[i]) for i in range(count)]

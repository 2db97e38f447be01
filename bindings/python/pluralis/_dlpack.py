"""DLPack (github.com/dmlc/dlpack, dlpack.h 1.1) in and out, legacy and versioned capsules, by ctypes alone.

What a C extension does in the capsule's destructor and in the deleter cannot be done in Python: a consumer may call
them while an exception is being raised, or without the interpreter's lock, or after its end. So no Python runs there.
Our capsules have no destructor, and the deleter is a function of the C library that only leaves a mark: sigemptyset,
which sets its argument to zero. Marked tensors, and those in capsules that nobody took, are given up at the next
export or garbage collection.
"""
from __future__ import annotations

import ctypes
import gc
import sys

from .errors import ShapeError, Unsupported

CPU = 1
DEVICES = {1: "cpu", 2: "cuda", 3: "cuda_host", 4: "opencl", 7: "vulkan", 8: "metal", 9: "vpi", 10: "rocm",
           11: "rocm_host", 13: "cuda_managed", 14: "oneapi", 15: "webgpu", 16: "hexagon", 17: "maia"}
READ_ONLY, IS_COPIED = 1, 2
KINDS = {0: "int", 1: "uint", 2: "float", 3: "opaque", 4: "bfloat", 5: "complex", 6: "bool"}
DTYPES = {"float32": (2, 32), "float16": (2, 16), "bfloat16": (4, 16), "int32": (0, 32), "uint8": (1, 8)}
NAMES = {pair: name for name, pair in DTYPES.items()}


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", _Device), ("ndim", ctypes.c_int32), ("dtype", _DataType),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]


class _ManagedVersioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                ("deleter", _Deleter), ("flags", ctypes.c_uint64), ("tensor", _Tensor)]


LEGACY, VERSIONED = b"dltensor", b"dltensor_versioned"
USED = {LEGACY: b"used_dltensor", VERSIONED: b"used_dltensor_versioned"}  # kept: a capsule does not copy its name
STRUCTS = {LEGACY: _Managed, VERSIONED: _ManagedVersioned}

_new = ctypes.pythonapi.PyCapsule_New
_new.argtypes, _new.restype = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p], ctypes.py_object
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes, _set_name.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int

# ---- out ----------------------------------------------------------------------------------------

_increment, _decrement = ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.Py_DecRef
for _function in (_increment, _decrement):
    _function.argtypes, _function.restype = [ctypes.py_object], None

_mark = ctypes.cast(ctypes.CDLL(None).sigemptyset, _Deleter)
ROOM = 256  # sigset_t is 128 bytes

# Address of the managed struct: [capsule, name, memory, everything that must live until the consumer is done]. Each
# entry has a reference to itself, so that it outlives this module when a consumer does.
exported: dict = {}


def sweep(_phase=None, _information=None, _exported=exported, _valid=_is_valid, _refs=sys.getrefcount,
          _word=ctypes.c_uint64.from_address, _let_go=_decrement):
    """Gives up what consumers are done with, and what was exported and never taken."""
    for address, entry in list(_exported.items()):
        # References to a capsule nobody took: the entry's, and getrefcount's own argument.
        done = _word(address).value == 0 or (_refs(entry[0]) == 2 and _valid(entry[0], entry[1]))
        if done and _exported.pop(address, None) is not None:
            _let_go(entry)


def capsule(tensor, address, dtype, shape, strides, readonly, versioned):
    """A capsule that shares the memory of `tensor`, which lives until the consumer is done with it."""
    if sweep not in gc.callbacks:
        gc.callbacks.append(sweep)
    sweep()
    if readonly and not versioned:
        raise BufferError("a read-only tensor cannot be exported without versioned DLPack")
    name = VERSIONED if versioned else LEGACY
    memory = ctypes.create_string_buffer(ROOM)
    managed = STRUCTS[name].from_buffer(memory)
    if versioned:
        managed.major, managed.minor, managed.flags = 1, 1, READ_ONLY if readonly else 0
    managed.deleter = _mark
    count = len(shape)
    sizes, steps = (ctypes.c_int64 * count)(*shape), (ctypes.c_int64 * count)(*strides)
    code, bits = DTYPES[dtype]
    # Not NULL even when it is empty: zero is the mark.
    managed.tensor = _Tensor(address or ctypes.addressof(sizes), _Device(CPU, 0), count, _DataType(code, bits, 1),
                             sizes, steps, 0)
    key = ctypes.addressof(memory)
    made = _new(key, name, None)
    entry = exported[key] = [made, name, memory, managed, sizes, steps, tensor]
    _increment(entry)
    return made


# ---- in -----------------------------------------------------------------------------------------


class Imported:
    """A managed tensor of someone else, given back when this ends."""

    __slots__ = ("_managed", "_address")

    def __init__(self, managed, address):
        self._managed, self._address = managed, address

    def __del__(self):
        if self._managed.deleter:
            self._managed.deleter(self._address)


def _ask(source):
    try:
        return source.__dlpack__(max_version=(1, 1))
    except TypeError:  # from before versions
        return source.__dlpack__()


def take(source, what):
    """(keep, address, dtype, shape, strides, readonly) of an object with __dlpack__, or of a bare capsule."""
    bare = source
    if hasattr(source, "__dlpack__"):
        device, _ = source.__dlpack_device__()
        if device != CPU:
            raise ShapeError("it is on device %s, not in the processor's memory" % DEVICES.get(device, device), what)
        bare = _ask(source)
    name = next((n for n in (VERSIONED, LEGACY) if _is_capsule(bare, n)), None)
    if name is None:
        raise TypeError("%s: __dlpack__ gave no capsule that is still to be taken, but %r" % (what, bare))
    address = _pointer(bare, name)
    managed = STRUCTS[name].from_address(address)
    _set_name(bare, USED[name])
    keep = Imported(managed, address)  # from here on it is ours to give back
    if name is VERSIONED and managed.major != 1:
        raise Unsupported("DLPack %d.%d; this is 1.1" % (managed.major, managed.minor), what)
    readonly = name is VERSIONED and bool(managed.flags & READ_ONLY)
    return (keep, *_describe(managed.tensor, what), readonly)


def _is_capsule(value, name):
    return type(value).__name__ == "PyCapsule" and bool(_is_valid(value, name))


def _describe(tensor, what):
    if tensor.device.type != CPU:
        device = DEVICES.get(tensor.device.type, tensor.device.type)
        raise ShapeError("it is on device %s, not in the processor's memory" % device, what)
    code, bits, lanes = tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes
    dtype = NAMES.get((code, bits)) if lanes == 1 else None
    if dtype is None:
        raise ShapeError("dtype %s%d%s is not one of %s" % (KINDS.get(code, code), bits, "x%d" % lanes * (lanes != 1),
                                                            ", ".join(DTYPES)), what)
    shape = tuple(tensor.shape[:tensor.ndim]) if tensor.ndim else ()
    strides = tuple(tensor.strides[:tensor.ndim]) if tensor.ndim and tensor.strides else None
    return (tensor.data or 0) + tensor.byte_offset, dtype, shape, strides

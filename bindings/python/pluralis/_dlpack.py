"""DLPack (github.com/dmlc/dlpack, dlpack.h 1.1) in and out, legacy and versioned capsules, by ctypes alone.

Two things cannot be done the way a C extension does them:

  - A capsule that nobody took is usually freed by its destructor. That runs while the consumer's exception is being
    raised, and a ctypes callback may not be entered then. Our capsules have no destructor; a capsule that is not
    referenced from outside any more is freed at the next export.
  - The deleter is called at a moment of the consumer's choice. numpy saves a pending exception around it. Where a
    consumer does not, and drops its last reference in the middle of an expression that raises, that exception
    becomes a SystemError; the memory is released all the same. Tensor.numpy() and Tensor.torch() share memory
    without a deleter.
"""
from __future__ import annotations

import ctypes
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

# Address of the managed struct: [capsule, name, everything that must live until the consumer is done]. The deleter
# is the dictionary's own pop, since a Python function would not run while an exception is pending.
exported: dict = {}
_pop = _Deleter(exported.pop)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_pop))  # consumers may outlive this module


def _sweep():
    """Frees what was exported and never taken."""
    for address, entry in list(exported.items()):
        # References to the capsule: the entry's and getrefcount's own argument.
        if sys.getrefcount(entry[0]) == 2 and _is_valid(entry[0], entry[1]):
            exported.pop(address, None)


def capsule(tensor, address, dtype, shape, strides, readonly, versioned):
    """A capsule that shares the memory of `tensor`, which lives until the consumer is done with it."""
    _sweep()
    name = VERSIONED if versioned else LEGACY
    managed = STRUCTS[name]()
    if versioned:
        managed.major, managed.minor, managed.flags = 1, 1, READ_ONLY if readonly else 0
    elif readonly:
        raise BufferError("a read-only tensor cannot be exported without versioned DLPack")
    managed.deleter = _pop
    count = len(shape)
    sizes, steps = (ctypes.c_int64 * count)(*shape), (ctypes.c_int64 * count)(*strides)
    code, bits = DTYPES[dtype]
    managed.tensor = _Tensor(address, _Device(CPU, 0), count, _DataType(code, bits, 1), sizes, steps, 0)
    key = ctypes.addressof(managed)
    made = _new(key, name, None)
    exported[key] = [made, name, managed, sizes, steps, tensor]
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

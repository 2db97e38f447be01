"""Tensors: views of memory with a dtype, a shape and strides."""
from __future__ import annotations

import ctypes
import math
import sys
from typing import Any, Sequence

from . import _abi, _dlpack
from ._buffer import FORMAT, SIMPLE, STRIDES, View
from ._handle import new_error
from ._load import C
from .errors import ShapeError, class_of

MAX_DIMS = _abi.PLR_MAX_DIMS
DTYPES = {"float32": _abi.PLR_DTYPE_F32, "float16": _abi.PLR_DTYPE_F16, "bfloat16": _abi.PLR_DTYPE_BF16,
          "int32": _abi.PLR_DTYPE_I32, "uint8": _abi.PLR_DTYPE_U8}
SIZES = {name: C.plr_dtype_size(number) for name, number in DTYPES.items()}
FORMATS = {"float32": "f", "float16": "H", "bfloat16": "H", "int32": "i", "uint8": "B"}  # memoryview casts to these
BY_FORMAT = {"f": "float32", "e": "float16", "i": "int32", "B": "uint8"}
TYPESTR = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "|u1"}  # of numpy
ALIGNMENT = 64


def row_major(shape: Sequence[int]) -> tuple:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


_keys: dict = {}


def key_of(dtype, shape, strides, readonly=False) -> tuple:
    """What decides whether a tensor fits. The same object for the same contents, unless there are very many: hot calls
    compare identities, and only look closer when they differ."""
    key = (dtype, shape, strides, readonly)
    return _keys.setdefault(key, key) if len(_keys) < 4096 else _keys.get(key, key)


class Tensor:
    """A view of rows x columns (or 1 to 4 dimensions) of numbers.

    Tensor((rows, cols))   new memory, zeros
    Tensor.of(x)           the memory of x, not copied: a numpy array, a torch tensor, anything with DLPack or the
                           buffer protocol (array.array, memoryview, bytes). x may not be resized while this lives.

    The other way: .numpy(), .torch(), numpy.from_dlpack(t), torch.from_dlpack(t), and .data, a memoryview.
    dtype is "float32", "float16", "bfloat16", "int32" or "uint8"; strides count elements.
    """

    __slots__ = ("dtype", "shape", "strides", "size", "contiguous", "readonly", "address", "_keep", "_key", "_ref",
                 "_pointer", "__weakref__")

    dtype: str
    shape: tuple
    strides: tuple
    size: int  # elements
    contiguous: bool  # row-major, without gaps
    readonly: bool
    address: int

    def __init__(self, shape: Sequence[int], dtype: str = "float32"):
        shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        if dtype not in DTYPES:
            raise ShapeError("dtype %r is not one of %s" % (dtype, ", ".join(DTYPES)), "Tensor")
        if any(size < 0 for size in shape):
            raise ShapeError("shape %r has a negative size" % (shape,), "Tensor")
        size = math.prod(shape) * SIZES[dtype] + ALIGNMENT
        if size > sys.maxsize:
            raise MemoryError("a tensor of shape %r" % (shape,))
        memory = View(bytearray(size), SIMPLE)  # not an array of ctypes, which keeps a type for every length
        start = memory.view.buf
        self._view(memory, start + -start % ALIGNMENT, dtype, shape, None, False, "Tensor")

    def _view(self, keep, address, dtype, shape, strides, readonly, what):
        if not 1 <= len(shape) <= MAX_DIMS:
            raise ShapeError("%d dimensions; 1 to %d are possible" % (len(shape), MAX_DIMS), what)
        contiguous = row_major(shape)
        if strides is None or 0 in shape:
            strides = contiguous
        strides = tuple(c if n == 1 else s for n, s, c in zip(shape, strides, contiguous))  # one is never stepped over
        if address % SIZES[dtype]:
            raise ShapeError("the data is not aligned to %d bytes" % SIZES[dtype], what)
        view = _abi.plr_tensor()
        if len(shape) == 2 and strides == contiguous:
            C.plr_tensor_matrix(view, address, DTYPES[dtype], *shape)
        else:
            view.data, view.dtype, view.ndim = address, DTYPES[dtype], len(shape)
            view.shape[:len(shape)], view.strides[:len(shape)] = shape, strides
        error = new_error()
        status = C.plr_tensor_check(view, error)
        if status:
            raise class_of(status)(error.message.decode(), what)
        self.address, self.dtype, self.shape, self.strides, self.readonly = address, dtype, shape, strides, readonly
        self.size, self.contiguous = math.prod(shape), strides == contiguous
        self._keep, self._ref, self._pointer = (keep, view), ctypes.byref(view), ctypes.c_void_p(address)
        self._key = key_of(dtype, shape, strides, readonly)

    @classmethod
    def _make(cls, *view) -> "Tensor":
        made = cls.__new__(cls)
        made._view(*view)
        return made

    @classmethod
    def of(cls, value: Any, what: str = "tensor") -> "Tensor":
        """A view of value's memory; value itself when it is a Tensor. ShapeError names what does not fit."""
        if isinstance(value, Tensor):
            return value
        try:
            view = View(value, FORMAT | STRIDES)
        except TypeError:
            if hasattr(value, "__dlpack__"):
                return cls.from_dlpack(value, what)
            raise TypeError("%s: a Tensor, or an object with DLPack or the buffer protocol is needed, not %s"
                            % (what, type(value).__name__)) from None
        except BufferError as error:
            raise ShapeError(str(error), what) from None
        return cls._from_view(view, what)

    @classmethod
    def _from_view(cls, view, what):
        b = view.view
        form = (b.format or b"B").decode("ascii", "replace")
        dtype = BY_FORMAT.get(form.lstrip("@=<"))
        if dtype is None or SIZES[dtype] != b.itemsize:
            raise ShapeError("dtype of the buffer (format %r, %d bytes) is not one of %s"
                             % (form, b.itemsize, ", ".join(BY_FORMAT.values())), what)
        shape = tuple(b.shape[:b.ndim]) if b.shape else (b.len // b.itemsize,)
        strides = None
        if b.strides:  # NULL: contiguous. Arrays of ctypes say so even when asked for strides
            steps = tuple(b.strides[:b.ndim])
            if any(step % b.itemsize for step in steps):
                raise ShapeError("strides %r (bytes) are not whole elements" % (steps,), what)
            strides = tuple(step // b.itemsize for step in steps)
        return cls._make(view, b.buf or 0, dtype, shape, strides, bool(b.readonly), what)

    @classmethod
    def from_dlpack(cls, value: Any, what: str = "tensor") -> "Tensor":
        """The same through DLPack alone: an object with __dlpack__, or a capsule."""
        return cls._make(*_dlpack.take(value, what), what)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index: int):
        """Row `index`, a view with one dimension less; of one dimension the number."""
        row = range(self.shape[0])[index]
        if isinstance(row, range):
            raise TypeError("a tensor is indexed by one integer; .data and .numpy() know slices")
        if len(self.shape) == 1:
            return self.flat[row]
        return Tensor._make(self, self.address + row * self.strides[0] * self.itemsize, self.dtype, self.shape[1:],
                            self.strides[1:], self.readonly, "tensor")

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return C.plr_dtype_size(DTYPES[self.dtype])

    @property
    def data(self) -> memoryview:
        """The numbers as a memoryview of this shape (format "f", "i", "B"; of the 16-bit ones "H", the bits)."""
        flat = self.flat
        if len(self.shape) == 1 or 0 in self.shape:
            return flat
        return flat.cast("B").cast(FORMATS[self.dtype], self.shape)

    @property
    def flat(self) -> memoryview:
        """The same in one dimension, so that slices can be assigned: t.flat[:] = array("f", ...)."""
        if not self.contiguous:
            raise ShapeError("strides %r of shape %r are not contiguous" % (self.strides, self.shape), "Tensor.flat")
        size = self.size * SIZES[self.dtype]
        memory = (ctypes.c_char * size).from_address(self.address) if size else (ctypes.c_char * 0)()
        memory.owner = self  # the view keeps its ctypes array, and that keeps us
        view = memoryview(memory).cast("B").cast(FORMATS[self.dtype])
        return view.toreadonly() if self.readonly else view

    def tolist(self) -> list:
        return self.data.tolist()

    def __repr__(self):
        return "<pluralis.Tensor %s %s>" % (self.dtype, "x".join(str(n) for n in self.shape))

    def __dlpack_device__(self):
        return (_dlpack.CPU, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A capsule of DLPack: versioned when the consumer asks for 1.0 or later. Never copies. The memory is given up
        at the next export or garbage collection after the consumer is done with it."""
        if stream is not None:
            raise BufferError("a tensor in the processor's memory has no stream")
        if dl_device is not None and tuple(dl_device) != (_dlpack.CPU, 0):
            raise BufferError("the tensor cannot be moved to device %r" % (dl_device,))
        if copy:
            raise BufferError("the tensor is shared, not copied")
        return _dlpack.capsule(self, self.address, self.dtype, self.shape, self.strides, self.readonly,
                               max_version is not None and max_version[0] >= 1)

    @property
    def __array_interface__(self):
        if self.dtype not in TYPESTR:
            raise AttributeError("numpy has no %s" % self.dtype)
        size = SIZES[self.dtype]
        return {"version": 3, "typestr": TYPESTR[self.dtype], "shape": self.shape,
                "strides": tuple(step * size for step in self.strides), "data": (self.address, self.readonly)}

    def numpy(self):
        """A numpy array of the same memory. Needs numpy."""
        import numpy  # pylint: disable=import-outside-toplevel

        return numpy.asarray(self)

    def torch(self):
        """A torch tensor of the same memory. Needs torch; contiguous tensors only."""
        import torch  # pylint: disable=import-outside-toplevel

        kind = getattr(torch, self.dtype)
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=kind)
        return torch.frombuffer(self.flat, dtype=kind).reshape(self.shape)


def fit(value: Any, what: str, dtype: str, shape: tuple, written: bool = False) -> Tensor:
    """value as a tensor of exactly this dtype and shape, contiguous; ShapeError names what does not fit."""
    tensor = Tensor.of(value, what)
    if tensor.dtype != dtype:
        raise ShapeError("dtype is %s, %s is needed" % (tensor.dtype, dtype), what)
    if len(tensor.shape) != len(shape):
        raise ShapeError("rank is %d (shape %s), %d is needed (shape %s)"
                         % (len(tensor.shape), times(tensor.shape), len(shape), times(shape)), what)
    if tensor.shape != shape:
        raise ShapeError("shape is %s, %s is needed" % (times(tensor.shape), times(shape)), what)
    if not tensor.contiguous:
        raise ShapeError("strides are %r, contiguous rows (%r) are needed" % (tensor.strides, row_major(shape)), what)
    if written and tensor.readonly:
        raise ShapeError("the memory is read-only and would be written", what)
    return tensor


def times(shape) -> str:
    return " x ".join(str(n) for n in shape)

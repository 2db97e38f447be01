"""Memory of other Python objects through the buffer protocol (PEP 3118), read-only ones included, without copies."""
from __future__ import annotations

import ctypes

from .errors import InvalidArgument, ShapeError


class _PyBuffer(ctypes.Structure):  # Py_buffer of Include/pybuffer.h, part of the stable ABI
    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t),
                ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                ("format", ctypes.c_char_p), ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
                ("strides", ctypes.POINTER(ctypes.c_ssize_t)), ("suboffsets", ctypes.c_void_p),
                ("internal", ctypes.c_void_p)]


SIMPLE, WRITABLE, FORMAT, STRIDES, = 0, 1, 4, 0x18

_get = ctypes.pythonapi.PyObject_GetBuffer
_get.argtypes, _get.restype = [ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int], ctypes.c_int
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes, _release.restype = [ctypes.POINTER(_PyBuffer)], None


class View:
    """A buffer held open: while it lives its owner can neither move nor free the memory."""

    __slots__ = ("view", "_release")

    def __init__(self, owner, flags):
        self.view, self._release = _PyBuffer(), None
        _get(owner, self.view, flags)
        self._release = _release

    def __del__(self):
        if self._release is not None:
            self._release(self.view)


def reading(data, what):
    """(argument, length, keep): bytes that C reads during one call. keep must outlive the call."""
    if data.__class__ is bytes:
        return data, len(data), None
    view = _contiguous(data, SIMPLE, what)
    return view.view.buf, view.view.len, view


def writing(data, what):
    """(address, length, keep): memory that C writes during one call."""
    view = _contiguous(data, WRITABLE, what)
    return view.view.buf, view.view.len, view


def _contiguous(data, flags, what):
    try:
        return View(data, flags)
    except TypeError:
        raise TypeError("%s: an object with the buffer protocol is needed (bytes, bytearray, memoryview, array), not %s"
                        % (what, type(data).__name__)) from None
    except BufferError as error:  # not writable, or not contiguous
        raise ShapeError(str(error), what) from None


def capacity(length, least, what):
    if length < least:
        raise InvalidArgument("%d bytes are too few, %d are needed" % (length, least), what)

"""Exceptions: one class a status, under one class a range of statuses that says what to do about it.

    CallerError       -1 ..  -99   correct the call; the object is unchanged
    EnvironmentFault  -100 .. -199   memory, disk, device: retrying later may work
    DataError         -200 .. -299   drop that frame, link, entry or file
    FatalError        -300 .. -399   the only thing left is to close the object
"""
from __future__ import annotations

from . import _abi


class PluralisError(Exception):
    """A call that failed.

    status, name   number and name of the status (-9, "PLR_ERR_SHAPE")
    where          what was being read or checked ("manifest.cuts[2]", "Shard.forward")
    offset         byte offset in the input, when there is one; else 0
    message        one line
    """

    status = _abi.PLR_ERR_INTERNAL

    def __init__(self, message: str = "", where: str = "", offset: int = 0, status: int | None = None):
        if status is not None:
            self.status = status
        self.name, text = _abi.STATUS.get(self.status, ("PLR_ERR_%d" % self.status, "unknown status"))
        self.message, self.where, self.offset = message or text, where, offset
        parts = [self.name, where, self.message]
        if offset:
            parts.append("at byte %d" % offset)
        super().__init__(": ".join(part for part in parts if part))


class CallerError(PluralisError):
    """The caller's fault: the object is unchanged, correct the call."""

    status = _abi.PLR_ERR_INVALID_ARGUMENT


class EnvironmentFault(PluralisError):
    """Memory, disk or device: retrying later may work."""

    status = _abi.PLR_ERR_UNAVAILABLE


class DataError(PluralisError, ValueError):
    """Bad data from a peer or a file: drop that frame, link, entry or file."""

    status = _abi.PLR_ERR_MALFORMED


class FatalError(PluralisError):
    """Fatal for the object: close it."""

    status = _abi.PLR_ERR_INTERNAL


class InvalidArgument(CallerError, ValueError):
    status = _abi.PLR_ERR_INVALID_ARGUMENT


class InvalidState(CallerError, RuntimeError):
    status = _abi.PLR_ERR_INVALID_STATE


class Closed(InvalidState):
    """The handle was closed before."""


class InUse(InvalidState):
    """Another call on the same handle has not returned: another thread's, or the one whose callback this is."""


class Unsupported(CallerError, NotImplementedError):
    status = _abi.PLR_ERR_UNSUPPORTED


class LimitExceeded(CallerError, ValueError):
    status = _abi.PLR_ERR_LIMIT


class AlreadyExists(CallerError):
    status = _abi.PLR_ERR_EXISTS


class NotFound(CallerError, LookupError):
    status = _abi.PLR_ERR_NOT_FOUND


class TryAgain(CallerError, BlockingIOError):
    status = _abi.PLR_ERR_AGAIN


class BufferTooSmall(CallerError, BufferError):
    status = _abi.PLR_ERR_BUFFER_TOO_SMALL


class ShapeError(CallerError, ValueError):
    """dtype, shape, strides, device or rank of a tensor do not fit."""

    status = _abi.PLR_ERR_SHAPE


class OutOfMemory(EnvironmentFault, MemoryError):
    status = _abi.PLR_ERR_NO_MEMORY


class InputOutputError(EnvironmentFault, OSError):
    status = _abi.PLR_ERR_IO


class NoSpace(EnvironmentFault, OSError):
    status = _abi.PLR_ERR_NO_SPACE


class Unavailable(EnvironmentFault):
    status = _abi.PLR_ERR_UNAVAILABLE


class Malformed(DataError):
    status = _abi.PLR_ERR_MALFORMED


class Truncated(DataError, EOFError):
    status = _abi.PLR_ERR_TRUNCATED


class ChecksumMismatch(DataError):
    status = _abi.PLR_ERR_CHECKSUM


class VersionMismatch(DataError):
    status = _abi.PLR_ERR_VERSION


class Mismatch(DataError):
    status = _abi.PLR_ERR_MISMATCH


class BadSignature(DataError):
    status = _abi.PLR_ERR_SIGNATURE


class OutOfSequence(DataError):
    status = _abi.PLR_ERR_SEQUENCE


class NonFinite(DataError, ArithmeticError):
    status = _abi.PLR_ERR_NON_FINITE


class BadProof(DataError):
    status = _abi.PLR_ERR_PROOF


class PeerGone(DataError, ConnectionError):
    status = _abi.PLR_ERR_CLOSED


class Corrupt(FatalError):
    status = _abi.PLR_ERR_CORRUPT


class ConservationBroken(FatalError):
    status = _abi.PLR_ERR_CONSERVATION


class InternalError(FatalError):
    status = _abi.PLR_ERR_INTERNAL


RANGES = ((-99, CallerError), (-199, EnvironmentFault), (-299, DataError))
BY_STATUS = {kind.status: kind for kind in (
    InvalidArgument, InvalidState, Unsupported, LimitExceeded, AlreadyExists, NotFound, TryAgain, BufferTooSmall,
    ShapeError, OutOfMemory, InputOutputError, NoSpace, Unavailable, Malformed, Truncated, ChecksumMismatch,
    VersionMismatch, Mismatch, BadSignature, OutOfSequence, NonFinite, BadProof, PeerGone, Corrupt,
    ConservationBroken, InternalError)}


def class_of(status: int) -> type[PluralisError]:
    """Class of a status; a status newer than this package gets the class of its range."""
    known = BY_STATUS.get(status)
    return known or next((kind for last, kind in RANGES if status >= last), FatalError)


def failure(status: int, where: str = "", error: _abi.plr_error | None = None) -> PluralisError:
    """The exception of a failed call. error: the detail that the library filled in, if the call has one."""
    if error is not None and error.status == status:
        return class_of(status)(error.message.decode("utf-8", "replace"),
                                error.where.decode("utf-8", "replace") or where, error.offset, status)
    return class_of(status)("", where, 0, status)

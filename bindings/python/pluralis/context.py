"""The context: memory, threads, log and limits that a host lends to the library."""
from __future__ import annotations

import ctypes
import logging
from typing import NamedTuple, Optional, Union

from . import _abi
from ._buffer import reading
from ._handle import Handle, create, hash_out, initialised, u32, u64
from ._load import C
from .errors import InvalidArgument

ISA = {name[len("PLR_ISA_"):].lower(): getattr(_abi, name) for name in _abi.CONSTANTS if name.startswith("PLR_ISA_")}
LEVELS = {_abi.PLR_LOG_ERROR: logging.ERROR, _abi.PLR_LOG_WARN: logging.WARNING, _abi.PLR_LOG_INFO: logging.INFO,
          _abi.PLR_LOG_DEBUG: logging.DEBUG}


class Memory(NamedTuple):
    """Memory held through a context: bytes now and at most, and allocations since its creation."""

    now: int
    peak: int
    allocations: int


def _level(logger) -> int:
    """The highest level of ours whose lines the logger would take; formatting others would be wasted."""
    return max((ours for ours, level in LEVELS.items() if logger.isEnabledFor(level)), default=_abi.PLR_LOG_ERROR)


def _writer(logger):
    def write(_user, level, module, line, length):
        text = ctypes.string_at(line, length).decode("utf-8", "replace")
        name = ctypes.string_at(module).decode("utf-8", "replace") if module else ""
        (logger.getChild(name) if name else logger).log(LEVELS.get(level, logging.DEBUG), "%s", text)

    return _abi.plr_logger_write_fn(write)


class Context(Handle):
    """One per host is enough; threads may share it.

    threads      threads that compute, the caller's included, 1 to 256. Results never depend on it
    isa          "best", or "neon", "avx512", "avx2", "portable": the highest instruction set to use. Results never
                 depend on it
    logger       a logging.Logger; lines of module m go to its child m. None: the logger "pluralis". False: no log.
                 Its level counts when the context is made
    max_memory   bytes the context may hold at once; 0: no limit
    max_frame    bytes of the largest frame taken from a peer; max_file: of the largest file read whole
    """

    __slots__ = ()

    def __init__(self, *, threads: int = 1, isa: str = "best", logger: Union[logging.Logger, None, bool] = None,
                 max_memory: Optional[int] = None, max_frame: Optional[int] = None, max_file: Optional[int] = None):
        options = initialised(_abi.plr_context_options, C.plr_context_options_init)
        if isa not in ISA:
            raise InvalidArgument("isa %r is not one of %s" % (isa, ", ".join(ISA)), "Context")
        options.threads, options.isa = u32(threads, "threads"), ISA[isa]
        for name, value in (("max_memory", max_memory), ("max_frame", max_frame), ("max_file", max_file)):
            if value is not None:
                setattr(options, name, u64(value, name))
        keep = None
        if logger is not False:
            logger = logging.getLogger("pluralis") if logger is None else logger
            options.log_level, keep = _level(logger), _writer(logger)
            options.logger.write = keep
        self._make(C.plr_context_destroy, (), lambda: create(C.plr_context_create, "Context", options), keep)

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self._read(C.plr_context_threads)

    @property
    def isa(self) -> str:
        """Instruction set in use."""
        number = self._read(C.plr_context_isa)
        return next((name for name, value in ISA.items() if value == number), "isa %d" % number)

    @property
    def memory(self) -> Memory:
        now, peak, count = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        self._read(C.plr_context_memory, ctypes.byref(now), ctypes.byref(peak), ctypes.byref(count))
        return Memory(now.value, peak.value, count.value)


def version() -> tuple:
    """(major, minor, patch) of the library that is running."""
    number = C.plr_version()
    return number >> 16, number >> 8 & 0xff, number & 0xff


def status_name(status: int) -> str:
    """ "PLR_ERR_LIMIT" of a status."""
    return C.plr_status_name(status).decode()


def status_message(status: int) -> str:
    """One line of text of a status."""
    return C.plr_status_message(status).decode()


def profile_hash() -> bytes:
    """Hash of the numeric profile this build computes in; nodes with the same hash give the same bits."""
    return hash_out(C.plr_profile_hash)


def sha256(data) -> bytes:
    """SHA-256 of bytes or of anything with the buffer protocol."""
    argument, length, _keep = reading(data, "data")
    return hash_out(C.plr_sha256, argument, length)

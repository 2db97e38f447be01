"""Finds libpluralis, loads it, and refuses one that does not fit these declarations."""
from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace

from . import _abi

SONAME = "libpluralis.so.%d" % _abi.PLR_VERSION_MAJOR
PACKAGE = os.path.dirname(os.path.abspath(__file__))
PRESETS = ("release", "clang", "debug")  # not the sanitizers': those end a process they were not preloaded into


class LibraryError(ImportError):
    """No usable libpluralis: the message lists what was tried and why it was not taken."""


def candidates():
    """Paths in the order they are tried. PLURALIS_LIBRARY, when set, is the only one."""
    named = os.environ.get("PLURALIS_LIBRARY")
    if named:
        return [named]
    found = [os.path.join(PACKAGE, SONAME)]
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(PACKAGE)))
    if os.path.exists(os.path.join(checkout, "include", "pluralis", "base.h")):
        found += [os.path.join(checkout, "build", preset, "lib", SONAME) for preset in PRESETS]
    return found + [SONAME]  # wherever the system's loader looks


def version_text(version):
    return "%d.%d.%d" % (version >> 16, version >> 8 & 0xff, version & 0xff)


# Called for every micro-batch. Their arguments are not declared, which halves the cost of a call: the package gives
# them ctypes objects of the right type (Tensor has them ready), and no function of the host's gets here.
HOT = {"plr_shard_forward", "plr_shard_backward", "plr_encoder_encode", "plr_decoder_decode"}


def bind(library):
    """The functions of a loaded library, declared. ImportError: its version or its functions are not ours."""
    declared = _abi.PLR_VERSION_MAJOR << 16 | _abi.PLR_VERSION_MINOR << 8 | _abi.PLR_VERSION_PATCH
    try:
        ask = library.plr_version
    except AttributeError:
        raise LibraryError("it has no plr_version: not libpluralis") from None
    ask.restype, ask.argtypes = ctypes.c_uint32, []
    running = ask()
    if running >> 8 != declared >> 8:
        raise LibraryError("the library is version %s, these declarations are for %s"
                           % (version_text(running), version_text(declared)))
    functions, missing = SimpleNamespace(), []
    for name, (result, parameters) in _abi.FUNCTIONS.items():
        try:
            function = library[name]  # by item: a function object of our own, not the one all users of CDLL share
        except AttributeError:
            missing.append(name)
            continue
        function.restype = result
        if name not in HOT:
            function.argtypes = parameters
        setattr(functions, name, function)
    if missing:
        raise LibraryError("the library (version %s) lacks functions that these declarations (for %s) name: %s"
                           % (version_text(running), version_text(declared), ", ".join(missing)))
    return functions


def load():
    """(functions, path) of the first candidate that loads. One that loads but does not fit ends the search: going
    on would hide that the wrong library stands in the way."""
    tried = []
    for path in candidates():
        if os.path.dirname(path) and not os.path.exists(path):
            tried.append("%s: not there" % path)
            continue
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            tried.append("%s: %s" % (path, error))
            continue
        try:
            return bind(library), path
        except LibraryError as error:
            raise LibraryError("%s: %s" % (path, error)) from None
    raise LibraryError("libpluralis was not found; set PLURALIS_LIBRARY to its path. Tried:\n  "
                       + "\n  ".join(tried))


C, path = load()

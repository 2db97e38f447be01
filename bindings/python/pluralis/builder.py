"""A model of format 2, operation by operation."""
from __future__ import annotations

import json
from typing import Any, Mapping, Union

from . import _abi
from ._handle import Handle, create, initialised, need, new_error, text, u32
from ._load import C
from .context import Context
from .errors import failure
from .model import Model

PARTS = {"embed": _abi.PLR_PART_EMBED, "block": _abi.PLR_PART_BLOCK, "head": _abi.PLR_PART_HEAD}
LAYERS = {name[len("PLR_LAYER_"):].lower(): getattr(_abi, name) for name in dir(_abi) if name.startswith("PLR_LAYER_")}
SCALINGS = {"linear": _abi.PLR_SCALING_LINEAR, "llama3": _abi.PLR_SCALING_LLAMA3, "yarn": _abi.PLR_SCALING_YARN}

_OPERANDS = {"in": "in1", "q": "in1", "k": "in2", "v": "in3", "gate": "in1", "up": "in2", "a": "in1", "b": "in2"}
_FIELDS = dict(_abi.plr_op_desc._fields_)


def _choose(table, key, value):
    if value not in table:
        raise ValueError("%s %r is not one of %s" % (key, value, ", ".join(table)))
    return table[value]


def _set(desc, key, value):
    """One key of an operation, as the manifest has it."""
    if key == "op":
        desc.op = _choose(LAYERS, key, value)
    elif key == "act":
        desc.act = _choose(LAYERS, key, value)
    elif key == "scaling":
        for inner, number in dict(value).items():
            if inner == "type":
                desc.scaling = _choose(SCALINGS, "scaling", number)
            else:
                _set(desc, inner, number)
    elif key in _OPERANDS or key in ("out", "name"):
        setattr(desc, _OPERANDS.get(key, key), text(value, key))
    elif key == "by":
        desc.scale = float(value)
    elif key in _FIELDS and key not in ("struct_size", "reserved", "in1", "in2", "in3"):
        real = _FIELDS[key] is _abi.c_double
        setattr(desc, key, float(value) if real else u32(value, key))
    else:
        raise ValueError("an operation has no key %r" % key)


class Builder(Handle):
    """manifest: a dict, or its JSON text, without embed, blocks and head, which are given one operation at a time:

        builder = Builder(context, {"format": "pluralis-model/2", ...})
        builder.begin("embed").op({"op": "embedding", "out": "x", "name": "embed", "std": 1.0})
        builder.begin("block", 4).op({...}).op({...})
        builder.begin("head").op({...})
        model = builder.build()
    """

    __slots__ = ("_context",)

    def __init__(self, context: Context, manifest: Union[Mapping[str, Any], str, bytes]):
        self._context = need(context, Context, "context")
        if isinstance(manifest, Mapping):
            manifest = json.dumps(manifest)
        raw = manifest.encode() if isinstance(manifest, str) else bytes(memoryview(manifest))
        self._make(C.plr_builder_destroy, (context,),
                   lambda c: create(C.plr_builder_create, "Builder", c, raw, len(raw)))

    def _checked(self, function, *arguments):
        error = new_error()
        status = self._call(function, *arguments, error)
        if status:
            raise failure(status, "Builder", error)
        return self

    def begin(self, part: str, repeat: int = 1) -> "Builder":
        """Begins a list ("embed", then "block" for each kind of block, then "head") and ends the one before."""
        return self._checked(C.plr_builder_begin, _choose(PARTS, "part", part), u32(repeat, "repeat"))

    def op(self, operation: Mapping[str, Any]) -> "Builder":
        """Appends an operation, written as in the manifest (lib/model/BLOCKS.md); keys that are absent are 0."""
        desc = initialised(_abi.plr_op_desc, C.plr_op_desc_init)
        for key, value in operation.items():
            _set(desc, key, value)
        return self._checked(C.plr_builder_op, desc)

    def build(self) -> Model:
        """The model, once: afterwards the builder can only be closed."""
        model = Model.__new__(Model)
        model._start(self._context, lambda _: self._call(lambda b: create(C.plr_builder_build, "Builder.build", b)))
        return model

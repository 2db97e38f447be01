"""A model as its designer describes it, and the text it is trained on."""
from __future__ import annotations

import ctypes
import json
from typing import Any, Mapping, Optional, Sequence, Union

from . import _abi
from ._buffer import SIMPLE, View
from ._handle import Handle, create, hash_out, initialised, need, new_error, sized, text, u32, u64
from ._load import C
from ._records import ModelInfo
from .context import Context
from .errors import failure
from .tensor import Tensor, fit

BOUNDARIES = {"dense": _abi.PLR_BOUNDARY_DENSE, "subspace": _abi.PLR_BOUNDARY_SUBSPACE,
              "projector": _abi.PLR_BOUNDARY_PROJECTOR}
SPLITS = {"train": _abi.PLR_SPLIT_TRAIN, "validation": _abi.PLR_SPLIT_VALIDATION}


class Model(Handle):
    """manifest: a dict, or its JSON text; include/pluralis/model.h lists the keys, all of which are required.
    Immutable: threads may share it."""

    __slots__ = ("info",)

    info: ModelInfo  # the manifest's fields as numbers

    def __init__(self, context: Context, manifest: Union[Mapping[str, Any], str, bytes]):
        need(context, Context, "context")
        if isinstance(manifest, Mapping):
            manifest = json.dumps(manifest)
        raw = manifest.encode() if isinstance(manifest, str) else bytes(memoryview(manifest))
        self._start(context, lambda c: create(C.plr_model_from_json, "Model", c, raw, len(raw)))

    @classmethod
    def from_config(cls, context: Context, config: Union[Mapping[str, Any], str, bytes], *, cuts: Sequence[int] = (),
                    name: Optional[str] = None, boundary: Optional[Mapping[str, Any]] = None,
                    train: Optional[Mapping[str, Any]] = None, seed: int = 0) -> "Model":
        """The model of a published config.json (a dict, or its text). boundary and train are those of a manifest; None:
        dense, and a recipe that is enough for serving."""
        need(context, Context, "context")
        if isinstance(config, Mapping):
            config = json.dumps(config)
        raw = config.encode() if isinstance(config, str) else bytes(memoryview(config))
        options = initialised(_abi.plr_config_options, C.plr_config_options_init)
        places = (ctypes.c_uint32 * len(cuts))(*[u32(cut, "cuts[%d]" % i) for i, cut in enumerate(cuts)])
        options.cut_count, options.cuts = len(cuts), ctypes.cast(places, ctypes.c_void_p)
        options.name = None if name is None else text(name, "name")
        options.boundary = None if boundary is None else text(json.dumps(boundary), "boundary")
        options.train = None if train is None else text(json.dumps(train), "train")
        options.seed = u64(seed, "seed")
        model = cls.__new__(cls)
        model._start(context, lambda c: create(C.plr_model_from_config, "Model", c, raw, len(raw), options))
        return model

    def _start(self, context, build):
        self._make(C.plr_model_destroy, (context,), build)
        info = sized(_abi.plr_model_info)
        status = self._read(C.plr_model_get_info, info)
        if status:
            raise failure(status, "Model.info")
        self.info = ModelInfo.of(info)

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical form: the model's name on links and in the ledger."""
        return self._read(lambda pointer: hash_out(C.plr_model_hash, pointer))

    @property
    def name(self) -> str:
        return self._read(C.plr_model_name).decode("utf-8")

    @property
    def config(self) -> Optional[str]:
        """config.json for the files that Shard.export writes; None for a model that was not made from one."""
        found = self._read(C.plr_model_config)
        return None if found is None else found.decode("utf-8")

    @property
    def cuts(self) -> list:
        """Positions at which the model may be split; the cut c lies between block c-1 and block c."""
        return [self._read(C.plr_model_cut, i) for i in range(self.info.cut_count)]

    def can_cut(self, position: int) -> bool:
        """Whether a shard may start or end at this block."""
        return bool(self._read(C.plr_model_can_cut, u32(position, "position")))

    def block_cost(self, block: int) -> int:
        """Work of a block for one token, forward and backward, in floating-point operations: the ledger's units."""
        return self._read(C.plr_model_block_cost, u32(block, "block"))

    @property
    def costs(self) -> list:
        """block_cost of every block."""
        return [self.block_cost(block) for block in range(self.info.blocks)]


class Corpus(Handle):
    """A text as bytes, held (not copied) until the corpus ends. Its last tenth is the validation part. Immutable:
    threads may share it."""

    __slots__ = ()

    def __init__(self, context: Context, text: bytes):
        need(context, Context, "context")
        view = View(text.encode() if isinstance(text, str) else text, SIMPLE)
        self._make(C.plr_corpus_destroy, (context,),
                   lambda c: create(C.plr_corpus_create, "Corpus", c, view.view.buf, view.view.len), view)

    @property
    def root(self) -> bytes:
        """Merkle root (RFC 6962) over 64 KiB pieces of the text."""
        return self._read(lambda pointer: hash_out(C.plr_corpus_root, pointer))

    def batch(self, split: str, seed: int, index: int, rows: int, seq_len: int, out: Tensor = None) -> Tensor:
        """Micro-batch `index` of a split ("train" or "validation"): rows x (seq_len + 1) ids, int32; the last of each
        row is only a label."""
        if split not in SPLITS:
            raise ValueError("split %r is not one of %s" % (split, ", ".join(SPLITS)))
        shape = (u32(rows, "rows"), u32(seq_len, "seq_len") + 1)
        out = Tensor(shape, "int32") if out is None else fit(out, "out", "int32", shape, True)
        error = new_error()
        status = self._read(C.plr_corpus_batch, SPLITS[split], u64(seed, "seed"), u64(index, "index"), rows, seq_len,
                            out.address, error)
        if status:
            raise failure(status, "Corpus.batch", error)
        return out

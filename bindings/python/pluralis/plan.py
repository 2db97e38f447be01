"""Placement: which device holds which blocks, and the throughput to expect."""
from __future__ import annotations

import ctypes
import json
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from . import _abi
from ._handle import Handle, create, initialised, need, sized, u32, u64
from ._load import C
from ._records import PlanInfo, PlanStage
from .context import Context
from .errors import failure
from .model import Model

FLOWS = {"sync": _abi.PLR_PLAN_SYNC, "async": _abi.PLR_PLAN_ASYNC}


class Device(NamedTuple):
    """A machine: floating-point operations a second, bytes, bits a second (0: no limit), nanoseconds to the middle of
    the network."""

    flops: float
    memory: int
    up_bps: int = 0
    down_bps: int = 0
    delay_ns: int = 0


class Path(NamedTuple):
    """A path between two devices that is not what their networks promise."""

    source: int
    target: int
    bps: int
    delay_ns: int


class Plan(Handle):
    """The best placement of a model on these devices that was found. Immutable: threads may share it."""

    __slots__ = ("info",)

    info: PlanInfo

    def __init__(self, context: Context, model: Model, devices: Sequence[Device], *, paths: Sequence[Path] = (),
                 flow: str = "async", min_stages: int = 1, max_stages: int = 0, max_replicas: int = 0,
                 free_cuts: bool = False, versions: int = 1, min_bits: float = 2.5, max_bits: float = 8.0,
                 restarts: int = 0, seed: int = 0):
        need(context, Context, "context")
        need(model, Model, "model")
        options = initialised(_abi.plr_plan_options, C.plr_plan_options_init)
        given = (_abi.plr_plan_device * len(devices))(*[
            (float(d.flops), u64(d.memory, "devices[%d].memory" % i), u64(d.up_bps, "devices[%d].up_bps" % i),
             u64(d.down_bps, "devices[%d].down_bps" % i), u64(d.delay_ns, "devices[%d].delay_ns" % i))
            for i, d in enumerate(devices)])
        named = (_abi.plr_plan_path * len(paths))(*[
            (u32(p.source, "paths[%d].source" % i), u32(p.target, "paths[%d].target" % i),
             u64(p.bps, "paths[%d].bps" % i), u64(p.delay_ns, "paths[%d].delay_ns" % i)) for i, p in enumerate(paths)])
        options.devices, options.device_count, options.paths, options.path_count = given, len(given), named, len(named)
        if flow not in FLOWS:
            raise ValueError("flow: must be one of %s" % ", ".join(FLOWS))
        options.flow, options.free_cuts, options.seed = FLOWS[flow], int(bool(free_cuts)), u64(seed, "seed")
        options.min_stages, options.max_stages = u32(min_stages, "min_stages"), u32(max_stages, "max_stages")
        options.max_replicas, options.versions = u32(max_replicas, "max_replicas"), u32(versions, "versions")
        options.restarts = u32(restarts, "restarts")
        options.min_bits, options.max_bits = float(min_bits), float(max_bits)
        self._make(C.plr_plan_destroy, (context,),
                   lambda c: create(C.plr_plan_create, "Plan", c, model._owner.pointer, options))
        info = sized(_abi.plr_plan_info)
        status = self._read(C.plr_plan_get_info, info)
        if status:
            raise failure(status, "Plan.info")
        self.info = PlanInfo.of(info)

    def stage(self, index: int) -> PlanStage:
        """What is said of a stage."""
        stage = sized(_abi.plr_plan_stage)
        status = self._read(C.plr_plan_get_stage, u32(index, "index"), stage)
        if status:
            raise failure(status, "Plan.stage")
        return PlanStage.of(stage)

    def stage_devices(self, index: int) -> Tuple[int, ...]:
        """Devices of a stage, ascending."""
        index = u32(index, "index")
        found = []
        while True:
            device = self._read(C.plr_plan_stage_device, index, len(found))
            if device == _abi.PLR_PLAN_NONE:
                return tuple(found)
            found.append(device)

    def device_stage(self, device: int) -> Optional[int]:
        """Stage of a device; None when it has none."""
        stage = self._read(C.plr_plan_device_stage, u32(device, "device"))
        return None if stage == _abi.PLR_PLAN_NONE else stage

    @property
    def text(self) -> str:
        """The plan and its reasons in words."""
        return self._read(C.plr_plan_text).decode("utf-8")

    @property
    def json(self) -> Dict[str, Any]:
        """The same as data."""
        return json.loads(self._read(C.plr_plan_json).decode("utf-8"))

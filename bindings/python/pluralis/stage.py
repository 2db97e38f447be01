"""A stage drives one shard between its links: frames and time in; frames, jobs, events and receipts out.

The loop of a host, for each stage (see include/pluralis/stage.h):

    link.receive(now, data)                  for bytes that came; link.advance(now) at its deadlines
    stage.advance(now)
    while job := stage.next_job():           a job may run on another thread
        job.run(); stage.complete(job, now)
    for event in stage.events(): ...
    data = link.transmit(now)                until nothing is left
"""
from __future__ import annotations

import ctypes
import threading
from contextlib import ExitStack
from typing import Any, Iterator, NamedTuple, Optional, Union

from . import _abi
from ._buffer import reading
from ._handle import Handle, create, initialised, let_go, hold, need, sized, text, u32, u64
from ._load import C
from ._records import Codec, JobInfo, StageStats
from .context import Context
from .errors import Closed, InUse, InvalidArgument, InvalidState, PluralisError, failure
from .exchange import codec_in
from .identity import Identity
from .link import Link
from .model import Corpus, Model
from .shard import Shard, tokens_of

SIDES = {"upstream": _abi.PLR_SIDE_UPSTREAM, "downstream": _abi.PLR_SIDE_DOWNSTREAM}
JOBS = {_abi.PLR_JOB_FORWARD: "forward", _abi.PLR_JOB_BACKWARD: "backward", _abi.PLR_JOB_STEP: "step",
        _abi.PLR_JOB_INFER: "infer", _abi.PLR_JOB_SNAPSHOT: "snapshot"}
EVENTS = {_abi.PLR_STAGE_READY: "ready", _abi.PLR_STAGE_STEP: "step", _abi.PLR_STAGE_EVAL: "eval",
          _abi.PLR_STAGE_TOKEN: "token", _abi.PLR_STAGE_GENERATED: "generated", _abi.PLR_STAGE_RECEIPT: "receipt",
          _abi.PLR_STAGE_ENTRY: "entry", _abi.PLR_STAGE_ROOT: "root", _abi.PLR_STAGE_STOPPED: "stopped",
          _abi.PLR_STAGE_FAILED: "failed", _abi.PLR_STAGE_REFUSED: "refused", _abi.PLR_STAGE_IDLE: "idle",
          _abi.PLR_STAGE_PEER: "peer", _abi.PLR_STAGE_DROPPED: "dropped"}
SCHEDULES = {"sync": _abi.PLR_PIPELINE_SYNC, "async": _abi.PLR_PIPELINE_ASYNC}


class StageEvent(NamedTuple):
    """kind: "ready", "step", "eval", "token", "generated", "receipt", "entry", "root", "stopped", "failed", "refused",
    "idle", "peer" or "dropped"; <pluralis/stage.h> says which fields each has."""

    kind: str
    step: int = 0
    index: int = 0
    value: float = 0.0
    token: int = 0
    hash: bytes = bytes(32)
    data: bytes = b""
    message: str = ""
    error: Optional[PluralisError] = None


class Job:
    """Work of a stage. run() may be called on any thread, once; then the stage's complete() takes it back."""

    __slots__ = ("info", "kind", "_pointer", "_stage", "_held", "_lock", "_state")

    def __init__(self, stage, pointer):
        info = sized(_abi.plr_job_info)
        C.plr_job_get_info(pointer, info)
        self.info, self._pointer, self._stage = JobInfo.of(info), pointer, stage
        self.kind = JOBS.get(info.kind, str(info.kind))
        self._lock, self._state = threading.Lock(), "new"
        self._held = hold([stage])  # a stage that is closed meanwhile ends only after its job

    def run(self) -> None:
        """Computes. A failure is kept in the job as well: complete() acts on it."""
        if not self._lock.acquire(False):
            raise InUse("this job is running", "Job")
        try:
            if self._state != "new":
                raise InvalidState("this job was %s already" % self._state, "Job")
            shard = self._stage.shard
            if not shard._lock.acquire(False):
                raise shard._in_use()
            try:
                if shard._readers:
                    raise shard._in_use()
                self._state = "run"
                status = C.plr_job_run(self._pointer)
            finally:
                shard._lock.release()
        finally:
            self._lock.release()
        if status:
            raise failure(status, "Job.run")

    def __del__(self):
        let_go(getattr(self, "_held", ()))

    def __repr__(self):
        return "<pluralis.Job %s, step %d, micro-batch %d>" % (self.kind, self.info.step, self.info.micro_batch)


class _Stage(Handle):
    """What worker and feeder share. A call on a stage uses its links as well: all are one thread's at a time."""

    __slots__ = ("shard", "_links", "_job")

    def _open(self, context, identity, model, borrowed, options, origin, forward_codec, backward_codec, schedule,
              window, patience_ns, reply_timeout_ns):
        if schedule not in SCHEDULES:
            raise InvalidArgument("%r is not one of %s" % (schedule, ", ".join(SCHEDULES)), "schedule")
        options.schedule, options.window = SCHEDULES[schedule], u32(window, "window")
        options.patience_ns = u64(patience_ns, "patience_ns")
        options.reply_timeout_ns = u64(reply_timeout_ns, "reply_timeout_ns")
        need(context, Context, "context")
        need(identity, Identity, "identity")
        options.origin = text(origin, "origin")
        options.forward_codec = codec_in(forward_codec, "forward_codec")
        options.backward_codec = codec_in(backward_codec, "backward_codec")
        self._links, self._job = {}, None

        def build(c, i, m, b):
            options.identity, options.model = i, m
            setattr(options, "shard" if self.shard else "corpus", b)
            return create(C.plr_stage_create, "Stage", c, options)

        self._make(C.plr_stage_destroy, (context, identity, model, borrowed), build)

    def _call(self, function, *arguments):
        with ExitStack() as held:
            for handle in (self, *self._links.values()):
                if not handle._lock.acquire(False):
                    raise handle._in_use()
                held.callback(handle._lock.release)
                if handle._readers:
                    raise handle._in_use()
            return function(self._owner.pointer, *arguments)

    def _do(self, function, where, *arguments):
        status = self._call(function, *arguments)
        if status:
            raise failure(status, where)

    def attach(self, side: str, link: Link) -> None:
        """Gives the stage a link ("upstream" or "downstream"). From now on the host pumps only its bytes (receive,
        transmit, deadlines)."""
        need(link, Link, "link")
        if side not in SIDES:
            raise InvalidArgument("side %r is not one of %s" % (side, ", ".join(SIDES)), "Stage.attach")
        if link._stage:
            raise InvalidState("this link was attached to a stage already", "Stage.attach")
        held = hold([link])
        try:
            self._call(self._attach, side, held)
        except BaseException:
            let_go(held)
            raise
        link._stage = True
        self._links[id(link)] = link

    def detach(self, link: Link) -> None:
        """Takes a link back, as if its neighbour had failed; the host may close it. NotFound: it is not attached, or
        the stage has given it up."""
        need(link, Link, "link")
        self._do(C.plr_stage_detach, "Stage.detach", link._owner.pointer)

    def _attach(self, pointer, side, held):
        status = C.plr_stage_attach(pointer, SIDES[side], held[0].pointer)
        if status:
            raise failure(status, "Stage.attach")
        self._owner._keep += held

    def advance(self, now_ns: int) -> None:
        """Takes in what the links have received and moves everything that can move."""
        self._do(C.plr_stage_advance, "Stage.advance", u64(now_ns, "now_ns"))

    @property
    def next_deadline_ns(self) -> int:
        return self._read(C.plr_stage_next_deadline_ns)

    def next_event(self) -> Optional[StageEvent]:
        """The next event; None when there is none."""
        return self._call(self._next)

    @staticmethod
    def _next(pointer):
        event = sized(_abi.plr_stage_event)
        status = C.plr_stage_next_event(pointer, event)
        if status == _abi.PLR_ERR_AGAIN:
            return None
        if status:
            raise failure(status, "Stage.next_event")
        message = event.message.decode("utf-8", "replace") if event.message else ""
        error = None
        if event.status:
            kind = type(failure(event.status))
            error = kind(message, "stage", 0, event.status)
        data = ctypes.string_at(event.data, event.len) if event.data and event.len else b""
        return StageEvent(EVENTS.get(event.type, str(event.type)), event.step, event.index, event.value, event.token,
                          bytes(event.hash), data, message, error)

    def events(self) -> Iterator[StageEvent]:
        """All events there are now."""
        event = self.next_event()
        while event is not None:
            yield event
            event = self.next_event()

    def read_journal(self, most: int = 1 << 16) -> bytes:
        """Up to `most` bytes of the journal, whole records; b"" when there are none."""
        buffer, length = ctypes.create_string_buffer(u64(most, "most") or 1), ctypes.c_size_t()
        status = self._call(C.plr_stage_read_journal, buffer, most, ctypes.byref(length))
        if status and status != _abi.PLR_ERR_AGAIN:
            raise failure(status, "Stage.read_journal")
        return b"" if status else buffer.raw[:length.value]

    @property
    def stats(self) -> StageStats:
        stats = sized(_abi.plr_stage_stats)
        status = self._read(C.plr_stage_get_stats, stats)
        if status:
            raise failure(status, "Stage.stats")
        return StageStats.of(stats)


class Stage(_Stage):
    """A worker: stage `index` of a pipeline of `count`. The shard is the stage's until it ends, and needs
    max_in_flight slots (0: count - index). origin: of the ledger that receipts are signed for. auto_budget: bits
    of training frames follow the bandwidth of the links; for codecs whose rate can be set. schedule "async": no flush,
    several links a side; the other options are described in <pluralis/stage.h>."""

    __slots__ = ()

    def __init__(self, context: Context, identity: Identity, shard: Shard, index: int, count: int, *, origin: str,
                 lane: int = 0, forward_codec: Union[Codec, str] = "raw", backward_codec: Union[Codec, str] = "raw",
                 auto_budget: bool = False, schedule: str = "sync", max_in_flight: int = 0, window: int = 0,
                 delay_horizon: int = 0, patience_ns: int = 0, reply_timeout_ns: int = 0):
        self.shard = need(shard, Shard, "shard")
        options = initialised(_abi.plr_stage_options, C.plr_stage_options_init)
        options.role = _abi.PLR_STAGE_WORKER
        options.auto_budget = bool(auto_budget)
        options.max_in_flight = u32(max_in_flight, "max_in_flight")
        options.delay_horizon = u64(delay_horizon, "delay_horizon")
        options.index, options.count, options.lane = u32(index, "index"), u32(count, "count"), u32(lane, "lane")
        self._open(context, identity, shard.model, shard, options, origin, forward_codec, backward_codec,
                   schedule, window, patience_ns, reply_timeout_ns)

    def next_job(self) -> Optional[Job]:
        """The next job; None when nothing can run now. One job of a stage is out at a time."""
        out = ctypes.c_void_p()
        status = self._call(C.plr_stage_next_job, ctypes.byref(out))
        if status == _abi.PLR_ERR_AGAIN:
            return None
        if status:
            raise failure(status, "Stage.next_job")
        self._job = job = Job(self, out)
        return job

    def complete(self, job: Job, now_ns: int) -> None:
        """Takes the result of a job back; frames go out at the next transmit."""
        need(job, Job, "job")
        now_ns = u64(now_ns, "now_ns")
        if not job._lock.acquire(False):
            raise InUse("this job is running", "Job")
        try:
            if job is not self._job:
                raise InvalidArgument("this job is not the one that is out", "Stage.complete")
            if job._state == "new":
                raise InvalidState("this job was not run", "Stage.complete")
            status = self._call(C.plr_stage_complete, job._pointer, now_ns)
            self._job, job._state = None, "completed"
        finally:
            job._lock.release()
        if status:
            raise failure(status, "Stage.complete")

    def submit(self, entry: Any) -> None:
        """Sends a ledger entry (an AccountOpen, a Claim) downstream to the feeder. TryAgain: the queue is full."""
        argument, length, _keep = reading(entry, "entry")
        self._do(C.plr_stage_submit, "Stage.submit", argument, length)


class Feeder(_Stage):
    """The data provider: upstream of stage 0 and downstream of the last of `count` stages. One command runs at a time
    (TryAgain while another runs) and ends with the event "idle"."""

    __slots__ = ()

    def __init__(self, context: Context, identity: Identity, model: Model, corpus: Corpus, count: int, *, origin: str,
                 snapshot_every: int = 0, start_step: int = 0, epoch: int = 0, lane: int = 0,
                 forward_codec: Union[Codec, str] = "raw", backward_codec: Union[Codec, str] = "raw",
                 schedule: str = "sync", window: int = 0, patience_ns: int = 0, reply_timeout_ns: int = 0):
        self.shard = None
        options = initialised(_abi.plr_stage_options, C.plr_stage_options_init)
        options.role, options.count, options.lane = _abi.PLR_STAGE_FEEDER, u32(count, "count"), u32(lane, "lane")
        options.snapshot_every = u32(snapshot_every, "snapshot_every")
        options.start_step, options.epoch = u64(start_step, "start_step"), u64(epoch, "epoch")
        self._open(context, identity, need(model, Model, "model"), need(corpus, Corpus, "corpus"), options, origin,
                   forward_codec, backward_codec, schedule, window, patience_ns, reply_timeout_ns)

    def train(self, until_step: int) -> None:
        """Feeds training steps until this many are done."""
        self._do(C.plr_stage_train, "Feeder.train", u64(until_step, "until_step"))

    def evaluate(self, batches: int) -> None:
        """Runs validation micro-batches 0 .. batches-1; the event "eval" has their mean loss."""
        self._do(C.plr_stage_evaluate, "Feeder.evaluate", u32(batches, "batches"))

    def generate(self, prompt: Any, count: int, *, temperature: float = 0.0, top_k: int = 0, seed: int = 0) -> None:
        """Continues a prompt (1 .. seq_len ids, or bytes) by `count` tokens: an event "token" each."""
        ids = tokens_of(prompt, "prompt")
        self._do(C.plr_stage_generate, "Feeder.generate", ids.address, u32(ids.size, "prompt"), u32(count, "count"),
                 temperature, u32(top_k, "top_k"), u64(seed, "seed"))

    def stop(self) -> None:
        """Ends the running command, takes a snapshot on all stages, then "stopped" everywhere."""
        self._do(C.plr_stage_stop, "Feeder.stop")

    def set_epoch(self, epoch: int) -> None:
        """Epoch written into receipts of the steps not yet fed."""
        self._do(C.plr_stage_set_epoch, "Feeder.set_epoch", u64(epoch, "epoch"))

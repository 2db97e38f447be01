"""Protocol models: shard execution, compressed activation exchange, and a contribution ledger.

    ctx = pluralis.Context()
    model = pluralis.Model(ctx, {...})                  as its designer describes it
    shard = pluralis.Shard(ctx, model, 0, 2)            consecutive blocks of it
    session = pluralis.Session(shard)                   generation: feed, draw
    frame = pluralis.Encoder(ctx, "int4+zstd", ...)     a tensor in few bytes
    link, stage                                         a pipeline over any byte stream
    plan = pluralis.Plan(ctx, model, devices)           who holds which blocks
    ledger = pluralis.Ledger(ctx, ...)                  who did what, and who is owed what

A ctypes package over libpluralis, without dependencies. Every object is a context manager with close(), may be closed
in any order, and is used by one thread at a time (Context, Identity, Model and Corpus by any number): InUse says when
it was not. Failures are exceptions of pluralis.errors. The headers in include/pluralis are the manual.
"""
from . import entries, errors, io, log, mirror, settlement
from ._abi import PLR_VERSION_MAJOR, PLR_VERSION_MINOR, PLR_VERSION_PATCH
from ._load import LibraryError, path as library_path
from ._records import (Balance, Codec, EncoderStats, FrameInfo, JobInfo, LedgerSummary, LinkStats, MirrorStats,
                       ModelInfo, ModelTotals, PlanInfo, PlanStage, StageStats)
from .builder import Builder
from .context import Context, profile_hash, sha256, status_message, status_name, version
from .errors import (CallerError, Closed, DataError, EnvironmentFault, FatalError, InUse, PluralisError, ShapeError,
                     TryAgain)
from .exchange import (Decoder, Encoder, Feedback, Mask, codec, decode_control, decode_tokens, encode_control,
                       encode_tokens, frame_info)
from .identity import Identity, account_id, verify
from .io import Sink, Source
from .ledger import Appended, Ledger, rebuild_ledger, verify_ledger
from .link import NEVER, Link, LinkEvent
from .mirror import Mirror, Remote
from .model import Corpus, Model
from .plan import Device, Path, Plan
from .session import Rows, Session, draw, feed
from .shard import Parameter, Shard, sample, snapshot_info, weight_root
from .stage import Feeder, Job, Stage, StageEvent
from .store import LedgerStore
from .tensor import Tensor
from .weights import Weights, WeightsTensor, write_index

__version__ = "%d.%d.%d" % (PLR_VERSION_MAJOR, PLR_VERSION_MINOR, PLR_VERSION_PATCH)
__all__ = [name for name in dir() if not name.startswith("_") and not name.startswith("PLR_")]

"""What the library reports, as named tuples; generated from include/pluralis by bindings/generate.py."""
# pylint: skip-file
from typing import NamedTuple


class Codec(NamedTuple):
    """plr_codec of <pluralis/exchange.h>, which says what the fields mean."""

    predict: int
    transform: int
    quant: int
    entropy: int
    dtype: int
    bits: int
    group: int

    @classmethod
    def of(cls, c):
        return cls(
            c.predict,
            c.transform,
            c.quant,
            c.entropy,
            c.dtype,
            c.bits,
            c.group,
        )


class ModelInfo(NamedTuple):
    """plr_model_info of <pluralis/model.h>, which says what the fields mean."""

    blocks: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int
    vocab: int
    cut_count: int
    boundary: int
    boundary_width: int
    first_full_rank: int
    seq_len: int
    micro_batch: int
    micro_batches: int
    steps: int
    warmup_steps: int
    schedule: int
    norm_eps: float
    init_std: float
    embed_std: float
    anchor_std: float
    lr: float
    min_lr_ratio: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    clip: float
    rope_theta: float
    seed: int
    boundary_seed: int
    data_seed: int
    parameters: int
    optimizer: int
    clip_scope: int
    decay_steps: int
    momentum_decay: float
    muon_lr: float
    muon_momentum: float
    format: int
    z_loss: float
    storage: int
    reserved2: int

    @classmethod
    def of(cls, c):
        return cls(
            c.blocks,
            c.d_model,
            c.heads,
            c.kv_heads,
            c.head_dim,
            c.d_ff,
            c.vocab,
            c.cut_count,
            c.boundary,
            c.boundary_width,
            c.first_full_rank,
            c.seq_len,
            c.micro_batch,
            c.micro_batches,
            c.steps,
            c.warmup_steps,
            c.schedule,
            c.norm_eps,
            c.init_std,
            c.embed_std,
            c.anchor_std,
            c.lr,
            c.min_lr_ratio,
            c.beta1,
            c.beta2,
            c.eps,
            c.weight_decay,
            c.clip,
            c.rope_theta,
            c.seed,
            c.boundary_seed,
            c.data_seed,
            c.parameters,
            c.optimizer,
            c.clip_scope,
            c.decay_steps,
            c.momentum_decay,
            c.muon_lr,
            c.muon_momentum,
            c.format,
            c.z_loss,
            c.storage,
            c.reserved2,
        )


class FrameInfo(NamedTuple):
    """plr_frame_info of <pluralis/exchange.h>, which says what the fields mean."""

    role: int
    stream: int
    step: int
    micro_batch: int
    generation: int
    seed: int
    rows: int
    cols: int
    vocab: int
    chunks: int
    payload_len: int
    codec: Codec
    flags: int

    @classmethod
    def of(cls, c):
        return cls(
            c.role,
            c.stream,
            c.step,
            c.micro_batch,
            c.generation,
            c.seed,
            c.rows,
            c.cols,
            c.vocab,
            c.chunks,
            c.payload_len,
            Codec.of(c.codec),
            c.flags,
        )


class LinkStats(NamedTuple):
    """plr_link_stats of <pluralis/link.h>, which says what the fields mean."""

    bytes_sent: int
    bytes_received: int
    frames_sent: int
    frames_received: int
    queued_bytes: int
    unacked_bytes: int
    retransmits: int
    duplicates: int
    rejected: int
    resumes: int
    rtt_ns: int
    bytes_per_s: int

    @classmethod
    def of(cls, c):
        return cls(
            c.bytes_sent,
            c.bytes_received,
            c.frames_sent,
            c.frames_received,
            c.queued_bytes,
            c.unacked_bytes,
            c.retransmits,
            c.duplicates,
            c.rejected,
            c.resumes,
            c.rtt_ns,
            c.bytes_per_s,
        )


class EncoderStats(NamedTuple):
    """plr_encoder_stats of <pluralis/exchange.h>, which says what the fields mean."""

    frames: int
    values: int
    bytes: int
    signal_power: float
    noise_power: float

    @classmethod
    def of(cls, c):
        return cls(
            c.frames,
            c.values,
            c.bytes,
            c.signal_power,
            c.noise_power,
        )


class JobInfo(NamedTuple):
    """plr_job_info of <pluralis/stage.h>, which says what the fields mean."""

    kind: int
    step: int
    micro_batch: int

    @classmethod
    def of(cls, c):
        return cls(
            c.kind,
            c.step,
            c.micro_batch,
        )


class StageStats(NamedTuple):
    """plr_stage_stats of <pluralis/stage.h>, which says what the fields mean."""

    steps: int
    forwards: int
    backwards: int
    receipts: int
    receipts_refused: int
    raw_bytes: int
    sent_bytes: int
    journal_records: int
    journal_dropped: int
    forward_budget: int
    backward_budget: int
    delays: int
    max_delay: int
    resent: int
    duplicates: int
    peers_lost: int

    @classmethod
    def of(cls, c):
        return cls(
            c.steps,
            c.forwards,
            c.backwards,
            c.receipts,
            c.receipts_refused,
            c.raw_bytes,
            c.sent_bytes,
            c.journal_records,
            c.journal_dropped,
            c.forward_budget,
            c.backward_budget,
            c.delays,
            c.max_delay,
            c.resent,
            c.duplicates,
            c.peers_lost,
        )


class LedgerSummary(NamedTuple):
    """plr_ledger_summary of <pluralis/ledger.h>, which says what the fields mean."""

    entries: int
    rejected: int
    epoch: int
    accounts: int
    models: int
    receipts: int
    units: int
    minted: int
    deposited: int
    paid: int
    root: bytes
    state_root: bytes
    burned: int

    @classmethod
    def of(cls, c):
        return cls(
            c.entries,
            c.rejected,
            c.epoch,
            c.accounts,
            c.models,
            c.receipts,
            c.units.lo | c.units.hi << 64,
            c.minted.lo | c.minted.hi << 64,
            c.deposited,
            c.paid,
            bytes(c.root),
            bytes(c.state_root),
            c.burned.lo | c.burned.hi << 64,
        )


class ModelTotals(NamedTuple):
    """plr_model_totals of <pluralis/ledger.h>, which says what the fields mean."""

    block_count: int
    designer: bytes
    supply: int
    holders: int
    units: int
    epoch_units: int
    receipts: int
    deposited: int
    paid: int
    held: int
    minted: int
    burned: int
    provisional: int
    royalty_in: int
    royalty_out: int
    escrow: int
    served_paid: int
    served: int
    data_tokens: int
    parent_count: int
    depth: int
    milestones: int
    datasets: int

    @classmethod
    def of(cls, c):
        return cls(
            c.block_count,
            bytes(c.designer),
            c.supply,
            c.holders,
            c.units.lo | c.units.hi << 64,
            c.epoch_units.lo | c.epoch_units.hi << 64,
            c.receipts,
            c.deposited,
            c.paid,
            c.held,
            c.minted,
            c.burned,
            c.provisional,
            c.royalty_in,
            c.royalty_out,
            c.escrow,
            c.served_paid,
            c.served.lo | c.served.hi << 64,
            c.data_tokens.lo | c.data_tokens.hi << 64,
            c.parent_count,
            c.depth,
            c.milestones,
            c.datasets,
        )


class MirrorStats(NamedTuple):
    """plr_mirror_stats of <pluralis/mirror.h>, which says what the fields mean."""

    files: int
    retries: int
    received: int
    decoded: int

    @classmethod
    def of(cls, c):
        return cls(
            c.files,
            c.retries,
            c.received,
            c.decoded,
        )


class Balance(NamedTuple):
    """plr_balance of <pluralis/ledger.h>, which says what the fields mean."""

    account: bytes
    shares: int
    vested: int
    payable: int
    paid: int
    units: int
    receipts: int
    data_tokens: int

    @classmethod
    def of(cls, c):
        return cls(
            bytes(c.account),
            c.shares,
            c.vested,
            c.payable,
            c.paid,
            c.units.lo | c.units.hi << 64,
            c.receipts,
            c.data_tokens,
        )


class SnapshotInfo(NamedTuple):
    """plr_snapshot_info of <pluralis/shard.h>, which says what the fields mean."""

    blocks: int
    steps: int
    root: bytes

    @classmethod
    def of(cls, c):
        return cls(
            c.blocks,
            c.steps,
            bytes(c.root),
        )


class PlanInfo(NamedTuple):
    """plr_plan_info of <pluralis/plan.h>, which says what the fields mean."""

    stages: int
    devices: int
    exact: int
    slowest: int
    bound: int
    tokens_per_s: float
    micro_batches_per_s: float
    even_tokens_per_s: float
    latency_s: float

    @classmethod
    def of(cls, c):
        return cls(
            c.stages,
            c.devices,
            c.exact,
            c.slowest,
            c.bound,
            c.tokens_per_s,
            c.micro_batches_per_s,
            c.even_tokens_per_s,
            c.latency_s,
        )


class PlanStage(NamedTuple):
    """plr_plan_stage of <pluralis/plan.h>, which says what the fields mean."""

    first_block: int
    end_block: int
    devices: int
    bound: int
    in_flight: int
    tokens_per_s: float
    busy: float
    memory: int
    forward_bytes: int
    backward_bytes: int
    forward_bits: float
    backward_bits: float

    @classmethod
    def of(cls, c):
        return cls(
            c.first_block,
            c.end_block,
            c.devices,
            c.bound,
            c.in_flight,
            c.tokens_per_s,
            c.busy,
            c.memory,
            c.forward_bytes,
            c.backward_bytes,
            c.forward_bits,
            c.backward_bits,
        )

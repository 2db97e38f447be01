"""ctypes declarations of libpluralis, generated from include/pluralis by bindings/generate.py."""
# pylint: skip-file
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int16, c_int32,
                    c_int64, c_int8, c_size_t, c_uint16, c_uint32, c_uint64, c_uint8, c_void_p)

STATUS = {
    0: ('PLR_OK', 'success'),
    -1: ('PLR_ERR_INVALID_ARGUMENT', 'invalid argument'),
    -2: ('PLR_ERR_INVALID_STATE', "call not allowed in the object's present state"),
    -3: ('PLR_ERR_UNSUPPORTED', 'not supported by this build, device or version'),
    -4: ('PLR_ERR_LIMIT', 'a configured limit would be exceeded'),
    -5: ('PLR_ERR_EXISTS', 'already there; nothing changed'),
    -6: ('PLR_ERR_NOT_FOUND', 'not found'),
    -7: ('PLR_ERR_AGAIN', 'not now: a queue is full or nothing is ready yet'),
    -8: ('PLR_ERR_BUFFER_TOO_SMALL', 'the buffer is too small; the needed size was reported'),
    -9: ('PLR_ERR_SHAPE', 'tensor shape, stride or dtype does not fit'),
    -100: ('PLR_ERR_NO_MEMORY', 'out of memory'),
    -101: ('PLR_ERR_IO', 'input/output error'),
    -102: ('PLR_ERR_NO_SPACE', 'no space left on the device'),
    -103: ('PLR_ERR_UNAVAILABLE', 'device or resource not available'),
    -200: ('PLR_ERR_MALFORMED', 'malformed data'),
    -201: ('PLR_ERR_TRUNCATED', 'data ends too early'),
    -202: ('PLR_ERR_CHECKSUM', 'checksum or hash mismatch'),
    -203: ('PLR_ERR_VERSION', 'version of the data is not supported'),
    -204: ('PLR_ERR_MISMATCH', 'the two sides disagree (model, profile, key or shape)'),
    -205: ('PLR_ERR_SIGNATURE', 'signature does not verify'),
    -206: ('PLR_ERR_SEQUENCE', 'out of sequence, repeated or stale'),
    -207: ('PLR_ERR_NON_FINITE', 'a NaN or an infinity where a finite number is required'),
    -208: ('PLR_ERR_PROOF', 'proof does not verify'),
    -209: ('PLR_ERR_CLOSED', 'the peer is gone'),
    -300: ('PLR_ERR_CORRUPT', 'stored state is corrupt'),
    -301: ('PLR_ERR_CONSERVATION', 'an accounting identity is broken'),
    -302: ('PLR_ERR_INTERNAL', 'internal error'),
}
PLR_OK = 0
PLR_ERR_INVALID_ARGUMENT = -1
PLR_ERR_INVALID_STATE = -2
PLR_ERR_UNSUPPORTED = -3
PLR_ERR_LIMIT = -4
PLR_ERR_EXISTS = -5
PLR_ERR_NOT_FOUND = -6
PLR_ERR_AGAIN = -7
PLR_ERR_BUFFER_TOO_SMALL = -8
PLR_ERR_SHAPE = -9
PLR_ERR_NO_MEMORY = -100
PLR_ERR_IO = -101
PLR_ERR_NO_SPACE = -102
PLR_ERR_UNAVAILABLE = -103
PLR_ERR_MALFORMED = -200
PLR_ERR_TRUNCATED = -201
PLR_ERR_CHECKSUM = -202
PLR_ERR_VERSION = -203
PLR_ERR_MISMATCH = -204
PLR_ERR_SIGNATURE = -205
PLR_ERR_SEQUENCE = -206
PLR_ERR_NON_FINITE = -207
PLR_ERR_PROOF = -208
PLR_ERR_CLOSED = -209
PLR_ERR_CORRUPT = -300
PLR_ERR_CONSERVATION = -301
PLR_ERR_INTERNAL = -302

PLR_VERSION_MAJOR = 0
PLR_VERSION_MINOR = 1
PLR_VERSION_PATCH = 0
PLR_LOG_ERROR = 1
PLR_LOG_WARN = 2
PLR_LOG_INFO = 3
PLR_LOG_DEBUG = 4
PLR_ISA_PORTABLE = 0
PLR_ISA_AVX2 = 1
PLR_ISA_AVX512 = 2
PLR_ISA_NEON = 16
PLR_ISA_BEST = 4294967295
PLR_ENTRY_MAX = 65535
PLR_PROOF_MAX = 64
PLR_NO_EXPIRY = 18446744073709551615
PLR_ENTRY_GENESIS = 1
PLR_ENTRY_ACCOUNT_OPEN = 2
PLR_ENTRY_KEY_ROTATE = 3
PLR_ENTRY_MODEL_REGISTER = 4
PLR_ENTRY_DATA_REGISTER = 5
PLR_ENTRY_ASSIGN = 6
PLR_ENTRY_COMMIT = 7
PLR_ENTRY_RECEIPT = 8
PLR_ENTRY_AUDIT_RESULT = 9
PLR_ENTRY_DISPUTE = 10
PLR_ENTRY_EVIDENCE = 11
PLR_ENTRY_EPOCH_CLOSE = 12
PLR_ENTRY_MILESTONE = 13
PLR_ENTRY_REVENUE_DEPOSIT = 14
PLR_ENTRY_INFERENCE_RECEIPT = 15
PLR_ENTRY_TRANSFER = 16
PLR_ENTRY_CLAIM = 17
PLR_ENTRY_SLASH = 18
PLR_ENTRY_SETTLEMENT_ROOT = 19
PLR_ENTRY_PARAM_CHANGE = 20
PLR_SIGN_AUTHOR = 0
PLR_SIGN_UPSTREAM = 1
PLR_SIGN_DOWNSTREAM = 2
PLR_SIGN_NEW_KEY = 3
PLR_SIGN_COUNTER = 4
PLR_PARAM_RECEIPT_WINDOW = 1
PLR_PARAM_AUDIT_WINDOW = 2
PLR_PARAM_CHANGE_DELAY = 3
PLR_PARAM_RECOVERY_DELAY = 4
PLR_PARAM_SLASH_DELAY = 5
PLR_PARAM_AUDIT_BPS = 6
PLR_PARAM_SLASH_BPS = 7
PLR_PARAM_BOUNTY_BPS = 8
PLR_PARAMS = 8
PLR_MAX_DIMS = 4
PLR_DTYPE_F32 = 1
PLR_DTYPE_F16 = 2
PLR_DTYPE_BF16 = 3
PLR_DTYPE_I32 = 4
PLR_DTYPE_U8 = 5
PLR_FRAME_HEADER = 64
PLR_ROLE_ACTIVATION = 1
PLR_ROLE_GRADIENT = 2
PLR_ROLE_TOKENS = 3
PLR_ROLE_DELTA = 4
PLR_ROLE_STATE = 5
PLR_ROLE_CONTROL = 6
PLR_PREDICT_NONE = 0
PLR_PREDICT_SAMPLE = 1
PLR_PREDICT_ANCHOR = 2
PLR_TRANSFORM_IDENTITY = 0
PLR_TRANSFORM_HADAMARD = 1
PLR_TRANSFORM_BASIS = 2
PLR_TRANSFORM_DCT = 3
PLR_QUANT_RAW = 0
PLR_QUANT_BLOCK_INT = 1
PLR_QUANT_UNIFORM = 2
PLR_QUANT_DITHER = 3
PLR_QUANT_TRELLIS = 4
PLR_QUANT_TOPK = 5
PLR_QUANT_EDEN = 6
PLR_QUANT_MASK = 7
PLR_ENTROPY_PACK = 0
PLR_ENTROPY_PARAMETRIC = 1
PLR_ENTROPY_HISTOGRAM = 2
PLR_ENTROPY_RICE = 3
PLR_ENTROPY_SPLIT = 4
PLR_ENTROPY_ZSTD = 5
PLR_STEP_GLOBAL = 0
PLR_STEP_TOKEN = 1
PLR_FRAME_KEY = 1
PLR_FRAME_PLAIN = 2
PLR_BOUNDARY_DENSE = 0
PLR_BOUNDARY_SUBSPACE = 1
PLR_BOUNDARY_PROJECTOR = 2
PLR_PART_EMBED = 1
PLR_PART_BLOCK = 2
PLR_PART_HEAD = 3
PLR_LAYER_EMBEDDING = 1
PLR_LAYER_POSITIONS = 2
PLR_LAYER_LINEAR = 3
PLR_LAYER_RMSNORM = 4
PLR_LAYER_LAYERNORM = 5
PLR_LAYER_ROPE = 6
PLR_LAYER_ATTENTION = 7
PLR_LAYER_SILU = 8
PLR_LAYER_GELU = 9
PLR_LAYER_GELU_TANH = 10
PLR_LAYER_RELU2 = 11
PLR_LAYER_SWIGLU = 12
PLR_LAYER_ADD = 13
PLR_LAYER_MUL = 14
PLR_LAYER_SCALE = 15
PLR_LAYER_MOE = 16
PLR_SCALING_NONE = 0
PLR_SCALING_LINEAR = 1
PLR_SCALING_LLAMA3 = 2
PLR_SCALING_YARN = 3
PLR_SCHEDULE_CONSTANT = 0
PLR_SCHEDULE_LINEAR = 1
PLR_SCHEDULE_COSINE = 2
PLR_SCHEDULE_WSD = 3
PLR_OPTIMIZER_ADAMW = 1
PLR_OPTIMIZER_NADAM = 2
PLR_OPTIMIZER_MUON = 3
PLR_OPTIMIZER_SGDM = 4
PLR_OPTIMIZER_ADAMW_ROW = 5
PLR_CLIP_BLOCK = 0
PLR_CLIP_GLOBAL = 1
PLR_STORAGE_F32 = 0
PLR_STORAGE_BF16 = 1
PLR_MAX_BLOCKS = 1024
PLR_SPLIT_TRAIN = 0
PLR_SPLIT_VALIDATION = 1
PLR_WEIGHTS_DIMS = 8
PLR_DELAYED_REFUSED = 0
PLR_DELAYED_STASH = 1
PLR_DELAYED_NEWEST = 2
PLR_WEIGHTS_F32 = 0
PLR_WEIGHTS_BF16 = 1
PLR_WEIGHTS_Q8 = 2
PLR_WEIGHTS_Q4 = 3
PLR_PARAMETER_WEIGHT = 0
PLR_PARAMETER_GRADIENT = 1
PLR_NEVER = 18446744073709551615
PLR_LINK_READY = 1
PLR_LINK_FRAME = 2
PLR_LINK_WRITABLE = 3
PLR_LINK_CLOSED = 4
PLR_LINK_RESUMED = 5
PLR_LOG_PATH_MAX = 64
PLR_PLAN_MAX_DEVICES = 4096
PLR_PLAN_NONE = 4294967295
PLR_PLAN_SYNC = 0
PLR_PLAN_ASYNC = 1
PLR_PLAN_BOUND_COMPUTE = 1
PLR_PLAN_BOUND_UP = 2
PLR_PLAN_BOUND_DOWN = 3
PLR_PLAN_BOUND_MEMORY = 4
PLR_STAGE_WORKER = 0
PLR_STAGE_FEEDER = 1
PLR_PIPELINE_SYNC = 0
PLR_PIPELINE_ASYNC = 1
PLR_SIDE_UPSTREAM = 0
PLR_SIDE_DOWNSTREAM = 1
PLR_SIDE_REPLICA = 2
PLR_STAGE_MAX_PEERS = 64
PLR_JOB_FORWARD = 1
PLR_JOB_BACKWARD = 2
PLR_JOB_STEP = 3
PLR_JOB_INFER = 4
PLR_JOB_SHARE = 6
PLR_JOB_AVERAGE = 7
PLR_JOB_SNAPSHOT = 5
PLR_STAGE_READY = 1
PLR_STAGE_STEP = 2
PLR_STAGE_EVAL = 3
PLR_STAGE_TOKEN = 4
PLR_STAGE_GENERATED = 5
PLR_STAGE_RECEIPT = 6
PLR_STAGE_ENTRY = 7
PLR_STAGE_ROOT = 8
PLR_STAGE_STOPPED = 9
PLR_STAGE_FAILED = 10
PLR_STAGE_REFUSED = 11
PLR_STAGE_IDLE = 12
PLR_STAGE_PEER = 13
PLR_STAGE_AVERAGED = 15
PLR_STAGE_DROPPED = 14


class plr_error(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('status', c_int32),
        ('offset', c_uint64),
        ('where', c_char * 64),
        ('message', c_char * 240),
    ]


class plr_hash(Structure):
    _fields_ = [
        ('bytes', c_uint8 * 32),
    ]

plr_allocator_alloc_fn = CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)

plr_allocator_free_fn = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_size_t)


class plr_allocator(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('alloc', plr_allocator_alloc_fn),
        ('free', plr_allocator_free_fn),
    ]

plr_logger_write_fn = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_void_p, c_size_t)


class plr_logger(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('write', plr_logger_write_fn),
    ]

plr_executor_parallel_for_fn = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_void_p)


class plr_executor(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('parallel_for', plr_executor_parallel_for_fn),
        ('threads', c_uint32),
        ('reserved', c_uint32),
    ]


class plr_context_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('threads', c_uint32),
        ('isa', c_uint32),
        ('log_level', c_uint32),
        ('allocator', plr_allocator),
        ('logger', plr_logger),
        ('executor', plr_executor),
        ('max_memory', c_uint64),
        ('max_frame', c_uint64),
        ('max_file', c_uint64),
    ]

plr_source_read_at_fn = CFUNCTYPE(c_int32, c_void_p, c_uint64, c_void_p, c_size_t)

plr_source_close_fn = CFUNCTYPE(None, c_void_p)


class plr_source(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('size', c_uint64),
        ('read_at', plr_source_read_at_fn),
        ('close', plr_source_close_fn),
    ]

plr_sink_write_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)

plr_sink_commit_fn = CFUNCTYPE(c_int32, c_void_p)

plr_sink_abort_fn = CFUNCTYPE(None, c_void_p)


class plr_sink(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('write', plr_sink_write_fn),
        ('commit', plr_sink_commit_fn),
        ('abort', plr_sink_abort_fn),
    ]


class plr_units(Structure):
    _fields_ = [
        ('lo', c_uint64),
        ('hi', c_uint64),
    ]

plr_ledger_store_begin_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p)

plr_ledger_store_append_fn = CFUNCTYPE(c_int32, c_void_p, c_uint64, c_void_p, c_size_t, c_void_p)

plr_ledger_store_put_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)

plr_ledger_store_commit_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p)

plr_ledger_store_rollback_fn = CFUNCTYPE(None, c_void_p)

plr_ledger_store_row_fn = CFUNCTYPE(c_int32, c_void_p, c_uint64, c_void_p, c_void_p, c_void_p)

plr_ledger_store_get_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)

plr_ledger_store_compact_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p)


class plr_ledger_store(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('begin', plr_ledger_store_begin_fn),
        ('append', plr_ledger_store_append_fn),
        ('put', plr_ledger_store_put_fn),
        ('commit', plr_ledger_store_commit_fn),
        ('rollback', plr_ledger_store_rollback_fn),
        ('row', plr_ledger_store_row_fn),
        ('get', plr_ledger_store_get_fn),
        ('compact', plr_ledger_store_compact_fn),
    ]


class plr_ledger_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('log_invalid', c_uint32),
        ('path', c_char_p),
        ('origin', c_char_p),
        ('sequencer', c_void_p),
        ('currency', c_char_p),
        ('decimals', c_uint32),
        ('receipt_window', c_uint32),
        ('treasurer', c_uint8 * 32),
        ('store', POINTER(plr_ledger_store)),
    ]


class plr_append_item(Structure):
    _fields_ = [
        ('entry', c_void_p),
        ('len', c_size_t),
        ('index', c_uint64),
        ('status', c_int32),
        ('reserved', c_uint32),
    ]


class plr_entry_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('author', c_void_p),
        ('origin', c_char_p),
        ('nonce', c_uint64),
        ('valid_to_epoch', c_uint64),
        ('account', POINTER(plr_hash)),
    ]


class plr_parent(Structure):
    _fields_ = [
        ('model', plr_hash),
        ('bps', c_uint32),
        ('reserved', c_uint32),
    ]


class plr_model_terms(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('designer_bps', c_uint32),
        ('data_bps', c_uint32),
        ('vest_epochs', c_uint32),
        ('vest_cliff', c_uint32),
        ('microbatch_tokens', c_uint32),
        ('block_count', c_uint32),
        ('reserved', c_uint32),
        ('model', plr_hash),
        ('profile', plr_hash),
        ('data_account', c_uint8 * 32),
        ('halving_units', plr_units),
        ('rate', c_uint64),
        ('rate_divisor', c_uint64),
        ('costs', c_void_p),
        ('parents', POINTER(plr_parent)),
        ('parent_count', c_uint32),
        ('serving_bps', c_uint32),
        ('milestone_epochs', c_uint32),
        ('reserved2', c_uint32),
    ]


class plr_ledger_summary(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('entries', c_uint64),
        ('rejected', c_uint64),
        ('epoch', c_uint64),
        ('accounts', c_uint64),
        ('models', c_uint64),
        ('receipts', c_uint64),
        ('units', plr_units),
        ('minted', plr_units),
        ('deposited', c_uint64),
        ('paid', c_uint64),
        ('root', plr_hash),
        ('state_root', plr_hash),
        ('burned', plr_units),
    ]


class plr_model_totals(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('block_count', c_uint32),
        ('designer', plr_hash),
        ('supply', c_uint64),
        ('holders', c_uint64),
        ('units', plr_units),
        ('epoch_units', plr_units),
        ('receipts', c_uint64),
        ('deposited', c_uint64),
        ('paid', c_uint64),
        ('held', c_uint64),
        ('minted', c_uint64),
        ('burned', c_uint64),
        ('provisional', c_uint64),
        ('royalty_in', c_uint64),
        ('royalty_out', c_uint64),
        ('escrow', c_uint64),
        ('served_paid', c_uint64),
        ('served', plr_units),
        ('data_tokens', plr_units),
        ('parent_count', c_uint32),
        ('depth', c_uint32),
        ('milestones', c_uint32),
        ('datasets', c_uint32),
    ]


class plr_balance(Structure):
    _fields_ = [
        ('account', plr_hash),
        ('shares', c_uint64),
        ('vested', c_uint64),
        ('payable', c_uint64),
        ('paid', c_uint64),
        ('units', plr_units),
        ('receipts', c_uint64),
        ('data_tokens', c_uint64),
    ]

plr_verify_options_progress_fn = CFUNCTYPE(None, c_void_p, c_uint64, c_uint64)


class plr_verify_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('skip_signatures', c_uint32),
        ('origin', c_char_p),
        ('public_key', c_void_p),
        ('progress', plr_verify_options_progress_fn),
        ('user', c_void_p),
    ]


class plr_key_rotate(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('way', c_uint32),
        ('recovery_key', c_uint8 * 32),
        ('key', c_uint8 * 32),
        ('recovery', c_uint8 * 32),
    ]


class plr_data_register(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('bps', c_uint32),
        ('model', plr_hash),
        ('root', plr_hash),
        ('tokens', c_uint64),
        ('data_account', c_uint8 * 32),
    ]


class plr_assign(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('epoch', c_uint64),
    ]


class plr_commit(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('phase', c_uint32),
        ('epoch', c_uint64),
        ('value', plr_hash),
    ]


class plr_receipt_key(Structure):
    _fields_ = [
        ('epoch', c_uint64),
        ('step', c_uint64),
        ('model', plr_hash),
        ('lane', c_uint32),
        ('block_first', c_uint32),
        ('mb_first', c_uint32),
        ('reserved', c_uint32),
    ]


class plr_receipt(Structure):
    _fields_ = [
        ('model', plr_hash),
        ('profile', plr_hash),
        ('epoch', c_uint64),
        ('step', c_uint64),
        ('mb_first', c_uint32),
        ('mb_count', c_uint32),
        ('block_first', c_uint32),
        ('block_end', c_uint32),
        ('lane', c_uint32),
        ('tokens', c_uint32),
        ('units', c_uint64),
        ('frames_root', plr_hash),
        ('weight_root', plr_hash),
        ('weight_step', c_uint64),
        ('worker', c_uint8 * 32),
        ('upstream', c_uint8 * 32),
        ('downstream', c_uint8 * 32),
    ]


class plr_audit_result(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('verdict', c_uint32),
        ('receipt', plr_receipt_key),
        ('trace_root', plr_hash),
    ]


class plr_dispute(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('kind', c_uint32),
        ('refusers', c_uint32),
        ('reserved', c_uint32),
        ('receipt', plr_receipt),
    ]


class plr_evidence(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('kind', c_uint32),
        ('first', c_void_p),
        ('second', c_void_p),
        ('first_len', c_uint64),
        ('second_len', c_uint64),
    ]


class plr_milestone(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('number', c_uint32),
        ('model', plr_hash),
        ('step', c_uint64),
        ('weight_root', plr_hash),
        ('report', plr_hash),
        ('witness', c_uint8 * 32),
    ]


class plr_inference_receipt(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('sequence', c_uint32),
        ('model', plr_hash),
        ('epoch', c_uint64),
        ('session', plr_hash),
        ('block_first', c_uint32),
        ('block_end', c_uint32),
        ('tokens', c_uint32),
        ('reserved', c_uint32),
        ('units', c_uint64),
        ('price', c_uint64),
        ('frames_root', plr_hash),
        ('client', c_uint8 * 32),
    ]


class plr_transfer(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('model', plr_hash),
        ('to', c_uint8 * 32),
        ('shares', c_uint64),
    ]


class plr_slash(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('model', plr_hash),
        ('account', c_uint8 * 32),
    ]


class plr_settlement_root(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('scale', c_uint32),
        ('reward', c_uint8 * 20),
        ('leaves', c_uint32),
        ('total', c_uint64),
        ('root', plr_hash),
    ]


class plr_param_change(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('parameter', c_uint32),
        ('value', c_uint64),
        ('from_epoch', c_uint64),
    ]


class plr_tensor(Structure):
    _fields_ = [
        ('data', c_void_p),
        ('dtype', c_uint32),
        ('ndim', c_uint32),
        ('shape', c_int64 * 4),
        ('strides', c_int64 * 4),
    ]


class plr_codec(Structure):
    _fields_ = [
        ('predict', c_uint8),
        ('transform', c_uint8),
        ('quant', c_uint8),
        ('entropy', c_uint8),
        ('dtype', c_uint8),
        ('bits', c_uint8),
        ('group', c_uint16),
    ]


class plr_frame_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('role', c_uint32),
        ('stream', c_uint32),
        ('step', c_uint32),
        ('micro_batch', c_uint32),
        ('generation', c_uint32),
        ('seed', c_uint64),
        ('rows', c_uint32),
        ('cols', c_uint32),
        ('vocab', c_uint32),
        ('chunks', c_uint32),
        ('payload_len', c_uint32),
        ('codec', plr_codec),
        ('flags', c_uint32),
    ]


class plr_encoder_stats(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('frames', c_uint64),
        ('values', c_uint64),
        ('bytes', c_uint64),
        ('signal_power', c_double),
        ('noise_power', c_double),
    ]


class plr_mask(Structure):
    _fields_ = [
        ('total', c_uint64),
        ('key', c_uint64),
        ('masks', c_uint32),
        ('round', c_uint32),
    ]


class plr_model_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('blocks', c_uint32),
        ('d_model', c_uint32),
        ('heads', c_uint32),
        ('kv_heads', c_uint32),
        ('head_dim', c_uint32),
        ('d_ff', c_uint32),
        ('vocab', c_uint32),
        ('cut_count', c_uint32),
        ('boundary', c_uint32),
        ('boundary_width', c_uint32),
        ('first_full_rank', c_uint32),
        ('seq_len', c_uint32),
        ('micro_batch', c_uint32),
        ('micro_batches', c_uint32),
        ('steps', c_uint32),
        ('warmup_steps', c_uint32),
        ('schedule', c_uint32),
        ('norm_eps', c_float),
        ('init_std', c_float),
        ('embed_std', c_float),
        ('anchor_std', c_float),
        ('lr', c_float),
        ('min_lr_ratio', c_float),
        ('beta1', c_float),
        ('beta2', c_float),
        ('eps', c_float),
        ('weight_decay', c_float),
        ('clip', c_float),
        ('reserved', c_uint32),
        ('rope_theta', c_double),
        ('seed', c_uint64),
        ('boundary_seed', c_uint64),
        ('data_seed', c_uint64),
        ('parameters', c_uint64),
        ('optimizer', c_uint32),
        ('clip_scope', c_uint32),
        ('decay_steps', c_uint32),
        ('momentum_decay', c_float),
        ('muon_lr', c_float),
        ('muon_momentum', c_float),
        ('format', c_uint32),
        ('z_loss', c_float),
        ('storage', c_uint32),
        ('reserved2', c_uint32),
    ]


class plr_config_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('cut_count', c_uint32),
        ('cuts', c_void_p),
        ('name', c_char_p),
        ('boundary', c_char_p),
        ('train', c_char_p),
        ('seed', c_uint64),
    ]


class plr_op_desc(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('op', c_uint32),
        ('in1', c_char_p),
        ('in2', c_char_p),
        ('in3', c_char_p),
        ('out', c_char_p),
        ('name', c_char_p),
        ('cols', c_uint32),
        ('bias', c_uint32),
        ('write', c_uint32),
        ('heads', c_uint32),
        ('kv_heads', c_uint32),
        ('head_dim', c_uint32),
        ('window', c_uint32),
        ('count', c_uint32),
        ('experts', c_uint32),
        ('top_k', c_uint32),
        ('act', c_uint32),
        ('renormalise', c_uint32),
        ('scaling', c_uint32),
        ('original', c_uint32),
        ('reserved', c_uint32 * 2),
        ('std', c_double),
        ('down_std', c_double),
        ('eps', c_double),
        ('theta', c_double),
        ('balance', c_double),
        ('scale', c_double),
        ('factor', c_double),
        ('low_freq', c_double),
        ('high_freq', c_double),
        ('beta_fast', c_double),
        ('beta_slow', c_double),
        ('attention_factor', c_double),
    ]

plr_source_opener_open_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)


class plr_source_opener(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('open', plr_source_opener_open_fn),
    ]


class plr_weights_tensor(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('dtype', c_uint32),
        ('ndim', c_uint32),
        ('reserved', c_uint32),
        ('shape', c_int64 * 8),
        ('bytes', c_uint64),
        ('name', c_char_p),
        ('file', c_char_p),
    ]


class plr_shard_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('first_block', c_uint32),
        ('end_block', c_uint32),
        ('slots', c_uint32),
        ('inference_only', c_uint32),
        ('recompute', c_uint32),
        ('device', c_char_p),
        ('weights', c_void_p),
        ('weight_format', c_uint32),
        ('delayed', c_uint32),
        ('versions', c_uint32),
        ('reserved2', c_uint32),
    ]


class plr_parameter_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('block', c_uint32),
        ('rows', c_int64),
        ('cols', c_int64),
        ('name', c_char_p),
    ]


class plr_snapshot_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('blocks', c_uint32),
        ('steps', c_uint64),
        ('root', plr_hash),
    ]


class plr_session_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('max_tokens', c_uint32),
    ]


class plr_session_rows(Structure):
    _fields_ = [
        ('session', c_void_p),
        ('tokens', c_void_p),
        ('count', c_uint32),
        ('first_position', c_uint32),
        ('logits', c_uint32),
        ('reserved', c_uint32),
    ]


class plr_sample_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('temperature', c_float),
        ('top_k', c_uint32),
        ('top_p', c_float),
        ('seed', c_uint64),
        ('position', c_uint64),
    ]


class plr_link_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('initiator', c_uint32),
        ('model', plr_hash),
        ('profile', plr_hash),
        ('nonce', c_uint8 * 32),
        ('peer_key', c_uint8 * 32),
        ('window', c_uint64),
        ('keep_alive_ns', c_uint64),
        ('timeout_ns', c_uint64),
        ('seal', c_uint32),
        ('datagram', c_uint32),
    ]


class plr_link_event(Structure):
    _fields_ = [
        ('type', c_uint32),
        ('status', c_int32),
        ('data', c_void_p),
        ('len', c_size_t),
        ('message', c_char_p),
    ]


class plr_link_stats(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('bytes_sent', c_uint64),
        ('bytes_received', c_uint64),
        ('frames_sent', c_uint64),
        ('frames_received', c_uint64),
        ('queued_bytes', c_uint64),
        ('unacked_bytes', c_uint64),
        ('retransmits', c_uint64),
        ('duplicates', c_uint64),
        ('rejected', c_uint64),
        ('resumes', c_uint64),
        ('rtt_ns', c_uint64),
        ('bytes_per_s', c_uint64),
    ]

plr_publisher_put_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_int32)


class plr_publisher(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('put', plr_publisher_put_fn),
    ]

plr_log_reader_read_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)


class plr_log_reader(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('read', plr_log_reader_read_fn),
    ]


class plr_witness_key(Structure):
    _fields_ = [
        ('name', c_char_p),
        ('public_key', c_uint8 * 32),
    ]


class plr_proof_policy(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('quorum', c_uint32),
        ('origin', c_char_p),
        ('public_key', c_void_p),
        ('witnesses', POINTER(plr_witness_key)),
        ('witness_count', c_uint32),
        ('reserved', c_uint32),
    ]

plr_witness_store_load_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)

plr_witness_store_swap_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_uint64, c_void_p, c_uint64, c_void_p)


class plr_witness_store(Structure):
    _fields_ = [
        ('user', c_void_p),
        ('load', plr_witness_store_load_fn),
        ('swap', plr_witness_store_swap_fn),
    ]


class plr_remote_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('parallel', c_uint32),
        ('retries', c_uint32),
        ('backoff_ms', c_uint32),
        ('connect_timeout_ms', c_uint32),
        ('stall_timeout_s', c_uint32),
        ('timeout_ms', c_uint32),
        ('no_tls_verify', c_uint32),
        ('ca_file', c_char_p),
        ('user', c_char_p),
        ('sigv4', c_char_p),
        ('proxy', c_char_p),
    ]

plr_mirror_options_progress_fn = CFUNCTYPE(c_int32, c_void_p, c_uint64, c_uint64, c_uint64)


class plr_mirror_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('quorum', c_uint32),
        ('url', c_char_p),
        ('path', c_char_p),
        ('origin', c_char_p),
        ('public_key', c_void_p),
        ('witnesses', POINTER(plr_witness_key)),
        ('witness_count', c_uint32),
        ('skip_signatures', c_uint32),
        ('remote', POINTER(plr_remote_options)),
        ('progress', plr_mirror_options_progress_fn),
        ('user', c_void_p),
    ]


class plr_mirror_stats(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('files', c_uint64),
        ('retries', c_uint64),
        ('received', c_uint64),
        ('decoded', c_uint64),
    ]


class plr_plan_device(Structure):
    _fields_ = [
        ('flops', c_double),
        ('memory', c_uint64),
        ('up_bps', c_uint64),
        ('down_bps', c_uint64),
        ('delay_ns', c_uint64),
        ('reserved', c_uint64),
    ]


class plr_plan_path(Structure):
    _fields_ = [
        ('from', c_uint32),
        ('to', c_uint32),
        ('bps', c_uint64),
        ('delay_ns', c_uint64),
    ]


class plr_plan_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('device_count', c_uint32),
        ('devices', POINTER(plr_plan_device)),
        ('paths', POINTER(plr_plan_path)),
        ('path_count', c_uint32),
        ('flow', c_uint32),
        ('min_stages', c_uint32),
        ('max_stages', c_uint32),
        ('max_replicas', c_uint32),
        ('free_cuts', c_uint32),
        ('versions', c_uint32),
        ('restarts', c_uint32),
        ('min_bits', c_double),
        ('max_bits', c_double),
        ('seed', c_uint64),
    ]


class plr_plan_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('stages', c_uint32),
        ('devices', c_uint32),
        ('exact', c_uint32),
        ('slowest', c_uint32),
        ('bound', c_uint32),
        ('tokens_per_s', c_double),
        ('micro_batches_per_s', c_double),
        ('even_tokens_per_s', c_double),
        ('latency_s', c_double),
    ]


class plr_plan_stage(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('first_block', c_uint32),
        ('end_block', c_uint32),
        ('devices', c_uint32),
        ('bound', c_uint32),
        ('in_flight', c_uint32),
        ('tokens_per_s', c_double),
        ('busy', c_double),
        ('memory', c_uint64),
        ('forward_bytes', c_uint64),
        ('backward_bytes', c_uint64),
        ('forward_bits', c_double),
        ('backward_bits', c_double),
    ]


class plr_stage_options(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('role', c_uint32),
        ('index', c_uint32),
        ('count', c_uint32),
        ('snapshot_every', c_uint32),
        ('lane', c_uint32),
        ('epoch', c_uint64),
        ('start_step', c_uint64),
        ('origin', c_char_p),
        ('identity', c_void_p),
        ('model', c_void_p),
        ('shard', c_void_p),
        ('corpus', c_void_p),
        ('forward_codec', plr_codec),
        ('backward_codec', plr_codec),
        ('auto_budget', c_uint32),
        ('schedule', c_uint32),
        ('max_in_flight', c_uint32),
        ('window', c_uint32),
        ('delay_horizon', c_uint64),
        ('patience_ns', c_uint64),
        ('average_every', c_uint32),
        ('average_parts', c_uint32),
        ('join_rounds', c_uint32),
        ('reserved', c_uint32),
        ('reply_timeout_ns', c_uint64),
    ]


class plr_job_info(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('kind', c_uint32),
        ('step', c_uint64),
        ('micro_batch', c_uint32),
        ('reserved', c_uint32),
    ]


class plr_stage_event(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('type', c_uint32),
        ('status', c_int32),
        ('token', c_int32),
        ('step', c_uint64),
        ('index', c_uint64),
        ('value', c_double),
        ('hash', plr_hash),
        ('data', c_void_p),
        ('len', c_size_t),
        ('message', c_char_p),
    ]


class plr_stage_stats(Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('reserved', c_uint32),
        ('steps', c_uint64),
        ('forwards', c_uint64),
        ('backwards', c_uint64),
        ('receipts', c_uint64),
        ('receipts_refused', c_uint64),
        ('raw_bytes', c_uint64),
        ('sent_bytes', c_uint64),
        ('journal_records', c_uint64),
        ('journal_dropped', c_uint64),
        ('forward_budget', c_uint64),
        ('backward_budget', c_uint64),
        ('delays', c_uint64),
        ('max_delay', c_uint64),
        ('resent', c_uint64),
        ('duplicates', c_uint64),
        ('peers_lost', c_uint64),
    ]


class plr_settlement_leaf(Structure):
    _fields_ = [
        ('account', c_uint8 * 20),
        ('reward', c_uint8 * 20),
        ('claimable', c_uint8 * 32),
    ]


# name: (result, parameters)
FUNCTIONS = {
    'plr_version': (c_uint32, []),
    'plr_status_name': (c_char_p, [c_int32]),
    'plr_status_message': (c_char_p, [c_int32]),
    'plr_error_init': (None, [POINTER(plr_error), c_uint32]),
    'plr_context_options_init': (None, [POINTER(plr_context_options), c_uint32]),
    'plr_context_create': (c_int32, [POINTER(plr_context_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_context_destroy': (None, [c_void_p]),
    'plr_context_isa': (c_uint32, [c_void_p]),
    'plr_context_threads': (c_uint32, [c_void_p]),
    'plr_context_memory': (None, [c_void_p, c_void_p, c_void_p, c_void_p]),
    'plr_profile_hash': (None, [POINTER(plr_hash)]),
    'plr_sha256': (None, [c_void_p, c_size_t, POINTER(plr_hash)]),
    'plr_identity_create': (c_int32, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_identity_destroy': (None, [c_void_p]),
    'plr_identity_public_key': (None, [c_void_p, c_void_p]),
    'plr_account_id': (None, [c_void_p, POINTER(plr_hash)]),
    'plr_identity_sign': (None, [c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_verify': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_source_open_path': (c_int32, [c_void_p, c_char_p, POINTER(plr_source), POINTER(plr_error)]),
    'plr_sink_open_path': (c_int32, [c_void_p, c_char_p, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_ledger_options_init': (None, [POINTER(plr_ledger_options), c_uint32]),
    'plr_ledger_open': (c_int32, [c_void_p, POINTER(plr_ledger_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_ledger_destroy': (None, [c_void_p]),
    'plr_ledger_compact': (c_int32, [c_void_p, POINTER(plr_error)]),
    'plr_ledger_origin': (c_char_p, [c_void_p, c_void_p]),
    'plr_ledger_append': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_append_many': (c_int32, [c_void_p, POINTER(plr_append_item), c_size_t, POINTER(plr_error)]),
    'plr_ledger_close_epoch': (c_int32, [c_void_p, c_void_p, POINTER(plr_error)]),
    'plr_entry_options_init': (None, [POINTER(plr_entry_options), c_uint32]),
    'plr_entry_account_open': (c_int32, [
        c_void_p, POINTER(plr_entry_options), c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_model_terms_init': (None, [POINTER(plr_model_terms), c_uint32]),
    'plr_entry_model_register': (c_int32, [
        c_void_p, POINTER(plr_entry_options), POINTER(plr_model_terms), c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_entry_revenue_deposit': (c_int32, [
        c_void_p, POINTER(plr_entry_options), POINTER(plr_hash), c_uint64, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_entry_claim': (c_int32, [
        c_void_p, POINTER(plr_entry_options), POINTER(plr_hash), c_uint64, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_entry_claim_to': (c_int32, [
        c_void_p, POINTER(plr_entry_options), POINTER(plr_hash), c_uint64, c_void_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_summarize': (c_int32, [c_void_p, POINTER(plr_ledger_summary)]),
    'plr_ledger_next_nonce': (c_uint64, [c_void_p, POINTER(plr_hash)]),
    'plr_ledger_model': (c_int32, [c_void_p, POINTER(plr_hash), POINTER(plr_model_totals)]),
    'plr_ledger_parents': (c_int32, [c_void_p, POINTER(plr_hash), POINTER(plr_parent), c_void_p]),
    'plr_ledger_balance': (c_int32, [c_void_p, POINTER(plr_hash), POINTER(plr_hash), POINTER(plr_balance)]),
    'plr_ledger_holders': (c_int32, [
        c_void_p, POINTER(plr_hash), POINTER(plr_hash), POINTER(plr_balance), c_size_t, c_void_p]),
    'plr_ledger_entry': (c_int32, [c_void_p, c_uint64, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_checkpoint': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_prove_inclusion': (c_int32, [
        c_void_p, c_uint64, c_uint64, POINTER(plr_hash), c_void_p, POINTER(plr_error)]),
    'plr_ledger_prove_consistency': (c_int32, [
        c_void_p, c_uint64, c_uint64, POINTER(plr_hash), c_void_p, POINTER(plr_error)]),
    'plr_log_leaf_hash': (None, [c_void_p, c_size_t, POINTER(plr_hash)]),
    'plr_log_verify_inclusion': (c_int32, [
        POINTER(plr_hash), c_uint64, c_uint64, POINTER(plr_hash), c_uint32, POINTER(plr_hash)]),
    'plr_log_verify_consistency': (c_int32, [
        c_uint64, POINTER(plr_hash), c_uint64, POINTER(plr_hash), POINTER(plr_hash), c_uint32]),
    'plr_log_verify_checkpoint': (c_int32, [
        c_char_p, c_size_t, c_char_p, c_void_p, c_void_p, POINTER(plr_hash), POINTER(plr_error)]),
    'plr_log_vkey': (c_int32, [c_char_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_ledger_export': (c_int32, [c_void_p, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_verify_options_init': (None, [POINTER(plr_verify_options), c_uint32]),
    'plr_ledger_verify': (c_int32, [
        c_void_p, POINTER(plr_source), POINTER(plr_verify_options), POINTER(plr_ledger_summary), POINTER(plr_error)]),
    'plr_entry_write': (c_int32, [
        c_void_p, POINTER(plr_entry_options), c_uint32, c_void_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_entry_countersign': (c_int32, [
        c_void_p, c_void_p, c_uint32, POINTER(plr_hash), c_char_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_entry_json': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_commit_hash': (None, [POINTER(plr_hash), c_uint64, POINTER(plr_hash), POINTER(plr_hash)]),
    'plr_tensor_matrix': (None, [POINTER(plr_tensor), c_void_p, c_uint32, c_int64, c_int64]),
    'plr_dtype_size': (c_uint32, [c_uint32]),
    'plr_tensor_check': (c_int32, [POINTER(plr_tensor), POINTER(plr_error)]),
    'plr_codec_from_name': (c_int32, [c_char_p, POINTER(plr_codec)]),
    'plr_frame_parse': (c_int32, [c_void_p, c_void_p, c_size_t, POINTER(plr_frame_info), POINTER(plr_error)]),
    'plr_encoder_create': (c_int32, [
        c_void_p, POINTER(plr_codec), c_uint32, c_uint32, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_encoder_destroy': (None, [c_void_p]),
    'plr_encoder_bound': (c_size_t, [c_void_p]),
    'plr_encoder_encode': (c_int32, [
        c_void_p, POINTER(plr_frame_info), POINTER(plr_tensor), c_void_p, c_size_t, c_void_p]),
    'plr_encoder_begin': (c_int32, [c_void_p, POINTER(plr_frame_info), POINTER(plr_tensor)]),
    'plr_encoder_next': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_void_p]),
    'plr_encoder_set_store': (c_int32, [c_void_p, c_uint32, c_uint32]),
    'plr_encoder_set_keys': (c_int32, [c_void_p, c_void_p, c_uint32]),
    'plr_encoder_reset': (c_int32, [c_void_p, c_uint32]),
    'plr_encoder_set_basis': (c_int32, [c_void_p, POINTER(plr_tensor), c_uint32, POINTER(plr_error)]),
    'plr_encoder_set_budget': (c_int32, [c_void_p, c_uint64]),
    'plr_encoder_set_snr': (c_int32, [c_void_p, c_double, c_double]),
    'plr_encoder_get_stats': (c_int32, [c_void_p, POINTER(plr_encoder_stats)]),
    'plr_decoder_create': (c_int32, [c_void_p, c_uint32, c_uint32, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_decoder_destroy': (None, [c_void_p]),
    'plr_decoder_decode': (c_int32, [
        c_void_p, c_void_p, c_size_t, POINTER(plr_tensor), POINTER(plr_frame_info), POINTER(plr_error)]),
    'plr_decoder_begin': (c_int32, [c_void_p, POINTER(plr_tensor), POINTER(plr_error)]),
    'plr_decoder_feed': (c_int32, [
        c_void_p, c_void_p, c_size_t, c_void_p, c_void_p, POINTER(plr_frame_info), POINTER(plr_error)]),
    'plr_decoder_set_store': (c_int32, [c_void_p, c_uint32, c_uint32]),
    'plr_decoder_set_basis': (c_int32, [c_void_p, POINTER(plr_tensor), c_uint32, POINTER(plr_error)]),
    'plr_feedback_create': (c_int32, [c_void_p, c_uint32, c_uint32, c_float, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_feedback_destroy': (None, [c_void_p]),
    'plr_feedback_encode': (c_int32, [
        c_void_p, c_void_p, c_void_p, POINTER(plr_frame_info), POINTER(plr_tensor), c_void_p, c_size_t, c_void_p]),
    'plr_feedback_commit': (c_int32, [c_void_p]),
    'plr_feedback_rollback': (c_int32, [c_void_p]),
    'plr_feedback_hash': (c_int32, [c_void_p, c_void_p]),
    'plr_feedback_tensor': (c_int32, [c_void_p, POINTER(plr_tensor)]),
    'plr_mask_count': (c_int32, [POINTER(plr_mask), c_void_p]),
    'plr_mask_indices': (c_int32, [POINTER(plr_mask), c_uint64, c_uint64, c_void_p]),
    'plr_mask_gather': (c_int32, [POINTER(plr_mask), c_uint64, POINTER(plr_tensor), POINTER(plr_tensor)]),
    'plr_mask_scatter_add': (c_int32, [
        POINTER(plr_mask), c_uint64, POINTER(plr_tensor), POINTER(plr_tensor), POINTER(plr_tensor)]),
    'plr_tokens_encode': (c_int32, [
        c_void_p, POINTER(plr_frame_info), c_void_p, c_uint32, c_uint32, c_uint32, c_void_p, c_void_p]),
    'plr_tokens_decode': (c_int32, [
        c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(plr_frame_info), POINTER(plr_error)]),
    'plr_control_encode': (c_int32, [POINTER(plr_frame_info), c_void_p, c_uint32, c_void_p, c_void_p]),
    'plr_control_decode': (c_int32, [
        c_void_p, c_void_p, c_size_t, POINTER(c_void_p), c_void_p, POINTER(plr_frame_info), POINTER(plr_error)]),
    'plr_model_from_json': (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_model_destroy': (None, [c_void_p]),
    'plr_config_options_init': (None, [POINTER(plr_config_options), c_uint32]),
    'plr_model_from_config': (c_int32, [
        c_void_p, c_char_p, c_size_t, POINTER(plr_config_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_model_config': (c_char_p, [c_void_p]),
    'plr_model_hash': (None, [c_void_p, POINTER(plr_hash)]),
    'plr_model_get_info': (c_int32, [c_void_p, POINTER(plr_model_info)]),
    'plr_model_name': (c_char_p, [c_void_p]),
    'plr_model_cut': (c_uint32, [c_void_p, c_uint32]),
    'plr_model_can_cut': (c_int32, [c_void_p, c_uint32]),
    'plr_model_block_cost': (c_uint64, [c_void_p, c_uint32]),
    'plr_op_desc_init': (None, [POINTER(plr_op_desc), c_uint32]),
    'plr_builder_create': (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_builder_destroy': (None, [c_void_p]),
    'plr_builder_begin': (c_int32, [c_void_p, c_uint32, c_uint32, POINTER(plr_error)]),
    'plr_builder_op': (c_int32, [c_void_p, POINTER(plr_op_desc), POINTER(plr_error)]),
    'plr_builder_build': (c_int32, [c_void_p, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_corpus_create': (c_int32, [c_void_p, c_void_p, c_size_t, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_corpus_destroy': (None, [c_void_p]),
    'plr_corpus_root': (None, [c_void_p, POINTER(plr_hash)]),
    'plr_corpus_batch': (c_int32, [
        c_void_p, c_uint32, c_uint64, c_uint64, c_uint32, c_uint32, c_void_p, POINTER(plr_error)]),
    'plr_weights_open': (c_int32, [c_void_p, POINTER(plr_source), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_weights_open_index': (c_int32, [
        c_void_p, c_char_p, c_size_t, POINTER(plr_source_opener), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_weights_open_path': (c_int32, [c_void_p, c_char_p, POINTER(c_void_p), POINTER(plr_error)]),
    'plr_weights_destroy': (None, [c_void_p]),
    'plr_weights_count': (c_uint32, [c_void_p]),
    'plr_weights_get': (c_int32, [c_void_p, c_uint32, POINTER(plr_weights_tensor), POINTER(plr_error)]),
    'plr_weights_write_index': (c_int32, [
        c_void_p, POINTER(c_void_p), POINTER(plr_source), c_uint32, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_shard_options_init': (None, [POINTER(plr_shard_options), c_uint32]),
    'plr_shard_create': (c_int32, [
        c_void_p, c_void_p, POINTER(plr_shard_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_shard_destroy': (None, [c_void_p]),
    'plr_shard_forward': (c_int32, [
        c_void_p, c_uint32, c_void_p, POINTER(plr_tensor), POINTER(plr_tensor), c_void_p]),
    'plr_shard_backward': (c_int32, [c_void_p, c_uint32, POINTER(plr_tensor), POINTER(plr_tensor)]),
    'plr_shard_step': (c_int32, [c_void_p]),
    'plr_shard_gradient_sums': (c_int32, [c_void_p, c_void_p, c_uint32]),
    'plr_shard_step_global': (c_int32, [c_void_p, c_void_p, c_uint32]),
    'plr_shard_steps': (c_uint64, [c_void_p]),
    'plr_shard_infer': (c_int32, [c_void_p, c_void_p, c_uint32, c_uint32, POINTER(plr_tensor), POINTER(plr_tensor)]),
    'plr_shard_loss': (c_int32, [c_void_p, POINTER(plr_tensor), c_void_p, c_void_p]),
    'plr_sample': (c_int32, [c_void_p, c_uint32, c_float, c_uint32, c_uint64, c_uint64, c_void_p]),
    'plr_shard_parameters': (c_uint32, [c_void_p]),
    'plr_shard_parameter': (c_int32, [c_void_p, c_uint32, POINTER(plr_parameter_info)]),
    'plr_shard_read': (c_int32, [c_void_p, c_uint32, c_char_p, POINTER(plr_tensor), POINTER(plr_error)]),
    'plr_shard_write': (c_int32, [c_void_p, c_char_p, POINTER(plr_tensor), POINTER(plr_error)]),
    'plr_shard_export': (c_int32, [c_void_p, c_uint32, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_shard_save': (c_int32, [c_void_p, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_shard_load': (c_int32, [c_void_p, POINTER(plr_source), POINTER(plr_error)]),
    'plr_shard_load_parts': (c_int32, [c_void_p, POINTER(plr_source), c_uint32, POINTER(plr_error)]),
    'plr_snapshot_inspect': (c_int32, [
        c_void_p, c_void_p, POINTER(plr_source), c_uint32, POINTER(plr_snapshot_info), POINTER(plr_error)]),
    'plr_shard_leaves': (c_int32, [c_void_p, POINTER(plr_hash), c_uint32]),
    'plr_weight_root': (c_int32, [POINTER(plr_hash), c_uint32, POINTER(plr_hash)]),
    'plr_session_options_init': (None, [POINTER(plr_session_options), c_uint32]),
    'plr_session_create': (c_int32, [c_void_p, POINTER(plr_session_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_session_destroy': (None, [c_void_p]),
    'plr_session_length': (c_uint32, [c_void_p]),
    'plr_session_truncate': (c_int32, [c_void_p, c_uint32]),
    'plr_shard_feed': (c_int32, [
        c_void_p, POINTER(plr_session_rows), c_uint32, POINTER(plr_tensor), POINTER(plr_tensor), POINTER(plr_error)]),
    'plr_session_save': (c_int32, [c_void_p, POINTER(plr_sink), POINTER(plr_error)]),
    'plr_session_load': (c_int32, [c_void_p, POINTER(plr_source), POINTER(plr_error)]),
    'plr_sample_options_init': (None, [POINTER(plr_sample_options), c_uint32]),
    'plr_sample_logits': (c_int32, [c_void_p, c_void_p, c_uint32, POINTER(plr_sample_options), c_void_p]),
    'plr_link_options_init': (None, [POINTER(plr_link_options), c_uint32]),
    'plr_link_create': (c_int32, [
        c_void_p, c_void_p, POINTER(plr_link_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_link_destroy': (None, [c_void_p]),
    'plr_link_receive': (c_int32, [c_void_p, c_uint64, c_void_p, c_size_t]),
    'plr_link_transmit': (c_int32, [c_void_p, c_uint64, c_void_p, c_size_t, c_void_p]),
    'plr_link_send': (c_int32, [c_void_p, c_void_p, c_size_t, c_uint32]),
    'plr_link_next_deadline_ns': (c_uint64, [c_void_p]),
    'plr_link_advance': (c_int32, [c_void_p, c_uint64]),
    'plr_link_resume': (c_int32, [c_void_p, c_uint64, c_void_p]),
    'plr_link_next_event': (c_int32, [c_void_p, POINTER(plr_link_event)]),
    'plr_link_close': (None, [c_void_p, c_int32]),
    'plr_link_get_stats': (c_int32, [c_void_p, POINTER(plr_link_stats)]),
    'plr_link_budget': (c_int32, [c_void_p, c_uint64, c_void_p]),
    'plr_link_peer_key': (None, [c_void_p, c_void_p]),
    'plr_ledger_resource': (c_int32, [c_void_p, c_char_p, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_publish': (c_int32, [c_void_p, POINTER(plr_publisher), c_void_p, POINTER(plr_error)]),
    'plr_ledger_publish_path': (c_int32, [c_void_p, c_char_p, c_void_p, POINTER(plr_error)]),
    'plr_ledger_rebuild': (c_int32, [
        c_void_p, POINTER(plr_ledger_options), POINTER(plr_log_reader), POINTER(plr_verify_options), POINTER(plr_ledger_summary), POINTER(plr_error)]),
    'plr_ledger_rebuild_path': (c_int32, [
        c_void_p, POINTER(plr_ledger_options), c_char_p, POINTER(plr_verify_options), POINTER(plr_ledger_summary), POINTER(plr_error)]),
    'plr_log_cosigner_vkey': (c_int32, [c_char_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_ledger_witness_request': (c_int32, [c_void_p, c_uint64, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_ledger_cosign': (c_int32, [c_void_p, POINTER(plr_witness_key), c_char_p, c_size_t, POINTER(plr_error)]),
    'plr_log_count_cosignatures': (c_int32, [
        c_void_p, c_char_p, c_size_t, POINTER(plr_witness_key), c_uint32, c_void_p, c_void_p, POINTER(plr_error)]),
    'plr_ledger_guard': (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(plr_error)]),
    'plr_log_verify_fork': (c_int32, [
        c_char_p, c_size_t, c_char_p, c_size_t, c_char_p, c_void_p, POINTER(plr_error)]),
    'plr_ledger_proof': (c_int32, [c_void_p, c_uint64, c_void_p, c_size_t, c_void_p, POINTER(plr_error)]),
    'plr_proof_policy_init': (None, [POINTER(plr_proof_policy), c_uint32]),
    'plr_log_verify_proof': (c_int32, [
        c_void_p, c_char_p, c_size_t, c_void_p, c_size_t, POINTER(plr_proof_policy), c_void_p, c_void_p, POINTER(plr_error)]),
    'plr_witness_create': (c_int32, [
        c_void_p, c_char_p, c_void_p, POINTER(plr_witness_store), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_witness_destroy': (None, [c_void_p]),
    'plr_witness_add_log': (c_int32, [c_void_p, c_char_p, c_void_p, POINTER(plr_error)]),
    'plr_witness_add_checkpoint': (c_int32, [
        c_void_p, c_uint64, c_char_p, c_size_t, c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_remote_options_init': (None, [POINTER(plr_remote_options), c_uint32]),
    'plr_mirror_options_init': (None, [POINTER(plr_mirror_options), c_uint32]),
    'plr_mirror_create': (c_int32, [c_void_p, POINTER(plr_mirror_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_mirror_destroy': (None, [c_void_p]),
    'plr_mirror_update': (c_int32, [c_void_p, c_void_p, POINTER(plr_error)]),
    'plr_mirror_ledger': (c_void_p, [c_void_p]),
    'plr_mirror_shown': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_mirror_get_stats': (c_int32, [c_void_p, POINTER(plr_mirror_stats)]),
    'plr_ledger_publish_url': (c_int32, [
        c_void_p, c_char_p, POINTER(plr_remote_options), c_void_p, POINTER(plr_error)]),
    'plr_ledger_cosign_url': (c_int32, [
        c_void_p, POINTER(plr_witness_key), c_char_p, POINTER(plr_remote_options), POINTER(plr_error)]),
    'plr_ledger_guard_url': (c_int32, [c_void_p, c_char_p, POINTER(plr_remote_options), POINTER(plr_error)]),
    'plr_plan_options_init': (None, [POINTER(plr_plan_options), c_uint32]),
    'plr_plan_create': (c_int32, [
        c_void_p, c_void_p, POINTER(plr_plan_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_plan_destroy': (None, [c_void_p]),
    'plr_plan_get_info': (c_int32, [c_void_p, POINTER(plr_plan_info)]),
    'plr_plan_get_stage': (c_int32, [c_void_p, c_uint32, POINTER(plr_plan_stage)]),
    'plr_plan_stage_device': (c_uint32, [c_void_p, c_uint32, c_uint32]),
    'plr_plan_device_stage': (c_uint32, [c_void_p, c_uint32]),
    'plr_plan_text': (c_char_p, [c_void_p]),
    'plr_plan_json': (c_char_p, [c_void_p]),
    'plr_stage_options_init': (None, [POINTER(plr_stage_options), c_uint32]),
    'plr_stage_create': (c_int32, [c_void_p, POINTER(plr_stage_options), POINTER(c_void_p), POINTER(plr_error)]),
    'plr_stage_destroy': (None, [c_void_p]),
    'plr_stage_attach': (c_int32, [c_void_p, c_uint32, c_void_p]),
    'plr_stage_detach': (c_int32, [c_void_p, c_void_p]),
    'plr_stage_advance': (c_int32, [c_void_p, c_uint64]),
    'plr_stage_next_deadline_ns': (c_uint64, [c_void_p]),
    'plr_stage_next_job': (c_int32, [c_void_p, POINTER(c_void_p)]),
    'plr_job_get_info': (None, [c_void_p, POINTER(plr_job_info)]),
    'plr_job_run': (c_int32, [c_void_p]),
    'plr_stage_complete': (c_int32, [c_void_p, c_void_p, c_uint64]),
    'plr_stage_next_event': (c_int32, [c_void_p, POINTER(plr_stage_event)]),
    'plr_stage_train': (c_int32, [c_void_p, c_uint64]),
    'plr_stage_evaluate': (c_int32, [c_void_p, c_uint32]),
    'plr_stage_generate': (c_int32, [c_void_p, c_void_p, c_uint32, c_uint32, c_float, c_uint32, c_uint64]),
    'plr_stage_stop': (c_int32, [c_void_p]),
    'plr_stage_submit': (c_int32, [c_void_p, c_void_p, c_size_t]),
    'plr_stage_set_epoch': (c_int32, [c_void_p, c_uint64]),
    'plr_stage_read_journal': (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p]),
    'plr_stage_get_stats': (c_int32, [c_void_p, POINTER(plr_stage_stats)]),
    'plr_keccak256': (None, [c_void_p, c_size_t, POINTER(plr_hash)]),
    'plr_settlement_compute': (c_int32, [
        c_void_p, POINTER(plr_settlement_leaf), c_size_t, POINTER(plr_hash), POINTER(plr_error)]),
    'plr_settlement_prove': (c_int32, [
        c_void_p, POINTER(plr_settlement_leaf), c_size_t, c_size_t, POINTER(plr_hash), c_void_p, POINTER(plr_error)]),
    'plr_settlement_verify': (c_int32, [
        POINTER(plr_settlement_leaf), POINTER(plr_hash), c_uint32, POINTER(plr_hash)]),
    'plr_ledger_settlement_leaves': (c_int32, [
        c_void_p, c_void_p, c_uint32, c_uint64, POINTER(plr_settlement_leaf), c_size_t, c_void_p]),
    'plr_ledger_settle': (c_int32, [c_void_p, c_void_p, c_uint32, POINTER(plr_hash), c_void_p, POINTER(plr_error)]),
}

# name: struct, for the layout test
STRUCTS = {
    'plr_error': plr_error,
    'plr_hash': plr_hash,
    'plr_allocator': plr_allocator,
    'plr_logger': plr_logger,
    'plr_executor': plr_executor,
    'plr_context_options': plr_context_options,
    'plr_source': plr_source,
    'plr_sink': plr_sink,
    'plr_units': plr_units,
    'plr_ledger_store': plr_ledger_store,
    'plr_ledger_options': plr_ledger_options,
    'plr_append_item': plr_append_item,
    'plr_entry_options': plr_entry_options,
    'plr_parent': plr_parent,
    'plr_model_terms': plr_model_terms,
    'plr_ledger_summary': plr_ledger_summary,
    'plr_model_totals': plr_model_totals,
    'plr_balance': plr_balance,
    'plr_verify_options': plr_verify_options,
    'plr_key_rotate': plr_key_rotate,
    'plr_data_register': plr_data_register,
    'plr_assign': plr_assign,
    'plr_commit': plr_commit,
    'plr_receipt_key': plr_receipt_key,
    'plr_receipt': plr_receipt,
    'plr_audit_result': plr_audit_result,
    'plr_dispute': plr_dispute,
    'plr_evidence': plr_evidence,
    'plr_milestone': plr_milestone,
    'plr_inference_receipt': plr_inference_receipt,
    'plr_transfer': plr_transfer,
    'plr_slash': plr_slash,
    'plr_settlement_root': plr_settlement_root,
    'plr_param_change': plr_param_change,
    'plr_tensor': plr_tensor,
    'plr_codec': plr_codec,
    'plr_frame_info': plr_frame_info,
    'plr_encoder_stats': plr_encoder_stats,
    'plr_mask': plr_mask,
    'plr_model_info': plr_model_info,
    'plr_config_options': plr_config_options,
    'plr_op_desc': plr_op_desc,
    'plr_source_opener': plr_source_opener,
    'plr_weights_tensor': plr_weights_tensor,
    'plr_shard_options': plr_shard_options,
    'plr_parameter_info': plr_parameter_info,
    'plr_snapshot_info': plr_snapshot_info,
    'plr_session_options': plr_session_options,
    'plr_session_rows': plr_session_rows,
    'plr_sample_options': plr_sample_options,
    'plr_link_options': plr_link_options,
    'plr_link_event': plr_link_event,
    'plr_link_stats': plr_link_stats,
    'plr_publisher': plr_publisher,
    'plr_log_reader': plr_log_reader,
    'plr_witness_key': plr_witness_key,
    'plr_proof_policy': plr_proof_policy,
    'plr_witness_store': plr_witness_store,
    'plr_remote_options': plr_remote_options,
    'plr_mirror_options': plr_mirror_options,
    'plr_mirror_stats': plr_mirror_stats,
    'plr_plan_device': plr_plan_device,
    'plr_plan_path': plr_plan_path,
    'plr_plan_options': plr_plan_options,
    'plr_plan_info': plr_plan_info,
    'plr_plan_stage': plr_plan_stage,
    'plr_stage_options': plr_stage_options,
    'plr_job_info': plr_job_info,
    'plr_stage_event': plr_stage_event,
    'plr_stage_stats': plr_stage_stats,
    'plr_settlement_leaf': plr_settlement_leaf,
}
CONSTANTS = [
    'PLR_VERSION_MAJOR',
    'PLR_VERSION_MINOR',
    'PLR_VERSION_PATCH',
    'PLR_LOG_ERROR',
    'PLR_LOG_WARN',
    'PLR_LOG_INFO',
    'PLR_LOG_DEBUG',
    'PLR_ISA_PORTABLE',
    'PLR_ISA_AVX2',
    'PLR_ISA_AVX512',
    'PLR_ISA_NEON',
    'PLR_ISA_BEST',
    'PLR_ENTRY_MAX',
    'PLR_PROOF_MAX',
    'PLR_NO_EXPIRY',
    'PLR_ENTRY_GENESIS',
    'PLR_ENTRY_ACCOUNT_OPEN',
    'PLR_ENTRY_KEY_ROTATE',
    'PLR_ENTRY_MODEL_REGISTER',
    'PLR_ENTRY_DATA_REGISTER',
    'PLR_ENTRY_ASSIGN',
    'PLR_ENTRY_COMMIT',
    'PLR_ENTRY_RECEIPT',
    'PLR_ENTRY_AUDIT_RESULT',
    'PLR_ENTRY_DISPUTE',
    'PLR_ENTRY_EVIDENCE',
    'PLR_ENTRY_EPOCH_CLOSE',
    'PLR_ENTRY_MILESTONE',
    'PLR_ENTRY_REVENUE_DEPOSIT',
    'PLR_ENTRY_INFERENCE_RECEIPT',
    'PLR_ENTRY_TRANSFER',
    'PLR_ENTRY_CLAIM',
    'PLR_ENTRY_SLASH',
    'PLR_ENTRY_SETTLEMENT_ROOT',
    'PLR_ENTRY_PARAM_CHANGE',
    'PLR_SIGN_AUTHOR',
    'PLR_SIGN_UPSTREAM',
    'PLR_SIGN_DOWNSTREAM',
    'PLR_SIGN_NEW_KEY',
    'PLR_SIGN_COUNTER',
    'PLR_PARAM_RECEIPT_WINDOW',
    'PLR_PARAM_AUDIT_WINDOW',
    'PLR_PARAM_CHANGE_DELAY',
    'PLR_PARAM_RECOVERY_DELAY',
    'PLR_PARAM_SLASH_DELAY',
    'PLR_PARAM_AUDIT_BPS',
    'PLR_PARAM_SLASH_BPS',
    'PLR_PARAM_BOUNTY_BPS',
    'PLR_PARAMS',
    'PLR_MAX_DIMS',
    'PLR_DTYPE_F32',
    'PLR_DTYPE_F16',
    'PLR_DTYPE_BF16',
    'PLR_DTYPE_I32',
    'PLR_DTYPE_U8',
    'PLR_FRAME_HEADER',
    'PLR_ROLE_ACTIVATION',
    'PLR_ROLE_GRADIENT',
    'PLR_ROLE_TOKENS',
    'PLR_ROLE_DELTA',
    'PLR_ROLE_STATE',
    'PLR_ROLE_CONTROL',
    'PLR_PREDICT_NONE',
    'PLR_PREDICT_SAMPLE',
    'PLR_PREDICT_ANCHOR',
    'PLR_TRANSFORM_IDENTITY',
    'PLR_TRANSFORM_HADAMARD',
    'PLR_TRANSFORM_BASIS',
    'PLR_TRANSFORM_DCT',
    'PLR_QUANT_RAW',
    'PLR_QUANT_BLOCK_INT',
    'PLR_QUANT_UNIFORM',
    'PLR_QUANT_DITHER',
    'PLR_QUANT_TRELLIS',
    'PLR_QUANT_TOPK',
    'PLR_QUANT_EDEN',
    'PLR_QUANT_MASK',
    'PLR_ENTROPY_PACK',
    'PLR_ENTROPY_PARAMETRIC',
    'PLR_ENTROPY_HISTOGRAM',
    'PLR_ENTROPY_RICE',
    'PLR_ENTROPY_SPLIT',
    'PLR_ENTROPY_ZSTD',
    'PLR_STEP_GLOBAL',
    'PLR_STEP_TOKEN',
    'PLR_FRAME_KEY',
    'PLR_FRAME_PLAIN',
    'PLR_BOUNDARY_DENSE',
    'PLR_BOUNDARY_SUBSPACE',
    'PLR_BOUNDARY_PROJECTOR',
    'PLR_PART_EMBED',
    'PLR_PART_BLOCK',
    'PLR_PART_HEAD',
    'PLR_LAYER_EMBEDDING',
    'PLR_LAYER_POSITIONS',
    'PLR_LAYER_LINEAR',
    'PLR_LAYER_RMSNORM',
    'PLR_LAYER_LAYERNORM',
    'PLR_LAYER_ROPE',
    'PLR_LAYER_ATTENTION',
    'PLR_LAYER_SILU',
    'PLR_LAYER_GELU',
    'PLR_LAYER_GELU_TANH',
    'PLR_LAYER_RELU2',
    'PLR_LAYER_SWIGLU',
    'PLR_LAYER_ADD',
    'PLR_LAYER_MUL',
    'PLR_LAYER_SCALE',
    'PLR_LAYER_MOE',
    'PLR_SCALING_NONE',
    'PLR_SCALING_LINEAR',
    'PLR_SCALING_LLAMA3',
    'PLR_SCALING_YARN',
    'PLR_SCHEDULE_CONSTANT',
    'PLR_SCHEDULE_LINEAR',
    'PLR_SCHEDULE_COSINE',
    'PLR_SCHEDULE_WSD',
    'PLR_OPTIMIZER_ADAMW',
    'PLR_OPTIMIZER_NADAM',
    'PLR_OPTIMIZER_MUON',
    'PLR_OPTIMIZER_SGDM',
    'PLR_OPTIMIZER_ADAMW_ROW',
    'PLR_CLIP_BLOCK',
    'PLR_CLIP_GLOBAL',
    'PLR_STORAGE_F32',
    'PLR_STORAGE_BF16',
    'PLR_MAX_BLOCKS',
    'PLR_SPLIT_TRAIN',
    'PLR_SPLIT_VALIDATION',
    'PLR_WEIGHTS_DIMS',
    'PLR_DELAYED_REFUSED',
    'PLR_DELAYED_STASH',
    'PLR_DELAYED_NEWEST',
    'PLR_WEIGHTS_F32',
    'PLR_WEIGHTS_BF16',
    'PLR_WEIGHTS_Q8',
    'PLR_WEIGHTS_Q4',
    'PLR_PARAMETER_WEIGHT',
    'PLR_PARAMETER_GRADIENT',
    'PLR_NEVER',
    'PLR_LINK_READY',
    'PLR_LINK_FRAME',
    'PLR_LINK_WRITABLE',
    'PLR_LINK_CLOSED',
    'PLR_LINK_RESUMED',
    'PLR_LOG_PATH_MAX',
    'PLR_PLAN_MAX_DEVICES',
    'PLR_PLAN_NONE',
    'PLR_PLAN_SYNC',
    'PLR_PLAN_ASYNC',
    'PLR_PLAN_BOUND_COMPUTE',
    'PLR_PLAN_BOUND_UP',
    'PLR_PLAN_BOUND_DOWN',
    'PLR_PLAN_BOUND_MEMORY',
    'PLR_STAGE_WORKER',
    'PLR_STAGE_FEEDER',
    'PLR_PIPELINE_SYNC',
    'PLR_PIPELINE_ASYNC',
    'PLR_SIDE_UPSTREAM',
    'PLR_SIDE_DOWNSTREAM',
    'PLR_SIDE_REPLICA',
    'PLR_STAGE_MAX_PEERS',
    'PLR_JOB_FORWARD',
    'PLR_JOB_BACKWARD',
    'PLR_JOB_STEP',
    'PLR_JOB_INFER',
    'PLR_JOB_SHARE',
    'PLR_JOB_AVERAGE',
    'PLR_JOB_SNAPSHOT',
    'PLR_STAGE_READY',
    'PLR_STAGE_STEP',
    'PLR_STAGE_EVAL',
    'PLR_STAGE_TOKEN',
    'PLR_STAGE_GENERATED',
    'PLR_STAGE_RECEIPT',
    'PLR_STAGE_ENTRY',
    'PLR_STAGE_ROOT',
    'PLR_STAGE_STOPPED',
    'PLR_STAGE_FAILED',
    'PLR_STAGE_REFUSED',
    'PLR_STAGE_IDLE',
    'PLR_STAGE_PEER',
    'PLR_STAGE_AVERAGED',
    'PLR_STAGE_DROPPED',
]

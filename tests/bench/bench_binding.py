"""What a hot call costs from Python beyond the C function's own work: the functions are replaced by ones that return at
once, everything else (checks, locks, conversions) is as always. Peer: the same function by a bare ctypes call, whose
arguments were converted beforehand. The target is below 2 us a call."""
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))

import pluralis  # noqa: E402
from pluralis import _abi, _load  # noqa: E402

NAMES = ("plr_shard_forward", "plr_shard_backward", "plr_shard_step", "plr_encoder_encode", "plr_decoder_decode")
MANIFEST = {
    "format": "pluralis-model/1", "name": "bench", "family": "llama", "vocab": "bytes", "blocks": 3, "d_model": 16,
    "heads": 2, "kv_heads": 1, "head_dim": 8, "d_ff": 32, "norm_eps": 1e-5, "rope_theta": 10000, "init_std": 0.05,
    "embed_std": 1.0, "seed": 1, "cuts": [1, 2],
    "boundary": {"kind": "subspace", "rank": 4, "seed": 7, "anchor_std": 1.0},
    "train": {"seq_len": 8, "micro_batch": 2, "micro_batches": 4, "optimizer": "adamw", "lr": 3e-3,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
              "schedule": "cosine", "warmup_steps": 3, "steps": 40, "data_seed": 3}}
CALLS, SAMPLES = 200, 400  # short: the machine is rarely quiet


def stubs(folder):
    """The functions, returning PLR_OK at once; parameters as in the headers, in which a mistake does not compile."""
    source = "#include <pluralis/pluralis.h>\n"
    for name in NAMES:
        with open(os.path.join(ROOT, "include", "pluralis", "shard.h" if "shard" in name else "exchange.h"),
                  encoding="utf-8") as f:
            text = f.read()
        start = text.index("PLR_API plr_status %s(" % name)
        source += text[start:text.index(";", start)] + " {\n  return PLR_OK;\n}\n"
    path = os.path.join(folder, "stubs.so")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-w", "-I", os.path.join(ROOT, "include"), "-x", "c", "-", "-o",
                    path], input=source, text=True, check=True)
    library = ctypes.CDLL(path)
    for name in NAMES:
        function = library[name]
        function.restype, arguments = _abi.FUNCTIONS[name]
        if name not in _load.HOT:
            function.argtypes = arguments
        setattr(_load.C, name, function)


def sample(call, arguments):
    """Seconds a call."""
    turns = range(CALLS)
    start = time.perf_counter()
    for _ in turns:
        call(*arguments)
    return (time.perf_counter() - start) / CALLS


def report(name, call, arguments, peer, peer_arguments, note):
    ours, theirs, ratios = [], [], []
    sample(call, arguments), sample(peer, peer_arguments)
    for _ in range(SAMPLES):
        ours.append(sample(call, arguments))
        theirs.append(sample(peer, peer_arguments))
        ratios.append(theirs[-1] / ours[-1])
    print(json.dumps({
        "name": "python_call/" + name, "value": round(statistics.median(ours) * 1e6, 3), "unit": "us",
        "peer": "bare ctypes call", "peer_value": round(statistics.median(theirs) * 1e6, 3),
        "ratio": round(statistics.median(ratios), 3),
        "note": "%s; best %.3f, target below 2; Python %d.%d" % ((note, min(ours) * 1e6) + sys.version_info[:2])}),
        flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        ctx = pluralis.Context()
        shard = pluralis.Shard(ctx, pluralis.Model(ctx, MANIFEST), 1, 2)
        encoder, decoder = pluralis.Encoder(ctx, "int8", 16, 4), pluralis.Decoder(ctx, 16, 4)
        x, out = pluralis.Tensor((16, 4)), pluralis.Tensor((16, 4))
        tokens, buffer = pluralis.Tensor((2, 9), "int32"), pluralis.Tensor(encoder.bound, "uint8")
        frame, info = encoder.encode(x), ctypes.byref(_abi.plr_frame_info())
        error = ctypes.byref(_abi.plr_error())
        stubs(folder)
        c, length = _load.C, ctypes.byref(ctypes.c_size_t())
        handles = [h._owner.pointer for h in (shard, encoder, decoder)]
        report("forward", shard.forward, (0, tokens, x, out), c.plr_shard_forward,
               (handles[0], 0, tokens._pointer, x._ref, out._ref, None), "4 arguments, Tensors")
        report("backward", shard.backward, (0, x, out), c.plr_shard_backward, (handles[0], 0, x._ref, out._ref),
               "3 arguments, Tensors")
        report("step", shard.step, (), c.plr_shard_step, (handles[0],), "no argument")
        report("encode", encoder.encode_into, (buffer, x), c.plr_encoder_encode,
               (handles[1], info, x._ref, buffer._pointer, ctypes.c_size_t(buffer.size), length),
               "into memory that is there")
        report("decode", decoder.decode, (frame, out), c.plr_decoder_decode,
               (handles[2], frame, ctypes.c_size_t(len(frame)), out._ref, None, error), "of bytes, into a Tensor")


if __name__ == "__main__":
    main()

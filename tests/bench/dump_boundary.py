"""Tensors that really cross the cuts of a pipeline, for bench_codec --dumps: trains a small Llama on a text in four
shards and writes, at 0, 5, 25 and 100% of the run, what crosses each cut forward and backward.

    python3 tests/bench/dump_boundary.py TEXT FOLDER [STEPS]

Files are NAME.ROWSxCOLS.f32, little-endian."""
import array
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python"))
import pluralis  # noqa: E402

WIDTH, BLOCKS, LENGTH, BATCH = 192, 8, 128, 4


def manifest(steps):
    return {
        "format": "pluralis-model/1", "name": "dumps", "family": "llama", "vocab": "bytes", "blocks": BLOCKS,
        "d_model": WIDTH, "heads": 6, "kv_heads": 2, "head_dim": 32, "d_ff": 512, "norm_eps": 1e-5,
        "rope_theta": 10000, "init_std": 0.02, "embed_std": 1.0, "seed": 1, "cuts": [2, 4, 6],
        "boundary": {"kind": "dense"},
        "train": {"seq_len": LENGTH, "micro_batch": BATCH, "micro_batches": 1, "optimizer": "adamw", "lr": 0.002,
                  "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
                  "schedule": "cosine", "warmup_steps": max(1, steps // 20), "steps": steps, "data_seed": 3}}


def write(folder, name, tensor):
    rows, cols = tensor.shape
    with open(os.path.join(folder, "%s.%dx%d.f32" % (name, rows, cols)), "wb") as f:
        f.write(array.array("f", tensor.flat).tobytes())


def main():
    text, folder = sys.argv[1], sys.argv[2]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    os.makedirs(folder, exist_ok=True)
    ctx = pluralis.Context()
    with open(text, "rb") as f:
        corpus = pluralis.Corpus(ctx, f.read())
    model = pluralis.Model(ctx, manifest(steps))
    shards = [pluralis.Shard(ctx, model, first, first + 2) for first in range(0, BLOCKS, 2)]
    keep = {0: 0, steps // 20: 5, steps // 4: 25, steps - 1: 100}
    for step in range(steps):
        tokens = corpus.batch("train", 3, step, BATCH, LENGTH)
        forward = [None]
        for shard in shards[:-1]:
            forward.append(shard.forward(0, tokens, forward[-1]))
        loss = shards[-1].forward(0, tokens, forward[-1]) / (BATCH * LENGTH)
        backward = [None]
        for shard in reversed(shards):
            backward.append(shard.backward(0, backward[-1]))
        for shard in shards:
            shard.step()
        if step in keep:
            print("step %d: %.3f nats a byte" % (step, loss))
            for cut in range(1, len(shards)):
                write(folder, "forward-cut%d-%d%%" % (cut, keep[step]), forward[cut])
                write(folder, "backward-cut%d-%d%%" % (cut, keep[step]), backward[len(shards) - cut])


main()

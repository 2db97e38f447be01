#!/usr/bin/env python3
"""A block that no family has, in twenty lines: attention and an MLP side by side, whose product, not whose sum, is
added to the stream. It is trained on a few lines of text; then every gradient is checked against the slope of the loss."""
from array import array

import pluralis

TEXT = b"Tyger Tyger, burning bright, in the forests of the night; what immortal hand or eye could frame it? " * 40


def linear(x, out, name, cols):
    return dict(op="linear", **{"in": x}, out=out, name=name, cols=cols, std=0.08, bias=True)


def step(kind, x, out, **keys):
    return dict(op=kind, **{"in": x}, out=out, **keys)


BLOCK = [step("layernorm", "x", "n", name="norm", eps=1e-5, bias=True),
         linear("n", "q", "q", 32), linear("n", "k", "k", 16), linear("n", "v", "v", 16),
         step("rope", "q", "q", head_dim=8, theta=1e4), step("rope", "k", "k", head_dim=8, theta=1e4),
         dict(op="attention", q="q", k="k", v="v", out="a", heads=4, kv_heads=2, head_dim=8, window=16),
         linear("n", "h", "up", 64), step("relu2", "h", "h"), linear("h", "m", "down", 32),
         dict(op="mul", a="a", b="m", out="p"), linear("p", "o", "out", 32),
         dict(op="add", a="x", b="o", out="x")]
MANIFEST = {
    "format": "pluralis-model/2", "name": "product", "vocab": "bytes", "d_model": 32, "seed": 1, "cuts": [1],
    "embed": [dict(op="embedding", out="x", name="embed", std=1.0)],
    "blocks": [{"repeat": 2, "ops": BLOCK}],
    "head": [step("rmsnorm", "x", "n", name="final", eps=1e-5), linear("n", "logits", "head", 256)],
    "boundary": {"kind": "projector", "rank": 8, "seed": 7, "anchor_std": 0.1, "tied": False},
    "train": {"seq_len": 32, "micro_batch": 8, "micro_batches": 1, "optimizer": "adamw", "lr": 0.01,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0, "clip": 1,
              "schedule": "cosine", "warmup_steps": 5, "steps": 80, "data_seed": 3, "z_loss": 0}}

ctx = pluralis.Context()
shard, corpus = pluralis.Shard(ctx, pluralis.Model(ctx, MANIFEST)), pluralis.Corpus(ctx, TEXT)
for number in range(40):
    batch = corpus.batch("train", 3, number, 8, 32)
    loss = shard.forward(0, batch) / 256
    shard.backward(0)
    if number % 10 == 0 or number == 39:
        print("step %2d  loss %.3f nats a byte" % (number, loss))
    if number < 39:  # the last gradient is kept, to be checked
        shard.step()


def loss_with(name, weights, direction, h):
    """Loss of the last batch with a parameter moved by h along a direction."""
    rows = [array("f", [w + h * d for w, d in zip(*pair)]) for pair in zip(weights, direction)]
    flat = b"".join(row.tobytes() for row in rows)
    shard.write(name, memoryview(flat).cast("f", (len(rows), len(rows[0]))))
    rows = batch.tolist()
    logits = shard.infer([token for row in rows for token in row[:-1]], rows=8)
    return shard.loss(logits, [token for row in rows for token in row[1:]]) / 256


worst = 0.0
for name in [p.name for p in shard.parameters]:
    weights, gradient = shard.read(name).tolist(), shard.read(name, gradient=True).tolist()
    length = sum(g * g for row in gradient for g in row) ** 0.5
    along = [[g / length for g in row] for row in gradient]
    slope = (loss_with(name, weights, along, 5e-3) - loss_with(name, weights, along, -5e-3)) / 1e-2
    loss_with(name, weights, along, 0.0)  # back where it was
    worst = max(worst, abs(slope / length - 1))
    print("%-32s |gradient| %.6f  slope %.6f" % (name, length, slope))
print("largest difference: %.2f%%" % (100 * worst))
raise SystemExit(0 if worst < 0.02 and loss < 2 else "the gradient does not fit the slope, or nothing was learned")

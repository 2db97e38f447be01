"""Predictors on what really crosses the cuts of a pipeline: a small Llama is trained on bytes of this repository's
documents, on a few batches again and again as in fine-tuning, and what crosses each cut forward is coded to 20 dB with
and without a predictor. One JSON object a line: bits a value, all bytes counted; peer: the same codec without."""
import glob
import json
import math
import os
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
os.environ.setdefault("PLURALIS_LIBRARY", os.path.join(ROOT, "build", "release", "lib", "libpluralis.so"))
import pluralis  # noqa: E402

WIDTH, BLOCKS, LENGTH, BATCH, BATCHES, STEPS, DB = 192, 6, 128, 4, 8, 96, 20.0
ROWS = LENGTH * BATCH
MANIFEST = {
    "format": "pluralis-model/1", "name": "predict", "family": "llama", "vocab": "bytes", "blocks": BLOCKS,
    "d_model": WIDTH, "heads": 6, "kv_heads": 2, "head_dim": 32, "d_ff": 512, "norm_eps": 1e-5, "rope_theta": 10000,
    "init_std": 0.02, "embed_std": 1.0, "seed": 1, "cuts": [2, 4], "boundary": {"kind": "dense"},
    "train": {"seq_len": LENGTH, "micro_batch": BATCH, "micro_batches": 1, "optimizer": "adamw", "lr": 0.001,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
              "schedule": "cosine", "warmup_steps": 8, "steps": STEPS, "data_seed": 3}}


class Line:
    """An encoder and its decoder, which has to follow; bits of all passes over the batches but the first."""

    def __init__(self, context, name):
        self.encoder = pluralis.Encoder(context, name, ROWS, WIDTH)
        self.decoder = pluralis.Decoder(context, ROWS, WIDTH)
        self.encoder.set_snr(DB)
        self.predicts, self.bytes, self.least = self.encoder.codec.predict, 0, math.inf
        if self.predicts:
            entries, rows = (BATCHES * BATCH, LENGTH) if self.predicts == 1 else (256, 1)
            self.encoder.set_store(entries, rows)
            self.decoder.set_store(entries, rows)

    def send(self, x, batch, tokens, counted):
        if self.predicts:
            self.encoder.set_keys(range(batch * BATCH, (batch + 1) * BATCH) if self.predicts == 1 else tokens)
        frame = self.encoder.encode(x)
        self.decoder.decode(frame)  # raises if it does not predict the same
        stats = self.encoder.stats
        if counted:
            self.bytes += len(frame)
            self.least = min(self.least, 10 * math.log10(stats.signal_power / stats.noise_power))

    def bits(self):
        return 8.0 * self.bytes / (ROWS * WIDTH * (STEPS - BATCHES))


def main():
    context = pluralis.Context()
    text = b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(ROOT, "lib", "*", "*.md"))))
    corpus, model = pluralis.Corpus(context, text), pluralis.Model(context, MANIFEST)
    shards = [pluralis.Shard(context, model, first, first + 2) for first in range(0, BLOCKS, 2)]
    batches = [corpus.batch("train", 3, step, BATCH, LENGTH) for step in range(BATCHES)]
    cuts = [{name: Line(context, name) for name in ("uniform4", "uniform4+sample", "uniform4+anchor")}
            for _ in shards[:-1]]
    for step in range(STEPS):
        tokens, forward, batch = batches[step % BATCHES], [None], step % BATCHES
        inputs = [token for row in tokens.tolist() for token in row[:LENGTH]]
        for shard, lines in zip(shards, cuts + [None]):
            out = shard.forward(0, tokens, forward[-1])
            if lines is None:
                loss = out / ROWS
                break
            for line in lines.values():
                line.send(out, batch, inputs, step >= BATCHES)
            forward.append(out)
        gradient = None
        for shard in reversed(shards):
            gradient = shard.backward(0, gradient)
        for shard in shards:
            shard.step()
    for cut, lines in enumerate(cuts):
        plain = lines["uniform4"].bits()
        for name in ("sample", "anchor"):
            line = lines["uniform4+" + name]
            print(json.dumps({
                "name": "predict/%s/cut%d/%ddB" % (name, cut + 1, DB), "value": round(line.bits(), 3),
                "unit": "bits a value", "peer": "without", "peer_value": round(plain, 3),
                "ratio": round(plain / line.bits(), 3),
                "note": "%d batches, %d passes, least %.2f dB, loss %.2f; tiny model, where tokens say much"
                        % (BATCHES, STEPS // BATCHES, line.least, loss)}))


main()

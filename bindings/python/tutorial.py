"""A model in two shards, trained and asked; a tensor in few bytes; a ledger that anyone can read."""
import pluralis

TEXT = b"In the beginning was the Word, and the Word was with God, and the Word was God. " * 200
MANIFEST = {  # every key is required: the designer decides, nothing is assumed
    "format": "pluralis-model/1", "name": "tiny", "family": "llama", "vocab": "bytes", "blocks": 4, "d_model": 64,
    "heads": 4, "kv_heads": 2, "head_dim": 16, "d_ff": 128, "norm_eps": 1e-5, "rope_theta": 10000, "init_std": 0.02,
    "embed_std": 1.0, "seed": 1, "cuts": [2],
    "boundary": {"kind": "subspace", "rank": 8, "seed": 7, "anchor_std": 1.0},
    "train": {"seq_len": 32, "micro_batch": 4, "micro_batches": 1, "optimizer": "adamw", "lr": 0.01,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
              "schedule": "cosine", "warmup_steps": 5, "steps": 60, "data_seed": 3}}
ctx = pluralis.Context()
model, corpus = pluralis.Model(ctx, MANIFEST), pluralis.Corpus(ctx, TEXT)
first, last = pluralis.Shard(ctx, model, 0, 2), pluralis.Shard(ctx, model, 2)
for step in range(60):  # what crosses is 8 numbers a token, and the bits are those of an unsplit model
    tokens = corpus.batch("train", 3, step, 4, 32)
    wire = first.forward(0, tokens)
    loss = last.forward(0, tokens, wire) / 128
    first.backward(0, last.backward(0))
    first.step(), last.step()
text = bytearray(b"In the ")
for _ in range(32):
    window = bytes(text[-32:])
    logits = last.infer(window, first.infer(window))
    text.append(pluralis.sample(logits[-1]))
print("loss %.2f nats a byte: %s" % (loss, text.decode("utf-8", "replace")))

frame = pluralis.Encoder(ctx, "int8+zstd", 128, 8).encode(wire, step=59)
again = pluralis.Decoder(ctx, 128, 8).decode(frame)  # or numpy.asarray(again), torch.from_dlpack(again)
print("%d bytes for %d; %.3f became %.3f" % (len(frame), wire.size * 4, wire[0][0], again[0][0]))

me = pluralis.Identity(ctx, bytes(31) + b"\x2a")  # os.urandom(32), kept in a file, in earnest
with pluralis.Ledger(ctx, origin="example.org/job", sequencer=me) as ledger:  # path="job.ledger" to keep it
    ledger.append(pluralis.entries.model_register(me, "example.org/job", ledger.next_nonce(me.account), model=model,
                                                  halving_units=10**9, rate=1, rate_divisor=1000, designer_bps=500))
    ledger.export("job.plog")
seen = pluralis.verify_ledger(ctx, "job.plog", origin="example.org/job", public_key=me.public_key)
print("%d entries, %d model, root %s: verified" % (seen.entries, seen.models, seen.root.hex()[:16]))

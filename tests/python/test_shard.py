"""Shards: split training gives the bits of the whole, tensors are checked, snapshots go anywhere."""
import hashlib
import io
import json
import os
import struct
import tempfile
import unittest
from array import array

from support import MANIFEST, TEXT, manifest

import pluralis
from pluralis import errors

N, W = 16, 4  # token rows, boundary width of MANIFEST


class Broken(io.BytesIO):
    """A file whose data cannot be read."""

    def read(self, *_):
        return 1 // 0


class ShardTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.model = pluralis.Model(self.ctx, MANIFEST)
        self.corpus = pluralis.Corpus(self.ctx, TEXT)

    def shard(self, first=0, end=None, **options):
        return pluralis.Shard(self.ctx, self.model, first, end, **options)

    def tokens(self, index=0):
        return self.corpus.batch("train", 3, index, 2, 8)

    def train(self, shards, steps=2):
        losses = []
        for step in range(steps):
            total = 0
            for micro in range(4):
                tokens = self.tokens(step * 4 + micro)
                x = None
                for shard in shards:
                    x = shard.forward(0, tokens, x)
                total += x
                gradient = None
                for shard in reversed(shards):
                    gradient = shard.backward(0, gradient)
                self.assertIsNone(gradient)
            for shard in shards:
                shard.step()
            losses.append(total)
        return losses, pluralis.weight_root([leaf for shard in shards for leaf in shard.leaves()])

    def test_split_equals_whole(self):
        whole = self.train([self.shard()])
        split = self.train([self.shard(0, 1), self.shard(1, 3), self.shard(3)])
        self.assertEqual(whole, split)
        self.assertLess(whole[0][1], whole[0][0] * 1.05)

    def test_recompute(self):
        kept, again = self.train([self.shard()]), self.train([self.shard(recompute=True)])
        self.assertEqual(kept, again)

    def test_attributes(self):
        shard = self.shard(1, 3, slots=2)
        self.assertEqual((shard.first_block, shard.end_block, shard.slots, shard.is_first, shard.is_last),
                         (1, 3, 2, False, False))
        self.assertEqual(shard.steps, 0)

    def test_parameters(self):
        shard = self.shard(1, 3)
        parameters = shard.parameters
        self.assertEqual(parameters[0].name, "blocks.1.attn_norm.weight")
        self.assertEqual((parameters[0].block, parameters[0].rows, parameters[0].cols), (1, 1, 16))
        name = "blocks.2.attn.q.weight"
        weight = shard.read(name)
        with self.assertRaises(errors.CallerError):
            shard.read(name, gradient=True)  # no backward yet
        changed = pluralis.Tensor(weight.shape)
        for i, value in enumerate(weight.flat):
            changed.flat[i] = value + 1
        shard.write(name, changed)
        self.assertEqual(list(shard.read(name).flat), list(changed.flat))
        whole = self.shard()
        whole.forward(0, self.tokens())
        with self.assertRaises(errors.CallerError):
            whole.write(name, weight)  # its backward is due
        whole.backward(0)
        self.assertTrue(any(whole.read(name, gradient=True).flat))
        for bad in ("blocks.3.attn.q.weight", "nothing"):
            with self.assertRaises(errors.NotFound):
                shard.read(bad)
        with self.assertRaises(errors.ShapeError):
            shard.write(name, pluralis.Tensor((1, 2)))

    def test_infer_loss_and_sample(self):
        first, last = self.shard(0, 2, inference_only=True), self.shard(2, inference_only=True)
        logits = last.infer(b"the Word", first.infer(b"the Word"))
        self.assertEqual(logits.shape, (8, 256))
        values = logits[-1].tolist()
        self.assertEqual(values, list(logits.flat[7 * 256:]))
        for row in (logits[-1], logits.flat[7 * 256:], array("f", values)):
            self.assertEqual(pluralis.sample(row), values.index(max(values)))
        draws = {pluralis.sample(values_, temperature=1.0, top_k=5, seed=1, position=p)
                 for values_ in [array("f", values)] for p in range(50)}
        self.assertTrue(1 < len(draws) <= 5)
        self.assertGreater(last.loss(logits, b"he Word "), 0)
        two = first.infer([1, 2, 3, 4], rows=2)
        self.assertEqual(two.shape, (4, W))
        for bad in (dict(temperature=float("nan")), dict(top_k=-1), dict(seed=-1)):
            with self.assertRaises(errors.PluralisError):
                pluralis.sample(array("f", values), **bad)
        with self.assertRaises(errors.ShapeError):
            pluralis.sample(array("i", [1, 2]))

    def test_tokens_are_taken_from_many_types(self):
        shard = self.shard()
        tokens = self.tokens()
        flat = list(tokens.flat)
        losses = set()
        for value in (tokens, flat, tuple(flat), bytes(flat), array("i", flat), memoryview(array("i", flat))):
            losses.add(shard.forward(0, value))
            shard.backward(0)
        self.assertEqual(len(losses), 1)

    def test_wrong_tokens(self):
        shard = self.shard()
        for bad, kind in (([1] * 17, errors.ShapeError), ([1] * 19, errors.ShapeError), ([256] * 18, ValueError),
                          ([-257] * 18, ValueError), ([2 ** 31] * 18, ValueError), (array("f", [1] * 18), ValueError),
                          (array("l", [1] * 18), errors.ShapeError), (["a"] * 18, TypeError), (None, TypeError),
                          (5, TypeError)):
            with self.assertRaises(kind, msg=repr(bad)[:40]):
                shard.forward(0, bad)
        shard.forward(0, self.tokens())  # still as good as new

    def test_wrong_tensors_are_named(self):
        shard, tokens = self.shard(2), self.tokens()
        good = pluralis.Tensor((N, W))

        def refused(x, *words):
            with self.assertRaises(errors.ShapeError) as caught:
                shard.forward(0, tokens, x)
            for word in ("x",) + words:
                self.assertIn(word, str(caught.exception))

        refused(pluralis.Tensor((N, W), "float16"), "float16", "float32")
        refused(pluralis.Tensor((N, W + 1)), "16 x 5", "16 x 4")
        refused(pluralis.Tensor((N * W,)), "rank is 1")
        refused(pluralis.Tensor((2, 8, W)), "rank is 3")
        refused(array("d", [0.0] * N * W), "'d'")
        wide = pluralis.Tensor((N, 2 * W))
        strided = pluralis.Tensor._make(wide, wide.address, "float32", (N, W), (2 * W, 1), False, "x")
        refused(strided, "strides")
        with self.assertRaises(TypeError):
            shard.forward(0, tokens, "text")
        with self.assertRaises(errors.ShapeError):
            shard.forward(0, tokens)  # the last shard of two needs an input
        with self.assertRaises(errors.ShapeError):
            shard.forward(0, tokens, good, good)  # and gives a loss, not a tensor
        first = self.shard(0, 2)
        frozen = pluralis.Tensor.of(memoryview(bytes(N * W * 4)).cast("f", (N, W)))
        with self.assertRaises(errors.ShapeError) as caught:
            first.forward(0, tokens, None, frozen)
        self.assertIn("read-only", str(caught.exception))

    def test_slots_and_state(self):
        shard = self.shard(slots=2)
        for bad in (-1, 2, 2 ** 32):
            with self.assertRaises(errors.InvalidArgument):
                shard.forward(bad, self.tokens())
        with self.assertRaises((TypeError, Exception)):
            shard.forward("0", self.tokens())
        with self.assertRaises(errors.InvalidState):
            shard.backward(0)
        shard.forward(0, self.tokens())
        with self.assertRaises(errors.InvalidState):
            shard.forward(0, self.tokens())
        with self.assertRaises(errors.InvalidState):
            shard.step()
        with self.assertRaises(errors.InvalidState):
            shard.save(io.BytesIO())
        shard.backward(0)
        shard.step()
        self.assertEqual(shard.steps, 1)

    def test_non_finite_input(self):
        shard, bad = self.shard(2), pluralis.Tensor((N, W))
        bad.flat[5] = float("nan")
        with self.assertRaises(errors.NonFinite):
            shard.forward(0, self.tokens(), bad)

    def test_wrong_blocks_and_device(self):
        for first, end in ((0, 5), (3, 2), (1, 1)):
            with self.assertRaises(errors.InvalidArgument):
                self.shard(first, end)
        with self.assertRaises(errors.NotFound):
            self.shard(device="abacus")
        with self.assertRaises(TypeError):
            pluralis.Shard(self.ctx, self.corpus)
        with self.assertRaises(errors.InvalidArgument):
            self.shard(device="c\0pu")

    def test_storage(self):
        model = pluralis.Model(self.ctx, manifest(train={"storage": "bf16"}))
        plain = pluralis.Model(self.ctx, manifest())
        self.assertEqual((model.info.storage, plain.info.storage), (1, 0))
        self.assertNotEqual(model.hash, plain.hash)
        losses, roots = [], []
        for m in (plain, model):
            shard = pluralis.Shard(self.ctx, m)
            losses.append(shard.forward(0, self.tokens()))
            shard.backward(0)
            shard.step()
            roots.append(pluralis.weight_root(shard.leaves()))
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(roots[0], roots[1])
        with self.assertRaises(errors.Unsupported):
            pluralis.Shard(self.ctx, model, recompute=True)

    def test_global_clip(self):
        recipe = manifest(train={"clip": 0.01, "clip_scope": "global", "optimizer": "adamw"})
        model = pluralis.Model(self.ctx, recipe)
        self.assertEqual((model.info.clip_scope, model.info.optimizer), (1, 1))
        roots = []
        for cuts in ((0, 4), (0, 1, 4)):
            shards = [pluralis.Shard(self.ctx, model, a, b) for a, b in zip(cuts, cuts[1:])]
            x = gradient = None
            for shard in shards:
                x = shard.forward(0, self.tokens(), x)
            for shard in reversed(shards):
                gradient = shard.backward(0, gradient)
            sums = [value for shard in shards for value in shard.gradient_sums()]
            self.assertEqual(len(sums), 4)
            if len(shards) > 1:
                with self.assertRaises(errors.InvalidState):
                    shards[0].step()
                with self.assertRaises(errors.InvalidArgument):
                    shards[0].step_global(sums[1:])
                for shard in shards:
                    shard.step_global(sums)
            else:
                shards[0].step()
            roots.append(pluralis.weight_root([leaf for shard in shards for leaf in shard.leaves()]))
        self.assertEqual(roots[0], roots[1])
        with self.assertRaises(errors.InvalidState):
            self.shard().gradient_sums()  # no backward yet

    def test_parts(self):
        shards = [self.shard(0, 1), self.shard(1, 3), self.shard(3)]
        root = self.train(shards)[1]
        parts = []
        for shard in shards:
            part = io.BytesIO()
            shard.save(part)
            parts.append(part.getvalue())
        info = pluralis.snapshot_info(self.ctx, self.model, *parts)
        self.assertEqual((info.blocks, info.steps, info.root), (4, 2, root))
        self.assertEqual(pluralis.snapshot_info(self.ctx, self.model, parts[1]).root, bytes(32))
        whole = self.shard()
        whole.load(*parts[::-1])
        self.assertEqual((pluralis.weight_root(whole.leaves()), whole.steps), (root, 2))
        with self.assertRaises(errors.Mismatch):
            whole.load(*parts[1:])
        with self.assertRaises(errors.Mismatch):
            whole.load(parts[0], parts[0], parts[1], parts[2])
        with self.assertRaises(errors.InvalidArgument):
            whole.load()
        with self.assertRaises(ZeroDivisionError):
            whole.load(parts[0], Broken(parts[1]), parts[2])
        self.assertEqual(self.train([whole])[1], self.train(shards)[1])

    def test_a_snapshot_is_a_safetensors_file(self):
        """Read with nothing but the format's description."""
        shard, file = self.shard(1, 3), io.BytesIO()
        shard.save(file)
        raw = file.getvalue()
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8:8 + size])
        said = header.pop("__metadata__")
        self.assertEqual((said["format"], said["model"]), ("pluralis-snapshot/2", self.model.hash.hex()))
        end = 0
        for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            self.assertEqual((tensor["dtype"], tensor["data_offsets"][0]), ("F32", end))
            end = tensor["data_offsets"][1]
            data = raw[8 + size:][slice(*tensor["data_offsets"])]
            self.assertEqual(hashlib.sha256(data).hexdigest(), said["sha256." + name])
            if not name.startswith("optimizer."):
                self.assertEqual(data, struct.pack("<%df" % (len(data) // 4), *shard.read(name).flat))
        self.assertEqual(8 + size + end, len(raw))

    def test_snapshots(self):
        shard = self.shard()
        before = self.train([shard])[1]
        memory = io.BytesIO()
        shard.save(memory)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.plr")
            shard.save(path)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), memory.getvalue())
                other = self.shard()
                other.load(f)
            self.assertEqual((pluralis.weight_root(other.leaves()), other.steps), (before, 2))
            for origin in (path, memory.getvalue(), bytearray(memory.getvalue()), io.BytesIO(memory.getvalue())):
                other = self.shard()
                other.load(origin)
                self.assertEqual(pluralis.weight_root(other.leaves()), before)
            with pluralis.Source(self.ctx, path) as source:
                self.assertEqual(source.size, len(memory.getvalue()))
                self.assertEqual(source.read_at(0, 8), memory.getvalue()[:8])
                other.load(source)
                other.load(source)  # not closed by the call
        self.assertEqual(self.train([other])[0], self.train([shard])[0])

    def test_damaged_snapshots(self):
        shard = self.shard()
        memory = io.BytesIO()
        shard.save(memory)
        data, root = memory.getvalue(), pluralis.weight_root(shard.leaves())
        flipped = bytearray(data)
        flipped[-1] ^= 1
        for bad in (b"", data[:100], data[:-1], bytes(flipped), b"x" * 1000):
            with self.assertRaises((errors.DataError, errors.LimitExceeded)):
                shard.load(bad)
            self.assertEqual(pluralis.weight_root(shard.leaves()), root)
        other = pluralis.Shard(self.ctx, pluralis.Model(self.ctx, manifest(seed=2)))
        with self.assertRaises(errors.Mismatch):
            other.load(data)
        self.shard(0, 2).load(data)  # it holds these blocks and others

    def test_weight_root(self):
        with self.assertRaises(errors.InvalidArgument):
            pluralis.weight_root([b"short"])
        with self.assertRaises(errors.PluralisError):
            pluralis.weight_root([])


if __name__ == "__main__":
    unittest.main()

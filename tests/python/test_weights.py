"""Weights of published models: files, folders, memory and callbacks; what a shard exports is read again."""
import io
import json
import os
import tempfile
import unittest

from support import MANIFEST, manifest

import pluralis
from pluralis import errors

CONFIG = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
          "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40, "max_position_embeddings": 32,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}


def contents(shard):
    return {p.name: list(shard.read(p.name).flat) for p in shard.parameters}


class WeightsTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.model = pluralis.Model.from_config(self.ctx, CONFIG)
        self.shard = pluralis.Shard(self.ctx, self.model, inference_only=True)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def export(self, shard=None, dtype="float32"):
        file = io.BytesIO()
        (shard or self.shard).export(file, dtype)
        return file.getvalue()

    def untied(self, **options):
        return pluralis.Model.from_config(self.ctx, self.model.config, **options)

    def test_config(self):
        self.assertEqual((self.model.info.blocks, self.model.info.vocab, self.model.name), (3, 40, "llama"))
        said = json.loads(self.model.config)
        self.assertIs(said["tie_word_embeddings"], False)
        self.assertEqual(said["torch_dtype"], "float32")
        self.assertEqual(self.untied().hash, self.model.hash)
        cut = self.untied(cuts=[1, 2], name="mine", seed=3, boundary={"kind": "dense"})
        self.assertEqual((cut.cuts, cut.name, cut.info.seed), ([1, 2], "mine", 3))
        self.assertIsNone(pluralis.Model(self.ctx, MANIFEST).config)
        with self.assertRaises(errors.PluralisError) as caught:
            pluralis.Model.from_config(self.ctx, dict(CONFIG, final_logit_softcapping=30.0))
        self.assertIn("final_logit_softcapping", str(caught.exception))

    def test_memory_file_and_path(self):
        data, want = self.export(), contents(self.shard)
        path = os.path.join(self.folder.name, "model.safetensors")
        with open(path, "wb") as f:
            f.write(data)
        model = self.untied(seed=5)
        with open(path, "rb") as f:
            for origin in (data, f, path, self.folder.name, pluralis.Source(self.ctx, data)):
                weights = pluralis.Weights(self.ctx, origin)
                self.assertEqual(contents(pluralis.Shard(self.ctx, model, weights=weights)), want)
                weights.close()
        self.assertNotEqual(contents(pluralis.Shard(self.ctx, model)), want)

    def test_tensors(self):
        tensors = {t.name: t for t in pluralis.Weights(self.ctx, self.export(dtype="bfloat16")).tensors}
        q = tensors["model.layers.2.self_attn.k_proj.weight"]
        self.assertEqual((q.file, q.dtype, q.shape, q.bytes), ("", "bfloat16", (8, 16), 256))
        self.assertIn("lm_head.weight", tensors)
        with self.assertRaises(errors.PluralisError):
            self.export(dtype="int32")
        with self.assertRaises(errors.InvalidArgument):
            self.export(dtype="complex")

    def sharded(self):
        files = {}
        data = pluralis.Weights(self.ctx, self.export())
        for i, (first, end) in enumerate(((0, 1), (1, 3)), 1):
            part = pluralis.Shard(self.ctx, self.untied(), first, end, weights=data)
            files["model-0000%d-of-00002.safetensors" % i] = self.export(part)
        index = io.BytesIO()
        pluralis.write_index(self.ctx, files, index)
        return files, index.getvalue()

    def test_many_files(self):
        files, index = self.sharded()
        opened = []

        def opener(name):
            opened.append(name)
            return files[name]

        model = self.untied(seed=5)
        weights = pluralis.Weights(self.ctx, index, opener)
        last = pluralis.Shard(self.ctx, model, 1, weights=weights)
        self.assertEqual(opened, ["model-00002-of-00002.safetensors"])
        want = contents(self.shard)
        self.assertEqual(contents(last), {name: want[name] for name in contents(last)})
        weights = pluralis.Weights(self.ctx, json.loads(index), opener)
        self.assertEqual(contents(pluralis.Shard(self.ctx, model, weights=weights)), want)
        self.assertEqual({t.file for t in weights.tensors}, set(files))
        for name, data in dict(files, **{"model.safetensors.index.json": index}).items():
            with open(os.path.join(self.folder.name, name), "wb") as f:
                f.write(data)
        whole = pluralis.Shard(self.ctx, model, weights=pluralis.Weights(self.ctx, self.folder.name))
        self.assertEqual(contents(whole), want)

    def test_what_a_callback_raises_comes_out(self):
        files, index = self.sharded()

        def opener(name):
            raise KeyError(name)

        weights = pluralis.Weights(self.ctx, index, opener)
        with self.assertRaises(KeyError):
            weights.tensors
        with self.assertRaises(KeyError):
            pluralis.Shard(self.ctx, self.untied(), weights=weights)

        class Broken(io.BytesIO):
            broken = False

            def read(self, *arguments):
                if self.broken:
                    raise OSError("the disk is gone")
                return super().read(*arguments)

        file = Broken(self.export())
        weights = pluralis.Weights(self.ctx, file)
        Broken.broken = True
        with self.assertRaisesRegex(OSError, "the disk is gone"):
            pluralis.Shard(self.ctx, self.untied(), weights=weights)

    def test_refusals(self):
        files, index = self.sharded()
        for bad in (b"", b"12345678", self.export()[:-1], self.export() + b"x"):
            with self.assertRaises(errors.DataError):
                pluralis.Weights(self.ctx, bad)
        with self.assertRaises(errors.DataError):
            pluralis.Weights(self.ctx, index.replace(b"model-00001", b"../del-00001"), files.__getitem__)
        with self.assertRaises(errors.NotFound):
            pluralis.Weights(self.ctx, os.path.join(self.folder.name, "nothing"))
        with self.assertRaises(errors.NotFound) as caught:
            pluralis.Shard(self.ctx, self.untied(), weights=pluralis.Weights(self.ctx, next(iter(files.values()))))
        self.assertIn("model.layers.1.input_layernorm.weight", str(caught.exception))
        other = pluralis.Model.from_config(self.ctx, dict(CONFIG, intermediate_size=25, tie_word_embeddings=False))
        with self.assertRaises(errors.DataError):
            pluralis.Shard(self.ctx, other, weights=pluralis.Weights(self.ctx, self.export()))
        with self.assertRaises(errors.DataError):
            pluralis.write_index(self.ctx, {"a/b": self.export()}, io.BytesIO())
        with self.assertRaises(TypeError):
            pluralis.Shard(self.ctx, self.model, weights=self.export())

    def test_own_names(self):
        model = pluralis.Model(self.ctx, MANIFEST)
        shard = pluralis.Shard(self.ctx, model)
        weights = pluralis.Weights(self.ctx, self.export(shard))
        self.assertEqual([t.name for t in weights.tensors], sorted(p.name for p in shard.parameters))
        other = pluralis.Model(self.ctx, manifest(seed=9))
        self.assertEqual(contents(pluralis.Shard(self.ctx, other, weights=weights)), contents(shard))


if __name__ == "__main__":
    unittest.main()

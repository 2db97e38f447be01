"""Context, identity, model, corpus."""
import logging
import unittest

from support import MANIFEST, ORIGIN, TEXT, manifest, python, seed

import pluralis
from pluralis import errors


class ContextTest(unittest.TestCase):
    def test_options(self):
        with pluralis.Context(threads=2, isa="portable") as ctx:
            self.assertEqual((ctx.threads, ctx.isa), (2, "portable"))
            self.assertGreater(ctx.memory.now, 0)
            self.assertGreaterEqual(ctx.memory.peak, ctx.memory.now)
        for bad in (-1, 2 ** 32, 0, 257):
            with self.assertRaises(errors.InvalidArgument):
                pluralis.Context(threads=bad)
        with self.assertRaises(TypeError):
            pluralis.Context(threads=1.5)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Context(isa="sse9")

    def test_memory_limit_is_a_memory_error(self):
        with pluralis.Context(max_memory=1 << 17) as ctx, pluralis.Model(ctx, MANIFEST) as model:
            with self.assertRaises(MemoryError) as caught:
                pluralis.Shard(ctx, model)
            self.assertIsInstance(caught.exception, errors.EnvironmentFault)
            self.assertEqual(caught.exception.name, "PLR_ERR_NO_MEMORY")

    def test_log_goes_to_logging(self):
        logger, records = logging.getLogger("test.pluralis"), []
        handler = logging.Handler()
        handler.emit = records.append
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        for level, lines in ((logging.ERROR, 0), (logging.DEBUG, 1)):
            logger.setLevel(level)
            ctx = pluralis.Context(logger=logger)
            logger.setLevel(logging.DEBUG)
            ledger = pluralis.Ledger(ctx, origin=ORIGIN, sequencer=pluralis.Identity(ctx, seed(1)))
            with self.assertRaises(errors.DataError):
                ledger.append(b"no entry")
            self.assertEqual(len(records), lines)
        self.assertEqual((records[0].name, records[0].levelno), ("test.pluralis.ledger", logging.DEBUG))
        self.assertIn("refused", records[0].getMessage())

    def test_log_outlives_the_context_handle(self):
        code = """
import gc, logging, pluralis
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s")
ctx = pluralis.Context()
ledger = pluralis.Ledger(ctx, origin="a", sequencer=pluralis.Identity(ctx, bytes(32)))
ctx.close(); del ctx; gc.collect()
try: ledger.append(b"x")
except pluralis.DataError: print("refused")
"""
        status, out, err = python(code)
        self.assertEqual((status, out, err), (0, "refused\n", "pluralis.ledger DEBUG\n"))

    def test_texts_of_a_status(self):
        self.assertEqual(pluralis.status_name(-9), "PLR_ERR_SHAPE")
        self.assertIn("stride", pluralis.status_message(-9))
        for status, (name, text) in pluralis._abi.STATUS.items():
            self.assertEqual((pluralis.status_name(status), pluralis.status_message(status)), (name, text))

    def test_hashes(self):
        self.assertEqual(pluralis.sha256(b"abc").hex(),  # FIPS 180-2, B.1
                         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        self.assertEqual(pluralis.sha256(bytearray(b"abc")), pluralis.sha256(memoryview(b"xabc")[1:]))
        self.assertEqual(len(pluralis.profile_hash()), 32)
        for bad in ("abc", 5, None):
            with self.assertRaises(TypeError):
                pluralis.sha256(bad)


class IdentityTest(unittest.TestCase):
    def test_rfc_8032_vector(self):
        secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
        with pluralis.Context() as ctx, pluralis.Identity(ctx, secret) as me:  # 7.1, test 2
            self.assertEqual(me.public_key.hex(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
            signature = me.sign(b"\x72")
            self.assertTrue(signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8f"))
            pluralis.verify(me.public_key, b"\x72", signature)
            with self.assertRaises(errors.BadSignature):
                pluralis.verify(me.public_key, b"\x73", signature)
            self.assertEqual(me.account, pluralis.account_id(me.public_key))
            self.assertEqual(me.account, pluralis.sha256(b"pluralis.account/v1" + me.public_key))

    def test_wrong_lengths(self):
        with pluralis.Context() as ctx:
            for bad in (b"", bytes(31), bytes(33)):
                with self.assertRaises(errors.InvalidArgument):
                    pluralis.Identity(ctx, bad)
            with self.assertRaises(TypeError):
                pluralis.Identity(ctx, "x" * 32)
            with self.assertRaises(TypeError):
                pluralis.Identity(None, bytes(32))


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.addCleanup(self.ctx.close)

    def test_info(self):
        import json

        model = pluralis.Model(self.ctx, MANIFEST)
        self.assertEqual(model.name, "small")
        self.assertEqual(model.cuts, [1, 2, 3])
        self.assertEqual((model.info.blocks, model.info.boundary_width, model.info.vocab), (4, 4, 256))
        self.assertEqual(model.info.boundary, pluralis.model.BOUNDARIES["subspace"])
        self.assertTrue(model.can_cut(2) and model.can_cut(0) and model.can_cut(4))
        self.assertFalse(model.can_cut(5))
        self.assertEqual(len(model.costs), 4)
        self.assertTrue(all(model.costs))
        for text in (json.dumps(MANIFEST), json.dumps(MANIFEST, indent=3).encode()):
            self.assertEqual(pluralis.Model(self.ctx, text).hash, model.hash)
        self.assertNotEqual(pluralis.Model(self.ctx, manifest(seed=2)).hash, model.hash)

    def test_bad_manifests_name_the_field(self):
        for changes, where in ((dict(blocks=-1), "blocks"), (dict(extra=1), "extra"), (dict(cuts=[9]), "cuts"),
                               (dict(train={"clip": "x"}), "train.clip")):
            with self.assertRaises(errors.PluralisError) as caught:
                pluralis.Model(self.ctx, manifest(**changes))
            self.assertIn(where, caught.exception.where)
        with self.assertRaises(errors.DataError):
            pluralis.Model(self.ctx, b"{")
        for bad in (5, None, [1]):
            with self.assertRaises(TypeError):
                pluralis.Model(self.ctx, bad)

    def test_builder_gives_what_the_manifest_does(self):
        linear = {"op": "linear", "in": "n", "out": "h", "name": "w", "cols": 16, "std": 0.1, "bias": True}
        rope = {"op": "rope", "in": "h", "out": "h", "head_dim": 8, "theta": 1e4, "scaling": {
            "type": "yarn", "factor": 4, "beta_fast": 32, "beta_slow": 1, "attention_factor": 1.1, "original": 64}}
        moe = {"op": "moe", "in": "h", "out": "m", "name": "moe", "experts": 3, "top_k": 2, "cols": 8, "act": "gelu",
               "std": 0.1, "down_std": 0.1, "balance": 0.01, "renormalise": False}
        ops = [{"op": "rmsnorm", "in": "x", "out": "n", "name": "norm", "eps": 1e-5}, linear, rope,
               {"op": "attention", "q": "h", "k": "h", "v": "h", "out": "h", "heads": 2, "kv_heads": 2, "head_dim": 8},
               {"op": "scale", "in": "h", "out": "h", "by": -0.5}, moe, {"op": "add", "a": "x", "b": "m", "out": "x"}]
        embed = {"op": "embedding", "out": "x", "name": "embed", "std": 1}
        head = {"op": "linear", "in": "x", "out": "logits", "name": "head", "cols": 11, "std": 0.1, "bias": False}
        rest = {"format": "pluralis-model/2", "name": "built", "vocab": 11, "d_model": 16, "seed": 1, "cuts": [1],
                "boundary": {"kind": "projector", "rank": 2, "seed": 1, "anchor_std": 0.1, "tied": False},
                "train": dict(MANIFEST["train"], z_loss=0)}
        whole = pluralis.Model(self.ctx, dict(rest, embed=[embed], blocks=[{"repeat": 2, "ops": ops}], head=[head]))
        with pluralis.Builder(self.ctx, rest) as builder:
            builder.begin("embed").op(embed).begin("block", 2)
            with self.assertRaises(errors.DataError) as caught:
                builder.op(dict(linear, cols=0))
            self.assertIn("blocks[0].ops[0]", caught.exception.where)
            for bad in (dict(linear, op="convolution"), dict(linear, depth=3), dict(moe, act="tanh")):
                with self.assertRaises(ValueError):
                    builder.op(bad)
            for op in ops:
                builder.op(op)
            model = builder.begin("head").op(head).build()
            with self.assertRaises(errors.PluralisError):
                builder.build()
        self.assertEqual((model.hash, model.costs), (whole.hash, whole.costs))
        self.assertEqual((model.info.heads, model.info.boundary_width, model.cuts), (2, 2, [1]))

    def test_corpus(self):
        corpus = pluralis.Corpus(self.ctx, TEXT)
        batch = corpus.batch("train", 3, 0, 2, 8)
        self.assertEqual(batch.shape, (2, 9))
        for row in batch.tolist():
            self.assertIn(bytes(row), TEXT)
        again = pluralis.Tensor((2, 9), "int32")
        self.assertIs(corpus.batch("train", 3, 0, 2, 8, again), again)
        self.assertEqual(again.tolist(), batch.tolist())
        self.assertNotEqual(corpus.batch("train", 3, 1, 2, 8).tolist(), batch.tolist())
        self.assertNotEqual(corpus.root, pluralis.Corpus(self.ctx, TEXT + b".").root)
        with self.assertRaises(errors.InvalidArgument):
            corpus.batch("train", 3, 0, 2, 1 << 20)
        with self.assertRaises(ValueError):
            corpus.batch("test", 3, 0, 2, 8)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Corpus(self.ctx, b"")

    def test_corpus_holds_its_text(self):
        text = bytearray(TEXT)
        corpus = pluralis.Corpus(self.ctx, text)
        with self.assertRaises(BufferError):  # resizing would move what C reads
            text.extend(b"x")
        corpus.close()
        text.extend(b"x")

    def test_seeds_are_kept_whole(self):
        corpus = pluralis.Corpus(self.ctx, TEXT)
        self.assertNotEqual(corpus.batch("train", 2 ** 63 + 1, 0, 1, 8).tolist(),
                            corpus.batch("train", 1, 0, 1, 8).tolist())
        with self.assertRaises(errors.InvalidArgument):
            corpus.batch("train", 2 ** 64, 0, 1, 8)
        with self.assertRaises(errors.InvalidArgument):
            corpus.batch("train", -1, 0, 1, 8)


if __name__ == "__main__":
    unittest.main()

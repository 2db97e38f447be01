"""Frames: tensors, tokens, control."""
import math
import random
import unittest
from array import array

import support  # noqa: F401  # pylint: disable=unused-import

import pluralis
from pluralis import errors
from pluralis import Tensor

ROWS, COLS = 32, 64


def values():
    draw = random.Random(1)
    t = Tensor((ROWS, COLS))
    t.flat[:] = array("f", [draw.gauss(0, 1) for _ in range(ROWS * COLS)])
    return t


def snr(a, b):
    signal = sum(x * x for x in a.flat)
    noise = sum((x - y) ** 2 for x, y in zip(a.flat, b.flat))
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


class ExchangeTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.x = values()
        self.decoder = pluralis.Decoder(self.ctx, ROWS, COLS)

    def test_codecs(self):
        sizes = {}
        for name, least in (("raw", math.inf), ("bf16", 45), ("int8", 38), ("int4", 15), ("raw+zstd", math.inf),
                            ("int4+zstd", 15), ("eden4", 17),
                            ("uniform4", 20), ("dither4+token", 20), ("trellis4", 20)):
            with pluralis.Encoder(self.ctx, name, ROWS, COLS) as encoder:
                frame = encoder.encode(self.x, "gradient", stream=3, step=7, micro_batch=2, seed=2 ** 63 + 5)
                self.assertLessEqual(len(frame), encoder.bound)
                self.assertEqual(encoder.codec, pluralis.codec(name))
            info = pluralis.frame_info(self.ctx, frame)
            self.assertEqual((info.role, info.stream, info.step, info.micro_batch, info.seed, info.rows, info.cols),
                             (2, 3, 7, 2, 2 ** 63 + 5, ROWS, COLS))
            self.assertEqual(info.codec, pluralis.codec(name))
            for again in (frame, bytearray(frame), memoryview(frame)):
                self.assertGreaterEqual(snr(self.x, self.decoder.decode(again)), least)
            sizes[name] = len(frame)
        self.assertLess(sizes["int4"] * 6, sizes["raw"])
        with self.assertRaises(errors.NotFound):
            pluralis.codec("mp3")
        with self.assertRaises(errors.PluralisError):
            pluralis.Encoder(self.ctx, pluralis.Codec(9, 9, 9, 9, 9, 9, 9), ROWS, COLS)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Encoder(self.ctx, pluralis.Codec(256, 0, 0, 0, 1, 0, 0), ROWS, COLS)

    def test_feedback(self):
        encoder = pluralis.Encoder(self.ctx, "topk", ROWS, COLS)
        feedback = pluralis.Feedback(self.ctx, ROWS, COLS, 1.0)
        before = feedback.hash
        frame = feedback.encode(encoder, self.decoder, self.x, step=3)
        self.assertEqual(pluralis.frame_info(self.ctx, frame).step, 3)
        with self.assertRaises(errors.InvalidState):
            feedback.encode(encoder, self.decoder, self.x)
        feedback.rollback()
        self.assertEqual(feedback.hash, before)
        self.assertEqual(feedback.encode(encoder, self.decoder, self.x, step=3), frame)
        feedback.commit()
        with self.assertRaises(errors.InvalidState):
            feedback.commit()
        self.assertNotEqual(feedback.hash, before)
        decoded, owed = self.decoder.decode(frame), feedback.error
        self.assertEqual(sum(1 for y in decoded.flat if y), 32)  # of 2048 values
        for x, y, e in zip(self.x.flat, decoded.flat, owed.flat):
            self.assertAlmostEqual(x, y + e, delta=1e-6)
        other = pluralis.Feedback(self.ctx, ROWS, COLS, 1.0)
        other.error = owed
        self.assertEqual(other.hash, feedback.hash)
        with self.assertRaises(errors.ShapeError):
            other.error = Tensor((ROWS, COLS - 1))
        with self.assertRaises(errors.ShapeError):
            feedback.encode(encoder, self.decoder, Tensor((1, COLS)))
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Feedback(self.ctx, ROWS, COLS, 2.0)

    def test_mask(self):
        total = ROWS * COLS
        taken = []
        for number in range(7):
            mask = pluralis.Mask(total, 2 ** 63 + 1, 7, number)
            taken += mask.indices()
            self.assertEqual(mask.indices(3, 2), mask.indices()[3:5])
            values = mask.gather(self.x)
            self.assertEqual(list(values.flat), [self.x.flat[i] for i in mask.indices()])
        self.assertEqual(sorted(taken), list(range(total)))
        with pluralis.Encoder(self.ctx, "mask7+int8", 1, len(mask)) as encoder:
            frame = encoder.encode(values, "delta", seed=2 ** 63 + 1, step=6)
        info = pluralis.frame_info(self.ctx, frame)
        self.assertEqual((info.codec.group, info.seed, info.step), (7, 2 ** 63 + 1, 6))
        sent = pluralis.Decoder(self.ctx, 1, len(mask)).decode(frame)
        average, before = Tensor((1, len(mask))), list(self.x.flat)
        mask.scatter_add(self.x, average, sent)
        for i, s in zip(mask.indices(), sent.flat):
            self.assertAlmostEqual(self.x.flat[i], before[i] - s, delta=1e-6)
        self.assertEqual(sum(1 for a, b in zip(before, self.x.flat) if a != b), sum(1 for s in sent.flat if s))
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Mask(total, 1, 0)
        with self.assertRaises(errors.ShapeError):
            mask.gather(Tensor((1, 5)))

    def test_into_memory_that_is_there(self):
        encoder = pluralis.Encoder(self.ctx, "int8", ROWS, COLS)
        frame, out = encoder.encode(self.x), Tensor((ROWS, COLS))
        for buffer in (bytearray(encoder.bound), Tensor(encoder.bound, "uint8"), array("B", bytes(encoder.bound))):
            length = encoder.encode_into(buffer, self.x)
            data = buffer.flat if isinstance(buffer, Tensor) else memoryview(buffer)
            self.assertEqual(bytes(data[:length]), frame)
        self.assertIs(self.decoder.decode(frame, out), out)
        plain = array("f", bytes(4 * ROWS * COLS))
        self.decoder.decode(frame, memoryview(plain).cast("B").cast("f", (ROWS, COLS)))
        self.assertEqual(plain.tolist(), list(out.flat))
        with self.assertRaises(errors.BufferTooSmall) as caught:
            encoder.encode_into(bytearray(10), self.x)
        self.assertIn(str(encoder.bound), str(caught.exception))
        with self.assertRaises(errors.ShapeError):
            encoder.encode_into(bytes(encoder.bound), self.x)  # not writable

    def test_strided_rows(self):
        encoder = pluralis.Encoder(self.ctx, "raw", ROWS, COLS)
        half = Tensor._make(self.x, self.x.address, "float32", (ROWS, COLS // 2), (COLS, 1), False, "half")
        decoded = self.decoder.decode(encoder.encode(half))
        self.assertEqual(decoded.tolist(), [row[:COLS // 2] for row in self.x.tolist()])
        transposed = Tensor._make(self.x, self.x.address, "float32", (COLS, ROWS), (1, COLS), False, "transposed")
        frame = pluralis.Encoder(self.ctx, "raw", COLS, COLS).encode(transposed)
        back = pluralis.Decoder(self.ctx, COLS, COLS).decode(frame)
        self.assertEqual(back.tolist(), [list(column) for column in zip(*self.x.tolist())])

    def test_pieces(self):
        rows = 3000
        x = Tensor((rows, COLS))
        draw = random.Random(2)
        x.flat[:] = array("f", [draw.gauss(0, 1) for _ in range(rows * COLS)])
        encoder = pluralis.Encoder(self.ctx, "uniform4", rows, COLS)
        decoder, out = pluralis.Decoder(self.ctx, rows, COLS), Tensor((rows, COLS))
        whole = encoder.encode(x, "gradient", step=3)
        encoder.begin(x, "gradient", step=3)
        decoder.begin(out)
        pieces, left = [], rows
        while left:
            piece, left = encoder.next()
            pieces.append(piece)
            self.assertEqual(decoder.feed(piece), (len(piece), rows - left))
        self.assertGreater(len(pieces), 2)
        self.assertEqual(len(b"".join(pieces)), len(whole))
        self.assertEqual(out.flat.tolist(), decoder.decode(whole).flat.tolist())
        with self.assertRaises(errors.PluralisError):
            encoder.next()
        with self.assertRaises(errors.PluralisError):
            decoder.feed(b"x")
        decoder.begin(out)
        for i in range(0, len(whole), 1000):
            used, done = decoder.feed(whole[i:i + 1000] + (b"next" if i + 1000 >= len(whole) else b""))
        self.assertEqual((used, done), (len(whole) - i, rows))
        with self.assertRaises(errors.ShapeError):
            decoder.begin(Tensor((rows + 1, COLS)))

    def test_predictors(self):
        """What changes little costs little; a lost frame is noticed, and a key frame mends it."""
        other_x = Tensor((ROWS, COLS))
        other_x.flat[:] = array("f", [1.5 * x for x in self.x.flat])
        encoder, other = (pluralis.Encoder(self.ctx, "uniform4+" + name, ROWS, COLS) for name in ("sample", "anchor"))
        for e, keys in ((encoder, (7, 8)), (other, [row % 5 for row in range(ROWS)])):
            e.set_store(16, ROWS)
            self.decoder.set_store(16, ROWS)
            e.set_snr(20)
            lengths = []
            for step in range(4):
                e.set_keys(keys)
                frame = e.encode(self.x, step=step)
                self.assertGreater(snr(self.x, self.decoder.decode(frame)), 18)
                lengths.append(len(frame))
            if e is encoder:
                self.assertLess(lengths[-1] * 2, lengths[0])
            e.set_keys(keys)
            e.encode(other_x)  # and lost
            e.set_keys(keys)
            if e is encoder:
                with self.assertRaises(errors.OutOfSequence):
                    self.decoder.decode(e.encode(other_x))
                e.set_keys(keys)
            frame = e.encode(self.x, key=True)
            self.assertEqual(pluralis.frame_info(self.ctx, frame).flags, 1)
            self.assertGreater(snr(self.x, self.decoder.decode(frame)), 18)
            e.reset(5)
            e.set_keys(keys)
            frame = e.encode(self.x)
            self.assertEqual(pluralis.frame_info(self.ctx, frame).generation, 5)
            self.assertGreater(snr(self.x, self.decoder.decode(frame)), 18)
        with self.assertRaises(errors.PluralisError):
            encoder.encode(self.x)  # without keys
        with self.assertRaises(errors.PluralisError):
            self.decoder.set_store(0)
        with self.assertRaises(errors.PluralisError):
            encoder.set_keys([])
        plain = pluralis.Encoder(self.ctx, "int4", ROWS, COLS)
        for call in (lambda: plain.set_store(1), lambda: plain.reset(1), lambda: plain.set_keys([1])):
            with self.assertRaises(errors.PluralisError):
                call()

    def test_basis(self):
        basis = Tensor((COLS, 4))
        for i in range(4):
            basis.flat[i * 4 + i] = 1.0  # the first four coordinates
        encoder = pluralis.Encoder(self.ctx, "int8+basis", ROWS, COLS)
        with self.assertRaises(errors.PluralisError):
            encoder.encode(self.x)
        encoder.set_basis(basis, 3)
        frame = encoder.encode(self.x)
        self.assertLess(len(frame), ROWS * 4 + 120)
        for generation in (None, 2):
            if generation:
                self.decoder.set_basis(basis, generation)
            with self.assertRaises(errors.Mismatch) as caught:
                self.decoder.decode(frame)
            self.assertIn("generation 3", str(caught.exception))
        self.decoder.set_basis(basis, 3)
        back, rows = self.decoder.decode(frame).tolist(), self.x.tolist()
        for row, want in zip(back, rows):
            self.assertEqual(row[4:], [0.0] * (COLS - 4))
            for a, b in zip(row, want[:4]):
                self.assertAlmostEqual(a, b, delta=0.02)
        with self.assertRaises(errors.ShapeError):
            encoder.set_basis(Tensor((4, COLS)), 1)
        with self.assertRaises(errors.PluralisError):
            pluralis.Encoder(self.ctx, "int8", ROWS, COLS).set_basis(basis, 1)

    def test_rate(self):
        encoder = pluralis.Encoder(self.ctx, "uniform4", ROWS, COLS)
        least = encoder.bound
        for db in (30, 20, 10):
            encoder.set_snr(db)
            frame = encoder.encode(self.x)
            self.assertLess(len(frame), least)
            least = len(frame)
            self.assertAlmostEqual(snr(self.x, self.decoder.decode(frame)), db, delta=1.5)
        stats = encoder.stats
        self.assertEqual((stats.frames, stats.values), (3, 3 * ROWS * COLS))
        self.assertAlmostEqual(10 * math.log10(stats.signal_power / stats.noise_power),
                               snr(self.x, self.decoder.decode(frame)), delta=0.01)
        encoder.set_snr()
        for budget in (ROWS * COLS // 2, ROWS * COLS // 3):
            encoder.set_budget(budget)
            self.assertLessEqual(len(encoder.encode(self.x)), budget)
        encoder.set_snr(0, 60)
        with self.assertRaises(errors.CallerError):
            encoder.encode(self.x)
        with self.assertRaises(ValueError):
            encoder.set_budget(-1)
        with self.assertRaises(errors.PluralisError):
            encoder.set_snr(-3)
        with self.assertRaises(errors.PluralisError):
            pluralis.Encoder(self.ctx, "int4", ROWS, COLS).set_budget(1000)

    def test_half_floats(self):
        half = Tensor((ROWS, COLS), "bfloat16")
        encoder = pluralis.Encoder(self.ctx, "uniform6", ROWS, COLS)
        self.decoder.decode(encoder.encode(self.x), half)
        again = self.decoder.decode(encoder.encode(half))
        self.assertGreater(snr(self.x, again), 20)

    def test_wrong_tensors(self):
        encoder = pluralis.Encoder(self.ctx, "int8", ROWS, COLS)
        frame = encoder.encode(self.x)
        for bad in (Tensor((ROWS + 1, COLS)), Tensor((ROWS, COLS), "int32"), Tensor(ROWS), Tensor((0, COLS))):
            with self.assertRaises(errors.ShapeError):
                encoder.encode(bad)
            with self.assertRaises(errors.ShapeError):
                self.decoder.decode(frame, bad)
        with self.assertRaises(errors.ShapeError):
            self.decoder.decode(frame, memoryview(bytes(4 * ROWS * COLS)).cast("f", (ROWS, COLS)))
        for bad in ("x", None, 5):
            with self.assertRaises(TypeError):
                encoder.encode(bad)
            with self.assertRaises(TypeError):
                self.decoder.decode(bad)
        self.x.flat[3] = math.inf
        with self.assertRaises(errors.NonFinite):
            encoder.encode(self.x)
        with self.assertRaises(ValueError):
            encoder.encode(self.x, "weights")
        for bad in (dict(step=-1), dict(step=2 ** 32), dict(stream=2 ** 32), dict(seed=2 ** 64), dict(seed=-1)):
            with self.assertRaises(errors.InvalidArgument):
                encoder.encode(self.x, **bad)

    def test_damaged_frames(self):
        frame = pluralis.Encoder(self.ctx, "int4+zstd", ROWS, COLS).encode(self.x)
        for cut in (0, 1, 63, 64, len(frame) - 1):
            with self.assertRaises(errors.DataError):
                self.decoder.decode(frame[:cut])
        for at in range(0, len(frame), 17):
            bad = bytearray(frame)
            bad[at] ^= 0x10
            with self.assertRaises(errors.PluralisError) as caught:
                self.decoder.decode(bad)
            self.assertTrue(caught.exception.where)
        with self.assertRaises(errors.LimitExceeded) as caught:
            pluralis.Decoder(self.ctx, ROWS - 1, COLS).decode(frame)
        self.assertEqual(caught.exception.offset, 16)

    def test_tokens(self):
        ids = [[1, 2, 3], [255, 0, 9]]
        for value, rows in ((sum(ids, []), 2), (array("i", sum(ids, [])), 2),
                            (Tensor.of(memoryview(array("i", sum(ids, []))).cast("B").cast("i", (2, 3))), 1)):
            frame = pluralis.encode_tokens(self.ctx, value, 256, rows=rows, step=4)
            self.assertEqual(pluralis.decode_tokens(self.ctx, frame).tolist(), ids)
        info = pluralis.frame_info(self.ctx, frame)
        self.assertEqual((info.role, info.rows, info.cols, info.vocab, info.step), (3, 2, 3, 256, 4))
        draw = random.Random(1)
        many = [draw.randrange(50000) for _ in range(3000)]
        frame = pluralis.encode_tokens(self.ctx, many, 50000)
        self.assertEqual(list(pluralis.decode_tokens(self.ctx, frame).flat), many)
        for bad in ([256], [-1]):
            with self.assertRaises(errors.InvalidArgument):
                pluralis.encode_tokens(self.ctx, bad, 256)
        with self.assertRaises(errors.ShapeError):
            pluralis.encode_tokens(self.ctx, [1, 2, 3], 256, rows=2)
        with self.assertRaises(errors.PluralisError):
            pluralis.encode_tokens(self.ctx, [], 256)
        with self.assertRaises(errors.BufferTooSmall):
            pluralis.decode_tokens(self.ctx, frame, capacity=2999)
        with self.assertRaises(errors.DataError):
            pluralis.decode_tokens(self.ctx, frame[:-1])
        with self.assertRaises(errors.DataError):
            self.decoder.decode(frame)

    def test_control(self):
        for payload in (b"", b"hello", bytearray(70000)):
            frame = pluralis.encode_control(payload, step=9)
            self.assertEqual(pluralis.decode_control(self.ctx, frame), bytes(payload))
        self.assertEqual(pluralis.frame_info(self.ctx, frame).step, 9)
        with self.assertRaises(errors.DataError):
            pluralis.decode_control(self.ctx, frame[:-1])
        with self.assertRaises(TypeError):
            pluralis.encode_control("text")

    def test_no_allocation_once_made(self):
        encoder = pluralis.Encoder(self.ctx, "int4+zstd", ROWS, COLS)
        out = Tensor((ROWS, COLS))
        frame = encoder.encode(self.x)
        before = self.ctx.memory.allocations
        for _ in range(5):
            encoder.encode(self.x)
            self.decoder.decode(frame, out)
        self.assertEqual(self.ctx.memory.allocations, before)


if __name__ == "__main__":
    unittest.main()

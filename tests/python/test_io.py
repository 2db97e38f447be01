"""Sources and sinks of Python, and exceptions inside callbacks."""
import io
import os
import tempfile
import unittest

from support import MANIFEST, ORIGIN, seed

import pluralis
from pluralis import errors


class Boom(Exception):
    pass


class IoTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.shard = pluralis.Shard(self.ctx, pluralis.Model(self.ctx, MANIFEST))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "file")

    def snapshot(self):
        out = io.BytesIO()
        self.shard.save(out)
        return out.getvalue()

    def test_source(self):
        with open(self.path, "wb") as f:
            f.write(b"0123456789")
        with open(self.path, "rb") as f:
            for origin in (self.path, b"0123456789", bytearray(b"0123456789"), io.BytesIO(b"0123456789"), f):
                with pluralis.Source(self.ctx, origin) as source:
                    self.assertEqual((source.size, source.read_at(3, 4), source.read_at(10, 0)), (10, b"3456", b""))
                    with self.assertRaises((errors.Truncated, EOFError)):
                        source.read_at(8, 3)
                    with self.assertRaises((errors.Truncated, EOFError)):
                        source.read_at(2 ** 63, 3)
                with self.assertRaises(errors.Closed):
                    source.read_at(0, 1)
        with self.assertRaises(errors.NotFound) as caught:
            pluralis.Source(self.ctx, self.path + ".absent")
        self.assertIn("absent", str(caught.exception))
        for bad in (5, None, "a\0b"):
            with self.assertRaises((TypeError, ValueError)):
                pluralis.Source(self.ctx, bad)

    def test_sink(self):
        sink = pluralis.Sink(self.ctx, self.path)
        sink.write(b"abc")
        self.assertFalse(os.path.exists(self.path))
        sink.write(bytearray(b"def"))
        sink.commit()
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), b"abcdef")
        for call in (sink.commit, lambda: sink.write(b"x"), sink.__enter__, lambda: self.shard.save(sink)):
            with self.assertRaises(errors.InvalidState):
                call()
        with pluralis.Sink(self.ctx, self.path) as sink:
            sink.write(b"other")
        with open(self.path, "rb") as f:  # not committed: no trace
            self.assertEqual(f.read(), b"abcdef")
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["file"])
        with self.assertRaises(errors.PluralisError):
            pluralis.Sink(self.ctx, os.path.join(self.path, "below a file"))

    def test_sink_to_a_call(self):
        sink = pluralis.Sink(self.ctx, self.path)
        self.shard.save(sink)
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), self.snapshot())
        self.shard.forward(0, [1] * 18)
        sink = pluralis.Sink(self.ctx, self.path + "2")
        with self.assertRaises(errors.InvalidState):
            self.shard.save(sink)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["file"])

    def test_sink_and_source_outlive_the_context_handle(self):
        ctx = pluralis.Context()
        sink = pluralis.Sink(ctx, self.path)
        ctx.close()
        del ctx
        sink.write(b"x")
        sink.commit()
        self.assertEqual(os.path.getsize(self.path), 1)

    def test_exceptions_in_callbacks_come_out(self):
        data = self.snapshot()
        root = pluralis.weight_root(self.shard.leaves())

        class Bad(io.BytesIO):
            kind = Boom

            def read(self, *arguments):
                raise self.kind("read")

            def write(self, *arguments):
                raise self.kind("write")

        class BadFlush(io.BytesIO):
            def flush(self):
                raise Boom("flush")

        for kind in (Boom, KeyboardInterrupt, SystemExit, GeneratorExit):
            Bad.kind = kind
            with self.assertRaises(kind) as caught:
                self.shard.load(Bad(data))
            self.assertEqual(str(caught.exception), "read")
            with self.assertRaises(kind):
                self.shard.save(Bad())
        with self.assertRaises(Boom):
            self.shard.save(BadFlush())
        self.assertEqual(pluralis.weight_root(self.shard.leaves()), root)
        self.shard.load(data)

    def test_strange_file_objects(self):
        data = self.snapshot()

        class Short(io.BytesIO):  # gives and takes one byte at a time
            def read(self, n=-1):
                return super().read(min(n, 97))

            def write(self, b):
                return super().write(b[:101])

        out = Short()
        self.shard.save(out)
        self.assertEqual(out.getvalue(), data)
        self.shard.load(Short(data))

        class Liar(io.BytesIO):
            def read(self, n=-1):
                return b"x" * (n + 1000)

        class Wrong(io.BytesIO):
            def read(self, n=-1):
                return "text"

        for kind in (Liar, Wrong):
            with self.assertRaises((ValueError, TypeError)):
                self.shard.load(kind(data))
        with open(self.path, "w", encoding="utf-8") as text:
            with self.assertRaises(TypeError):
                self.shard.save(text)
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as pipe, os.fdopen(write_end, "wb"):
            with self.assertRaises(OSError):  # cannot seek
                self.shard.load(pipe)

    def test_progress(self):
        me = pluralis.Identity(self.ctx, seed(1))
        ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=me)
        for _ in range(5):
            ledger.close_epoch()
        out, seen = io.BytesIO(), []
        ledger.export(out)
        known = dict(origin=ORIGIN, public_key=me.public_key)
        pluralis.verify_ledger(self.ctx, out.getvalue(), progress=lambda *counts: seen.append(counts), **known)
        self.assertTrue(seen)
        self.assertEqual(seen[-1][0], 6)

        def progress(_done, _total):
            raise Boom("progress")

        with self.assertRaises(Boom):
            pluralis.verify_ledger(self.ctx, out.getvalue(), progress=progress, **known)


if __name__ == "__main__":
    unittest.main()

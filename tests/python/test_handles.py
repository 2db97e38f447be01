"""Lifetime of handles: closing in any order, closed ones, two threads, callbacks, the interpreter's end."""
import gc
import io
import itertools
import threading
import time
import unittest

from support import MANIFEST, ORIGIN, TEXT, python, seed

import pluralis
from pluralis import errors


def everything(ctx):
    """One handle of each kind, those that are borrowed first."""
    me = pluralis.Identity(ctx, seed(1))
    model = pluralis.Model(ctx, MANIFEST)
    corpus = pluralis.Corpus(ctx, TEXT)
    shard = pluralis.Shard(ctx, model, slots=4)
    link = pluralis.Link(ctx, me, model, initiator=True, nonce=seed(2))
    stage = pluralis.Stage(ctx, me, shard, 0, 1, origin=ORIGIN)
    stage.attach("downstream", link)
    feeder = pluralis.Feeder(ctx, me, model, corpus, 1, origin=ORIGIN)
    ledger = pluralis.Ledger(ctx, origin=ORIGIN, sequencer=me)
    return [ctx, me, model, corpus, shard, link, stage, feeder, ledger, pluralis.Encoder(ctx, "int4", 4, 4),
            pluralis.Decoder(ctx, 4, 4)]


def use(handle):
    """A call on each kind."""
    return {"Context": lambda h: h.threads, "Identity": lambda h: h.public_key, "Model": lambda h: h.hash,
            "Corpus": lambda h: h.root, "Shard": lambda h: h.leaves(), "Link": lambda h: h.transmit(1),
            "Stage": lambda h: h.advance(1), "Feeder": lambda h: h.advance(1), "Ledger": lambda h: h.summary,
            "Encoder": lambda h: h.encode(pluralis.Tensor((4, 4))),
            "Decoder": lambda h: h.decode(b"x")}[type(handle).__name__](handle)


class OrderTest(unittest.TestCase):
    def test_closed_handles_are_named(self):
        for handle in everything(pluralis.Context()):
            name = type(handle).__name__
            self.assertFalse(handle.closed)
            handle.close()
            handle.close()
            self.assertTrue(handle.closed)
            self.assertIn("closed", repr(handle))
            if name == "Decoder":
                continue  # reads the frame's header with its context before it gets to itself
            with self.assertRaises(errors.Closed) as caught:
                use(handle)
            self.assertIn(name, str(caught.exception))
            self.assertEqual(caught.exception.name, "PLR_ERR_INVALID_STATE")
            with self.assertRaises(errors.Closed), handle:
                pass

    def test_closed_arguments_are_named(self):
        ctx = pluralis.Context()
        me, model = pluralis.Identity(ctx, seed(1)), pluralis.Model(ctx, MANIFEST)
        shard = pluralis.Shard(ctx, model)
        me.close()
        with self.assertRaisesRegex(errors.Closed, "Identity"):
            pluralis.Link(ctx, me, model, initiator=True, nonce=seed(2))
        with self.assertRaisesRegex(errors.Closed, "Identity"):
            pluralis.entries.account_open(me, ORIGIN, 1)
        model.close()
        with self.assertRaisesRegex(errors.Closed, "Model"):
            pluralis.Shard(ctx, model)
        self.assertEqual(len(shard.leaves()), 4)  # which keeps what it needs
        ctx.close()
        with self.assertRaisesRegex(errors.Closed, "Context"):
            pluralis.Corpus(ctx, TEXT)

    def test_any_order(self):
        for shift, step in itertools.product(range(11), (1, 2, 3, 7)):
            handles = everything(pluralis.Context())
            for i in range(11):
                handles[(shift + i * step) % 11].close()
            self.assertTrue(all(handle.closed for handle in handles))

    def test_borrowed_objects_live_while_they_are_needed(self):
        ctx = pluralis.Context()
        me, model = pluralis.Identity(ctx, seed(1)), pluralis.Model(ctx, MANIFEST)
        links = [pluralis.Link(ctx, me, model, initiator=i, nonce=seed(2 + i)) for i in (0, 1)]
        me.close(), model.close(), ctx.close()
        del me, model, ctx
        gc.collect()
        pluralis.link.pump(1, *links)  # signs with the identity
        self.assertEqual([link.next_event().kind for link in links], ["ready", "ready"])

    def test_memory_is_given_back(self):
        ctx = pluralis.Context()
        before = ctx.memory.now
        for way in ("close", "forget", "cycle"):
            handles = everything(ctx)[1:]
            self.assertGreater(ctx.memory.now, before)
            if way == "close":
                for handle in handles:
                    handle.close()
            if way == "cycle":
                handles.append(handles)
            del handles
            handle = None
            gc.collect()
            self.assertEqual(ctx.memory.now, before, way)


class ThreadTest(unittest.TestCase):
    """A file object whose reads block stands for any long call."""

    def setUp(self):
        self.ctx = pluralis.Context()
        self.shard = pluralis.Shard(self.ctx, pluralis.Model(self.ctx, MANIFEST))
        self.snapshot = io.BytesIO()
        self.shard.save(self.snapshot)

    def test_two_threads_on_one_handle(self):
        entered, leave = threading.Event(), threading.Event()

        class Slow(io.BytesIO):
            def read(self, *arguments):
                entered.set()
                leave.wait(20)
                return super().read(*arguments)

        slow, failures = Slow(self.snapshot.getvalue()), []
        thread = threading.Thread(target=lambda: self.catch(failures, lambda: self.shard.load(slow)))
        thread.start()
        self.assertTrue(entered.wait(20))
        for call in (self.shard.step, self.shard.leaves, self.shard.close, lambda: self.shard.steps,
                     lambda: self.shard.forward(0, [1] * 18)):
            with self.assertRaisesRegex(errors.InUse, "Shard"):
                call()
        leave.set()
        thread.join()
        self.assertEqual(failures, [])
        self.shard.leaves()

    @staticmethod
    def catch(failures, call):
        try:
            call()
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    def test_immutable_handles_are_shared(self):
        model, failures = pluralis.Model(self.ctx, MANIFEST), []

        def run():
            for _ in range(300):
                model.hash, model.block_cost(1), self.ctx.memory, self.shard.steps

        threads = [threading.Thread(target=self.catch, args=(failures, run)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_racing_threads_get_results_or_in_use(self):
        outcomes, stop = [], time.monotonic() + 0.5

        def run():
            while time.monotonic() < stop:
                try:
                    self.shard.infer([1, 2, 3])
                    outcomes.append(1)
                except errors.InUse:
                    outcomes.append(0)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertIn(1, outcomes)

    def test_a_callback_may_not_use_the_handle_it_serves(self):
        shard = self.shard

        class Meddler(io.BytesIO):
            def read(self, *arguments):
                shard.step()
                return super().read(*arguments)

        with self.assertRaises(errors.InUse):
            shard.load(Meddler(self.snapshot.getvalue()))
        shard.leaves()

    def test_a_handle_closed_by_another_thread(self):
        for _ in range(50):
            shard = pluralis.Shard(self.ctx, pluralis.Model(self.ctx, MANIFEST))
            failures = []
            threads = [threading.Thread(target=self.catch, args=(failures, call))
                       for call in (shard.close, shard.leaves, lambda: shard.infer([1]), shard.close)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for failure in failures:
                self.assertIsInstance(failure, (errors.Closed, errors.InUse))


class ExitTest(unittest.TestCase):
    CODE = """
import sys
sys.path.insert(0, %r)
import test_handles, pluralis
handles = test_handles.everything(pluralis.Context(threads=2))
tensor = pluralis.Tensor((2, 2)); capsule = tensor.__dlpack__(); tensor.cycle = handles.append(handles)
%s
"""

    def test_quiet_exits(self):
        import os

        for ending in ("", "sys.modules['keep'] = handles", "raise SystemExit(0)",
                       "import threading; threading.main_thread().handles = handles; del pluralis, test_handles"):
            code = self.CODE.replace("tensor.cycle = ", "") % (os.path.dirname(__file__), ending)
            self.assertEqual(python(code), (0, "", ""), ending)


if __name__ == "__main__":
    unittest.main()

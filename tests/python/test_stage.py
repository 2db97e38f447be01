"""A pipeline: the same numbers as one shard, receipts, evaluation, generation, misuse."""
import threading
import unittest

from pipeline import Pipeline
from support import MANIFEST, ORIGIN, TEXT, seed

import pluralis
from pluralis import errors


def reference(ctx, steps):
    """Losses and weight root of one whole shard."""
    model, corpus, losses = pluralis.Model(ctx, MANIFEST), pluralis.Corpus(ctx, TEXT), []
    shard = pluralis.Shard(ctx, model)
    for step in range(steps):
        total = 0.0
        for micro in range(4):
            total += shard.forward(0, corpus.batch("train", model.info.data_seed, step * 4 + micro, 2, 8))
            shard.backward(0)
        shard.step()
        losses.append(total / (4 * 16))
    return losses, pluralis.weight_root(shard.leaves())


class StageTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)

    def test_training(self):
        p = Pipeline(self.ctx, epoch=7)
        p.feeder.train(3)
        p.until("idle")
        losses, root = reference(self.ctx, 3)
        for event, loss in zip(p.of("step"), losses):
            self.assertAlmostEqual(event.value, loss, places=6)
        self.assertEqual(len(p.of("step")), 3)
        self.assertEqual([event.kind for event in p.events[0]][0], "ready")
        self.assertTrue(p.of("receipt") and p.of("receipt", 0))
        p.feeder.set_epoch(8)
        p.feeder.stop()
        stopped = p.until("stopped")
        self.assertEqual(stopped.hash, root)
        self.assertEqual(pluralis.weight_root([leaf for shard in p.shards for leaf in shard.leaves()]), root)
        whole = pluralis.Shard(self.ctx, p.model, 0, 2)
        whole.load(p.snapshots[0])
        self.assertEqual(whole.steps, 3)
        stats = p.stages[0].stats
        self.assertEqual((stats.steps, stats.forwards, stats.backwards), (3, 12, 12))
        self.assertGreater(stats.receipts, 0)
        self.assertTrue(p.stages[1].read_journal())
        self.assertEqual(p.feeder.next_deadline_ns, pluralis.NEVER)

    def test_asynchronous(self):
        p = Pipeline(self.ctx, common=dict(schedule="async", window=6, patience_ns=10 ** 9, reply_timeout_ns=10 ** 9),
                     shard=dict(delayed="stash", versions=3))
        p.feeder.train(4)
        p.until("idle")
        self.assertEqual(len(p.of("step")), 4)
        peers = p.of("peer", 0)
        self.assertEqual([(e.index, e.error) for e in peers], [(e.index, None) for e in peers])
        self.assertEqual({e.token for e in peers}, {0, 1})
        self.assertEqual(p.stages[1].stats.max_delay, 0)
        self.assertLessEqual(p.stages[0].stats.max_delay, 1)
        down = p.wires[0][0]
        p.stages[0].detach(down)
        with self.assertRaises(errors.NotFound):
            p.stages[0].detach(down)
        lost = [e for e in p.stages[0].events() if e.kind == "peer"]
        self.assertIsInstance(lost[0].error, errors.PeerGone)

    def test_schedule_options(self):
        with self.assertRaises(errors.InvalidArgument):
            Pipeline(self.ctx, common=dict(schedule="never"))
        with self.assertRaises(errors.InvalidArgument):
            Pipeline(self.ctx, shard=dict(delayed="never"))
        with self.assertRaises(errors.InvalidArgument):  # the shard does not allow delays
            Pipeline(self.ctx, common=dict(schedule="async"))

    def test_threads_run_jobs(self):
        def run(job):
            thread = threading.Thread(target=job.run)
            thread.start()
            thread.join()

        p = Pipeline(self.ctx, codec="int8", run=run)
        p.feeder.train(1)
        p.until("idle")
        self.assertEqual(len(p.of("step")), 1)

    def test_evaluate_and_generate(self):
        p = Pipeline(self.ctx)
        p.feeder.evaluate(2)
        self.assertGreater(p.until("eval").value, 1)
        p.until("idle")
        p.feeder.generate(b"the", 4, temperature=1.0, top_k=10, seed=5)
        p.until("idle")
        first = [event.token for event in p.of("token")]
        self.assertEqual((len(first), len(p.of("generated"))), (4, 1))
        p.feeder.generate(list(b"the"), 4, temperature=1.0, top_k=10, seed=5)
        p.until("idle")
        self.assertEqual([event.token for event in p.of("token")][4:], first)

    def test_submit(self):
        p = Pipeline(self.ctx)
        p.feeder.evaluate(1)
        p.until("idle")
        entry = pluralis.entries.account_open(p.me[0], ORIGIN, 1)
        p.stages[0].submit(entry)
        self.assertEqual(p.until("entry").data, entry)

    def test_receipts_enter_a_ledger(self):
        p = Pipeline(self.ctx)
        ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=p.me[-1])
        model, feeder = p.model, p.me[-1]
        for me in p.me[:-1]:
            ledger.append(pluralis.entries.account_open(me, ORIGIN, 1))
        ledger.append(pluralis.entries.model_register(
            feeder, ORIGIN, ledger.next_nonce(feeder.account), model=model, halving_units=10 ** 9, rate=1,
            rate_divisor=1000))
        p.feeder.train(2)
        p.until("idle")
        outcome = ledger.append_many([event.data for event in p.of("receipt")])
        self.assertTrue(outcome and all(done.error is None for done in outcome), outcome)
        ledger.close_epoch()
        totals = ledger.model(model.hash)
        self.assertEqual(totals.receipts, len(outcome))
        self.assertEqual(totals.units, sum(model.costs) * 16 * 8)

    def test_bits_that_follow_the_link(self):
        p = Pipeline(self.ctx, codec="uniform4", auto_budget=True)
        p.feeder.train(2)
        p.until("idle")
        self.assertEqual(len(p.of("step")), 2)
        model = pluralis.Model(self.ctx, MANIFEST)
        shard = pluralis.Shard(self.ctx, model, 0, 2, slots=2)
        with self.assertRaises(errors.Unsupported):
            pluralis.Stage(self.ctx, pluralis.Identity(self.ctx, seed(1)), shard, 0, 2, origin=ORIGIN, auto_budget=True)

    def test_misuse(self):
        p = Pipeline(self.ctx)
        stage, link = p.stages[0], p.links[0]
        for call in (lambda: link.send(b"x"), link.next_event, lambda: stage.attach("upstream", link),
                     lambda: stage.submit(b"")):
            with self.assertRaises(errors.CallerError):
                call()
        with self.assertRaises(errors.InvalidArgument):
            stage.attach("left", pluralis.Link(self.ctx, p.me[0], p.model, initiator=True, nonce=seed(1)))
        with self.assertRaises(TypeError):
            stage.attach("upstream", p.model)
        p.feeder.train(2)
        with self.assertRaises(errors.TryAgain):
            p.feeder.evaluate(1)
        while True:
            job = None
            for node in p.stages:
                node.advance(p.now)
                job = node.next_job()
                if job:
                    break
            if job:
                break
            p.now += 10 ** 6
            for wire in p.wires:
                pluralis.link.pump(p.now, *wire)
            p.feeder.advance(p.now)
        self.assertIsNone(node.next_job())  # one is out
        with self.assertRaises(errors.InvalidState):
            node.complete(job, p.now)  # not run
        with self.assertRaises(errors.InvalidArgument):
            p.stages[1 - p.stages.index(node)].complete(job, p.now)
        with self.assertRaises(TypeError):
            node.complete(None, p.now)
        job.run()
        with self.assertRaises(errors.InvalidState):
            job.run()
        node.complete(job, p.now)
        with self.assertRaises(errors.InvalidArgument):
            node.complete(job, p.now)
        with self.assertRaises(errors.InvalidState):
            job.run()

    def test_a_job_outlives_its_stage(self):
        jobs = []

        def run(job):
            jobs.append(job)
            raise KeyboardInterrupt

        p = Pipeline(self.ctx, run=run)
        p.feeder.train(1)
        with self.assertRaises(KeyboardInterrupt):
            p.until("idle")
        for handle in p.nodes + p.links + p.shards + p.me + [p.model, p.corpus]:
            handle.close()
        jobs[0].run()
        with self.assertRaises(errors.Closed):
            p.nodes[0].complete(jobs[0], 1)

    def test_wrong_options(self):
        me, model = pluralis.Identity(self.ctx, seed(1)), pluralis.Model(self.ctx, MANIFEST)
        shard = pluralis.Shard(self.ctx, model, 0, 2, slots=2)
        make = pluralis.Stage
        for arguments, options in (((shard, 1, 2), {}), ((shard, 0, 1), {}), ((shard, 2, 2), {}), ((shard, -1, 2), {}),
                                   ((shard, 0, 2), dict(origin="")), ((shard, 0, 2), dict(forward_codec="mp3"))):
            with self.assertRaises(errors.CallerError):
                make(self.ctx, me, *arguments, **{"origin": ORIGIN, **options})
        with self.assertRaises(TypeError):
            make(self.ctx, me, model, 0, 1, origin=ORIGIN)
        few = pluralis.Shard(self.ctx, model, 0, 2)
        with self.assertRaisesRegex(errors.InvalidArgument, "slots"):
            make(self.ctx, me, few, 0, 2, origin=ORIGIN)
        corpus = pluralis.Corpus(self.ctx, TEXT)
        with self.assertRaises(errors.CallerError):
            pluralis.Feeder(self.ctx, me, model, corpus, 0, origin=ORIGIN)


if __name__ == "__main__":
    unittest.main()

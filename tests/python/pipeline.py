"""A feeder and its stages in one process, on links that are wires without delay."""
import io

from support import MANIFEST, ORIGIN, TEXT, seed

import pluralis
from pluralis.link import pump


class Pipeline:
    """events[i]: of stage i; the feeder's last."""

    def __init__(self, ctx, count=2, codec="raw", run=lambda job: job.run(), auto_budget=False,
                 common=None, shard=None, **feeder):
        self.ctx, self.count, self.run, self.now = ctx, count, run, 10 ** 9
        self.model, self.corpus = pluralis.Model(ctx, MANIFEST), pluralis.Corpus(ctx, TEXT)
        self.me = [pluralis.Identity(ctx, seed(i + 1)) for i in range(count + 1)]
        each = self.model.info.blocks // count
        self.shards = [pluralis.Shard(ctx, self.model, i * each, (i + 1) * each, slots=count - i, **(shard or {}))
                       for i in range(count)]
        codecs = dict(forward_codec=codec, backward_codec=codec, **(common or {}))
        self.stages = [pluralis.Stage(ctx, self.me[i], self.shards[i], i, count, origin=ORIGIN,
                                      auto_budget=auto_budget, **codecs) for i in range(count)]
        self.feeder = pluralis.Feeder(ctx, self.me[count], self.model, self.corpus, count, origin=ORIGIN, **codecs,
                                      **feeder)
        self.nodes = self.stages + [self.feeder]
        self.events = [[] for _ in self.nodes]
        self.wires, self.links = [], []
        for i in range(count + 1):
            after = (i + 1) % (count + 1)
            down = self.link(i, after, True)
            up = self.link(after, i, False)
            self.nodes[i].attach("downstream", down)
            self.nodes[after].attach("upstream", up)
            self.wires.append((down, up))
        self.snapshots, self.waited = {}, {}

    def link(self, node, peer, initiator):
        made = pluralis.Link(self.ctx, self.me[node], self.model, initiator=initiator,
                             nonce=seed(100 + len(self.links)), peer_key=self.me[peer].public_key)
        self.links.append(made)
        return made

    def turn(self):
        """One round of the loop; whether anything happened."""
        self.now += 10 ** 6
        moved = 0
        for wire in self.wires:
            moved += sum(pump(self.now, *wire))
        for link in self.links:
            link.advance(self.now)
        for i, node in enumerate(self.nodes):
            node.advance(self.now)
            job = node.next_job() if node is not self.feeder else None
            while job is not None:
                self.run(job)
                if job.kind == "snapshot":
                    out = io.BytesIO()
                    self.shards[i].save(out)
                    self.snapshots[i] = out.getvalue()
                node.complete(job, self.now)
                moved += 1
                job = node.next_job()
            for event in node.events():
                self.events[i].append(event)
                moved += 1
        return moved

    def until(self, kind, turns=3000):
        """The feeder's next event of this kind that was not waited for yet."""
        number = self.waited[kind] = self.waited.get(kind, 0) + 1
        for _ in range(turns):
            if len(self.of(kind)) >= number:
                return self.of(kind)[number - 1]
            self.turn()
            failed = [event for events in self.events for event in events if event.kind == "failed"]
            if failed:
                raise failed[0].error
        raise AssertionError("no %s in %d turns: %r" % (kind, turns, self.events))

    def of(self, kind, node=-1):
        return [event for event in self.events[node] if event.kind == kind]

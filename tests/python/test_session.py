"""Sessions: fed in any pieces they give the logits of infer; saved, they go on as if nothing had happened."""
import io
import unittest

from support import MANIFEST

import pluralis
from pluralis import Rows, Session, errors, feed

IDS = list(b"In the b")


def octets(tensor):
    return tensor.flat.tobytes()


class SessionTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.model = pluralis.Model(self.ctx, MANIFEST)

    def shard(self, first=0, end=None, **options):
        return pluralis.Shard(self.ctx, self.model, first, end, inference_only=True, **options)

    def test_feed_is_infer(self):
        for weight_format in ("f32", "bf16", "q8", "q4"):
            whole = self.shard(weight_format=weight_format)
            want = octets(whole.infer(IDS))
            first, last = self.shard(0, 1, weight_format=weight_format), self.shard(1, weight_format=weight_format)
            sessions = [(Session(first), Session(last)) for _ in range(2)]
            got = [b"", b""]
            for cut in ((5, 1), (1, 7), (2, 0)):
                rows = [(s, IDS[len(s[0]):][:n]) for s, n in zip(sessions, cut) if n]
                wire = feed(first, [Rows(s[0], ids) for s, ids in rows])
                logits = feed(last, [Rows(s[1], ids, len(ids)) for s, ids in rows], wire)
                at, data = 0, octets(logits)
                for s, ids in rows:
                    size = len(ids) * 4 * 256
                    got[sessions.index(s)] += data[at:at + size]
                    at += size
            self.assertEqual(got, [want, want])
            self.assertEqual([len(s) for pair in sessions for s in pair], [8] * 4)

    def test_position_and_truncate(self):
        shard = self.shard()
        session = Session(shard, 6)
        self.assertIsNone(feed(shard, [Rows(session, IDS[:4])]))
        with self.assertRaisesRegex(errors.PluralisError, "a gap"):
            feed(shard, [Rows(session, IDS[:1], 1, position=5)])
        with self.assertRaisesRegex(errors.PluralisError, "ends at 6"):
            feed(shard, [Rows(session, IDS[:3], 1)])
        with self.assertRaises(errors.PluralisError):
            session.truncate(5)
        session.truncate(2)
        self.assertEqual(len(session), 2)
        again = feed(shard, [Rows(session, IDS[2:4], 1)])
        self.assertEqual(octets(again), octets(shard.infer(IDS[:4]))[-1024:])

    def test_save_and_load(self):
        shard, file = self.shard(), io.BytesIO()
        session, other = Session(shard), Session(shard)
        feed(shard, [Rows(session, IDS[:5])])
        session.save(file)
        other.load(file.getvalue())
        rows = [Rows(session, IDS[5:6], 1), Rows(other, IDS[5:6], 1)]
        both = octets(feed(shard, rows))
        self.assertEqual(both[:1024], both[1024:])
        with self.assertRaises(errors.PluralisError):
            other.load(file.getvalue())  # not empty
        other.truncate(0)
        with self.assertRaises(errors.PluralisError):
            other.load(file.getvalue()[:-1])
        self.assertEqual(len(other), 0)

    def test_closed_in_any_order(self):
        shard = self.shard()
        session = Session(shard)
        shard.close()
        self.assertEqual(len(session), 0)
        session.close()
        with self.assertRaises(errors.Closed):
            len(session)

    def test_weight_format(self):
        with self.assertRaises(errors.PluralisError):
            self.shard(weight_format="q5")
        with self.assertRaisesRegex(errors.PluralisError, "inference_only"):
            pluralis.Shard(self.ctx, self.model, weight_format="q8")

    def test_draw(self):
        shard = self.shard()
        logits = feed(shard, [Rows(Session(shard), IDS, 1)])
        self.assertEqual(pluralis.draw(self.ctx, logits), pluralis.sample(logits))
        how = {"temperature": 0.8, "top_k": 9, "seed": 3, "position": 8}
        self.assertEqual(pluralis.draw(self.ctx, logits, **how), pluralis.sample(logits, **how))
        self.assertEqual(pluralis.draw(self.ctx, logits, temperature=1.0, top_p=1e-9), pluralis.sample(logits))
        for bad in ({"top_p": 0.0}, {"temperature": -1.0}, {"top_k": -1}):
            with self.assertRaises(errors.PluralisError):
                pluralis.draw(self.ctx, logits, **bad)


if __name__ == "__main__":
    unittest.main()

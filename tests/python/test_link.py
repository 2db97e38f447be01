"""Links between two ends in one process."""
import unittest

from support import MANIFEST, manifest, seed

import pluralis
from pluralis import errors
from pluralis.link import pump

SECOND = 10 ** 9


class LinkTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context()
        self.model = pluralis.Model(self.ctx, MANIFEST)
        self.me = [pluralis.Identity(self.ctx, seed(i + 1)) for i in (0, 1)]

    def ends(self, model=None, **options):
        return [pluralis.Link(self.ctx, self.me[i], (model or [self.model] * 2)[i], initiator=i == 0,
                              nonce=seed(5 + i), **options) for i in (0, 1)]

    def test_frames_cross(self):
        one, other = self.ends(peer_key=None)
        self.assertIsNone(one.next_event())
        self.assertEqual(one.peer_key, bytes(32))
        pump(SECOND, one, other)
        self.assertEqual([one.next_event().kind, other.next_event().kind], ["ready", "ready"])
        self.assertEqual((one.peer_key, other.peer_key), (self.me[1].public_key, self.me[0].public_key))
        for payload in (b"first", b"second" * 1000):
            one.send(pluralis.encode_control(payload), 0)
        pump(SECOND, one, other)
        got = [other.next_event() for _ in (0, 1)]
        self.assertEqual([pluralis.decode_control(self.ctx, event.data) for event in got],
                         [b"first", b"second" * 1000])
        self.assertIsNone(other.next_event())
        stats = one.stats
        self.assertEqual((stats.frames_sent, other.stats.frames_received, stats.queued_bytes), (2, 2, 0))
        self.assertEqual(stats.bytes_sent, other.stats.bytes_received)

    def ready(self, **options):
        ends = self.ends(**options)
        pump(SECOND, *ends)
        for end in ends:
            self.assertEqual(end.next_event().kind, "ready")
        return ends

    def test_a_lost_stream(self):
        one, other = self.ready()
        one.send(b"whole", 1)
        other.receive(SECOND, one.transmit(SECOND))
        one.send(b"lost on the way", 1)
        self.assertNotEqual(one.transmit(SECOND), b"")
        for i, end in enumerate((one, other)):
            end.resume(2 * SECOND, seed(50 + i))
        with self.assertRaises(errors.InvalidArgument):
            one.resume(2 * SECOND, seed(50))
        pump(2 * SECOND, one, other)
        self.assertEqual(one.next_event().kind, "resumed")
        got = [other.next_event() for _ in range(3)]
        self.assertEqual([(e.kind, e.data) for e in got],
                         [("resumed", b""), ("frame", b"whole"), ("frame", b"lost on the way")])
        self.assertIsNone(other.next_event())
        stats = one.stats
        self.assertEqual((stats.resumes, stats.retransmits, stats.frames_sent, stats.duplicates), (1, 1, 2, 0))

    def test_sealed_unless_both_say_not(self):
        for seal in (True, False):
            one, other = self.ready(seal=seal)
            one.send(b"in the clear?", 1)
            data = one.transmit(SECOND)
            self.assertEqual(b"in the clear?" in data, not seal)
        one, other = self.ends()[0], self.ends(seal=False)[1]
        with self.assertRaisesRegex(errors.DataError, ""):
            pump(SECOND, one, other)
        self.assertIn("seal: ours", str(one.next_event().error or other.next_event().error))

    def test_datagrams(self):
        one, other = self.ready(datagram=700)
        with self.assertRaises(errors.InvalidArgument):
            one.transmit(SECOND, 699)
        one.send(bytes(5000), 2)
        pieces = [one.transmit(SECOND, 700) for _ in range(12)]
        for data in reversed([p for p in pieces if p]):
            other.receive(SECOND, data)
            other.receive(SECOND, data)
        event = other.next_event()
        self.assertEqual((event.kind, event.data), ("frame", bytes(5000)))
        self.assertGreaterEqual(other.stats.rejected, 8)
        with self.assertRaises(errors.InvalidArgument):
            self.ends(datagram=100)

    def test_budget(self):
        one, other = self.ready()
        self.assertEqual(one.budget(SECOND), 0)
        now = SECOND
        for _ in range(40):
            one.send(bytes(100000), 2)
            while one.stats.queued_bytes:
                other.receive(now, one.transmit(now, 1000))
                while other.next_event():
                    pass
                other.advance(now)
                one.receive(now, other.transmit(now))
                now += SECOND // 1000
        rate = one.stats.bytes_per_s
        self.assertTrue(800_000 < rate < 1_200_000, rate)
        self.assertAlmostEqual(one.budget(SECOND // 10), rate * 0.09, delta=2)

    def test_transmit_into(self):
        one, _ = self.ends()
        buffer = bytearray(7)
        self.assertEqual(one.transmit_into(SECOND, buffer), 7)
        self.assertNotEqual(buffer, bytes(7))
        self.assertEqual(one.transmit(SECOND, 0), b"")
        with self.assertRaises(errors.ShapeError):
            one.transmit_into(SECOND, b"read-only")

    def test_time(self):
        one, other = self.ends(keep_alive_ns=SECOND, timeout_ns=4 * SECOND)
        self.assertEqual(one.next_deadline_ns, 0)
        pump(SECOND, one, other)
        one.advance(SECOND)
        self.assertTrue(SECOND < one.next_deadline_ns < 6 * SECOND)
        with self.assertRaises(errors.PeerGone):
            one.advance(60 * SECOND)
        events = [one.next_event(), one.next_event()]
        self.assertEqual([event.kind for event in events], ["ready", "closed"])
        self.assertIsInstance(events[1].error, errors.PeerGone)
        self.assertIsInstance(events[1].error, ConnectionError)
        with self.assertRaises(errors.InvalidState):
            one.send(pluralis.encode_control(b"x"))

    def test_different_models(self):
        links = self.ends([self.model, pluralis.Model(self.ctx, manifest(seed=2))])
        with self.assertRaises(errors.Mismatch):
            pump(SECOND, *links)
        event = next(e for e in (link.next_event() for link in links) if e)
        self.assertEqual(event.kind, "closed")
        self.assertIsInstance(event.error, errors.Mismatch)
        self.assertIn("model", str(event.error))

    def test_wrong_peer(self):
        links = self.ends(peer_key=seed(9))
        with self.assertRaises(errors.DataError):
            pump(SECOND, *links)

    def test_garbage(self):
        one, _ = self.ends()
        with self.assertRaises(errors.DataError):
            one.receive(SECOND, bytes(range(256)) * 10)
        self.assertEqual(one.next_event().kind, "closed")
        with self.assertRaises(errors.InvalidState):
            one.receive(SECOND, b"more")

    def test_full_queue(self):
        links = self.ends(window=1 << 16)
        pump(SECOND, *links)
        frame = pluralis.encode_control(bytes(20000))
        with self.assertRaises(errors.TryAgain) as caught:
            for _ in range(10):
                links[0].send(frame)
        self.assertIsInstance(caught.exception, BlockingIOError)
        now, events = SECOND, []
        for _ in range(20):
            pump(now, *links)
            now += SECOND // 10
            for link in links:
                link.advance(now)
                event = link.next_event()
                while event:
                    events.append(event.kind)
                    event = link.next_event()
        self.assertIn("writable", events)
        with self.assertRaises(errors.LimitExceeded):
            links[0].send(pluralis.encode_control(bytes(70000)))

    def test_shut(self):
        one, other = self.ends()
        pump(SECOND, one, other)
        one.next_event(), other.next_event()
        one.shut()
        self.assertEqual(one.next_event().kind, "closed")
        pump_failed = False
        try:
            pump(SECOND, one, other)
        except errors.PluralisError:
            pump_failed = True
        self.assertTrue(pump_failed or other.next_event().kind == "closed")
        for bad in (2 ** 31, -2 ** 31 - 1):
            with self.assertRaises(ValueError):
                one.shut(bad)

    def test_wrong_options(self):
        for bad in (dict(window=1), dict(window=-1), dict(window=2 ** 64), dict(timeout_ns=-1), dict(peer_key=b"x"),
                    dict(profile=b"x")):
            with self.assertRaises(errors.InvalidArgument):
                self.ends(**bad)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Link(self.ctx, self.me[0], b"no hash", initiator=True, nonce=seed(1))
        with self.assertRaises(TypeError):
            pluralis.Link(self.ctx, self.model, self.model, initiator=True, nonce=seed(1))
        with self.assertRaises(errors.InvalidArgument):
            self.ends()[0].receive(-1, b"")


if __name__ == "__main__":
    unittest.main()

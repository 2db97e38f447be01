"""Mirrors of a published log, publication by PUT and witnesses, against a small server of Python's."""
import http.server
import os
import tempfile
import threading
import unittest

from support import ORIGIN, seed

import pluralis
from pluralis import entries, errors, log, mirror

NAME = "witness.example/w"


class Server:
    """Files in a dict; PUT replaces them; POST is answered by a witness. faults: status by path."""

    def __init__(self, witness=None):
        self.files, self.faults, self.heads, server = {}, {}, [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path = self.path.lstrip("/")
                if path in server.faults:
                    return self.answer(server.faults[path])
                body = server.files.get(path)
                return self.answer(200, body) if body is not None else self.answer(404)

            def do_PUT(self):
                server.heads.append(dict(self.headers))
                server.files[self.path.lstrip("/")] = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(201)

            def do_POST(self):
                said = witness.add_checkpoint(1700000000, self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(said.http_status, said.body)

            def log_message(self, *_arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class MirrorTest(unittest.TestCase):
    def setUp(self):
        self.ctx = pluralis.Context(logger=False)
        self.me, self.wit = pluralis.Identity(self.ctx, seed(1)), pluralis.Identity(self.ctx, seed(7))
        self.ledger = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me)
        self.witness = log.Witness(self.ctx, NAME, self.wit)
        self.witness.add_log(ORIGIN, self.me.public_key)
        self.server = Server(self.witness)
        self.addCleanup(self.server.close)
        self.keys = [(NAME, self.wit.public_key)]
        self.remote = pluralis.Remote(retries=1, backoff_ms=1, parallel=3)
        try:
            self.mirror()
        except errors.Unsupported as absent:
            self.skipTest(str(absent))

    def grow(self, first, count=1):
        for number in range(first, first + count):
            other = pluralis.Identity(self.ctx, seed(number))
            self.ledger.append(entries.account_open(other, ORIGIN, 1))
        return self.ledger.checkpoint()

    def mirror(self, path=None, **options):
        options = dict(dict(origin=ORIGIN, public_key=self.me.public_key, remote=self.remote), **options)
        return pluralis.Mirror(self.ctx, self.server.url, path, **options)

    def test_publish_witness_mirror(self):
        self.grow(20, 30)
        mirror.cosign(self.ledger, NAME, self.wit.public_key, self.server.url, self.remote)
        mirror.cosign(self.ledger, NAME, self.wit.public_key, self.server.url)
        self.assertEqual(mirror.publish(self.ledger, self.server.url, self.remote), 31)
        self.assertIn("tile/entries/000.p/31", self.server.files)
        seen = []
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "copy.db")
            with self.mirror(path, witnesses=self.keys, quorum=1,
                             progress=lambda *numbers: seen.append(numbers)) as copy:
                self.assertIsNone(copy.ledger)
                self.assertIsNone(copy.shown)
                self.assertEqual(copy.update(), 31)
                self.assertEqual(copy.ledger.summary, self.ledger.summary)
                self.assertEqual(copy.shown, self.server.files["checkpoint"])
                self.assertEqual(copy.stats.retries, 0)
                self.assertEqual(copy.stats.received, copy.stats.decoded)
                self.assertEqual(seen[-1], (31, 31, copy.stats.received))
                held = copy.ledger
            self.assertEqual(held.summary.entries, 31)  # it keeps the mirror
            held.close()
            with pluralis.Ledger(self.ctx, path) as stored:
                self.assertEqual(stored.summary, self.ledger.summary)
        with self.mirror(witnesses=self.keys + [("other.example", self.me.public_key)], quorum=2) as copy:
            with self.assertRaisesRegex(errors.BadSignature, "1 witnesses signed"):
                copy.update()

    def test_faults(self):
        self.grow(20)
        with self.mirror() as copy:
            with self.assertRaises(errors.NotFound):
                copy.update()
        mirror.publish(self.ledger, self.server.url, self.remote)
        self.server.faults["tile/entries/000.p/2"] = 500
        with self.mirror() as copy:
            with self.assertRaisesRegex(errors.Unavailable, "500"):
                copy.update()
            self.assertEqual(copy.stats.retries, 1)
            self.server.faults.clear()
            self.assertEqual(copy.update(), 2)

        def stop(*_numbers):
            raise ZeroDivisionError

        with self.mirror(progress=stop) as copy:
            with self.assertRaises(ZeroDivisionError):
                copy.update()
        with self.assertRaises(TypeError):
            pluralis.Remote(parallell=3)
        with self.assertRaises(errors.InvalidArgument):
            pluralis.Mirror(self.ctx, "gopher://x", origin=ORIGIN, public_key=self.me.public_key)

    def test_guard(self):
        self.grow(20)
        twin = pluralis.Ledger(self.ctx, origin=ORIGIN, sequencer=self.me)
        with self.assertRaises(errors.NotFound):
            mirror.guard(twin, self.server.url)
        self.server.files["%s/checkpoint" % pluralis.sha256(ORIGIN.encode()).hex()] = self.ledger.checkpoint()
        mirror.guard(self.ledger, self.server.url)
        with self.assertRaises(errors.OutOfSequence):
            mirror.guard(twin, self.server.url, self.remote)


if __name__ == "__main__":
    unittest.main()

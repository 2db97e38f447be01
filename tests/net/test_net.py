"""pluralis-train with every stage in a network namespace of its own, and a wide-area network in between that is slow,
far, loses packets, and goes away: what was trained is the same to the bit."""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import wan
from wan import host

STEPS = 24
JOB = ["--steps", str(STEPS), "--compress", "4", "--stages", "3", "--snapshot-every", "0", "--eval-every", "12"]
WHY_NOT = wan.missing()

# Both ends of a path, run inside the namespaces: what arrives, and after what time.
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.99.0.2", 7777))
print("bound", flush=True)
while True:
    data, sender = s.recvfrom(2048)
    s.sendto(data, sender)
"""
ASK = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
times, count = [], %d
for i in range(count):
    begin = time.perf_counter()
    s.sendto(b"%%d" %% i, ("10.99.0.2", 7777))
    try:
        while int(s.recv(2048)) != i:
            pass
        times.append(time.perf_counter() - begin)
    except socket.timeout:
        pass
times.sort()
print(len(times), times[0], times[len(times) // 2])
"""


def inside(network, node, code, **more):
    return subprocess.Popen(["ip", "netns", "exec", "%s%d" % (network.prefix, node), sys.executable, "-c", code],
                            stdout=subprocess.PIPE, text=True, **more)


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Emulator(unittest.TestCase):
    def ask(self, network, count):
        echo = inside(network, 1, ECHO)
        try:
            self.assertEqual(echo.stdout.readline(), "bound\n")
            done = inside(network, 0, ASK % count)
            arrived, least, median = done.communicate(timeout=60)[0].split()
        finally:
            echo.kill()
            echo.communicate()
        return int(arrived), float(least), float(median)

    def test_delay(self):
        with wan.Wan(2, delay=20) as network:
            arrived, least, _ = self.ask(network, 20)
        self.assertEqual(arrived, 20)
        self.assertGreaterEqual(least, 0.040)
        self.assertLess(least, 0.055)

    def test_loss_and_absence(self):
        with wan.Wan(2, loss=0.5) as network:
            arrived, _, _ = self.ask(network, 24)
            stats = network.stats()
            self.assertTrue(1 <= arrived <= 15, arrived)
            self.assertGreater(stats[0]["lost"], 4)
            network.set("loss", "all", 0)
            network.set("down", 1)
            lost = network.stats()[0]["lost"]
            sender = inside(network, 0, "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                            "for i in range(3): s.sendto(b'x', ('10.99.0.2', 7777))")
            sender.communicate(timeout=20)
            self.assertEqual(sender.returncode, 0)
            self.assertEqual(network.stats()[0]["lost"], lost + 3)


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.text = os.path.join(cls.folder.name, "text")
        host.write_text(cls.text)
        out = os.path.join(cls.folder.name, "alone")
        status, _, errors = host.train("--text", cls.text, "--out", out, *host.MODEL, *JOB, "--rate", "off")
        assert status == 0, errors
        cls.wanted = host.snapshots(out, "ours", STEPS)
        assert len(cls.wanted) == 3

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def start(self, network, name, *more):
        out = os.path.join(self.folder.name, name)
        self.addCleanup(lambda: [os.kill(p, signal.SIGKILL) for p in host.workers_of(out).values()])
        return out, host.start("--text", self.text, "--out", out, *host.MODEL, *JOB, "--rate", "off", "--netns",
                               network.prefix, *more)

    def finish(self, out, process):
        _, errors = process.communicate(timeout=150)
        self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(host.snapshots(out, "ours", STEPS), self.wanted)

    def step_of(self, out, step):
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= step, 60)

    def test_far_and_slow(self):
        with wan.Wan(4, rate=20, delay=25) as network:
            self.finish(*self.start(network, "far"))
            self.assertGreater(min(node["bytes"] for node in network.stats()), 10000)

    def test_lossy_tcp(self):
        with wan.Wan(4, rate=80, delay=5, loss=0.01) as network:
            self.finish(*self.start(network, "lossy-tcp"))

    def test_lossy_udp(self):
        with wan.Wan(4, rate=80, delay=5, loss=0.05) as network:
            self.finish(*self.start(network, "lossy-udp", "--transport", "udp"))
            self.assertGreater(sum(node["lost"] for node in network.stats()), 10)

    def gone_for_a_while(self, name, *more):
        with wan.Wan(4, rate=80, delay=5) as network:
            out, process = self.start(network, name, *more)
            self.step_of(out, 3)
            network.set("down", 2)
            time.sleep(4)
            network.set("up", 2)
            self.finish(out, process)
            self.assertGreater(network.stats()[2]["lost"], 0)

    def test_cut_tcp(self):
        self.gone_for_a_while("cut-tcp")

    def test_cut_udp(self):
        self.gone_for_a_while("cut-udp", "--transport", "udp")

    def test_paused(self):
        with wan.Wan(4, rate=80, delay=5) as network:
            out, process = self.start(network, "paused")
            self.step_of(out, 3)
            stage = host.workers_of(out)[1]
            os.kill(stage, signal.SIGSTOP)
            time.sleep(4)
            os.kill(stage, signal.SIGCONT)
            self.finish(out, process)


if __name__ == "__main__":
    unittest.main()

"""The links of pluralis-train over bad networks: connections that are cut, datagrams that are lost. What was trained is
the same to the bit."""
import os
import re
import shutil
import signal
import tempfile
import unittest

import host

STEPS = ["--steps", "24", "--compress", "4", "--stages", "4"]


class Links(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.text = os.path.join(self.folder, "text.txt")
        host.write_text(self.text)

    def run_over(self, name, *options):
        """Hashes of the snapshots; how often links resumed; how much was sent again."""
        out = os.path.join(self.folder, name)
        status, said, errors = host.train("--text", self.text, "--out", out, *STEPS, *host.MODEL, *options)
        self.assertEqual((status, errors), (0, ""), said)
        self.assertIn("ledger verified", said)
        accidents = re.search(r"links: resumed (\d+) times; (\d+) frames", said)
        snapshots = host.snapshots(out, "ours", 24)
        self.assertEqual(len(snapshots), 4)
        return snapshots, *(map(int, accidents.groups()) if accidents else (0, 0))

    def test_all_end_alike(self):
        whole, resumes, again = self.run_over("whole")
        self.assertEqual((resumes, again), (0, 0))
        cut, resumes, again = self.run_over("cut", "--cut", "80ms")
        self.assertEqual(cut, whole)
        self.assertGreater(resumes, 3)
        self.assertGreater(again, 0)
        datagrams, resumes, again = self.run_over("datagrams", "--transport", "udp")
        self.assertEqual(datagrams, whole)
        lossy, resumes, again = self.run_over("lossy", "--transport", "udp", "--loss", "0.05")
        self.assertEqual(lossy, whole)
        self.assertGreater(again, 20)

    def test_cut_while_stages_change(self):
        """An interruption and a resume with other stages, all of it over connections that do not last."""
        out = os.path.join(self.folder, "out")
        run = host.start("--text", self.text, "--out", out, *STEPS, *host.MODEL, "--cut", "150ms")
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= 8)
        run.send_signal(signal.SIGINT)
        said, errors = run.communicate(timeout=20)
        self.assertEqual(run.returncode, 0, errors)
        status, said, errors = host.train("--out", out, "--resume", "--stages", "2")
        self.assertEqual(status, 0, said + errors)
        self.assertIn("ledger verified", said)
        self.assertEqual(len(host.snapshots(out, "ours", 24)), 2)

    def test_a_stage_that_stays_away(self):
        """Its neighbours try to reach it, and the run ends at once all the same: the parent saw it go."""
        for transport in ("tcp", "udp"):
            out = os.path.join(self.folder, transport)
            run = host.start("--text", self.text, "--out", out, "--steps", "100000", "--compress", "4",
                             "--transport", transport, *host.MODEL)
            host.wait_for(lambda out=out: max(host.points(out, "ours"), default=0) >= 3)
            os.kill(host.workers_of(out)[1], signal.SIGKILL)
            said, errors = run.communicate(timeout=10)
            self.assertEqual(run.returncode, 1, said)
            self.assertRegex(errors, r"error: stage 1: its process \(\d+\) was ended by signal 9")
            self.assertEqual(host.workers_of(out), {})

    def test_bits_follow_the_links(self):
        """What the links were given and what they measured is kept, and drawn beside the bits. (That bits fall and
        climb is tested under a virtual clock: test_link_rate, test_pipeline_budget.)"""
        out = os.path.join(self.folder, "out")
        status, said, errors = host.train("--text", self.text, "--out", out, "--steps", "24", "--compress", "auto",
                                          "--trace", "80:8:80", "--stages", "2", *host.MODEL)
        self.assertEqual((status, errors), (0, ""), said)
        with open(os.path.join(out, "auto", "record.tsv"), encoding="ascii") as f:
            rates = [line.split("\t") for line in f if line.startswith("rate\t")]
        self.assertEqual([float(r[2]) for r in rates], [80e6] * 8 + [8e6] * 8 + [80e6] * 8)
        measured = [float(r[3]) for r in rates if float(r[3])]
        self.assertGreater(len(measured), 4)
        self.assertLess(max(measured), 400e6)
        for again in (False, True):
            with open(os.path.join(out, "report.html"), encoding="utf-8") as f:
                page = f.read()
            self.assertIn("Rate of the links", page)
            self.assertNotRegex(page, r"\b(nan|inf)\b|>-0<")
            if not again:
                self.assertEqual(host.train("--out", out, "--resume")[0], 0)

    def test_bad_options(self):
        for word, options in (("--transport", ["--transport", "pigeon"]),
                              ("--loss", ["--loss", "0.1"]),
                              ("--loss", ["--transport", "udp", "--loss", "0.9"]),
                              ("--cut", ["--transport", "udp", "--cut", "1s"]),
                              ("--cut", ["--cut", "1ms"])):
            status, said, errors = host.train("--text", self.text, "--out", os.path.join(self.folder, "no"), *options)
            self.assertEqual((status, said), (2, ""))
            self.assertIn(word, errors)


if __name__ == "__main__":
    unittest.main()

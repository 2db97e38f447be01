"""pluralis-train as a user meets it: a whole job, interruptions, accidents, bad input."""
import html.parser
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

import host


class Page(html.parser.HTMLParser):
    """Collects the text, and sees that tags close in order."""

    def __init__(self, page):
        super().__init__()
        self.text, self.open, self.faults = "", [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "!doctype"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.text += data


class Train(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.text = os.path.join(self.folder, "text.txt")
        host.write_text(self.text)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    # ---- a whole job --------------------------------------------------------------------------

    def test_job_with_baseline(self):
        out = self.path("out")
        status, said, errors = host.train("--text", self.text, "--out", out, "--stages", "3", "--steps", "24",
                                          "--compress", "8", "--baseline", *host.MODEL)
        self.assertEqual(status, 0, said + errors)
        self.assertIn("projector of rank", said)
        self.assertEqual(errors, "")
        self.assertIn("ledger verified", said)
        ratio = float(re.search(r"ours .*?: (\d+\.\d)x", said).group(1))
        self.assertGreaterEqual(ratio, 8)
        for run in ("ours", "dense"):
            losses = host.points(out, run)
            self.assertEqual(sorted(losses), list(range(1, 25)))
            self.assertLess(float(losses[24][0]), float(losses[1][0]) - 1)
            self.assertGreater(losses[24][2], losses[12][2])
            self.assertEqual(len(host.snapshots(out, run, 24)), 3)
        self.assertGreater(host.points(out, "dense")[24][2], 5 * host.points(out, "ours")[24][2])
        # micro-batches x steps receipts of each stage, all accepted
        self.assertEqual(len(re.findall(r"stage \d .* 48 ", said)), 6, said)
        self.check_keys(out)
        self.check_report(os.path.join(out, "report.html"))
        self.check_verify(out)
        self.assertEqual(host.workers_of(out), {})
        status, said, errors = host.train("--out", out, "--resume")
        self.assertEqual(status, 0, errors)
        self.assertIn("ours: complete", said)

    def check_keys(self, out):
        names = os.listdir(os.path.join(out, "keys"))
        self.assertEqual(sorted(names), sorted(
            ["sequencer.key", "feeder.key", "designer.key", "depositor.key"] + ["stage-%d.key" % i for i in range(3)]))
        seeds = set()
        for name in names:
            path = os.path.join(out, "keys", name)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with open(path, "rb") as f:
                seeds.add(f.read())
        self.assertEqual(len(seeds), 7)

    def check_report(self, path):
        with open(path, encoding="utf-8") as f:
            page = f.read()
        parsed = Page(page)
        self.assertEqual((parsed.open, parsed.faults), ([], []))
        for word in ("Loss by step", "Loss by bytes sent", "Bytes on each link", "Two steps on a time line",
                     "Who owns the model", "Verified.", "Signed checkpoint", "What it writes", "Configuration"):
            self.assertIn(word, parsed.text)
        figures = re.findall(r"<svg.*?</svg>", page, re.S)
        self.assertEqual(len(figures), 7) # 2 losses, links, 2 time lines, 2 owners
        for figure in figures:
            xml.etree.ElementTree.fromstring(figure)
            self.assertNotRegex(figure, r"\b(nan|inf)\b")
        self.assertNotRegex(page, r"(?i)<script|src=|href=|url\((?!#)")

    def check_verify(self, out):
        status, said, errors = host.train("--verify", out)
        self.assertEqual(status, 0, errors)
        self.assertRegex(said, r"receipts 288\b")
        export = os.path.join(out, "ledger.export")
        with open(export, "rb") as f:
            good = f.read()
        for at in (3, len(good) // 3, len(good) // 2, len(good) - 2):
            with open(export, "wb") as f:
                f.write(good[:at] + bytes([good[at] ^ 4]) + good[at + 1:])
            status, said, errors = host.train("--verify", out)
            self.assertEqual((status, said), (1, ""))
            self.assertIn("ledger.export", errors)
        with open(export, "wb") as f:
            f.write(good[:-100])
        self.assertEqual(host.train("--verify", out)[0], 1)
        with open(export, "wb") as f:
            f.write(good)
        status, _, errors = host.train("--verify", out, "--vkey", "other/log+00000000+" + "A" * 44)
        self.assertEqual(status, 1)
        self.assertIn("verifier key", errors)

    def test_over_tcp_as_in_one_process(self):
        """Processes, sockets and clocks change nothing: snapshots are the bytes a simulated run ends with."""
        for boundary in ("projector", "subspace"):
            with self.subTest(boundary=boundary):
                self.check_simulated(self.path(boundary), boundary)

    def check_simulated(self, out, boundary):
        status, said, errors = host.train("--text", self.text, "--out", out, "--stages", "4", "--steps", "8",
                                          "--compress", "8", "--boundary", boundary, *host.MODEL)
        self.assertEqual(status, 0, said + errors)
        self.assertIn(boundary + " of rank", said)
        codec = self.codec(out, "ours")
        simulated = subprocess.run([host.SIM_JOB, os.path.join(out, "ours", "manifest.json"), self.text, codec, "4",
                                    "8"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
                                   check=False)
        self.assertEqual(simulated.returncode, 0, simulated.stdout)
        said = dict(re.findall(r"^(root|stage-\d) ([0-9a-f]{64})$", simulated.stdout, re.M))
        snapshots = host.snapshots(out, "ours", 8)
        self.assertEqual(len(snapshots), 4)
        for stage in range(4):
            self.assertEqual(snapshots["stage-%d-8.safetensors" % stage], said["stage-%d" % stage])

    @staticmethod
    def codec(out, run):
        """Name of the codec, from the first line of the record."""
        with open(os.path.join(out, run, "record.tsv"), encoding="ascii") as f:
            return f.readline().rstrip("\n").replace("%20", " ").rsplit(" ", 1)[1]

    def test_one_stage(self):
        out = self.path("out")
        status, said, errors = host.train("--text", self.text, "--out", out, "--stages", "1", "--steps", "6",
                                          "--compress", "1", *host.MODEL)
        self.assertEqual(status, 0, said + errors)
        self.assertIn("ledger verified", said)
        status, _, errors = host.train("--text", self.text, "--out", self.path("o2"), "--stages", "1", *host.MODEL)
        self.assertEqual(status, 1)
        self.assertIn("--compress", errors)

    def test_without_a_flush(self):
        for schedule in "async", "newest":
            out = self.path(schedule)
            status, said, errors = host.train("--text", self.text, "--out", out, "--stages", "4", "--steps", "12",
                                              "--compress", "4", "--snapshot-every", "6", "--schedule", schedule,
                                              *host.MODEL)
            self.assertEqual(status, 0, errors)
            self.assertIn("ledger verified", said)
        status, said, errors = host.train("--out", out, "--resume")
        self.assertEqual(status, 0, errors)
        self.assertIn("ours: complete", said)

    def test_links_are_as_slow_as_asked(self):
        out = self.path("out")
        model = [{"1ms": "40ms"}.get(word, word) for word in host.MODEL]
        status, said, errors = host.train("--text", self.text, "--out", out, "--stages", "2", "--steps", "6",
                                          "--eval-every", "6", "--compress", "1", "--rate", "2mbit", *model)
        self.assertEqual(status, 0, said + errors)
        with open(os.path.join(out, "dense", "record.tsv"), encoding="ascii") as f:
            last = [line.split("\t") for line in f if line.startswith("point\t6\t")][0]
        # A step: two activations follow each other down, then the second gradient comes up behind the first;
        # token ids go in and the loss comes out over three more hops.
        frame = 4 * 32 * 64 * 2 * 8 / 2e6
        least = 6 * (2 * frame + frame + 4 * 0.04)
        self.assertGreater(float(last[6]), least * 0.97)
        self.assertLess(float(last[6]), least * 2 + 2)

    # ---- interruptions ------------------------------------------------------------------------

    def test_interrupt_and_resume_end_alike(self):
        options = ["--text", self.text, "--stages", "4", "--steps", "40", "--compress", "4",
                   "--snapshot-every", "8", *host.MODEL]
        whole, parts = self.path("whole"), self.path("parts")
        status, said, errors = host.train(*options, "--out", whole)
        self.assertEqual(status, 0, said + errors)
        for number, at in ((signal.SIGINT, 5), (signal.SIGTERM, 20)):
            run = host.start(*(options if at == 5 else ["--resume"]), "--out", parts)
            host.wait_for(lambda at=at: max(host.points(parts, "ours"), default=0) >= at)
            run.send_signal(number)
            said, errors = run.communicate(timeout=20)
            self.assertEqual(run.returncode, 0, errors)
            self.assertRegex(said, r"stopped after step \d+ of 40.*--resume")
            self.assertEqual(host.workers_of(parts), {})
        status, said, errors = host.train("--out", parts, "--resume")
        self.assertEqual(status, 0, said + errors)
        self.assertIn("ledger verified", said)
        # Bit for bit: the weights, the moments and every loss.
        self.assertEqual(host.snapshots(parts, "ours", 40), host.snapshots(whole, "ours", 40))
        for step, point in host.points(whole, "ours").items():
            self.assertEqual(host.points(parts, "ours")[step][0], point[0], step)
        for stage in range(4):
            kept = [n for n in os.listdir(os.path.join(parts, "ours")) if n.startswith("stage-%d-" % stage)]
            self.assertEqual(len(kept), 2, kept)

    def test_resume_with_other_stages(self):
        out = self.path("out")
        run = host.start("--text", self.text, "--stages", "4", "--steps", "30", "--compress", "4",
                         "--snapshot-every", "4", "--out", out, *host.MODEL)
        for stages, at in ((4, 6), (2, 14), (3, 22)):
            if stages != 4:
                run = host.start("--resume", "--stages", str(stages), "--out", out)
            host.wait_for(lambda at=at: max(host.points(out, "ours"), default=0) >= at)
            self.assertEqual(len(host.workers_of(out)), stages)
            run.send_signal(signal.SIGINT)
            said, errors = run.communicate(timeout=20)
            self.assertEqual(run.returncode, 0, errors)
        status, said, errors = host.train("--out", out, "--resume")
        self.assertEqual(status, 0, said + errors)
        self.assertIn("ledger verified", said)
        self.assertEqual(len(host.snapshots(out, "ours", 30)), 4)
        kept = [n for n in os.listdir(os.path.join(out, "ours")) if n.startswith("stage-")]
        self.assertLessEqual(len(kept), 8, kept)

    def test_killed_stage(self):
        out = self.path("out")
        run = host.start("--text", self.text, "--out", out, "--stages", "4", "--steps", "100000", "--compress", "4",
                         "--snapshot-every", "5", *host.MODEL)
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= 12)
        begin = time.time()
        os.kill(host.workers_of(out)[2], signal.SIGKILL)
        said, errors = run.communicate(timeout=20)
        self.assertEqual(run.returncode, 1, said)
        self.assertLess(time.time() - begin, 5)
        self.assertRegex(errors, r"error: stage 2: its process \(\d+\) was ended by signal 9")
        step = int(re.search(r"newest snapshot that all stages have is of step (\d+)", errors).group(1))
        self.assertEqual((step % 5, step >= 10), (0, True))
        self.assertEqual(host.workers_of(out), {})
        run = host.start("--out", out, "--resume")
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= step + 8)
        run.send_signal(signal.SIGINT)
        said, errors = run.communicate(timeout=20)
        self.assertEqual(run.returncode, 0, errors)
        sent = [host.points(out, "ours")[s][2] for s in sorted(host.points(out, "ours"))]
        self.assertEqual(sent, sorted(sent))

    def test_killed_parent_leaves_no_stages(self):
        out = self.path("out")
        run = host.start("--text", self.text, "--out", out, "--stages", "3", "--steps", "100000", "--compress", "4",
                         *host.MODEL)
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= 2)
        self.assertEqual(len(host.workers_of(out)), 3)
        run.kill()
        run.communicate(timeout=20)
        host.wait_for(lambda: not host.workers_of(out), 5)

    # ---- accidents ----------------------------------------------------------------------------

    def test_full_disk_at_snapshot(self):
        mount = self.path("small")
        os.mkdir(mount)
        command = "mount -t tmpfs -o size=1500k tmpfs %s && exec %s" % (mount, host.TRAIN)
        probe = subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs " + mount],
                               stderr=subprocess.DEVNULL, check=False)
        if probe.returncode:
            self.skipTest("no user namespace to mount a small disk in")
        arguments = " ".join(["--text", self.text, "--out", mount + "/out", "--stages", "3", "--steps", "500",
                              "--compress", "4", "--snapshot-every", "5", *host.MODEL])
        done = subprocess.run(["unshare", "-rm", "sh", "-c", "%s %s; s=$?; ls %s/out/ours; exit $s" %
                               (command.replace("exec ", ""), arguments, mount)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, r"error: stage \d: snapshot \S+/stage-\d-\d+\.safetensors: no space left")
        left = done.stdout.split()
        self.assertNotIn("tmp", " ".join(n for n in left if n.startswith("stage-") and not n.endswith(".safetensors")))

    def test_broken_snapshot(self):
        out = self.path("out")
        run = host.start("--text", self.text, "--out", out, "--stages", "2", "--steps", "1000", "--compress", "4",
                         "--snapshot-every", "5", *host.MODEL)
        host.wait_for(lambda: max(host.points(out, "ours"), default=0) >= 3)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=20)
        name = max((n for n in os.listdir(os.path.join(out, "ours")) if n.startswith("stage-1-")),
                   key=lambda n: int(n.split("-")[2].split(".")[0]))
        path = os.path.join(out, "ours", name)
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 1]))
        status, _, errors = host.train("--out", out, "--resume")
        self.assertEqual(status, 1)
        self.assertIn(name, errors)
        self.assertEqual(host.workers_of(out), {})

    def test_key_others_can_read(self):
        out = self.path("out")
        os.makedirs(os.path.join(out, "keys"))
        key = os.path.join(out, "keys", "stage-1.key")
        with open(key, "wb") as f:
            f.write(bytes(32))
        os.chmod(key, 0o644)
        status, _, errors = host.train("--text", self.text, "--out", out, "--stages", "2", "--compress", "4",
                                       *host.MODEL)
        self.assertEqual(status, 1)
        self.assertIn("stage-1.key: others may read", errors)

    # ---- bad input ----------------------------------------------------------------------------

    def refused(self, status, word, *arguments):
        got, said, errors = host.train(*arguments)
        self.assertEqual(got, status, (said, errors))
        self.assertIn(word, errors)
        self.assertFalse(os.path.exists(self.path("out")), "something was written")

    def test_bad_options(self):
        good = ["--text", self.text, "--out", self.path("out")]
        self.refused(2, "--rate", *good, "--rate", "fast")
        self.refused(2, "--delay", *good, "--delay", "25")
        self.refused(2, "--steps", *good, "--steps", "0")
        self.refused(2, "--stages", *good, "--stages", "9")
        self.refused(2, "--width", *good, "--width", "100")
        self.refused(2, "--boundary", *good, "--boundary", "dense")
        self.refused(2, "--schedule", *good, "--schedule", "later")
        self.refused(2, "--nonsense", *good, "--nonsense")
        self.refused(2, "--text", "--out", self.path("out"))
        self.refused(2, "nothing to resume", "--out", self.path("out"), "--resume")
        self.refused(1, "out of reach", *good, "--compress", "100000")

    def test_bad_text(self):
        empty, short = self.path("empty"), self.path("short")
        open(empty, "w", encoding="ascii").close()
        with open(short, "w", encoding="ascii") as f:
            f.write("too short " * 10)
        self.refused(1, "empty", "--text", empty, "--out", self.path("out"))
        self.refused(1, "too short", "--text", short, "--out", self.path("out"), "--compress", "1")
        self.refused(1, "nowhere.txt: No such file", "--text", self.path("nowhere.txt"), "--out", self.path("out"))
        self.refused(1, "Is a directory", "--text", self.folder, "--out", self.path("out"))

    def test_bad_manifest(self):
        manifest = self.path("model.json")
        good = ('{"format": "pluralis-model/1", "name": "m", "family": "llama", "vocab": "bytes", "blocks": 2,'
                '"d_model": 64, "heads": 1, "kv_heads": 1, "head_dim": 64, "d_ff": 128, "norm_eps": 1e-5,'
                '"rope_theta": 10000, "init_std": 0.02, "embed_std": 1.0, "seed": 1, "cuts": [1],'
                '"boundary": {"kind": "dense"}, "train": {"seq_len": 32, "micro_batch": 2, "micro_batches": 2,'
                '"optimizer": "adamw", "lr": 0.003, "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8,'
                '"weight_decay": 0.1, "clip": 1.0, "schedule": "cosine", "warmup_steps": 1, "steps": 3,'
                '"data_seed": 3}}')
        options = ["--text", self.text, "--out", self.path("out"), "--stages", "2", "--manifest", manifest]
        for bad, word in ((good.replace('"seed": 1', '"sed": 1'), "sed"),
                          (good.replace('"heads": 1, "kv_heads": 1', '"heads": 3, "kv_heads": 2'), "manifest"),
                          (good[:200], "manifest"), ("{}", "manifest")):
            with open(manifest, "w", encoding="ascii") as f:
                f.write(bad)
            self.refused(1, word, *options)
        with open(manifest, "w", encoding="ascii") as f:
            f.write(good)
        self.refused(1, "--stages", *options[:5], "3", *options[6:])
        status, said, errors = host.train(*options, "--eval-batches", "1", "--sample", "0", "--delay", "1ms")
        self.assertEqual(status, 0, said + errors)

    def test_used_folder(self):
        out = self.path("out")
        os.mkdir(out)
        with open(os.path.join(out, "options"), "w", encoding="ascii") as f:
            f.write("--text\n" + self.text + "\n")
        status, _, errors = host.train("--text", self.text, "--out", out, *host.MODEL, "--compress", "1")
        self.assertEqual(status, 1)
        self.assertIn("--resume", errors)
        status, _, errors = host.train("--out", out, "--resume", "--steps", "5")
        self.assertEqual(status, 2)
        self.assertIn("--resume", errors)


if __name__ == "__main__":
    unittest.main()

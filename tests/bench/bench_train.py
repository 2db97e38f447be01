"""The training step of bench_train.c against current PyTorch, eager and compiled: tokens/s, peak memory, and what a
busy neighbour on one processor leaves of the speed. Both sides are programs that take a step when told, so that turns
interleave; ours measures the rate of fused multiply-adds before each of its steps.

PyTorch is looked for in $PLR_PEERS_PYTHON (a Python interpreter) or python3; without it there are only our figures.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.join(HERE, "..", "..", "build", "release", "tests", "bench", "bench_train")
PEER_PYTHON = os.environ.get("PLR_PEERS_PYTHON") or shutil.which("python3") or sys.executable
DENSE = {"kind": "dense"}
# Sequence length, sequences: 1,024 tokens, then a micro-batch of 128.
SHAPES = ((256, 4), (512, 2), (1024, 1), (128, 1))
OTHERS = (("subspace16", {"kind": "subspace", "rank": 16, "seed": 7, "anchor_std": 1.0}),
          ("projector16", {"kind": "projector", "rank": 16, "seed": 7, "anchor_std": 1.0, "tied": False}))
TURNS = 7


def say(text):
    print("bench_train: %s" % text, file=sys.stderr)


class Worker:
    """A program that takes a step for each line it is sent."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = self.process.stdout.readline().split(maxsplit=2)
        self.ready = len(self.hello) == 3 and self.hello[0] == "ready"
        self.idle = 0

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return [float(x) for x in self.process.stdout.readline().split()]

    def peak(self):
        """MiB of resident memory at most so far, above what the program had before it made its model."""
        try:
            with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
                return (next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) - self.idle) / 1024
        except (OSError, StopIteration):
            return float("nan")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(seq, batch, boundary):
    worker = Worker([OURS, "--serve", str(seq), str(batch), json.dumps(boundary)])
    if worker.ready:
        worker.gflop, worker.name = float(worker.hello[1]), worker.hello[2].strip()
    return worker


def torch(seq, batch, mode):
    worker = Worker([PEER_PYTHON, os.path.join(HERE, "torch_train.py"), str(seq), str(batch), mode, "2"])
    if worker.ready:
        worker.idle, worker.name = int(worker.hello[1]), worker.hello[2].strip()
    return worker


def have_torch():
    probe = subprocess.run([PEER_PYTHON, "-c", "import torch; torch.nn.RMSNorm"], capture_output=True, check=False)
    if probe.returncode == 0:
        return True
    say("no current PyTorch in %s (set PLR_PEERS_PYTHON): its lines are left out" % PEER_PYTHON)
    return False


def turns(workers, count=TURNS):
    """The seconds of each worker's steps, in turns; of the first, also processor seconds and FMA rates."""
    rows = []
    for _ in range(count):
        rows.append([w.step() for w in workers])
    return rows


def median(values):
    return statistics.median(list(values))


def print_line(name, value, unit, peer, peer_value, ratio, note):
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, "peer": peer,
                      "peer_value": None if peer is None else round(peer_value, 4),
                      "ratio": None if peer is None else round(ratio, 4), "note": note}), flush=True)


def rates(worker, rows):
    fma = median(r[0][2] for r in rows)
    of_fma = median(worker.gflop / r[0][0] / r[0][2] for r in rows)
    of_cpu = median(worker.gflop / r[0][1] / r[0][3] for r in rows)
    return "%.3f of the %s rate (%.1f GFLOP/s), by processor time %.3f; 2 threads, %d turns" % (
        of_fma, worker.name, fma, of_cpu, len(rows))


def compare(seq, batch, modes):
    name = "train/4x768/T%d/B%d" % (seq, batch)
    mine = ours(seq, batch, DENSE)
    peers = []
    for mode in modes:
        worker = torch(seq, batch, mode)
        if worker.ready:
            peers.append((mode, worker))
        else:
            say("PyTorch (%s) did not start: its line is left out" % mode)
            worker.close()
    workers = [mine] + [w for _, w in peers]
    rows = turns(workers)
    tokens = seq * batch
    speed = tokens / median(r[0][0] for r in rows)
    note = rates(mine, rows)
    if not peers:
        print_line(name, speed, "tokens/s", None, 0, 0, note)
    for i, (mode, worker) in enumerate(peers, 1):
        peer = "%s %s" % (worker.name, mode)
        print_line("%s/%s" % (name, mode), speed, "tokens/s", peer, tokens / median(r[i][0] for r in rows),
                   median(r[i][0] / r[0][0] for r in rows), note)
        print_line("%s/memory/%s" % (name, mode), mine.peak(), "MiB", peer, worker.peak(), worker.peak() / mine.peak(),
                   "peak resident memory above that of the program without a model; the ratio is theirs to ours")
    if (seq, batch) == SHAPES[0]:
        busy(name, workers, [w.name + " " + m for m, w in peers], rows)
    for worker in workers:
        worker.close()
    return speed


def busy(name, workers, names, quiet):
    """A program that never rests, on one of the processors."""
    if not hasattr(os, "sched_setaffinity"):
        say("no processor affinity on this system: no busy neighbour")
        return
    hog = subprocess.Popen([sys.executable, "-c", "import os\nos.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
                            "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    hog.stdout.readline()
    try:
        rows = turns(workers)
    finally:
        hog.send_signal(signal.SIGKILL)
        hog.wait()
    kept = [median(r[i][0] for r in quiet) / median(r[i][0] for r in rows) for i in range(len(workers))]
    note = "share of the quiet speed kept with one busy program pinned to one of %d processors" % os.cpu_count()
    if not names:
        print_line(name + "/busy", kept[0], "of quiet", None, 0, 0, note)
    for i, peer in enumerate(names, 1):
        print_line("%s/busy/%s" % (name, peer.split()[-1]), kept[0], "of quiet", peer, kept[i], kept[0] / kept[i], note)


def boundaries(dense):
    seq, batch = SHAPES[0]
    for label, boundary in OTHERS:
        worker = ours(seq, batch, boundary)
        if not worker.ready:
            say("%s is not in this version: its line is left out" % label)
            worker.close()
            continue
        rows = turns([worker])
        speed = seq * batch / median(r[0][0] for r in rows)
        print_line("train/4x768/T%d/B%d/%s" % (seq, batch, label), speed, "tokens/s", "our dense model", dense,
                   speed / dense, rates(worker, rows))
        worker.close()


def main():
    modes = ("eager", "compiled") if have_torch() else ()
    speeds = [compare(seq, batch, modes) for seq, batch in SHAPES]
    boundaries(speeds[0])


main()

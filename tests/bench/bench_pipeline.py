"""A pipeline of four processes in network namespaces, over an emulated wide-area network of 80 Mbit/s, 50 ms one way,
against the same pipeline over the same emulator with its limits off: what the network costs, asynchronous and not,
compressed and not. A share of 1 is a network that nobody notices.

  PLR_PIPELINE_TURNS (3), PLR_PIPELINE_STEPS (24): interleaved runs of each, and the steps of one

Needs root for the namespaces, as tests/net does; says so where it has none.
"""
import json
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("PLR_BUILD", os.path.join(HERE, "..", "..", "build", "release"))
sys.path.insert(0, os.path.join(HERE, "..", "net"))
import wan  # noqa: E402
from wan import host  # noqa: E402

RATE, DELAY = 80, 50
TURNS = int(os.environ.get("PLR_PIPELINE_TURNS", "3"))
STEPS = int(os.environ.get("PLR_PIPELINE_STEPS", "24"))
SIDE_BY_SIDE = (("async/compressed", ["--schedule", "async", "--compress", "100"]),
                ("async/uncompressed", ["--schedule", "async", "--compress", "1"]),
                ("sync/compressed", ["--schedule", "sync", "--compress", "100"]),
                ("sync/uncompressed", ["--schedule", "sync", "--compress", "1"]))


def say(text):
    print("bench_pipeline: %s" % text, file=sys.stderr, flush=True)


def run(network, text, folder, arguments):
    """Tokens a second between the first third of the steps and the last, and the last validation loss."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        status, _, errors = host.train(
            "--text", text, "--out", out, "--stages", "4", "--steps", str(STEPS), "--rate", "off", "--snapshot-every",
            "0", "--eval-every", str(STEPS), "--sample", "0", "--netns", network.prefix, *arguments, timeout=900)
        if status:
            raise SystemExit("bench_pipeline: %s failed: %s" % (" ".join(arguments), errors))
        run_name = "ours" if os.path.isdir(os.path.join(out, "ours")) else "dense"
        points = []
        with open(os.path.join(out, run_name, "record.tsv"), encoding="ascii") as f:
            for line in f:
                field = line.rstrip("\n").split("\t")
                if field[0] == "point":
                    points.append((int(field[1]), float(field[6]), float(field[3])))
    begin, end = points[len(points) // 3], points[-1]
    return 2048 * (end[0] - begin[0]) / (end[1] - begin[1]), end[2]


def line(name, value, unit, peer, peer_value, ratio, note):
    print(json.dumps({"name": "pipeline/" + name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value,
                      "ratio": ratio, "note": note}), flush=True)


def main():
    reason = wan.missing()
    if reason:
        say("skipped: %s" % reason)
        return 0
    figures = {}
    with tempfile.TemporaryDirectory() as folder, wan.Wan(5) as network:
        text = os.path.join(folder, "text")
        host.write_text(text, 400000)
        for turn in range(TURNS):
            for name, arguments in SIDE_BY_SIDE:
                for limited in (0, 1):
                    network.set("rate", "all", RATE * limited)
                    network.set("delay", "all", DELAY * limited)
                    figures.setdefault((name, limited), []).append(run(network, text, folder, arguments))
                    say("turn %d/%d %s %s: %.0f tokens/s" % (turn + 1, TURNS, name, "limited" if limited else "free",
                                                             figures[name, limited][-1][0]))
    for name, _ in SIDE_BY_SIDE:
        free, held = ([value for value, _ in figures[name, limited]] for limited in (0, 1))
        share = statistics.median(h / f for h, f in zip(held, free))
        line(name, round(statistics.median(held)), "tokens/s", "same pipeline, network without limits",
             round(statistics.median(free)), round(share, 3),
             "4 processes + feeder in network namespaces, %d Mbit/s and %d ms one way for each, %d steps of 2,048 "
             "tokens after the first third, median of %d interleaved runs; all on one machine of %d processors"
             % (RATE, DELAY, STEPS, TURNS, os.cpu_count()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

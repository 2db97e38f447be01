"""The ledger's Merkle log against pymerkle (PyPI), another RFC 6962 tree: appending, and making an inclusion proof.
Both hold the same entries in memory, and must come to the same root.

pymerkle is looked for in $PLR_PEERS_PYTHON (a Python interpreter) or python3; without it nothing is printed.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PEER_PYTHON = os.environ.get("PLR_PEERS_PYTHON") or shutil.which("python3") or sys.executable
ENTRIES, PROOFS, GROUP = 100000, 500, 1000

PEER = """
import json, sys, time
from pymerkle import InmemoryTree
data, entries, at = open(sys.argv[1], "rb").read(), [], 0
while at < len(data):
    size = int.from_bytes(data[at:at + 2], "big")
    entries.append(data[at + 2:at + 2 + size])
    at += 2 + size
tree, start = InmemoryTree(algorithm="sha256"), time.perf_counter()
for entry in entries:
    tree.append_entry(entry)
took, proofs = time.perf_counter() - start, []
for i in range(int(sys.argv[2])):
    start = time.perf_counter()
    tree.prove_inclusion(1 + i * 7919 % len(entries), len(entries))
    proofs.append(time.perf_counter() - start)
print(json.dumps([len(entries) / took, sorted(proofs)[len(proofs) // 2], tree.get_state().hex()]))
"""


def ours(folder):
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
    os.environ.setdefault("PLURALIS_LIBRARY", os.path.join(ROOT, "build", "release", "lib", "libpluralis.so"))
    import pluralis  # pylint: disable=import-outside-toplevel

    context = pluralis.Context(logger=False)
    ledger = pluralis.Ledger(context, origin="example.org/bench", log_invalid=True,
                             sequencer=pluralis.Identity(context, bytes(32)))
    junk = [b"entry %020d" % i for i in range(1, ENTRIES)]
    start = time.perf_counter()
    for i in range(0, len(junk), GROUP):
        ledger.append_many(junk[i:i + GROUP])  # refused, and logged all the same
    took, proofs = time.perf_counter() - start, []
    for i in range(PROOFS):
        start = time.perf_counter()
        ledger.prove_inclusion(i * 7919 % ENTRIES, ENTRIES)
        proofs.append(time.perf_counter() - start)
    path = os.path.join(folder, "entries")
    with open(path, "wb") as f:
        for i in range(ENTRIES):
            entry = ledger.entry(i)
            f.write(len(entry).to_bytes(2, "big") + entry)
    return path, ENTRIES / took, statistics.median(proofs), ledger.summary.root.hex()


def line(name, value, unit, peer_value, ratio, note):
    print(json.dumps({"name": name, "value": value, "unit": unit, "peer": "pymerkle, in memory",
                      "peer_value": peer_value, "ratio": ratio, "note": note}), flush=True)


def main():
    found = subprocess.run([PEER_PYTHON, "-c", "import pymerkle"], stderr=subprocess.DEVNULL, check=False)
    if found.returncode:
        print("bench_ledger: no pymerkle in %s (set PLR_PEERS_PYTHON): its lines are left out" % PEER_PYTHON,
              file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path, rate, proof, root = ours(folder)
        peer = json.loads(subprocess.run([PEER_PYTHON, "-c", PEER, path, str(PROOFS)], check=True,
                                         stdout=subprocess.PIPE, text=True).stdout)
    if peer[2] != root:
        print("bench_ledger: pymerkle comes to another root", file=sys.stderr)
        return 1
    line("ledger.tree_append", rate, "entries/s", peer[0], rate / peer[0],
         "%d small entries, ours through the Python binding in groups of %d; same root" % (ENTRIES, GROUP))
    line("ledger.tree_proof", proof * 1e6, "us", peer[1] * 1e6, peer[1] / proof,
         "an inclusion proof in a log of %d entries, ours through the Python binding" % ENTRIES)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""pluralis-train on the emulated CUDA plugin, and the same job with the same keys on the CPU: the snapshots and the
ledger's state root must be the same. Prints ok / not ok / skip lines.

    check_train.py BUILD_DIR"""
import hashlib
import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "host"))

JOB = ["--stages", "2", "--steps", "2", "--snapshot-every", "2", "--width", "64", "--blocks", "4", "--seq", "32",
       "--micro-batch", "4", "--micro-batches", "1", "--lr", "0.01", "--delay", "1ms", "--compress", "4",
       "--eval-batches", "1", "--eval-every", "2", "--sample", "2"]


def snapshots(folder):
    found = {}
    for name in sorted(os.listdir(os.path.join(folder, "ours"))):
        if name.endswith(".safetensors"):
            with open(os.path.join(folder, "ours", name), "rb") as f:
                found[name] = hashlib.sha256(f.read()).hexdigest()
    return found


def train(host, folder, device):
    """Snapshots and state root of a job."""
    status, said, errors = host.train("--text", os.path.join(os.path.dirname(folder), "text"), "--out", folder,
                                      "--device", device, *JOB, timeout=120)
    if status:
        raise RuntimeError("device %s: %s" % (device, errors.strip() or said[-300:]))
    status, said, errors = host.train("--verify", folder)
    root = re.search(r"state root ([0-9a-f]{64})", said)
    if status or not root:
        raise RuntimeError("the ledger does not verify: %s" % (errors or said))
    return snapshots(folder), root.group(1)


def compare(host, plugin, scratch):
    host.write_text(os.path.join(scratch, "text"))
    cpu, cuda = os.path.join(scratch, "cpu"), os.path.join(scratch, "cuda")
    weights, root = train(host, cpu, "cpu")
    shutil.copytree(os.path.join(cpu, "keys"), os.path.join(cuda, "keys"))
    other_weights, other_root = train(host, cuda, "cuda:" + plugin)
    if len(weights) != 2 or weights != other_weights:
        yield "weights: %s on the CPU, %s on the device" % (weights, other_weights)
    if root != other_root:
        yield "state root: %s on the CPU, %s on the device" % (root, other_root)


def main():
    build = os.path.abspath(sys.argv[1])
    os.environ["PLR_BUILD"] = build
    import host
    plugin = os.path.join(build, "tests", "emulation", "libpluralis-cuda-emulated.so")
    if not os.path.exists(host.TRAIN) or not os.path.exists(plugin):
        print("skip train: this build has no example hosts or no emulation")
        return 0
    scratch = tempfile.mkdtemp()
    try:
        problems = list(compare(host, plugin, scratch))
    except RuntimeError as problem:
        problems = [str(problem)]
    finally:
        shutil.rmtree(scratch)
    for problem in problems:
        print("not ok train: %s" % problem)
    if not problems:
        print("ok train: weights and state root are those of the CPU")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())

"""What the tests of the hosts share: where the programs are, and a small text and model."""
import hashlib
import os
import random
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PLR_BUILD", os.path.join(ROOT, "build", "release"))
TRAIN = os.path.join(BUILD, "examples", "pluralis-train")
SIM_JOB = os.path.join(BUILD, "tests", "sim_job")
CHECKS = os.path.join(BUILD, "examples", "host_checks")

WORDS = ("in the beginning was word and with people they said unto him that he should go up to "
         "city of great king who had made all things new again when day came").split()

# Small and quick: 2 blocks a stage, links that hardly delay.
MODEL = ["--width", "64", "--blocks", "4", "--seq", "32", "--micro-batch", "4", "--lr", "0.01",
         "--delay", "1ms", "--eval-batches", "2", "--sample", "12"]


def write_text(path, size=60000, seed=5):
    rng = random.Random(seed)
    text = ""
    while len(text) < size:
        text += " ".join(rng.choice(WORDS) for _ in range(rng.randrange(5, 14))) + ".\n"
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def train(*arguments, timeout=60):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([TRAIN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


def start(*arguments):
    return subprocess.Popen([TRAIN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers_of(out):
    """Process ids of the stages of the run in this folder, by their number."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace").split("\0")
            with open("/proc/%s/stat" % pid, encoding="ascii", errors="replace") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if "--is-worker" in line and "--out=%s" % out in line and state != "Z":
            number = next(a for a in line if a.startswith("--worker="))
            found[int(number[9:])] = int(pid)
    return found


def wait_for(condition, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited %d s in vain" % seconds)


def points(out, run):
    """Lines of the record: step -> (training loss, validation loss, bytes sent)."""
    result = {}
    try:
        with open(os.path.join(out, run, "record.tsv"), encoding="ascii") as f:
            for line in f:
                field = line.rstrip("\n").split("\t")
                if field[0] == "point" and len(field) == 7:
                    result[int(field[1])] = (field[2], field[3], int(field[4]))
    except FileNotFoundError:
        pass
    return result


def snapshots(out, run, step):
    """Hash of every stage's snapshot of that step."""
    result = {}
    for name in sorted(os.listdir(os.path.join(out, run))):
        if name.endswith("-%d.safetensors" % step):
            with open(os.path.join(out, run, name), "rb") as f:
                result[name] = hashlib.sha256(f.read()).hexdigest()
    return result

"""Finds a Python that has torch and transformers (PyPI) and compares every family with them. PLR_PEERS_PYTHON names it;
else python3 is tried. Prints ok / not ok / skip lines for tests/run."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    named = os.environ.get("PLR_PEERS_PYTHON")
    python = named or "python3"
    probe = "import torch, transformers, safetensors; print(torch.__version__, transformers.__version__)"
    try:
        done = subprocess.run([python, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=600)
    except OSError as error:
        print("skip torch: %s cannot be run: %s" % (python, error))
        return 1 if named else 0
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        print("skip torch: %s has no torch and transformers (%s); PLR_PEERS_PYTHON names another" % (python, last))
        return 0
    print("peers: torch and transformers %s" % done.stdout.strip(), flush=True)
    env = dict(os.environ, PYTHONPATH=os.path.join(ROOT, "bindings", "python"),
               PLURALIS_LIBRARY=os.path.join(ROOT, "build", "release", "lib", "libpluralis.so.0"))
    return subprocess.run([python, os.path.join(ROOT, "tests", "torch", "families.py")], env=env).returncode


if __name__ == "__main__":
    sys.exit(main())

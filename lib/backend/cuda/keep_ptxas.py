"""Runs nvcc and keeps what ptxas says of every kernel (registers, spills, shared memory) in OBJECT.ptxas."""
import os
import re
import shutil
import subprocess
import sys


def main():
    argv = sys.argv[1:]
    ccache = shutil.which("ccache")
    done = subprocess.run(([ccache] if ccache else []) + argv, stderr=subprocess.PIPE, text=True,
                          errors="replace")
    info, other = [], []
    for line in done.stderr.splitlines(True):
        is_info = re.match(r"ptxas info|\s+\d+ bytes stack frame|\s+ptxas \.|^$", line)
        (info if is_info else other).append(line)
    sys.stderr.write("".join(other))
    if done.returncode == 0 and "-o" in argv and argv[argv.index("-o") + 1].endswith(".o") and info:
        with open(argv[argv.index("-o") + 1] + ".ptxas", "w") as f:
            f.write("".join(info))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

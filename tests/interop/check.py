"""Other implementations judge our formats; one line of `ok`, `not ok` or `skip` per check.

Go's golang.org/x/mod/sumdb, which runs the checksum database of Go's modules: notes, trees, records and tiles, both
ways.
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests", "interop")
OURS = os.path.join(ROOT, "build", "release", "tests", "interop_log")
GO_PACKAGES = "/usr/share/gocode"


def report(name, argv, env=None):
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = done.stdout.strip().replace("\n", "; ")
    print("%s %s: %s" % ("ok" if done.returncode == 0 else "not ok", name, text[-500:]), flush=True)
    return done.returncode == 0


def check_go(folder):
    if not shutil.which("go") or not os.path.isdir(GO_PACKAGES + "/src/golang.org/x/mod/sumdb"):
        print("skip go: no go with golang.org/x/mod (Debian: golang-go golang-golang-x-mod-dev)")
        return
    env = dict(os.environ, GO111MODULE="off", GOPATH=GO_PACKAGES, GOFLAGS="", GOCACHE=os.path.join(folder, "cache"))
    theirs = os.path.join(folder, "log")
    if not report("go builds", ["go", "build", "-o", theirs, os.path.join(HERE, "log.go")], env):
        return
    if report("our log is written", [OURS, "write", folder]):
        report("go reads our log", [theirs, "check", folder])
    if report("go's log is written", [theirs, "write", folder]):
        report("we read go's log", [OURS, "check", os.path.join(folder, "theirs.txt")])


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_go(folder)


if __name__ == "__main__":
    sys.exit(main())

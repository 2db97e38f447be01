"""The ABI: exported symbols are those of the map; nothing that the committed baseline promises is gone or different;
the gate that says so bites; the table the bindings are checked with is that of the headers.

tests/abi/renew renews the baseline, with a line in CHANGELOG.md.
"""
import os
import re
import subprocess
import sys
import tempfile

import bite
import gate
import python_layout

RELEASE = os.path.join(gate.ROOT, "build", "release", "lib", "libpluralis.so")
DEBUG = os.path.join(gate.ROOT, "build", "debug", "lib", "libpluralis.so")


def symbols():
    text = open(gate.MAP, encoding="utf-8").read()
    expected = {"%s@@%s" % (name, node) for node, body in re.findall(r"(\w+[\w.]*) \{(.*?)\}", text, re.S)
                for name in re.findall(r"\b(plr_\w+);", body)}
    out = gate.run(["nm", "-D", "--defined-only", "--with-symbol-versions", RELEASE])
    found = {line.split()[-1] for line in out.splitlines() if " A " not in line}
    for name in sorted(expected - found):
        raise gate.Refused("%s is in the map but not exported" % name)
    for name in sorted(found - expected):
        raise gate.Refused("%s is exported but not in the map" % name)
    return "%d" % len(found)


def baseline():
    with tempfile.TemporaryDirectory() as folder:
        new = gate.describe(DEBUG, os.path.join(folder, "new.abi"))
        if gate.architecture(new) != gate.architecture(gate.BASELINE):
            print("skip baseline: made for %s, this is %s" % (gate.architecture(gate.BASELINE),
                                                              gate.architecture(new)))
            return None
        gate.compare(gate.BASELINE, new)
    return "%d lines of promises kept" % len(open(gate.BASELINE, encoding="utf-8").readlines())


def constants():
    promised = gate.constants(open(gate.CONSTANTS, encoding="utf-8").read())
    now = gate.constants()
    for name, value in promised.items():
        if now.get(name) != value:
            raise gate.Refused("%s was %s and is %s" % (name, value, now.get(name, "gone")))
    return "%d promised, %d in the headers" % (len(promised), len(now))


def table():
    gate.run([sys.executable, os.path.join(gate.ROOT, "bindings", "generate.py"), "--check"])
    return "bindings/generate.py has nothing to write"


def python():
    count, bad = python_layout.differences()
    if bad:
        raise gate.Refused("; ".join(bad[:5]))
    return "%d constants, sizes and offsets" % count


def changelog():
    """Whoever renewed the baseline said so."""
    def git(*argv):
        return subprocess.run(["git", "-C", gate.ROOT, *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True).stdout.split()
    files = git("diff", "--name-only", "HEAD")
    if "tests/abi/pluralis.abi" not in files:
        commit = git("log", "-1", "--format=%H", "--", "tests/abi/pluralis.abi")
        if not commit:
            print("skip changelog: no history here")
            return None
        files = git("show", "--format=", "--name-only", "-m", "--first-parent", commit[0])
    if "CHANGELOG.md" not in files:
        raise gate.Refused("tests/abi/pluralis.abi was renewed without a line in CHANGELOG.md")
    return "the baseline and CHANGELOG.md were changed together"


def main():
    bad = 0
    for check in (symbols, baseline, constants, table, python, changelog):
        try:
            said = check()
            if said:
                print("ok %s: %s" % (check.__name__, said))
        except gate.Refused as refused:
            bad = 1
            print("not ok %s: %s" % (check.__name__, refused))
    for name, problem in bite.cases(DEBUG):
        bad = bad or bool(problem)
        print("not ok gate, %s: %s" % (name, problem) if problem else "ok gate, %s" % name)
    return bad


if __name__ == "__main__":
    sys.exit(main())

"""The exported symbols are those of the map, all under its version node; nothing else leaks."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.join(ROOT, "build", "release", "lib", "libpluralis.so")


def exported():
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if " A " not in line}


def main():
    text = open(os.path.join(ROOT, "lib", "pluralis.map"), encoding="utf-8").read()
    expected = {"%s@@%s" % (name, node) for node, body in re.findall(r"(\w+[\w.]*) \{(.*?)\}", text, re.S)
                for name in re.findall(r"\b(plr_\w+);", body)}
    found = exported()
    bad = ["%s is in the map but not exported" % name for name in sorted(expected - found)]
    bad += ["%s is exported but not in the map" % name for name in sorted(found - expected)]
    for line in bad:
        print("not ok symbols: " + line)
    if not bad:
        print("ok symbols: %d" % len(found))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())

"""The ABI: exported symbols are those of the map, all under its version node, and nothing else leaks; what is generated
from the headers is up to date; constants, sizes and offsets are the same in C and in Python."""
import ctypes
import importlib.util
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.join(ROOT, "build", "release", "lib", "libpluralis.so")
LAYOUT = os.path.join(ROOT, "tests", "abi", "layout.txt")


def exported():
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if " A " not in line}


def check_symbols():
    text = open(os.path.join(ROOT, "lib", "pluralis.map"), encoding="utf-8").read()
    expected = {"%s@@%s" % (name, node) for node, body in re.findall(r"(\w+[\w.]*) \{(.*?)\}", text, re.S)
                for name in re.findall(r"\b(plr_\w+);", body)}
    found = exported()
    bad = ["%s is in the map but not exported" % name for name in sorted(expected - found)]
    return len(found), bad + ["%s is exported but not in the map" % name for name in sorted(found - expected)]


def check_generated():
    """The committed files are what bindings/generate.py makes of the headers now; layout.txt asks the compiler."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bindings", "generate.py"), "--check"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    bad = ["%s: run bindings/generate.py and commit what it writes" % line for line in done.stdout.splitlines()]
    return 3, bad or (["generate.py ended with status %d" % done.returncode] if done.returncode else [])


def c_layout():
    """{line without its numbers: numbers} of layout.txt, as C sees it."""
    lines = [line.split() for line in open(LAYOUT, encoding="utf-8").read().splitlines()]
    return {(line[0], line[1]): tuple(int(number) for number in line[2:]) for line in lines}


def python_layout():
    """The same as the ctypes declarations see it; no library is loaded."""
    path = os.path.join(ROOT, "bindings", "python", "pluralis", "_abi.py")
    spec = importlib.util.spec_from_file_location("_abi", path)
    abi = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(abi)
    out = {("constant", name): (getattr(abi, name),) for name in abi.CONSTANTS}
    for value, (name, _) in abi.STATUS.items():
        out["status", name] = (value,)
    for name, kind in abi.STRUCTS.items():
        out["struct", name] = (ctypes.sizeof(kind),)
        for field, _ in kind._fields_:
            out["field", "%s.%s" % (name, field)] = (getattr(kind, field).offset, getattr(kind, field).size)
    return out


def compare(ours, theirs, language):
    """Differences between C and another language."""
    bad = ["%s %s is not in %s" % (*key, language) for key in sorted(ours.keys() - theirs.keys())]
    bad += ["%s %s is not in C" % key for key in sorted(theirs.keys() - ours.keys())]
    return bad + ["%s %s is %r in C, %r in %s" % (*key, ours[key], theirs[key], language)
                  for key in sorted(ours.keys() & theirs.keys()) if ours[key] != theirs[key]]


def check_python():
    ours = c_layout()
    return len(ours), compare(ours, python_layout(), "Python")


def main():
    failed = False
    for check in (check_symbols, check_generated, check_python):
        name, (count, bad) = check.__name__.replace("check_", ""), check()
        for line in bad[:20]:
            print("not ok %s: %s" % (name, line))
        if not bad:
            print("ok %s: %d" % (name, count))
        failed = failed or bool(bad)
    return failed


if __name__ == "__main__":
    sys.exit(main())

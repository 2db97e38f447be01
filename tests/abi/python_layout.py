"""Constants, sizes and offsets are the same in C and in the ctypes declarations."""
import ctypes
import importlib.util
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYOUT = os.path.join(ROOT, "tests", "abi", "layout.txt")


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


def differences():
    """(number of facts compared, what differs)"""
    ours = c_layout()
    return len(ours), compare(ours, python_layout(), "Python")

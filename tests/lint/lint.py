"""Rules of the tree that a compiler does not check. Prints ok / not ok lines for tests/run."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whom; everything may use base. The picture is in lib/README.md.
MAY_USE = {
    "base": set(),
    "tensor": set(),
    "kernels": {"tensor"},
    "backend": {"kernels"},
    "model": {"tensor", "kernels/ops.h"},
    "shard": {"model", "backend", "kernels", "tensor"},
    "exchange": {"tensor", "kernels", "backend"},
    "ledger": set(),
    "stage": {"shard", "exchange", "ledger", "model", "tensor"},
    "audit": {"stage", "shard", "model", "ledger"},
    "plan": {"model", "backend", "exchange"},
    "remote": {"ledger"},
}
BANNED = (r"\b(sprintf|vsprintf|strcpy|strcat|gets|abort|exit|printf|puts|system|time|clock_gettime|"
          r"gettimeofday|rand|malloc|calloc|realloc|free|strtok|alloca)\s*\(")
# Where the host asked for that object: the default allocator and files by path.
BANNED_OK = {"lib/base/memory.c": {"free", "malloc"}, "lib/remote/http.c": {"clock_gettime"}}
MAX_LINES = 650
MAX_COLUMNS = 120


def files(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], cwd=ROOT,
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return [name for name in out.splitlines() if os.path.isfile(os.path.join(ROOT, name))]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def strip_comments(text):
    """Comments and strings become blanks of the same shape, so that line numbers stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_includes():
    for name in files("lib/*.c", "lib/*.h", "lib/*.cu", "lib/*.inc"):
        folder = name.split("/")[1]
        for number, line in enumerate(read(name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match or "/" not in match.group(1):
                continue
            target = match.group(1)
            other = target.split("/")[0]
            if other in (folder, "base") and (other == folder or not target.endswith("_int.h")):
                continue
            if other not in MAY_USE:
                continue
            if target.endswith("_int.h"):
                yield "%s:%d: %s belongs to %s alone" % (name, number, target, other)
            elif other not in MAY_USE[folder] and target not in MAY_USE[folder]:
                yield "%s:%d: %s may not use %s (lib/README.md)" % (name, number, folder, other)


def check_folders():
    for name in files("lib/*.c"):
        if name.split("/")[1] not in MAY_USE:
            yield "%s: folder without a rule in tests/lint/lint.py" % name


GENERATED = {"bindings/python/pluralis/_abi.py"}


def check_sizes():
    for name in files("lib/*.[ch]", "include/*.h", "examples/*.[ch]", "tests/*.[ch]", "bindings/*.py", "tests/*.py"):
        if name in GENERATED:
            continue
        lines = read(name).splitlines()
        if len(lines) > MAX_LINES:
            yield "%s: %d lines; split it (limit %d)" % (name, len(lines), MAX_LINES)
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                yield "%s:%d: %d columns (limit %d)" % (name, number, len(line), MAX_COLUMNS)


def check_banned():
    for name in files("lib/*.c", "lib/*.h"):
        for number, line in enumerate(strip_comments(read(name)).splitlines(), 1):
            for match in re.finditer(BANNED, line):
                before = line[:match.start()]
                if before.endswith((".", "->", "_")) or match.group(1) in BANNED_OK.get(name, ()):
                    continue
                if re.search(r"\(\s*\*\s*$", before):
                    continue
                yield "%s:%d: %s() is not for a library" % (name, number, match.group(1))


def check_marks():
    marks = "TODO|FIX" + "ME|XX" + "X|HA" + "CK|not implem" + "ented|unimplem" + "ented|place" + "holder"
    for name in files("lib", "include", "bindings", "examples", "tests"):
        if name.endswith((".bin", ".png", ".plr")) or "/corpus/" in name or name == "tests/lint/lint.py":
            continue
        try:
            text = read(name)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(%s)\b" % marks, line):
                yield "%s:%d: %s" % (name, number, line.strip()[:80])


def check_map():
    """The symbol map names what the public headers declare, and nothing else, in order."""
    declared = set()
    for name in files("include/*.h"):
        text = strip_comments(read(name))
        declared |= set(re.findall(r"PLR_API\s[^;{]*?\b(plr_\w+)\s*\(", text))
    mapped = re.findall(r"^\s+(plr_\w+);", read("lib/pluralis.map"), re.M)
    for name in sorted(declared - set(mapped)):
        yield "lib/pluralis.map: %s is declared in a header but not exported" % name
    for name in sorted(set(mapped) - declared):
        yield "lib/pluralis.map: %s is exported but in no header" % name
    if mapped != sorted(mapped):
        yield "lib/pluralis.map: names are not in order"


def check_version():
    version = re.search(r"project\(pluralis VERSION (\d+)\.(\d+)\.(\d+)", read("CMakeLists.txt")).groups()
    header = read("include/pluralis/base.h")
    for part, value in zip(("MAJOR", "MINOR", "PATCH"), version):
        if not re.search(r"#define PLR_VERSION_%s %s\b" % (part, value), header):
            yield "include/pluralis/base.h: PLR_VERSION_%s is not %s as in CMakeLists.txt" % (part, value)


def check_docs():
    """Every exported function has a comment that ends with the version it came in."""
    for name in files("include/*.h"):
        text = read(name)
        for match in re.finditer(r"^PLR_API [^;]*?\b(plr_\w+)\s*\(", text, re.M):
            before = text[:match.start()].rstrip()
            block = before[before.rfind("/*"):] if before.endswith("*/") else ""
            # A group of declarations under one comment (create and destroy, a pair of getters) shares it.
            head = re.sub(r"^PLR_API [^;]*;\n?", "", text[:match.start()], flags=re.M).rstrip()
            if not block and not head.endswith("*/") and not head.endswith(";"):
                yield "%s: %s has no comment" % (name, match.group(1))


def check_paths():
    words = ("wo" + "rk", "fa" + "rm", "tm" + "p/wt")
    for name in files("."):
        try:
            text = read(name)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"(?<![\w.])/(%s)/" % "|".join(words), line):
                yield "%s:%d: a path of one machine" % (name, number)


def main():
    bad = 0
    for check in (check_includes, check_folders, check_sizes, check_banned, check_marks, check_map, check_version,
                  check_docs, check_paths):
        problems = list(check())
        label = check.__name__.replace("check_", "")
        if problems:
            bad = 1
            for problem in problems[:20]:
                print("not ok %s: %s" % (label, problem))
        else:
            print("ok %s" % label)
    return bad


if __name__ == "__main__":
    sys.exit(main())

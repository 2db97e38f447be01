"""Compiles and runs the programs in README.md, and checks that the files it links to are there."""
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(argv, folder):
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          env=dict(os.environ, LD_LIBRARY_PATH=os.path.join(ROOT, "build", "release", "lib")))
    return done.returncode, done.stdout


def programs(text, bad):
    found = re.findall(r"<!-- example: (\w+) -->\n```c\n(.*?)```", text, re.S)
    if len(found) < 3:
        bad.append("README.md: examples are missing")
    for name, source in found:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name + ".c")
            with open(path, "w", encoding="utf-8") as f:
                f.write(source)
            argv = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", path, "-o", os.path.join(folder, name),
                    "-I", os.path.join(ROOT, "include"), "-L", os.path.join(ROOT, "build", "release", "lib"),
                    *shlex.split("-lpluralis -lm")]
            status, output = run(argv, folder)
            if not status:
                status, output = run([os.path.join(folder, name)], folder)
        if status:
            bad.append("example %s: status %d: %s" % (name, status, output.strip().replace("\n", " | ")[:800]))
        else:
            print("ok example %s: %s" % (name, output.strip().replace("\n", " | ")))


def links(bad):
    for name in ("README.md", "lib/README.md", "CHANGELOG.md"):
        path = os.path.join(ROOT, name)
        for target in re.findall(r"\]\(([^)#:]+)\)", open(path, encoding="utf-8").read()):
            if not os.path.exists(os.path.join(os.path.dirname(path), target)):
                bad.append("%s links to %s, which is not there" % (name, target))
    print("ok links")


def main():
    bad = []
    programs(open(os.path.join(ROOT, "README.md"), encoding="utf-8").read(), bad)
    links(bad)
    for line in bad:
        print("not ok " + line)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())

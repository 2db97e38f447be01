"""Each public header compiles alone, twice included, in C11, C17 and C++17, by gcc and clang, pedantic."""
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only",
         "-I", os.path.join(ROOT, "include")]


def main():
    folder = os.path.join(ROOT, "include", "pluralis")
    bad = 0
    for compiler, language, standard, extra in (
            ("gcc", "c", "c11", ["-Wc++-compat", "-Wstrict-prototypes"]), ("gcc", "c", "c17", []),
            ("g++", "c++", "c++17", []), ("clang", "c", "c11", ["-Wstrict-prototypes"]), ("clang", "c", "c17", []),
            ("clang++", "c++", "c++17", [])):
        if not shutil.which(compiler):
            print("not ok header: %s is not installed" % compiler)
            bad = 1
            continue
        for header in sorted(os.listdir(folder)):
            source = "#include <pluralis/%s>\n" % header * 2 + "int plr_header_test;\n"
            done = subprocess.run([compiler, "-x", language, "-std=" + standard, *FLAGS, *extra, "-"], input=source,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            name = "%s %s %s" % (header, compiler, standard)
            if done.returncode:
                bad = 1
                print("not ok %s: %s" % (name, done.stdout.strip().replace("\n", " | ")[:600]))
            else:
                print("ok %s" % name)
    return bad


if __name__ == "__main__":
    sys.exit(main())

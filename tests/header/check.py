"""Each public header compiles alone, twice included, in C11, C17, C++11 and C++17, by gcc and clang, pedantic.

Padding in a struct is said by a field, so that the layout is in the text and not up to the compiler.
"""
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wundef", "-Wpadded",
         "-Wwrite-strings", "-Werror", "-fsyntax-only", "-I", os.path.join(ROOT, "include")]
OF_C = ["-Wstrict-prototypes", "-Wmissing-prototypes"]


def main():
    folder = os.path.join(ROOT, "include", "pluralis")
    bad = 0
    for compiler, language, standard, extra in (
            ("gcc", "c", "c11", [*OF_C, "-Wc++-compat"]), ("gcc", "c", "c17", [*OF_C, "-Wc++-compat"]),
            ("g++", "c++", "c++11", []), ("g++", "c++", "c++17", []),
            ("clang", "c", "c11", OF_C), ("clang", "c", "c17", OF_C),
            ("clang++", "c++", "c++11", []), ("clang++", "c++", "c++17", [])):
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

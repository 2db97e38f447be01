"""Looks at the CUDA plugin as nvcc built it, without running it. Prints ok / not ok / skip lines for tests/run.

    check_plugin.py BUILD_DIR [--write]

What it exports and needs; that its PTX has no instruction that is not of profile `exact`; and that every kernel uses
the registers and memory that lib/backend/cuda/RESOURCES.txt says (--write writes that file)."""
import collections
import difflib
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REPORT = os.path.join(ROOT, "lib", "backend", "cuda", "RESOURCES.txt")

# Everything that computes on floating-point numbers, with the one rounding the profile has. Copies, comparisons and
# exact conversions are not arithmetic; floor and ceiling (cvt.rmi, cvt.rpi) are exact.
ARITHMETIC = re.compile(r"^(add|sub|mul|mad|fma|div|rcp|sqrt|rsqrt|sin|cos|lg2|ex2|tanh|cvt|mma|wmma)\b")
ALLOWED = re.compile(r"^(add|sub|mul|fma|div|rcp|sqrt)\.rn\.f(32|64)$|^cvt\.rn\.f(32|64)\.\w+$|^cvt\.f64\.f32$"
                     r"|^cvt\.r[mp]i\.f64\.f64$")


def output(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def check_exports(plugin):
    names = [line.split()[-1] for line in output("nm", "-D", "--defined-only", plugin).splitlines()
             if " A " not in line]
    if names != ["plr_device_plugin_v1@@PLURALIS_PLUGIN_1"]:
        yield "exports %s" % ", ".join(names)


def check_needs(plugin):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", plugin))
    for name in needed:
        if not re.match(r"(libc|libm|libdl|libpthread|librt|ld-linux.*)\.so", name):
            yield "needs %s before a device is found" % name
    if re.search(r"RPATH|RUNPATH", output("readelf", "-d", plugin)):
        yield "has a search path"


def ptx_instructions(plugin):
    with open(plugin, "rb") as f:
        texts = re.findall(rb"\.version \d+\.\d+[^\0]*", f.read())
    for text in texts:
        yield from re.findall(r"^\s*(?:@!?%\w+\s+)?([a-z][\w.:]*)", text.decode("ascii", "replace"), re.M)


def check_ptx(plugin):
    seen = collections.Counter(ptx_instructions(plugin))
    if not seen["fma.rn.f32"]:
        yield "no PTX found in the plugin"
    for name in sorted(seen):
        floating = re.search(r"\.(f16|bf16|tf32|f32|f64)", name)
        if floating and ARITHMETIC.match(name) and not ALLOWED.match(name):
            yield "%s is not an operation of profile exact" % name
        if re.search(r"\.ftz|\.approx|\.full|\.sat", name):
            yield "%s is not exact" % name
        if re.match(r"(atom|red)\b", name) and floating:
            yield "%s: a sum by atomics has no order" % name


def kernel_name(mangled):
    name = output("c++filt", mangled).strip()
    return re.sub(r"^void |\(.*\)$|\(bool\)|\(int\)", "", name.replace("(anonymous namespace)::", ""))


def read_report(build):
    """A line for each kernel and architecture, from what ptxas said."""
    lines = []
    for path in glob.glob(os.path.join(build, "lib/backend/cuda/CMakeFiles/pluralis_cuda.dir/*.ptxas")):
        with open(path) as f:
            text = f.read()
        for name, arch, rest in re.findall(r"Compiling entry function '(\w+)' for '(\w+)'\n((?:(?!.*Compiling).*\n)*)",
                                           text):
            def number(pattern):
                found = re.search(pattern, rest)
                return int(found.group(1)) if found else 0
            spills = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
            lines.append("%-40s %-7s %9d %6d %6d %6d" % (
                kernel_name(name), arch, number(r"Used (\d+) registers"), number(r"(\d+) bytes smem"),
                number(r"(\d+) bytes stack frame"), spills))
    return sorted(lines)


def compiler_version():
    found = re.search(r"release [\d.]+, V([\d.]+)", output("nvcc", "--version"))
    return found.group(1) if found else "unknown"


def committed_report():
    with open(REPORT) as f:
        lines = f.read().splitlines()
    version = re.search(r"nvcc ([\d.]+)", lines[0]).group(1)
    return version, [line for line in lines if line and not line.startswith("#")]


def write_report(lines):
    with open(REPORT, "w") as f:
        f.write("# Resources of every kernel, by nvcc %s; bytes of shared memory, of stack frame and of spills.\n"
                "# Written by tests/cuda/check_plugin.py --write.\n" % compiler_version())
        f.write("# %-38s %-7s %9s %6s %6s %6s\n" % ("kernel", "arch", "registers", "shared", "stack", "spills"))
        f.write("\n".join(lines) + "\n")


def check_resources(lines):
    for line in lines:
        if not line.endswith(" 0"):
            yield "registers spill: %s" % " ".join(line.split())
    _, wanted = committed_report()
    for line in difflib.unified_diff(wanted, lines, "RESOURCES.txt", "this build", lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line


def report(name, problems):
    problems = list(problems)
    for problem in problems[:20]:
        print("not ok %s: %s" % (name, problem))
    if not problems:
        print("ok %s" % name)
    return bool(problems)


def main():
    build = sys.argv[1]
    plugin = os.path.join(build, "lib", "pluralis", "libpluralis-cuda.so")
    if not os.path.exists(plugin):
        print("skip plugin: this build has no CUDA plugin (no nvcc)")
        return 0
    bad = report("exports", check_exports(plugin))
    bad |= report("needs", check_needs(plugin))
    bad |= report("ptx", check_ptx(plugin))
    lines = read_report(build)
    if "--write" in sys.argv:
        write_report(lines)
    version, wanted = committed_report()
    if version != compiler_version():
        print("skip resources: the report is of nvcc %s, this is %s" % (version, compiler_version()))
    elif {line.split()[-5] for line in lines} != {line.split()[-5] for line in wanted}:
        print("skip resources: built for other architectures than the report")
    else:
        bad |= report("resources", check_resources(lines))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

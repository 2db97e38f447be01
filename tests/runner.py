"""Runs test suites and counts their cases; called by tests/run, which has installed the packages."""
import argparse
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = str(os.cpu_count() or 2)


class Result:
    """Cases of one suite. A suite without countable cases counts as one."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.messages = []

    def add(self, other_passed=0, failed=0, skipped=0, message=None):
        self.passed += other_passed
        self.failed += failed
        self.skipped += skipped
        if message:
            self.messages.append(message)


def command(argv, log, env=None, timeout=3000):
    """Runs argv with its output in the log; returns (exit status, output)."""
    merged = dict(os.environ, **(env or {}))
    try:
        done = subprocess.run(argv, cwd=ROOT, env=merged, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, errors="replace", text=True)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        status, output = 124, "%s\ntimed out after %d s\n" % (expired.stdout or "", timeout)
    log.write("$ %s\n%s\n" % (" ".join(argv), output))
    log.flush()
    return status, output


def build(preset, log, result, targets=()):
    for argv in (["cmake", "--preset", preset],
                 ["cmake", "--build", os.path.join("build", preset), "-j", JOBS]
                 + (["--target"] + list(targets) if targets else [])):
        status, output = command(argv, log)
        if status:
            result.add(failed=1, message="build of preset %s failed:\n%s" % (preset, output[-4000:]))
            return False
    return True


SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def ctest(preset, log, result, args=(), env=None):
    """Builds a preset and runs its tests; cases are counted from what cmocka prints."""
    if not build(preset, log, result):
        return
    status, output = command(["ctest", "--test-dir", os.path.join("build", preset), "-V", "--timeout", "900",
                              "--no-tests=error", *args], log, env=dict(SANITIZER_ENV, **(env or {})))
    for kind, count in re.findall(r"\[  (PASSED|FAILED|SKIPPED) +\] (\d+) test\(s\)", output):
        result.add(int(count) if kind == "PASSED" else 0, int(count) if kind == "FAILED" else 0,
                   int(count) if kind == "SKIPPED" else 0)
    fuzz = re.findall(r"(\d+) inputs replayed", output)
    result.add(len(fuzz))
    bad = re.findall(r"^\s*\d+ - (\S+) \((?!Skipped)[^)]*\)", output, re.M)
    if status:
        result.failed = max(result.failed, len(bad), 1)
        tail = [line for line in output.splitlines()
                if re.search(r"FAILED|ERROR|error:|!=|Sanitizer|assert", line)][:40]
        result.add(message="preset %s: %s\n  %s" % (preset, ", ".join(bad) or "ctest failed", "\n  ".join(tail)))
    for reason in sorted(set(re.findall(r"skip(?:ped)?: .*", output, re.I))):
        result.add(message=reason)


def script(path, log, result, *args):
    """A suite of its own: prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`, one a line."""
    status, output = command([sys.executable, os.path.join(ROOT, path), *args], log)
    for line in output.splitlines():
        if line.startswith("ok "):
            result.add(1)
        elif line.startswith("not ok "):
            result.add(failed=1, message=line)
        elif line.startswith("skip "):
            result.add(skipped=1, message=line)
    if status and not result.failed:
        result.add(failed=1, message="%s ended with status %d\n%s" % (path, status, output[-3000:]))
    if not result.passed and not result.failed and not result.skipped:
        result.add(failed=1, message="%s reported nothing" % path)


def unittests(folder, log, result, python=sys.executable):
    status, output = command([python, "-m", "unittest", "discover", "-v", "-s", folder, "-t", folder], log)
    ran = re.search(r"^Ran (\d+) test", output, re.M)
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", output))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", output))
    result.add(int(ran.group(1)) - bad - skipped if ran else 0, bad, skipped)
    for reason in sorted(set(re.findall(r"\.\.\. (skipped .*)", output))):
        result.add(message=reason)
    if status or not ran:
        result.failed = max(result.failed, 1)
        result.add(message=output[-6000:])


def suite_python(log, result):
    """With the system's own interpreter, if there is one: it sees the packages of tests/packages.txt."""
    if build("release", log, result):
        system = "/usr/bin/python3"
        unittests("tests/python", log, result, system if os.access(system, os.X_OK) else sys.executable)


def suite_host(log, result):
    """The example hosts, run as a user runs them."""
    if build("release", log, result):
        unittests("tests/host", log, result)


def suite_net(log, result):
    """Hosts between network namespaces, with an emulated wide-area network in between."""
    if build("release", log, result):
        unittests("tests/net", log, result)


def built_script(*paths):
    """Scripts that need the release build."""
    def suite(log, result):
        if build("release", log, result):
            for path in paths:
                script(path, log, result)
    return suite


def topic(pattern):
    """The C tests of one topic: test_<pattern>_* and the fuzz replays of that name."""
    return lambda log, r: ctest("release", log, r, ["-R", "^(test|fuzz)_(%s)" % pattern])


EXACT = "kernels|exact|base_records"


def aarch64(pattern):
    """These C tests, cross-built, under qemu-user."""
    def suite(log, result):
        status, output = command([os.path.join("tests", "aarch64", "prepare")], log)
        if status:
            result.add(failed=1, message="tests/aarch64/prepare failed:\n%s" % output[-2000:])
            return
        ctest("aarch64", log, result, ["-j", JOBS, "-R", pattern])
    return suite


def suite_exact(log, result):
    """On every instruction set of this machine, then on another one's."""
    topic(EXACT)(log, result)
    aarch64("^test_(%s)" % EXACT)(log, result)


def suite_cuda(log, result):
    """The CUDA plugin on the emulator, the emulator's own tests, and what nvcc made of the plugin."""
    ctest("release", log, result, ["-L", "cuda"])
    if not result.failed:
        script("tests/cuda/check_plugin.py", log, result, os.path.join("build", "release"))
        script("tests/cuda/check_train.py", log, result, os.path.join("build", "release"))


def suite_abi(log, result):
    """The symbols of a release, the types of a build with debug information."""
    if build("release", log, result, ["pluralis"]) and build("debug", log, result, ["pluralis"]):
        script("tests/abi/check.py", log, result)


def valgrind(log, result):
    if not build("debug", log, result):
        return
    folder = os.path.join(ROOT, "build", "debug", "tests")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if re.match(r"test_(base|exchange|link|model|ledger)_", name) and os.access(path, os.X_OK):
            status, output = command(["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", path], log,
                                     env={"PLR_TEST_FULL": "0"}, timeout=1800)
            result.add(0 if status else 1, 1 if status else 0,
                       message=("valgrind %s: %s" % (name, output[-2000:])) if status else None)


# name: (in the default run, function)
SUITES = {
    "lint": (True, lambda log, r: script("tests/lint/lint.py", log, r)),
    "header": (True, lambda log, r: script("tests/header/check.py", log, r)),
    "unit": (True, lambda log, r: ctest("release", log, r, ["-L", "unit"])),
    "sim": (True, lambda log, r: ctest("release", log, r, ["-L", "sim"])),
    "fuzz": (True, lambda log, r: ctest("release", log, r, ["-L", "fuzz"])),
    "abi": (True, suite_abi),
    "install": (True, built_script("tests/install/check.py")),
    "docs": (True, built_script("tests/docs/readme.py", "tests/docs/site.py")),
    "cuda": (True, suite_cuda),
    "python": (True, suite_python),
    "rust": (True, built_script("tests/rust/check.py")),
    "interop": (True, built_script("tests/interop/check.py", "tests/interop/check_vectors.py",
                                     "tests/interop/check_replay.py", "tests/interop/check_nginx.py")),
    "host": (True, suite_host),
    "net": (True, suite_net),
    "clang": (True, lambda log, r: ctest("clang", log, r)),
    "asan": (True, lambda log, r: ctest("asan", log, r)),
    # The bits of another machine: operations, golden vectors and frames, a pinned training run, a ledger's story.
    "aarch64": (True, aarch64("^test_(%s|base|exchange_golden|ledger_export)" % EXACT)),
    "tsan": (True, lambda log, r: ctest("tsan", log, r, ["-R", "base|kernels|shard|stage|sim"])),
    # By topic, for one who works on it: part of `unit`, `python` and so on, so not in the default run.
    "exact": (False, suite_exact),
    "ops": (False, topic("ops|graph")),
    "families": (False, topic("families|weights|safetensors|config")),
    # Against PyTorch and transformers, which are not in Debian at a version of use.
    "torch": (False, built_script("tests/torch/check.py")),
    "snapshot": (False, topic("shard_snapshot|snapshot")),
    "generate": (False, topic("generate|shard_sample")),
    "codec": (False, topic("exchange|codec")),
    "frame": (False, topic("frame")),
    "link": (False, topic("link")),
    "stage": (False, topic("stage|pipeline|shard_delayed")),
    "plan": (False, topic("plan")),
    "ledger": (False, topic("ledger")),
    "aarch64-all": (False, aarch64("^(test|fuzz)_")),
    "tsan-all": (False, lambda log, r: ctest("tsan", log, r)),
    "valgrind": (False, valgrind),
}


def main():
    parser = argparse.ArgumentParser(prog="tests/run")
    parser.add_argument("--only", help="suites, separated by commas")
    parser.add_argument("--full", action="store_true", help="the long ones too")
    parser.add_argument("--list", action="store_true", help="name the suites")
    options = parser.parse_args()
    if options.full:
        os.environ["PLR_TEST_FULL"] = "1"  # tests that have a long form take it
    if options.list:
        print("\n".join(SUITES))
        return 0
    names = options.only.split(",") if options.only else \
        [name for name, (default, _) in SUITES.items() if default or options.full]
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        parser.error("no suite named %s; there are: %s" % (", ".join(unknown), ", ".join(SUITES)))

    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    started, totals, failed = time.time(), Result(), []
    for number, name in enumerate(names, 1):
        print("[%d/%d] %-9s ..." % (number, len(names), name), end="", flush=True)
        result, begin = Result(), time.time()
        log_path = os.path.join("build", "tests-%s.log" % name)
        with open(os.path.join(ROOT, log_path), "w") as log:
            SUITES[name][1](log, result)
        print("\r[%d/%d] %-9s %4d passed %3d failed %3d skipped %7.1f s" %
              (number, len(names), name, result.passed, result.failed, result.skipped, time.time() - begin))
        for message in result.messages:
            print("    " + message.replace("\n", "\n    "))
        totals.add(result.passed, result.failed, result.skipped)
        if result.failed:
            failed.append(name)
            print("    whole output: %s" % log_path)
    print("%s: %d suites, %d passed, %d failed, %d skipped in %.0f s" %
          ("FAILED (%s)" % ", ".join(failed) if failed else "OK", len(names), totals.passed, totals.failed,
           totals.skipped, time.time() - started))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

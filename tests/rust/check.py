"""The Rust crates: what is generated, format and lints, `cargo test --offline`, the tutorial, and that every function
of the library was called. Prints ok / not ok / skip lines for tests/run."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRATES = os.path.join(ROOT, "bindings", "rust")
LIBRARY = os.path.join(ROOT, "build", "release", "lib")
ENV = dict(os.environ, PLURALIS_LIB_DIR=LIBRARY, RUST_BACKTRACE="0", CARGO_TERM_COLOR="never",
           CARGO_NET_OFFLINE="true")


class Failed(Exception):
    pass


def attempt(argv, env=None):
    done = subprocess.run(argv, cwd=CRATES, env=dict(ENV, **(env or {})), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=1200, errors="replace")
    return done.returncode, done.stdout


def run(argv, env=None):
    status, output = attempt(argv, env)
    if status:
        raise Failed("%s: status %d\n%s" % (" ".join(argv), status, output[-6000:]))
    return output


def has(*argv):
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              cwd=CRATES).stdout.strip()
    except OSError:
        return ""


def skip(reason):
    print("skip " + reason)


def generated():
    """bindings.rs is what bindgen makes of the headers."""
    version = has("bindgen", "--version")
    if not version.startswith("bindgen 0.60."):
        return skip("rust generated: bindgen 0.60 is not here (%s)" % (version or "none"))
    run([os.path.join(CRATES, "generate"), "--check"])
    print("ok generated: %s" % version)


def formatted():
    if not has("cargo", "fmt", "--version"):
        return skip("rust format: rustfmt is not here")
    run(["cargo", "fmt", "--all", "--check"])
    print("ok format")


def linted():
    if not has("cargo", "clippy", "--version"):
        return skip("rust clippy: clippy is not here")
    run(["cargo", "clippy", "--offline", "--locked", "--all-targets", "--", "-D", "warnings"])
    print("ok clippy")


def documented():
    """The manual builds without a warning: links lead somewhere. (The crate demands that none is missing.)"""
    run(["cargo", "doc", "--offline", "--locked", "--no-deps", "--quiet", "-p", "pluralis"],
        {"RUSTDOCFLAGS": "-D warnings"})
    print("ok docs")


def no_crates():
    """Nothing but what is in the tree."""
    names = re.findall(r'^name = "(.*)"', open(os.path.join(CRATES, "Cargo.lock"), encoding="utf-8").read(), re.M)
    if names != ["pluralis", "pluralis-sys"]:
        raise Failed("Cargo.lock has %s" % names)
    print("ok no crates")


def tests():
    status, output = attempt(["cargo", "test", "--offline", "--locked", "--workspace", "--no-fail-fast"])
    cases = re.findall(r"^test (.*) \.\.\. (\w+)$", output, re.M)
    for name, result in cases:
        print("%s test %s" % ("ok" if result == "ok" else "not ok", name))
    if status or len(cases) < 80:
        raise Failed("%d tests ran, status %d\n%s" % (len(cases), status, output[-6000:]))


def tutorial():
    """At most sixty lines that do what they say."""
    path = os.path.join(CRATES, "pluralis", "examples", "tutorial.rs")
    lines = len(open(path, encoding="utf-8").read().splitlines())
    if lines > 60:
        raise Failed("%d lines" % lines)
    output = run(["cargo", "run", "--offline", "--locked", "--quiet", "--example", "tutorial"])
    loss = re.search(r"([\d.]+) nats a byte; \"In the beginning", output)
    if not loss or float(loss.group(1)) > 1 or "3 entries, epoch 1, verified" not in output:
        raise Failed(output)
    print("ok tutorial: %d lines: %s" % (lines, output.strip().replace("\n", " | ")))


def lazy():
    """Has functions bound when they are first called, so that the dynamic linker can be asked which were. Rust before
    1.79 has that option among the unstable ones."""
    env = {"CARGO_TARGET_DIR": os.path.join(CRATES, "target", "lazy"), "RUSTFLAGS": "-C relro-level=partial"}
    if not attempt(["rustc", "-C", "relro-level=partial", "--print", "cfg"])[0]:
        return env
    return dict(env, RUSTFLAGS="-Z relro-level=partial", RUSTC_BOOTSTRAP="1")


def installed():
    """Found by pkg-config where it was installed; where it is not, the build says what it looked for."""
    with tempfile.TemporaryDirectory() as prefix:
        run(["cmake", "--install", os.path.join(ROOT, "build", "release"), "--prefix", prefix])
        libdir = next(folder for folder, _, names in os.walk(prefix) if "pluralis.pc" in names)
        env = {"CARGO_TARGET_DIR": os.path.join(prefix, "target"), "PKG_CONFIG_PATH": libdir}
        unset = ["env", "-u", "PLURALIS_LIB_DIR"]
        output = run(unset + ["cargo", "run", "--offline", "--locked", "--quiet", "--example", "tutorial"], env)
        if "verified" not in output:
            raise Failed(output)
        build = ["cargo", "check", "--offline", "--locked", "--quiet"]
        for argv, path, reason in ((unset + build, prefix, "pkg-config does not know pluralis 0.1"),
                                   (build, prefix, "PLURALIS_LIB_DIR is %s, where there is no" % prefix)):
            status, output = attempt(argv, dict(env, PKG_CONFIG_PATH=path, PLURALIS_LIB_DIR=path))
            if not status or "libpluralis not found. " + reason not in output:
                raise Failed("without the library: status %d\n%s" % (status, output))
    print("ok installed")


def programs():
    """The tests of the safe crate, built."""
    output = run(["cargo", "test", "--offline", "--locked", "--no-run", "--message-format=json", "-p", "pluralis"],
                 lazy())
    for line in output.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["profile"]["test"] and "pluralis-sys" not in message["package_id"]:
            yield message["executable"]


def bound(program, argument):
    """Functions of the library that a run of the program called."""
    with tempfile.TemporaryDirectory() as folder:
        run([program, argument], {"LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": os.path.join(folder, "log")})
        text = "".join(open(os.path.join(folder, name), encoding="utf-8", errors="replace").read()
                       for name in os.listdir(folder))
    names = set()
    for source, name in re.findall(r"binding file (\S+) \[0\] to \S*libpluralis\S* \[0\]: normal symbol `(plr_\w+)'",
                                   text):
        if os.path.realpath(source) == os.path.realpath(program):
            names.add(name)
    return names


def every_function():
    """Each exported function stands in the safe crate, and its tests have called it."""
    text = open(os.path.join(ROOT, "lib", "pluralis.map"), encoding="utf-8").read()
    exported = set(re.findall(r"\b(plr_\w+);", text))
    source = ""
    for folder, _, names in os.walk(os.path.join(CRATES, "pluralis", "src")):
        source += "".join(open(os.path.join(folder, name), encoding="utf-8").read() for name in names)
    absent = sorted(exported - set(re.findall(r"\bsys::(plr_\w+)", source)))
    if absent:
        raise Failed("not in the safe crate: %s" % ", ".join(absent))
    built = list(programs())
    early = set().union(*(bound(program, "--list") for program in built))
    if early:
        raise Failed("bound before they are called: %s" % ", ".join(sorted(early)))
    called = set().union(*(bound(program, "--quiet") for program in built))
    if exported - called:
        raise Failed("called by no test: %s" % ", ".join(sorted(exported - called)))
    print("ok every function: %d called" % len(called & exported))


def main():
    if not shutil.which("cargo"):
        print("not ok rust: cargo is not here")
        return 1
    bad = 0
    for check in (generated, formatted, linted, documented, no_crates, tests, tutorial, installed, every_function):
        try:
            check()
        except (Failed, OSError, subprocess.TimeoutExpired) as failure:
            bad = 1
            print("not ok %s: %s" % (check.__name__, str(failure).replace("\n", "\n    ")))
        sys.stdout.flush()
    return bad


if __name__ == "__main__":
    sys.exit(main())

"""Compares the ABI of a library with a committed description of it (abigail-tools).

The description is made from a *skeleton*: a library whose functions are those of the public headers with empty
bodies. It compiles in a blink and holds nothing internal, and the real library must equal it in everything that
crosses the border.

Measured with abidiff 2.2.0, and the reason for the shape of this file:
  - an XML baseline against a library with --headers-dir2 finds *no* difference between any two structs, so both
    sides go through the same abidw, where --headers-dir is sound, and abidiff sees two XML files;
  - a suppression with has_data_member_inserted_at = end also hides a field that was retyped, swapped or removed, so
    what may grow is cut back in the new description instead (see grown), and then nothing at all may differ;
  - without debug information there is nothing to compare and no complaint, so readelf is asked first.
"""
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(ROOT, "include")
MAP = os.path.join(ROOT, "lib", "pluralis.map")
BASELINE = os.path.join(ROOT, "tests", "abi", "pluralis.abi")
CONSTANTS = os.path.join(ROOT, "tests", "abi", "constants.txt")

sys.path.insert(0, os.path.join(ROOT, "bindings"))
import generate  # noqa: E402
import headers  # noqa: E402


class Refused(Exception):
    """The gate is shut, or could not be asked."""


def run(argv, allowed=(0,)):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode not in allowed:
        raise Refused("%s: status %d: %s" % (os.path.basename(argv[0]), done.returncode,
                                             done.stdout.strip().replace("\n", " | ")[-1500:]))
    return done.stdout


def declarations(include):
    folder = os.path.join(include, "pluralis")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        for found in re.findall(r"^PLR_API ([^;#]+?);", text, re.M):
            yield " ".join(found.split())


def skeleton(folder, include=INCLUDE, symbols=MAP, flags=("-g",)):
    """Builds the skeleton of the headers in `include`; returns the library."""
    source = os.path.join(folder, "skeleton.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#include <pluralis/pluralis.h>\n")
        for line in declarations(include):
            f.write(line + (" {}\n" if line.startswith("void plr_") else " { return 0; }\n"))
    library = os.path.join(folder, "skeleton.so")
    run(["gcc", "-std=c11", "-O0", "-w", "-fPIC", "-shared", "-fvisibility=hidden", *flags, "-I", include,
         "-ffile-prefix-map=%s=." % folder, source, "-o", library, "-Wl,--version-script=" + symbols,
         "-Wl,-soname,libpluralis.so.0"])
    return library


def describe(library, out, include=INCLUDE):
    """Writes what crosses the border of a library built with -g."""
    if not re.search(r"\.debug_info\s", run(["readelf", "-SW", library])):
        raise Refused("%s has no .debug_info: nothing would be compared" % os.path.basename(library))
    run(["abidw", "--headers-dir", include, "--drop-private-types", "--exported-interfaces-only",
         "--no-parameter-names", "--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", "--no-elf-needed",
         "--type-id-style", "hash", "--out-file", out, library])
    return out


def size_first(struct):
    """Structs that say how much of them the caller knows."""
    member = struct.find("data-member")
    return member is not None and member.find("var-decl").get("name") == "struct_size"


def grown(old, new):
    """Takes out of the description `new` what the contract lets grow, and nothing else: fields past the old end of a
    struct that starts with struct_size, and further enumerators. (Added functions: --no-added-syms.)"""
    before = {s.get("name"): s for s in xml.parse(old).iter("class-decl") if s.get("size-in-bits")}
    enums = {e.get("name"): {v.get("name") for v in e.findall("enumerator")}
             for e in xml.parse(old).iter("enum-decl")}
    tree = xml.parse(new)
    for struct in tree.iter("class-decl"):
        earlier = before.get(struct.get("name"))
        if earlier is None or not struct.get("size-in-bits") or not size_first(earlier):
            continue
        end = int(earlier.get("size-in-bits"))
        if int(struct.get("size-in-bits")) > end:
            struct.set("size-in-bits", str(end))
            for member in struct.findall("data-member"):
                if int(member.get("layout-offset-in-bits")) >= end:
                    struct.remove(member)
    for enum in tree.iter("enum-decl"):
        for value in enum.findall("enumerator"):
            if enum.get("name") in enums and value.get("name") not in enums[enum.get("name")]:
                enum.remove(value)
    tree.write(new)


def compare(old, new):
    """Raises Refused when anything in `old` is gone or different in `new`."""
    grown(old, new)
    run(["abidiff", "--no-added-syms", "--harmless", old, new])


def architecture(description):
    return xml.parse(description).getroot().get("architecture")


def constants(text=None):
    """Name and value of every constant and status, of the headers unless a text is given; abidiff sees no macros."""
    lines = (generate.layout(headers.read()) if text is None else text).splitlines()
    pairs = [line.split()[1:] for line in lines if line.startswith(("constant ", "status "))]
    return {name: value for name, value in pairs if not name.startswith("PLR_VERSION_")}

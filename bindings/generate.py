"""Writes what is generated from the public headers:

  bindings/python/pluralis/_abi.py       ctypes declarations
  bindings/python/pluralis/_records.py   what the library reports, as named tuples
  tests/abi/layout.txt                   every constant, and size and offsets of every public struct, as C sees them

`generate.py --check` writes nothing and fails when a committed file differs from what would be written.
"""
import os
import subprocess
import sys
import tempfile

import headers

ROOT = headers.ROOT

SCALARS = {
    "void": "None", "char": "c_char", "int8_t": "c_int8", "uint8_t": "c_uint8", "int16_t": "c_int16",
    "uint16_t": "c_uint16", "int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64",
    "uint64_t": "c_uint64", "size_t": "c_size_t", "float": "c_float", "double": "c_double", "plr_status": "c_int32",
}


def ctype(kind, structs, parameter=False):
    """ctypes name of a C type. Data pointers are c_void_p, which takes bytes, arrays and byref alike."""
    base = kind.replace("const ", "").replace("struct ", "").strip()
    if not base.endswith("*"):
        if base in structs:
            return base
        return SCALARS[base]
    target = base.rstrip("*").strip()
    depth = len(base) - len(base.rstrip("*"))
    if depth == 2:
        return "POINTER(c_void_p)" if parameter else "c_void_p"
    if target in structs:
        return "POINTER(%s)" % target
    if target == "char" and kind.startswith("const"):
        return "c_char_p"
    return "c_void_p"


def python_module(api):
    structs = [name for name, _ in api.structs]
    out = ['"""ctypes declarations of libpluralis, generated from include/pluralis by bindings/generate.py."""',
           "# pylint: skip-file",
           "from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int16, c_int32,",
           "                    c_int64, c_int8, c_size_t, c_uint16, c_uint32, c_uint64, c_uint8, c_void_p)", "",
           "STATUS = {"]
    out += ["    %d: (%r, %r)," % (value, name, text) for name, value, text in api.status]
    out += ["}"]
    out += ["%s = %d" % (name, value) for name, value, _ in api.status]
    out += [""] + ["%s = %d" % (name, value) for name, value in api.constants]
    for name, fields in api.structs:
        lines = []
        for field, kind, length in fields:
            if isinstance(kind, tuple):
                callback = "%s_%s_fn" % (name, field)
                # Pointers come to a callback as addresses: a char * need not end with the NUL ctypes would read to.
                parameters = ["c_void_p" if p == "callback" or p.endswith("*") else ctype(p, structs)
                              for p in kind[2]]
                out += ["", "%s = CFUNCTYPE(%s)" % (callback, ", ".join(
                    [ctype(kind[1], structs)] + parameters))]
                lines.append("        (%r, %s)," % (field, callback))
                continue
            text = ctype(kind, structs)
            lines.append("        (%r, %s)," % (field, "%s * %d" % (text, length) if length else text))
        out += ["", "", "class %s(Structure):" % name, "    _fields_ = ["] + lines + ["    ]"]
    out += ["", "", "# name: (result, parameters)", "FUNCTIONS = {"]
    for name, result, parameters, _ in api.functions:
        kinds = ["c_void_p" if array and kind.replace("const ", "").strip() not in structs
                 else ("POINTER(%s)" % kind.replace("const ", "").strip() if array
                       else ctype(kind, structs, True)) for _, kind, array in parameters]
        line = "    %r: (%s, [%s])," % (name, ctype(result, structs), ", ".join(kinds))
        if len(line) > 118:
            line = "    %r: (%s, [\n        %s])," % (name, ctype(result, structs), ", ".join(kinds))
        out.append(line)
    out += ["}", "", "# name: struct, for the layout test", "STRUCTS = {"]
    out += ["    %r: %s," % (name, name) for name in structs]
    out += ["}", "CONSTANTS = ["] + ["    %r," % name for name, _ in api.constants] + ["]", ""]
    return "\n".join(out)


# Structs that the library fills in, and what they are called in Python.
RECORDS = {
    "plr_codec": "Codec", "plr_model_info": "ModelInfo", "plr_frame_info": "FrameInfo", "plr_link_stats": "LinkStats",
    "plr_encoder_stats": "EncoderStats",
    "plr_job_info": "JobInfo", "plr_stage_stats": "StageStats", "plr_ledger_summary": "LedgerSummary",
    "plr_model_totals": "ModelTotals", "plr_mirror_stats": "MirrorStats", "plr_balance": "Balance",
    "plr_snapshot_info": "SnapshotInfo",
    "plr_plan_info": "PlanInfo", "plr_plan_stage": "PlanStage",
}
PLAIN = {"float": "float", "double": "float"}


def record_field(struct, field, kind, length):
    """(type, expression) of a field of a record."""
    base = kind.replace("const ", "").strip()
    if base in RECORDS:
        return RECORDS[base], "%s.of(c.%s)" % (RECORDS[base], field)
    if base == "plr_units":
        return "int", "c.%s.lo | c.%s.hi << 64" % (field, field)
    if base == "plr_hash" or (base == "uint8_t" and length):
        return "bytes", "bytes(c.%s)" % field
    if length or base not in SCALARS:
        raise SystemExit("%s.%s: a record cannot hold a %s" % (struct, field, kind))
    return PLAIN.get(base, "int"), "c.%s" % field


def records_module(api):
    out = ['"""What the library reports, as named tuples; generated from include/pluralis by bindings/generate.py."""',
           "# pylint: skip-file", "from typing import NamedTuple"]
    structs = dict(api.structs)
    for struct, name in RECORDS.items():
        fields = [(field, *record_field(struct, field, kind, length)) for field, kind, length in structs[struct]
                  if field not in ("struct_size", "reserved")]
        out += ["", "", "class %s(NamedTuple):" % name,
                '    """%s of <pluralis/%s>, which says what the fields mean."""' % (struct, api.origin[struct]), ""]
        out += ["    %s: %s" % (field, kind) for field, kind, _ in fields]
        out += ["", "    @classmethod", "    def of(cls, c):", "        return cls("]
        out += ["            %s," % expression for _, _, expression in fields] + ["        )"]
    return "\n".join(out) + "\n"


def layout(api):
    """Asks the C compiler, so that the table is the truth and not this program's idea of it."""
    source = ["#include <pluralis/pluralis.h>", "#include <stdio.h>", "#include <stddef.h>", "int main(void) {"]
    source += ['  printf("constant %s %%s%%llu\\n", %s < 0 ? "-" : "", (unsigned long long)(%s < 0 ? -%s : %s));'
               % ((name,) * 5) for name, _ in api.constants]
    source += ['  printf("status %s %%d\\n", (int)%s);' % (name, name) for name, _, _ in api.status]
    for name, fields in api.structs:
        source += ['  printf("struct %s %%zu\\n", sizeof(%s));' % (name, name)]
        source += ['  printf("field %s.%s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));'
                   % (name, field, name, field, name, field) for field, _, _ in fields]
    source += ["  return 0;", "}", ""]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layout.c")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(source))
        program = os.path.join(folder, "layout")
        subprocess.run(["cc", "-std=c11", "-DPLR_STATIC", "-I", os.path.join(ROOT, "include"), path, "-o", program],
                       check=True)
        return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout


def outputs():
    api = headers.read()
    package = os.path.join("bindings", "python", "pluralis")
    return {os.path.join(package, "_abi.py"): python_module(api),
            os.path.join(package, "_records.py"): records_module(api),
            os.path.join("tests", "abi", "layout.txt"): layout(api)}


def main():
    stale = []
    for name, text in outputs().items():
        path = os.path.join(ROOT, name)
        old = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                old = f.read()
        if old != text:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
    for name in stale:
        print("%s %s" % ("differs:" if "--check" in sys.argv[1:] else "wrote", name))
    return bool(stale) and "--check" in sys.argv[1:]


if __name__ == "__main__":
    sys.exit(main())

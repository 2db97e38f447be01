"""Reads the public headers: constants, structs and functions, in the order they are declared.

The headers keep to a small part of C (fixed-width integers, no bit-fields, no varargs), which is all that is
understood here; anything else stops the generator with the line it did not understand.
"""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "include", "pluralis")


class Api:
    """What the headers declare."""

    def __init__(self):
        self.constants = []  # (name, value): integers
        self.status = []     # (name, value, text)
        self.structs = []    # (name, [(field, type, array length or 0)])
        self.handles = []    # opaque struct names
        self.origin = {}     # struct: name of its header
        self.functions = []  # (name, return type, [(parameter, type, is array)], comment)


def header_names():
    """Every header once, those it includes first."""
    order = []

    def visit(name):
        if name in order:
            return
        with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
            text = f.read()
        for other in re.findall(r"#include <pluralis/([\w.]+)>", text):
            visit(other)
        order.append(name)

    for name in sorted(os.listdir(FOLDER)):
        visit(name)
    return [name for name in order if name != "pluralis.h"]


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def read_constants(text, api):
    values = dict(api.constants)
    text = re.sub(r"\\[ \t]*\n", " ", text)  # continued lines
    for name, raw in re.findall(r"^[ \t]*#[ \t]*define (PLR_\w+)[ \t]+([^\n]+)$", text, re.M):
        raw = raw.strip()
        number = re.fullmatch(r"\(?(-?(?:0x[0-9a-fA-F]+|\d+))(?:[uU]?[lL]{0,2})\)?", raw)
        if number:
            api.constants.append((name, int(number.group(1), 0)))
        elif raw == "UINT64_MAX":
            api.constants.append((name, 2 ** 64 - 1))
        elif raw in values:
            api.constants.append((name, values[raw]))
        elif not re.match(r"__attribute__|$", raw) and name not in ("PLR_API",):
            raise SystemExit("constant %s: cannot read %r" % (name, raw))


def split_type(declaration):
    """("const uint8_t *", "name", array length text or None) of one declarator."""
    match = re.fullmatch(r"(.*?[\s*])(\w+)\s*(?:\[([^\]]*)\])?", declaration.strip(), re.S)
    if not match:
        raise SystemExit("cannot read the declaration %r" % declaration)
    kind = re.sub(r"\s+", " ", match.group(1)).strip()
    return re.sub(r"\s*\*", " *", kind).replace("* *", "**"), match.group(2), match.group(3)


def array_length(text, api):
    return int(text) if text.isdigit() else dict(api.constants)[text]


def read_struct(name, body, api):
    fields = []
    for statement in body.split(";"):
        statement = statement.strip()
        if not statement:
            continue
        callback = re.fullmatch(r"(.*?)\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)", statement, re.S)
        if callback:
            parameters = [split_type(p)[0] if "(" not in p else "callback"
                          for p in split_parameters(callback.group(3))]
            fields.append((callback.group(2), ("callback", callback.group(1).strip(), parameters), 0))
            continue
        first, *others = statement.split(",")
        kind, field, length = split_type(first)
        fields.append((field, kind, array_length(length, api) if length else 0))
        for other in others:
            match = re.fullmatch(r"\s*(\**)\s*(\w+)\s*(?:\[(\w+)\])?\s*", other)
            base = re.sub(r" \*+$", "", kind)
            fields.append((match.group(2), base + (" " + match.group(1) if match.group(1) else ""),
                           array_length(match.group(3), api) if match.group(3) else 0))
    api.structs.append((name, fields))


def split_parameters(text):
    """At the commas that are not inside parentheses."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append(current)
            current = ""
        else:
            current += character
    if current.strip() and current.strip() != "void":
        parts.append(current)
    return parts


def read_functions(raw, api):
    for match in re.finditer(r"^PLR_API ([^;]*?)\b(plr_\w+)\s*\(([^;]*)\);", raw, re.M | re.S):
        result = re.sub(r"\s+", " ", match.group(1)).strip()
        parameters = []
        for parameter in split_parameters(without_comments(match.group(3))):
            kind, name, length = split_type(parameter)
            parameters.append((name, kind, length is not None))
        before = raw[:match.start()].rstrip()
        comment = before[before.rfind("/*"):] if before.endswith("*/") else ""
        comment = re.sub(r"^\s*/?\*+/?|\*/$", "", comment, flags=re.M)
        comment = re.sub(r"[ \t]+", " ", comment).strip()
        api.functions.append((match.group(2), result, parameters, comment))


def read():
    api = Api()
    for name in header_names():
        with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
            raw = f.read()
        text = without_comments(raw)
        if name == "status.h":
            for status, value, message in re.findall(r"X\((PLR_\w+), (-?\d+), \"([^\"]*)\"\)", text):
                api.status.append((status, int(value), message))
            continue
        read_constants(text, api)
        for match in re.finditer(r"typedef struct (\w+) (?:\{(.*?)\} )?\1;", text, re.S):
            if match.group(2) is None:
                api.handles.append(match.group(1))
            else:
                read_struct(match.group(1), match.group(2), api)
                api.origin[match.group(1)] = name
        read_functions(raw, api)
    return api

"""Shows that the gate bites: the public headers are changed, one change a case, and the gate must refuse those that
break a program built before and let pass those that do not."""
import os
import re
import shutil
import tempfile

import gate

STEPS = r"^PLR_API uint64_t plr_shard_steps"
TAIL = (r"^} plr_shard_options;", "  uint64_t added;\n} plr_shard_options;")

# (what is done, passes, header, (pattern, replacement)..., names added to the symbol map, names taken out)
CASES = (
    ("nothing", True, "shard.h", (), "", ""),
    ("comments", True, "shard.h", ((r"\A", "/* More words. */\n"),), "", ""),
    ("function added", True, "shard.h",
     ((STEPS, "PLR_API plr_status plr_shard_new(plr_shard *shard);\nPLR_API uint64_t plr_shard_steps"),),
     "plr_shard_new", ""),
    ("field added at the end of a struct that says its size", True, "shard.h", (TAIL,), "", ""),
    ("enumerator added", True, "status.h", ((r"  X\(PLR_ERR_CORRUPT", '  X(PLR_ERR_NEW, -250, "new") \\\\\n\\g<0>'),),
     "", ""),
    ("function removed", False, "shard.h", ((STEPS + r"[^;]*;", ""),), "", "plr_shard_steps"),
    ("return type changed", False, "shard.h", ((STEPS, "PLR_API uint32_t plr_shard_steps"),), "", ""),
    ("parameter type changed", False, "stage.h", ((r"uint64_t until_step", "uint32_t until_step"),), "", ""),
    ("const taken from a handle", False, "shard.h", ((r"plr_shard_steps\(const ", "plr_shard_steps("),), "", ""),
    ("enumerator renumbered", False, "status.h", ((r"LIMIT, -4,", "LIMIT, -44,"),), "", ""),
    ("field inserted in the middle", False, "shard.h", ((r"uint32_t slots;", "uint64_t middle;\n  uint32_t slots;"),),
     "", ""),
    ("fields swapped", False, "shard.h", ((r"first_block, end_block;", "end_block, first_block;"),), "", ""),
    ("field removed", False, "shard.h", ((r"uint32_t inference_only;", ""),), "", ""),
    ("field renamed", False, "shard.h", ((r"uint32_t slots;", "uint32_t places;"),), "", ""),
    ("field of another kind, same size", False, "shard.h", ((r"uint32_t slots;", "float slots;"),), "", ""),
    ("field added at the end, another retyped", False, "shard.h", (TAIL, (r"uint32_t slots;", "float slots;")),
     "", ""),
    ("frozen struct grown", False, "tensor.h", ((r"^} plr_tensor;", "  int64_t more;\n} plr_tensor;"),), "", ""),
    ("array of a struct resized", False, "tensor.h", ((r"PLR_MAX_DIMS 4", "PLR_MAX_DIMS 5"),), "", ""),
    ("struct inside a struct changed", False, "exchange.h", ((r"uint16_t group;", "uint32_t group;"),), "", ""),
    ("callback's parameter changed", False, "io.h", ((r"uint64_t offset, void \*buf", "uint32_t offset, void *buf"),),
     "", ""),
    ("what a pointer points to changed", False, "ledger.h", ((r"const uint64_t \*costs", "const uint32_t *costs"),),
     "", ""),
)


def patched(folder, header, edits, added, removed):
    """A copy of the public headers and of the symbol map with the edits; returns their paths."""
    include, symbols = os.path.join(folder, "include"), os.path.join(folder, "symbols.map")
    shutil.copytree(gate.INCLUDE, include)
    path = os.path.join(include, "pluralis", header)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
        if not count:
            raise gate.Refused("%s has nothing like %s any more" % (header, pattern))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    with open(gate.MAP, encoding="utf-8") as f:
        text = f.read()
    if added:
        text = text.replace("local:", "  %s;\n  local:" % added, 1)
    if removed:
        text = re.sub(r"\s%s;" % removed, "", text)
    with open(symbols, "w", encoding="utf-8") as f:
        f.write(text)
    return include, symbols


def verdict(old, new):
    try:
        gate.compare(old, new)
        return True
    except gate.Refused:
        return False


def cases(library):
    """Yields (name, problem or None). Both directions a change is met in: the changed headers against the baseline,
    and the real library against a baseline made from the changed headers (for changes that break; a function or
    field that only the baseline has is a removal)."""
    for name, passes, header, edits, added, removed in CASES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                include, symbols = patched(folder, header, edits, added, removed)
                new = gate.describe(gate.skeleton(folder, include, symbols), os.path.join(folder, "new.abi"), include)
                kept = shutil.copy(new, os.path.join(folder, "kept.abi"))
                if verdict(gate.BASELINE, new) != passes:
                    yield name, "the gate %s" % ("is shut" if passes else "lets it pass")
                    continue
                real = gate.describe(library, os.path.join(folder, "real.abi"))
                if not passes and not removed and verdict(kept, real):
                    yield name, "the real library passes a gate made from the changed headers"
                    continue
                yield name, None
            except gate.Refused as refused:
                yield name, str(refused)
    with tempfile.TemporaryDirectory() as folder:
        try:
            gate.describe(gate.skeleton(folder, flags=()), os.path.join(folder, "new.abi"))
            yield "no debug information", "the gate lets it pass"
        except gate.Refused as refused:
            yield "no debug information", None if ".debug_info" in str(refused) else str(refused)

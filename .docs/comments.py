"""Doxygen's input filter: the headers' plain comments, in the form Doxygen reads.

The headers are written to be read as they are, so what a reader sees from the layout is put into words here:
  - a comment above a declaration is about it, and about those that follow without a blank line or a comment;
  - a comment behind a field or a constant is about that one, and about all names declared on its line;
  - a comment above a struct is about those of its fields that it names;
  - a comment of dashes begins a section; indented text that is no list is shown as it stands;
  - a bare status name (SHAPE, NO_MEMORY) is that of <pluralis/status.h>.
Conditional blocks are for compilers and are left out. Lines are not kept: a warning names the declaration.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pages  # noqa: E402


def status_names(folder):
    with open(os.path.join(folder, "status.h"), encoding="utf-8") as f:
        return {name[len("PLR_ERR_"):]: name for name in re.findall(r"X\((PLR_ERR_\w+),", f.read())}


class Words:
    """Turns the lines of a comment into Doxygen's Markdown."""

    def __init__(self, statuses):
        self.statuses = statuses

    def line(self, text):
        parts = re.split(r"(`[^`]*`)", text)
        for i in range(0, len(parts), 2):
            part = re.sub(r"[\\@]", r"\\\g<0>", parts[i])
            part = part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            part = re.sub(r"\b(?:lib/)[\w/]+\.md\b", self.page, part)
            part = re.sub(r"(?<!&)[*#%]|---?", r"\\\g<0>", part)
            part = re.sub(r"\b[A-Z][A-Z_]+\b", self.status, part)
            parts[i] = re.sub(r"\s*\bSince (\d+\.\d+)\.", r"\n\n@since \1", part)
        return "".join(parts)

    def status(self, match):
        name = self.statuses.get(match.group(0))
        return '@ref %s "%s"' % (name, match.group(0)) if name else match.group(0)

    @staticmethod
    def page(match):
        return '<a href="../%s">%s</a>' % (pages.page_of(match.group(0)), match.group(0))

    def block(self, lines):
        out, i = [], 0
        while i < len(lines):
            if not re.match(r" {2,}\S", lines[i]):
                out.append(re.sub(r"^([-+])", r"\\\1", self.line(lines[i].strip())))
                i += 1
                continue
            end = i
            while end < len(lines) and re.match(r" {2,}\S|$", lines[end]):
                end += 1
            while not lines[end - 1]:
                end -= 1
            if lines[i].lstrip().startswith("- "):
                out += ["", *(("  - " if line.lstrip().startswith("- ") else "    ")
                              + self.line(re.sub(r"^\s*(- )?", "", line)) for line in lines[i:end]), ""]
            else:
                out += ["", "@verbatim", *lines[i:end], "@endverbatim", ""]
            i = end
        return "\n".join(out).strip()


def unframed(comment):
    """The lines of /* ... */ without stars."""
    body = comment[2:-2].rstrip().split("\n")
    return [body[0].strip()] + [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body[1:]]


def without_conditions(text):
    """Drops the include guard and every #if ... #endif."""
    guard = re.search(r"#ifndef (PLURALIS_\w+_H)", text).group(1)
    out, depth = [], 0
    for line in text.split("\n"):
        if guard in line:
            continue
        depth += bool(re.match(r"#\s*if", line))
        if not depth:
            out.append(line)
        if re.match(r"#\s*endif", line):
            depth -= 1
            if depth < 0:  # the guard's
                break
    return "\n".join(line for line in out if not re.match(r"#\s*endif", line))


def expand_table(text):
    """The status table as the enum it makes."""
    rows = re.findall(r'X\((\w+), (-?\d+), "([^"]*)"\)', text)
    if not rows:
        return text
    text = re.sub(r"/\* X\(name, number, text\) \*/\n#define PLR_STATUS_TABLE\(X\)(?:.*\\\n)*.*\n", "", text)
    return re.sub(r"#define PLR_STATUS_ENUM.*\n.*\n#undef.*\n",
                  lambda match: "".join("  %s = %s, /* %s */\n" % row for row in rows), text)


# Fields that mean the same in every struct.
FIELDS = {
    "struct_size": "Bytes of the struct as the caller compiled it; see base.h.",
    "reserved": "0.",
    "user": "The host's, passed through.",
    "PLR_STATUS_FORCE_INT32": "Makes the type 32 bits wide; no function returns it.",
}


class Filter:
    """Goes through a header line by line. A comment is one mark on the line it begins on."""

    MARK = re.compile("\x01(\\d+)\x01")

    def __init__(self, text, statuses):
        self.words = Words(statuses)
        self.out = []
        self.comments = []
        self.above = None     # the comment that the declarations to come are about
        self.leader = None    # the first function it is about
        self.struct = None    # (name, comment) while inside one
        self.open = False     # inside a declaration of several lines
        self.section = False
        text = expand_table(without_conditions(text))
        self.lines = re.sub(r"/\*.*?\*/", self.mark, text, flags=re.S).split("\n")

    def mark(self, match):
        self.comments.append(match.group(0))
        return "\x01%d\x01" % (len(self.comments) - 1)

    def run(self):
        for line in self.joined():
            marks = self.MARK.findall(line)
            code = self.MARK.sub("", line).rstrip()
            if marks and not code.strip():
                self.comment(self.comments[int(marks[0])])
            elif marks:
                self.behind(code, self.words.block([text.strip() for text in unframed(self.comments[int(marks[0])])]))
            else:
                self.code(code)
        if self.section:
            self.out.append("/** @} */")
        return "\n".join(self.out) + "\n"

    def joined(self):
        """The lines, those of one field put together."""
        held, inside = "", False
        for line in self.lines:
            code = self.MARK.sub("", line).rstrip()
            inside = bool(code.startswith("typedef struct") and code.endswith("{")) or inside and code[:1] != "}"
            if inside and code.startswith("  ") and not code.endswith(";"):
                held += " " + line.strip() if held else line.rstrip()
                continue
            yield held + " " + line.strip() if held else line
            held = ""

    def comment(self, text):
        dashes = re.match(r"/\* -{3,} (.*?) -{3,} \*/", text)
        if not self.out:
            self.out.append("/** @file\n%s */" % self.words.block(unframed(text)))
        elif dashes:
            self.out.append("%s/** @name %s\n@{ */" % ("/** @} */\n" if self.section else "", dashes.group(1)))
            self.section = True
        else:
            self.above, self.leader = self.words.block(unframed(text)), None

    def behind(self, code, text):
        """A comment behind code, for each name on the line."""
        several = re.match(r"(\s+)((?:const )?\w+ )([^(]*,[^(]*);$", code)
        for name in several.group(3).split(",") if several else ():
            self.out.append("%s%s%s; /**< %s */" % (several.group(1), several.group(2), name.strip(), text))
        if not several:
            self.out.append("%s /**< %s */" % (code, text))
        self.open = False

    def field(self, code):
        """A field without a comment of its own."""
        name, about = self.struct
        field = re.search(r"\(\*(\w+)\)|(\w+)(?:\[\w+\])?(?: = \w+)?[;,]?$", code)
        field = field and (field.group(1) or field.group(2))
        if field in FIELDS:
            self.behind(code, FIELDS[field])
        elif field and re.search(r"\b%s\b" % field, about or ""):
            self.behind(code, "See @ref %s." % name)
        else:
            self.out.append(code)

    def code(self, code):
        beginning = re.match(r"typedef (?:struct|enum) (\w+) \{$", code)
        if not code.strip():
            self.above = None
        elif code.startswith("}"):
            self.struct = None
        elif self.struct:
            self.field(code)
            return
        elif not self.open and not code.startswith("#include"):
            self.declaration(code)
        self.open = bool(code.strip()) and not code.startswith("#") and not code.endswith((";", "{"))
        if beginning:
            self.struct = (beginning.group(1), self.above)
            self.above = None
        self.out.append(code)

    def declaration(self, code):
        function = re.match(r"PLR_API .*?(plr_\w+)\(", code)
        if self.above and self.leader and function and function.group(1).endswith("_destroy"):
            self.out.append("/** Goes with @ref %s; NULL does nothing. */" % self.leader)
        elif self.above:
            self.out.append("/** %s */" % self.above)
        if function and not self.leader:
            self.leader = function.group(1)


def main_page(folder):
    lines = ['  - @ref %s "%s": %s' % (name, name, brief) for name, brief in pages.headers(folder)]
    return "/** @mainpage API\nThe public headers, in reading order.\n\n%s */\n" % "\n".join(lines)


def main():
    path = sys.argv[1]
    folder = os.path.dirname(path)
    with open(path, encoding="utf-8") as f:
        sys.stdout.write(Filter(f.read(), status_names(folder)).run())
    if os.path.basename(path) == "pluralis.h":
        sys.stdout.write(main_page(folder))


if __name__ == "__main__":
    main()

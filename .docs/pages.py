"""What the site consists of: the Markdown files of the tree, and the public headers in reading order."""
import os
import re


def sources(root):
    """Paths of all Markdown files, but those of builds and hidden folders."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not re.match(r"\.|build|target$|out$|__pycache__", name)]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(".md")]
    return sorted(found)


def page_of(path):
    """README.md is the index, lib/exchange/FRAME.md is lib-exchange-FRAME.html."""
    return "index.html" if path == "README.md" else path[:-len(".md")].replace("/", "-") + ".html"


def groups(paths):
    """Menu: (heading, paths). A README says how a part is built, another file of lib/ is a specification."""
    def kind(path):
        if not path.startswith("lib/"):
            return "Use"
        return "Library" if path.endswith("README.md") else "Specifications"
    first = ("README.md", "lib/README.md")
    for heading in ("Use", "Library", "Specifications"):
        yield heading, sorted((p for p in paths if kind(p) == heading),
                              key=lambda p: (p not in first, p == "CHANGELOG.md", p))


def headers(folder):
    """(name, what it is about) in the order that pluralis.h includes them, those they need first."""
    order = []

    def text_of(name):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            return f.read()

    def visit(name):
        if name not in order:
            for other in re.findall(r"#include <pluralis/([\w.]+)>", text_of(name)):
                visit(other)
            order.append(name)

    visit("pluralis.h")
    for name in order:
        first = re.match(r"/\* libpluralis: (.*?)(?:\*/|\n \*\n|\n \*/)", text_of(name), re.S).group(1)
        yield name, re.split(r"(?<=[.;]) ", " ".join(re.sub(r"\n \*", " ", first).split()))[0].rstrip(".;")

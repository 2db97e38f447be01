"""Builds the documentation site around Doxygen's API pages: build.py OUT VERSION.

Every Markdown file of the tree is a page; README.md is the index. What the text names in `code` is a link when there
is a page for it: a Markdown file by its path, a function or type by its name.
"""
import html
import os
import re
import sys
import xml.etree.ElementTree as xml

import markdown

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)
import pages  # noqa: E402

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title>
<link rel="stylesheet" href="style.css">
<nav>
<p><a class="home" href="index.html">libpluralis</a> %(version)s</p>
%(menu)s
</nav>
<main>
%(body)s
</main>
</html>
"""


def title_of(text):
    return re.search(r"^# (.+)$", text, re.M).group(1)


def api_names(out):
    """name: page#anchor, from Doxygen's tag file."""
    names = {}
    for compound in xml.parse(os.path.join(out, "api.tag")).getroot():
        page, name = compound.findtext("filename"), compound.findtext("name")
        if compound.get("kind") == "struct":
            names[name] = "api/" + page
        for member in compound.findall("member"):
            if member.get("kind") in ("function", "typedef", "define", "enumeration") and compound.get("kind") == "file":
                names.setdefault(member.findtext("name"), "api/%s#%s" % (member.findtext("anchorfile"),
                                                                         member.findtext("anchor")))
                for value in member.findall("enumvalue"):
                    names[value.text] = "api/%s#%s" % (value.get("file"), value.get("anchor"))
    return names


def headers(out):
    """(page, name, what it is about) of the public headers in reading order."""
    for name, brief in pages.headers(os.path.join(ROOT, "include", "pluralis")):
        page = "api/%s" % name.replace("_", "__").replace(".h", "_8h.html")
        if not os.path.exists(os.path.join(out, page)):
            raise SystemExit("Doxygen made no page of %s" % name)
        yield page, name, brief


def menu(sources, texts, api, here):
    out = []
    for group, paths in pages.groups(sources):
        out.append("<h2>%s</h2>\n<ul>" % group)
        for path in paths:
            page = pages.page_of(path)
            current = ' aria-current="page"' if path == here else ""
            title = "Overview" if path == "README.md" else title_of(texts[path]).replace("`", "")
            out.append('<li><a href="%s"%s>%s</a></li>' % (page, current, html.escape(title)))
        out.append("</ul>")
    out.append('<h2><a href="api/index.html">API</a></h2>\n<ul>')
    out += ['<li><a href="%s">%s</a></li>' % (page, name) for page, name, _ in api]
    out.append("</ul>")
    return "\n".join(out)


def with_blank_lines(text):
    """A list may follow its paragraph at once, as it may on the sites where these files are also read."""
    out, fenced = [], False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        item = re.match(r"([-*]|\d+\.) ", line)
        if item and not fenced and out and out[-1].strip() and not re.match(r"([-*]|\d+\.) |\s", out[-1]):
            out.append("")
        out.append(re.sub(r"^( +)(?=[-*] )", lambda m: m.group(1) * 2, line) if not fenced else line)
    return "\n".join(out)


def link(path, sources, target):
    """Where a link of the file `path` leads on the site; None when there is no page for it."""
    if re.match(r"[a-z]+:|#", target):
        return target
    file, _, anchor = target.partition("#")
    file = os.path.normpath(os.path.join(os.path.dirname(path), file))
    if file not in sources:
        return None
    return pages.page_of(file) + ("#" + anchor if anchor else "")


def body_of(path, text, sources, names):
    body = markdown.markdown(with_blank_lines(text), extensions=["fenced_code", "tables", "toc", "sane_lists"])

    def anchor(match):
        target = link(path, sources, html.unescape(match.group(1)))
        return '<a href="%s">%s</a>' % (html.escape(target), match.group(2)) if target else match.group(2)

    def code(match):
        word = html.unescape(match.group(1))
        target = names.get(word.rstrip("()"))
        if word.endswith(".md"):
            target = next((pages.page_of(p) for p in (word, os.path.normpath(os.path.join(os.path.dirname(path), word)))
                           if p in sources), None)
        return '<a href="%s">%s</a>' % (target, match.group(0)) if target else match.group(0)

    parts = re.split(r"(<pre>.*?</pre>|<a .*?</a>)", body, flags=re.S)
    for i, part in enumerate(parts):
        if part.startswith("<a "):
            parts[i] = re.sub(r'<a href="([^"]*)">(.*)</a>', anchor, part, flags=re.S)
        elif not part.startswith("<pre>"):
            parts[i] = re.sub(r"<code>([^<]*)</code>", code, part)
    return "".join(parts)


def main():
    out, version = sys.argv[1:]
    sources = pages.sources(ROOT)
    texts = {}
    for path in sources:
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            texts[path] = f.read()
    names, api = api_names(out), list(headers(out))
    for path in sources:
        with open(os.path.join(out, pages.page_of(path)), "w", encoding="utf-8") as f:
            f.write(TEMPLATE % {
                "title": html.escape(title_of(texts[path]).replace("`", "")), "version": version,
                "menu": menu(sources, texts, api, path), "body": body_of(path, texts[path], sources, names)})
    with open(os.path.join(HERE, "style.css"), encoding="utf-8") as f, \
            open(os.path.join(out, "style.css"), "w", encoding="utf-8") as g:
        g.write(f.read())
    print("%d pages and %d headers" % (len(sources), len(api)))


if __name__ == "__main__":
    main()

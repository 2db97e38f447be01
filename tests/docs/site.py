"""The documentation site: the target `docs` builds it without a warning, every link inside it leads somewhere, every
Markdown file and every public function is in it; and the build fails for a declaration without a comment."""
import html.parser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "release")
SITE = os.path.join(BUILD, "docs")


class Failed(Exception):
    pass


def run(argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


class Page(html.parser.HTMLParser):
    """Anchors and links of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), []
        with open(path, encoding="utf-8") as f:
            self.feed(f.read())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def build():
    done = run(["cmake", "--build", BUILD, "--target", "docs"])
    bad = [line for line in done.stdout.splitlines() if re.search(r"warning|error", line)]
    if done.returncode or bad:
        raise Failed("\n".join(bad) or done.stdout)
    return re.search(r"\d+ pages and \d+ headers", done.stdout).group(0)


def links():
    pages, count = {}, 0
    for folder, _, names in os.walk(SITE):
        for name in names:
            if name.endswith(".html"):
                path = os.path.join(folder, name)
                pages[path] = Page(path)
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = urllib.parse.unquote(link).partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
            where = "%s: %s" % (os.path.relpath(path, SITE), link)
            if not os.path.isfile(target):
                raise Failed("%s: there is no such page" % where)
            if anchor and target in pages and anchor not in pages[target].anchors:
                raise Failed("%s: there is no such place on that page" % where)
            count += 1
    return "%d inside %d pages" % (count, len(pages))


def complete():
    """Asks git and the symbol map what there should be."""
    files = run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "*.md"]).stdout.split()
    for name in files:
        page = "index.html" if name == "README.md" else name[:-3].replace("/", "-") + ".html"
        if not os.path.isfile(os.path.join(SITE, page)):
            raise Failed("%s is not in the site" % name)
    documented = {member.findtext("name") for member in xml.parse(os.path.join(SITE, "api.tag")).iter("member")}
    with open(os.path.join(ROOT, "lib", "pluralis.map"), encoding="utf-8") as f:
        functions = re.findall(r"^\s+(plr_\w+);", f.read(), re.M)
    for name in functions:
        if name not in documented:
            raise Failed("%s is not in the API pages" % name)
    return "%d files, %d functions" % (len(files), len(functions))


def without_comment():
    """One comment is taken out, of one declaration of each kind."""
    with tempfile.TemporaryDirectory() as scratch:
        with open(os.path.join(BUILD, ".docs", "Doxyfile"), encoding="utf-8") as f:
            config = f.read().replace(os.path.join(ROOT, "include"), os.path.join(scratch, "include"))
        with open(os.path.join(scratch, "Doxyfile"), "w", encoding="utf-8") as f:
            f.write(re.sub(r"(OUTPUT_DIRECTORY|GENERATE_TAGFILE)( *=) .*", r"\1\2", config))
        for header, before, name in (("shard.h", "PLR_API uint64_t plr_shard_steps", "plr_shard_steps"),
                                     ("tensor.h", "#define PLR_MAX_DIMS", "PLR_MAX_DIMS"),
                                     ("link.h", "typedef struct plr_link_stats", "plr_link_stats"),
                                     ("shard.h", None, "slots")):
            shutil.rmtree(os.path.join(scratch, "include"), ignore_errors=True)
            shutil.copytree(os.path.join(ROOT, "include"), os.path.join(scratch, "include"))
            path = os.path.join(scratch, "include", "pluralis", header)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            if before:
                changed = re.sub(r"/\*(?:(?!\*/).)*\*/\n(?=%s)" % re.escape(before), "", text, flags=re.S)
            else:
                changed = re.sub(r"(uint32_t %s;) */\*.*\*/" % name, r"\1", text)
            if changed == text:
                raise Failed("%s has no comment that could be taken away" % name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(changed)
            done = run(["doxygen", "Doxyfile"], cwd=scratch)
            if not done.returncode or not re.search(r"\b%s\b.* is not documented" % name, done.stdout):
                raise Failed("%s without a comment goes through" % name)
    return "a function, a constant, a struct and a field without one are refused"


def main():
    bad = 0
    for check in (build, links, complete, without_comment):
        try:
            print("ok site, %s: %s" % (check.__name__.replace("_", " "), check()))
        except Failed as failure:
            bad = 1
            print("not ok site, %s: %s" % (check.__name__.replace("_", " "),
                                           str(failure).replace("\n", " | ")[:1500]))
    return bad


if __name__ == "__main__":
    sys.exit(main())

"""Finding and refusing libraries; exceptions."""
import ast
import os
import shutil
import subprocess
import tempfile
import unittest

from support import PACKAGE, python

import pluralis
from pluralis import _abi, errors

IMPORT = "import pluralis; print(pluralis.library_path)"


def fake(folder, name, source):
    """A shared library of this source."""
    path = os.path.join(folder, name)
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=source, text=True, check=True)
    return path


class LoadTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def refused(self, library, *words, **env):
        status, out, err = python(IMPORT, PLURALIS_LIBRARY=library, **env)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("LibraryError", err)
        for word in words:
            self.assertIn(word, err)

    def test_a_named_library(self):
        self.assertEqual(python(IMPORT), (0, pluralis.library_path + "\n", ""))
        self.refused("/nowhere/libpluralis.so", "/nowhere/libpluralis.so", "not there")
        text = os.path.join(self.folder, "text.so")
        with open(text, "w", encoding="utf-8") as f:
            f.write("no library")
        self.refused(text, text)

    def test_versions(self):
        self.assertEqual("%d.%d.%d" % pluralis.version(), pluralis.__version__)

    def test_another_version(self):
        number = _abi.PLR_VERSION_MAJOR << 16 | (_abi.PLR_VERSION_MINOR + 1) << 8 | 3
        path = fake(self.folder, "newer.so", "unsigned plr_version(void) { return %d; }" % number)
        ours = "%d.%d.%d" % (_abi.PLR_VERSION_MAJOR, _abi.PLR_VERSION_MINOR, _abi.PLR_VERSION_PATCH)
        self.refused(path, path, "%d.%d.3" % (_abi.PLR_VERSION_MAJOR, _abi.PLR_VERSION_MINOR + 1), ours)

    def test_missing_functions(self):
        number = _abi.PLR_VERSION_MAJOR << 16 | _abi.PLR_VERSION_MINOR << 8 | 9
        path = fake(self.folder, "less.so", "unsigned plr_version(void) { return %d; }" % number)
        self.refused(path, path, "plr_shard_forward", "plr_ledger_open")
        self.refused(fake(self.folder, "none.so", "int plr_nothing;"), "not libpluralis")

    def test_what_was_tried_is_listed(self):
        shutil.copytree(os.path.join(PACKAGE, "pluralis"), os.path.join(self.folder, "pluralis"))
        self.refused(None, os.path.join(self.folder, "pluralis", "libpluralis.so.0") + ": not there",
                     "libpluralis.so.0: ", "PLURALIS_LIBRARY", PYTHONPATH=self.folder, LD_LIBRARY_PATH="")

    def test_the_packages_own_library_and_the_systems(self):
        package = os.path.join(self.folder, "pluralis")
        shutil.copytree(os.path.join(PACKAGE, "pluralis"), package)
        own = os.path.join(package, "libpluralis.so.0")
        shutil.copy(pluralis.library_path, own)
        where = dict(PLURALIS_LIBRARY=None, PYTHONPATH=self.folder)
        self.assertEqual(python(IMPORT, **where), (0, own + "\n", ""))
        os.rename(own, os.path.join(self.folder, "libpluralis.so.0"))
        self.assertEqual(python(IMPORT, LD_LIBRARY_PATH=self.folder, **where), (0, "libpluralis.so.0\n", ""))

    def test_a_checkout(self):
        status, out, _ = python(IMPORT, PLURALIS_LIBRARY=None)
        self.assertEqual(status, 0)
        self.assertIn(os.path.join("build", "release", "lib"), out)


class ErrorsTest(unittest.TestCase):
    def test_every_status_has_a_class(self):
        self.assertEqual(set(errors.BY_STATUS), set(_abi.STATUS) - {0})
        for status, kind in errors.BY_STATUS.items():
            expected = errors.CallerError if status > -100 else errors.EnvironmentFault if status > -200 else \
                errors.DataError if status > -300 else errors.FatalError
            self.assertTrue(issubclass(kind, expected), kind)
        for status, kind in ((-99, errors.CallerError), (-150, errors.EnvironmentFault), (-299, errors.DataError),
                             (-399, errors.FatalError)):
            self.assertIs(type(errors.failure(status)), kind)  # of a newer library
            self.assertIn(str(-status), str(errors.failure(status)))

    def test_what_it_carries(self):
        error = errors.Malformed("bad byte", "frame header", 12)
        self.assertEqual((error.status, error.name, error.where, error.offset, error.message),
                         (-200, "PLR_ERR_MALFORMED", "frame header", 12, "bad byte"))
        self.assertEqual(str(error), "PLR_ERR_MALFORMED: frame header: bad byte: at byte 12")
        for kind, bases in ((errors.OutOfMemory, MemoryError), (errors.Malformed, ValueError),
                            (errors.InputOutputError, OSError), (errors.TryAgain, BlockingIOError),
                            (errors.PeerGone, ConnectionError), (errors.NotFound, LookupError)):
            self.assertTrue(issubclass(kind, bases))
            kind()  # bases with different layouts do go together


class SourceTest(unittest.TestCase):
    def files(self):
        for folder, _, names in os.walk(PACKAGE):
            for name in sorted(names):
                if name.endswith(".py") and "build" + os.sep not in folder:
                    yield os.path.join(folder, name)

    def test_python_3_9(self):
        for path in self.files():
            with open(path, encoding="utf-8") as f:
                ast.parse(f.read(), path, feature_version=(3, 9))

    def test_public_names_have_docstrings_and_types(self):
        missing = []
        for path in self.files():
            name = os.path.basename(path)
            if name.startswith("_") or name in ("errors.py", "build_backend.py"):
                continue
            with open(path, encoding="utf-8") as f:
                tree = ast.parse(f.read())
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    missing += ["%s: %s" % (name, node.name)] * (ast.get_docstring(node) is None)
                    missing += ["%s: %s.%s: type" % (name, node.name, m.name) for m in node.body
                                if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")
                                and m.name not in ("check", "take", "guard", "settle", "numpy", "torch")
                                and (m.returns is None)]
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and \
                        hasattr(pluralis, node.name):
                    missing += ["%s: %s" % (name, node.name)] * (ast.get_docstring(node) is None)
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()

"""The wheel, and the tutorial."""
import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

from support import PACKAGE, ROOT, python

import pluralis

BUILD = "import build_backend, sys; print(build_backend.build_wheel(sys.argv[1]))"


def have_pip():
    return subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


class WheelTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def build(self, folder, **env):
        os.makedirs(folder, exist_ok=True)
        done = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=PACKAGE, check=True, text=True,
                              stdout=subprocess.PIPE,
                              env=dict(os.environ, PLURALIS_LIBRARY=os.path.abspath(pluralis.library_path), **env))
        return os.path.join(folder, done.stdout.strip())

    def test_it_is_reproducible_and_whole(self):
        first = self.build(os.path.join(self.folder, "a"))
        second = self.build(os.path.join(self.folder, "b"), TZ="Asia/Tokyo", LC_ALL="C")
        with open(first, "rb") as a, open(second, "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertRegex(os.path.basename(first), r"^pluralis-\d+\.\d+\.\d+-py3-none-linux_\w+\.whl$")
        with zipfile.ZipFile(first) as archive:
            names = archive.namelist()
            record = next(name for name in names if name.endswith("/RECORD"))
            rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
            self.assertEqual([row[0] for row in rows], names)
            for name, digest, size in rows[:-1]:
                data = archive.read(name)
                self.assertEqual((len(data), hashlib.sha256(data).digest()[:3]),
                                 (int(size), base64.urlsafe_b64decode(digest[7:11])))
            with open(pluralis.library_path, "rb") as f:
                self.assertEqual(archive.read("pluralis/libpluralis.so.0"), f.read())
            self.assertIn("pluralis/py.typed", names)

    def installed(self, folder):
        code = "import pluralis; print(pluralis.library_path); print(pluralis.Context().threads)"
        status, out, err = python(code, PYTHONPATH=folder, PLURALIS_LIBRARY=None)
        self.assertEqual((status, out, err), (0, os.path.join(folder, "pluralis", "libpluralis.so.0") + "\n1\n", ""))

    def test_unpacked_it_works(self):
        target = os.path.join(self.folder, "target")
        with zipfile.ZipFile(self.build(self.folder)) as archive:
            archive.extractall(target)
        self.installed(target)

    @unittest.skipUnless(have_pip(), "pip is not installed")
    def test_pip_install_offline(self):
        target = os.path.join(self.folder, "target")
        environment = dict(os.environ, PLURALIS_LIBRARY=os.path.abspath(pluralis.library_path), PIP_NO_INDEX="1",
                           PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore", PIP_NO_CACHE_DIR="1")
        done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", target,
                               os.path.join(ROOT, "bindings", "python")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.installed(target)

    def test_a_missing_library_is_named(self):
        done = subprocess.run([sys.executable, "-c", BUILD, self.folder], cwd=PACKAGE, text=True, check=False,
                              stderr=subprocess.PIPE, env=dict(os.environ, PLURALIS_LIBRARY="/nowhere/lib.so"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/lib.so", done.stderr)

    def test_sdist(self):
        done = subprocess.run([sys.executable, "-c", BUILD.replace("wheel", "sdist"), self.folder], cwd=PACKAGE,
                              text=True, check=True, stdout=subprocess.PIPE)
        self.assertTrue(os.path.exists(os.path.join(self.folder, done.stdout.strip())))


class TutorialTest(unittest.TestCase):
    def test_it_runs(self):
        path = os.path.join(PACKAGE, "tutorial.py")
        with open(path, encoding="utf-8") as f:
            lines = len(f.read().splitlines())
        self.assertLessEqual(lines, 40)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, path], cwd=folder, text=True, check=False, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=120,
                                  env=dict(os.environ, PYTHONPATH=PACKAGE, PLURALIS_LIBRARY=pluralis.library_path))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        loss, size, ledger = done.stdout.splitlines()
        self.assertLess(float(loss.split()[1]), 1.0)
        self.assertIn("In the ", loss)
        self.assertLess(int(size.split()[0]), 4096 / 3)
        self.assertIn("2 entries, 1 model", ledger)


if __name__ == "__main__":
    unittest.main()

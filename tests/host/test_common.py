"""Parts that hosts share, without a run."""
import subprocess
import tempfile
import unittest

import host


class Common(unittest.TestCase):
    def test_checks(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([host.CHECKS, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=60, check=False)
        bad = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
        self.assertEqual((done.returncode, bad), (0, []), done.stdout)
        self.assertGreaterEqual(done.stdout.count("ok "), 12)


if __name__ == "__main__":
    unittest.main()

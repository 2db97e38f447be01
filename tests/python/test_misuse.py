"""Ten thousand random misuse sequences, in a process of its own, so that a crash is seen."""
import os
import subprocess
import sys
import tempfile
import unittest

import support  # noqa: F401  # pylint: disable=unused-import

SEED = 20240
COUNT = 10000


class MisuseTest(unittest.TestCase):
    def test_random_sequences(self):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "misuse.py")
        with tempfile.NamedTemporaryFile() as progress:
            done = subprocess.run([sys.executable, program, str(SEED), str(COUNT), "300", progress.name],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
            reached = progress.read().decode().strip()
        self.assertEqual(done.returncode, 0, "in sequence %s of seed %d: %s" % (reached, SEED, done.stderr[-3000:]))
        self.assertTrue(done.stdout.startswith("%d sequences" % COUNT), done.stdout)
        self.assertEqual(done.stderr, "")
        print(done.stdout.strip(), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()

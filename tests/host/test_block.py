"""The example of a block of one's own: it learns, and its gradients fit."""
import os
import re
import subprocess
import sys
import unittest

import host


class Block(unittest.TestCase):
    def test_example(self):
        env = dict(os.environ, PYTHONPATH=os.path.join(host.ROOT, "bindings", "python"),
                   PLURALIS_LIBRARY=os.path.join(host.BUILD, "lib", "libpluralis.so"))
        done = subprocess.run([sys.executable, os.path.join(host.ROOT, "examples", "block", "block.py")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
                              env=env)
        self.assertEqual(done.returncode, 0, done.stdout)
        losses = [float(x) for x in re.findall(r"loss ([\d.]+)", done.stdout)]
        self.assertGreater(losses[0], 2 * losses[-1])
        pairs = re.findall(r"gradient\| ([\d.]+)  slope ([\d.]+)", done.stdout)
        self.assertEqual(len(pairs), 35)
        for gradient, slope in pairs:
            self.assertLess(abs(float(gradient) - float(slope)), 0.02 * float(gradient))


if __name__ == "__main__":
    unittest.main()

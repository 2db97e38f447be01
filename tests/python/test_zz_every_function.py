"""Every public C function is called from Python. The name sorts last: it counts what the other tests called."""
import os
import re
import sys
import unittest

import support
from support import ROOT, called


class EveryFunctionTest(unittest.TestCase):
    def test_every_function_is_called(self):
        folder = os.path.dirname(os.path.abspath(__file__))
        modules = [name[:-3] for name in sorted(os.listdir(folder)) if re.match(r"test_.*\.py$", name)]
        absent = [name for name in modules if name not in sys.modules and name != __name__]
        if __name__ == "__main__" or absent:  # run alone: the others first
            others = [name for name in modules if name != "test_zz_every_function"]
            unittest.defaultTestLoader.loadTestsFromNames(others).run(unittest.TestResult())
        with open(os.path.join(ROOT, "lib", "pluralis.map"), encoding="utf-8") as f:
            exported = set(re.findall(r"\b(plr_\w+);", f.read()))
        self.assertEqual(set(support.pluralis._abi.FUNCTIONS), exported)
        self.assertEqual(sorted(exported - set(called)), [])
        print("%d functions called, %d calls" % (len(called), sum(called.values())), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()

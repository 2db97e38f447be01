"""One line of `ok`, `not ok` or `skip` per check, as tests/runner.py counts them."""
import time
import traceback

CHECKS = []


class Skip(Exception):
    """args[0]: why."""


def check(function):
    """Its first line of documentation is its name."""
    CHECKS.append(function)
    return function


def need(truth, what):
    if not truth:
        raise AssertionError(what)


def main():
    failed = False
    for function in CHECKS:
        name, began = function.__doc__.split("\n")[0].rstrip("."), time.time()
        try:
            found = function()
            print("ok %s%s (%.1f s)" % (name, ": " + found if found else "", time.time() - began), flush=True)
        except Skip as skip:
            print("skip %s: %s" % (name, skip), flush=True)
        except Exception as error:  # whatever it is, the other checks go on
            last = traceback.extract_tb(error.__traceback__)[-1]
            print("not ok %s: %s: %s (%s line %d)" % (name, type(error).__name__, str(error).replace("\n", " ")[:1500],
                                                      last.name, last.lineno), flush=True)
            failed = True
    return 1 if failed else 0

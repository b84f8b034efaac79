"""Runs the unittest modules of a folder, one line per test, and counts: the last line is
`N passed, N failed, N skipped`. With --report FILE the counts and reasons are written as JSON too."""
import argparse
import json
import os
import signal
import sys
import time
import traceback
import unittest


class _Result(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.passed, self.problems, self.reasons = 0, [], []
        self.begin = time.monotonic()
        self.subtest_failed = False

    def startTest(self, test):
        super().startTest(test)
        self.begin = time.monotonic()
        self.subtest_failed = False

    def _line(self, word, test, note=""):
        elapsed = time.monotonic() - self.begin
        self.out.write(f"{word:<7} {_name(test)} ({elapsed:.2f} s){': ' + note if note else ''}\n")
        self.out.flush()

    def addSuccess(self, test):
        if not self.subtest_failed:
            self.passed += 1
            self._line("ok", test)

    def _problem(self, test, error):
        text = "".join(traceback.format_exception(*error))
        self.problems.append((_name(test), text))
        self._line("FAILED", test)
        self.out.write("".join(f"    {line}\n" for line in text.splitlines()))
        self.out.flush()

    def addFailure(self, test, err):
        self._problem(test, err)

    def addError(self, test, err):
        self._problem(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            if not self.subtest_failed:
                self.subtest_failed = True
            self._problem(subtest, err)

    def addSkip(self, test, reason):
        self.reasons.append((_name(test), reason))
        self._line("skipped", test, reason)

    def addExpectedFailure(self, test, err):
        self._problem(test, err)

    def addUnexpectedSuccess(self, test):
        self.addSuccess(test)


def _name(test):
    return test.id() if hasattr(test, "id") else str(test)


def main(folder, argv=None, also=(), without=()):
    """Runs the tests of `folder` and of the folders in `also`, except those whose names begin as `without` says."""
    parser = argparse.ArgumentParser(description=f"Runs the tests of {os.path.basename(folder)}/.")
    parser.add_argument("names", nargs="*", help="modules or parts of test names; all when none is given")
    parser.add_argument("--report", metavar="FILE", help="write counts, failures and reasons for skips as JSON")
    parser.add_argument("--failfast", action="store_true", help="stop at the first failure")
    options = parser.parse_args(argv)
    # Whoever runs tests in the background has SIGINT ignored, and so would every client that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    suite = unittest.TestSuite()
    errors = []
    for place in (folder, *also):
        loader = unittest.TestLoader()
        for test in _flattened(loader.discover(place, pattern="test_*.py", top_level_dir=place)):
            chosen = not options.names or any(name in _name(test) for name in options.names)
            if chosen and not _name(test).startswith(tuple(without) or ("\0",)):
                suite.addTest(test)
        errors += loader.errors
    result = _Result(sys.stdout)
    result.failfast = options.failfast
    suite.run(result)
    for error in errors:
        result.problems.append(("loading", error))
        print(error)
    counts = (result.passed, len(result.problems), len(result.reasons))
    if options.report:
        with open(options.report, "w") as report:
            json.dump({"passed": counts[0], "failed": [name for name, _ in result.problems],
                       "skipped": result.reasons}, report)
    print("%d passed, %d failed, %d skipped" % counts)
    return 1 if result.problems else 0


def _flattened(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flattened(item)
        else:
            yield item

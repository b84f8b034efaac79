"""Runs the unittest modules of a folder, one line per test, and counts: the last line is
`N passed, N failed, N skipped`. With --report FILE the counts and reasons are written as JSON too.

These machines are noisy: a few tests that fail are run once more by themselves, at the end. Those that pass then count
as passed and are listed as unsteady, with what they said the first time above: each is a fault to look for."""
import argparse
import json
import os
import signal
import sys
import time
import traceback
import unittest

# More failures than these are no noise.
MAX_SECOND_TRIES = 4


class _Result(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.passed, self.problems, self.reasons = 0, [], []
        self.failed_tests = []
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
        self.failed_tests.append(getattr(test, "test_case", test))
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
    parser.add_argument("--once", action="store_true", help="no second try for tests that fail")
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
    unsteady = [] if options.failfast or options.once else _second_tries(result)
    for error in errors:
        result.problems.append(("loading", error))
        print(error)
    for name in unsteady:
        print(f"unsteady {name}: it failed, and passed when it was run again")
    counts = (result.passed, len(result.problems), len(result.reasons))
    if options.report:
        with open(options.report, "w") as report:
            json.dump({"passed": counts[0], "failed": [name for name, _ in result.problems],
                       "skipped": result.reasons, "unsteady": unsteady}, report)
    print("%d passed, %d failed, %d skipped" % counts)
    return 1 if result.problems else 0


def _second_tries(result):
    """Runs the failed tests once more; those that pass are taken out of the problems. Returns their names."""
    failed = dict.fromkeys(result.failed_tests)
    if len(failed) > MAX_SECOND_TRIES:
        return []
    unsteady = []
    for test in failed:
        if not isinstance(test, unittest.TestCase):  # the setting up of a class
            continue
        print(f"once more {_name(test)}")
        again = _Result(result.out)
        unittest.TestSuite([type(test)(test._testMethodName)]).run(again)
        if again.problems or not again.passed:
            continue
        # The names of a test's parts begin as the test's own.
        name = _name(test)
        result.problems = [each for each in result.problems if each[0] != name and not each[0].startswith(name + " ")]
        result.passed += 1
        unsteady.append(name)
    return unsteady


def _flattened(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flattened(item)
        else:
            yield item

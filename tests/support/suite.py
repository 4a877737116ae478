"""How every suite in Python ends: in CI a skip that nobody declared is a failure, and a suite that did nothing is skipped."""
import os
import re
import sys
import unittest

# Reasons for which a suite may skip even where CI=true turns skips into failures.
EXPECTED_SKIPS = [
    r"needs root",
    r"needs an ordinary user",
    r"this kernel has no ",
    r"this machine has no ",
    r"only on x86-64",
]
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


class _Result(unittest.TextTestResult):
    """In CI a skip that nobody declared is a failure."""

    def addSkip(self, test, reason):
        print(f"SKIP: {test.id()}: {reason}")
        expected = any(re.search(pattern, reason) for pattern in EXPECTED_SKIPS)
        if os.environ.get("CI") == "true" and not expected:
            self.addFailure(test, (AssertionError, AssertionError(f"unexpected skip: {reason}"), None))
        else:
            super().addSkip(test, reason)


def run(verbosity=1):
    """Runs the tests of the main module, and exits."""
    runner = unittest.TextTestRunner(resultclass=_Result, verbosity=verbosity)
    result = unittest.main(module="__main__", exit=False, testRunner=runner).result
    if result.wasSuccessful() and result.testsRun == 0 and result.skipped:
        sys.exit(SKIPPED)
    sys.exit(not result.wasSuccessful())

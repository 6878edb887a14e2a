# SPDX-License-Identifier: GPL-2.0-or-later
'''
Stands in for the Python package pycotap, which Debian's QEMU source leaves out

Only what QEMU's functional tests use: a unittest runner that prints TAP on standard
output and keeps everything else on standard error.
'''

import enum
import sys
import traceback
import unittest


class LogMode(enum.Enum):
    LogToError = 0


class TAPTestResult(unittest.TestResult):

    def _tell(self, ok, test, directive=''):
        print(f'{"ok" if ok else "not ok"} {self.testsRun} - {test.id()}{directive}',
              flush=True)

    def _fail(self, test, err):
        traceback.print_exception(*err, file=sys.stderr)
        self._tell(False, test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._tell(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self._fail(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._fail(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._tell(True, test, f' # SKIP {reason}')

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._tell(True, test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._tell(False, test)


class TAPTestRunner:

    def __init__(self, message_log=LogMode.LogToError,
                 test_output_log=LogMode.LogToError):
        if (message_log, test_output_log) != (LogMode.LogToError,) * 2:
            raise NotImplementedError('only LogToError')

    def run(self, test):
        result = TAPTestResult()
        test(result)
        print(f'1..{result.testsRun}', flush=True)
        return result

# SPDX-License-Identifier: Apache-2.0
"""Tests that run no cell: the outcome of each is written to the run's folder when it ends.

Of all tests it is noted that they begin: what begins twice in one sitting is retried.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import name_of, turn_of
from lab.record import shards
from lab.record.model import CheckRecord, DetectionRecord, Outcome, TryRecord, TurnRecord
from lab.record.tries import begin_try, worst_of
from lab.testing.unavailable import UnavailableHere

DETECTION = "detection"  # the name of the property
_LONGEST_CAUSE = 500
_TIMEOUT = "Timeout "  # how pytest-timeout begins what it fails a test with


class Checks:
    """Makes one outcome of the phases of each such test: the first that is no pass.

    Plugins that retry a failed test do so in their own ways: all its phases again, with a report
    each; some of them, without one; or the test alone. All call the hooks that run a phase.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._running: dict[str, CheckRecord] = {}
        self._calls: dict[str, list[TryRecord]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Note that a test begins; one that began before in this sitting is retried.

        Args:
            item: The test.

        Yields:
            Once, for it to be set up.
        """
        run = self._run
        if run.folder is not None and item.nodeid not in self._calls:  # else all of it is one test
            run.again = begin_try(run.folder, name_of(item), run.sitting)
            if not turn_of(item):
                self._calls[item.nodeid] = []
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Note how a test itself came out, which may not be what is reported of it.

        Args:
            item: The test.

        Yields:
            Once, for it to be run.
        """
        raised: BaseException | None = None
        try:
            yield
        except BaseException as e:
            raised = e
            raise
        finally:
            if item.nodeid in self._calls:
                self._calls[item.nodeid].append(_tried(raised))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome of a phase; after the last phase, write the test's.

        Args:
            item: The test.
            call: The phase, with what was raised in it.

        Yields:
            Once, for pytest's own report, which is returned as it is.
        """
        report = yield
        folder = self._run.folder
        if folder is None or turn_of(item):
            return report
        self._note(report, call)
        if report.when == "teardown":
            self._write(folder, item.nodeid)
        return report

    def _write(self, folder: Path, name: str) -> None:
        told, calls = self._running.pop(name), self._calls.pop(name, [])
        if len(calls) > 1:
            worst = worst_of([told.outcome, *(each.outcome for each in calls)])
            told = told.model_copy(update={"outcome": worst, "tries": tuple(calls)})
        shards.write_check(folder, told, again=self._run.again)

    def _note(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        raised = call.excinfo.value if call.excinfo else None
        told = self._running.setdefault(
            report.nodeid, CheckRecord(id=report.nodeid, outcome=Outcome.PASSED)
        )
        update: dict[str, object] = {"duration_s": round(told.duration_s + report.duration, 3)}
        if told.outcome is Outcome.PASSED:
            update |= {"outcome": outcome_of(report, raised), "first_cause": cause(report, raised)}
        began = told.turn.began if told.turn else datetime.fromtimestamp(call.start, UTC)
        ended = datetime.fromtimestamp(call.stop, UTC)
        update["turn"] = TurnRecord(began=began, ended=ended, worker=self._run.worker_id)
        if report.when == "teardown":  # by then, the test has told all
            update["detections"] = detections(report)
        self._running[report.nodeid] = told.model_copy(update=update)


def detections(report: pytest.TestReport) -> tuple[DetectionRecord, ...]:
    """Return the stops of known length that a test told by `record_property("detection", ...)`.

    Args:
        report: pytest's, of its last phase.

    Returns:
        The stops, in order.

    Raises:
        ValidationError: What the test told is no such stop.
    """
    told = (value for name, value in report.user_properties if name == DETECTION)
    return tuple(DetectionRecord.model_validate(value) for value in told)


def outcome_of(report: pytest.TestReport, raised: BaseException | None) -> Outcome:
    """Return the outcome of a phase: what a test asserted is the product's, all else the lab's.

    Args:
        report: pytest's, of one phase.
        raised: What the phase raised; None if nothing.
    """
    if report.skipped and isinstance(raised, UnavailableHere):
        return Outcome.UNAVAILABLE
    expected = hasattr(report, "wasxfail")
    if report.passed:
        return Outcome.XPASSED if expected else Outcome.PASSED
    if report.skipped:
        return Outcome.XFAILED if expected else Outcome.SKIPPED
    if raised is None:  # it passed where that is an error
        return Outcome.XPASSED
    if report.when != "call":
        return Outcome.ERROR
    late = str(raised).startswith(_TIMEOUT)
    asserted = isinstance(raised, (AssertionError, pytest.fail.Exception)) and not late
    return Outcome.FAILED if asserted else Outcome.ERROR


def _tried(raised: BaseException | None) -> TryRecord:
    """Return a try of which there may be no report."""
    if raised is None:
        return TryRecord(outcome=Outcome.PASSED)
    said = f"{type(raised).__name__}: {raised}"[:_LONGEST_CAUSE]
    match raised:
        case pytest.skip.Exception():
            return TryRecord(outcome=Outcome.SKIPPED, first_cause=said)
        case pytest.xfail.Exception():
            return TryRecord(outcome=Outcome.XFAILED, first_cause=said)
        case AssertionError() | pytest.fail.Exception():
            return TryRecord(outcome=Outcome.FAILED, first_cause=said)
        case _:
            return TryRecord(outcome=Outcome.ERROR, first_cause=said)


def cause(report: pytest.TestReport, raised: BaseException | None) -> str:
    """Return why a phase was no pass.

    Args:
        report: pytest's, of one phase.
        raised: What the phase raised; None if nothing.

    Returns:
        At most some 500 characters; "" for a pass.
    """
    if known := getattr(report, "wasxfail", ""):
        return str(known)
    if report.passed:
        return ""
    if isinstance(raised, UnavailableHere):
        return str(raised.msg)
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return report.longrepr[2].removeprefix("Skipped: ")
    said = f"{type(raised).__name__}: {raised}" if raised else str(report.longrepr)
    return said if len(said) <= _LONGEST_CAUSE else f"{said[:_LONGEST_CAUSE]}..."

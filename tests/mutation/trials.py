# SPDX-License-Identifier: Apache-2.0
"""Tries mutants: each in a process of its own that is forked when all is imported and collected."""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.machinery
import math
import os
import resource
import select
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import CodeType

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.covering import Covering
from tests.mutation.live import functions_of, put
from tests.mutation.mutant import Mutant

_SURVIVED, _AFRESH, _BROKE = "survived", "afresh", "the trial broke"
_NOTHING = "nothing"
_MORE_BYTES = 3 << 30
_CPU_S, _LEAST_CPU_S, _WALL_S = 20, 3, 600


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a mutant: `killer` is the test that failed, "" if none did."""

    mutant: Mutant
    killer: str
    tests: int

    @property
    def survived(self) -> bool:
        """Whether no test noticed it."""
        return not self.killer


@dataclass(slots=True)
class Trials:
    """Mutants to be tried, and the tests that cover them.

    Args:
        root: The checkout.
        covering: Which test runs what.
        tell: Called with each trial as soon as it is over.
        budget_s: How long the tests of one trial may take together; it stops short after that.
        until: When no further trial begins, on the monotonic clock.
        least_s: For how long trials begin in any case, from the first on.
    """

    root: Path
    covering: Covering
    tell: Callable[[Trial], None]
    budget_s: float = float("inf")
    until: float = float("inf")
    least_s: float = 0.0
    afresh: list[Mutant] = field(default_factory=list)
    _killers: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def run(self, mutants: Sequence[Mutant], arguments: Sequence[str]) -> None:
        """Try all of them; what cannot be put into a running process is tried after the others."""
        status = pytest.main([*arguments], plugins=[_Loop(self, mutants)])
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            raise RuntimeError(f"pytest ended with {status!r} before all mutants were tried")

    def run_afresh(self, mutants: Iterable[Mutant], arguments: Sequence[str]) -> None:
        """Try mutants, each with its module imported anew."""
        until = max(self.until, time.monotonic() + self.least_s)
        for mutant in mutants:
            if time.monotonic() > until:
                return
            tests = self.tests_for(mutant)
            killer = forked(partial(_imported, self.root, mutant, tests, arguments))
            self.done(mutant, killer, len(tests))

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return what may kill a mutant; what killed its neighbours comes first."""
        tests = self.covering.tests_for(mutant)
        first = [one for one in self._killers[mutant.file, mutant.within] if one in tests]
        left, chosen = self.budget_s, []
        for test in dict.fromkeys([*first[:5], *tests]):
            left -= self.covering.seconds.get(test, 0.0)
            if left >= 0:
                chosen.append(test)
        return chosen

    def patience_s(self, tests: Iterable[str]) -> int:
        """Return how many seconds of a CPU a trial may take: a mutant may never come to an end."""
        took = sum(self.covering.seconds.get(test, 0.0) for test in tests)
        return min(_CPU_S, math.ceil(_LEAST_CPU_S + 10 * took))

    def done(self, mutant: Mutant, killer: str, tests: int) -> None:
        """Note what became of a mutant."""
        known = self._killers[mutant.file, mutant.within]
        if killer in self.covering.seconds:
            with contextlib.suppress(ValueError):
                known.remove(killer)
            known.insert(0, killer)
        self.tell(Trial(mutant, "" if killer == _SURVIVED else killer, tests))


@dataclass(slots=True)
class _Loop:
    trials: Trials
    mutants: Sequence[Mutant]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try mutants in place of running the tests."""
        items = {item.nodeid: item for item in session.items}
        trials = self.trials
        functions = functions_of(trials.root, {mutant.file for mutant in self.mutants})
        gc.collect()
        gc.freeze()
        until = max(trials.until, time.monotonic() + trials.least_s)
        for mutant in self.mutants:
            if time.monotonic() > until:
                break
            tests = trials.tests_for(mutant)
            chosen = [items[test] for test in tests if test in items]
            work = partial(_put, trials.root, mutant, functions[mutant.file], chosen)
            killer = forked(work, trials.patience_s(tests))
            if killer == _AFRESH:
                trials.afresh.append(mutant)
            else:
                trials.done(mutant, killer, len(tests))
        return True


def _put(root: Path, mutant: Mutant, functions: object, items: Sequence[pytest.Item]) -> str:
    try:
        if not put(root, mutant, functions):  # type: ignore[arg-type]
            return _AFRESH
    except Exception as e:  # noqa: BLE001 - whatever it is, importing it would have raised it
        return f"it cannot be imported: {type(e).__name__}"
    for item, after in zip_longest(items, items[1:]):
        reports = runtestprotocol(item, log=False, nextitem=after)
        if any(report.failed for report in reports):
            return item.nodeid
    return _SURVIVED


class _Mutated(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, root: Path, mutant: Mutant) -> None:
        self._name = mutant.file.removesuffix(".py").replace("/", ".")
        self._loader = _Mutated(self._name, str(root / mutant.file), mutant.source)

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.path, loader=self._loader
        )


@dataclass(slots=True)
class _First:
    failed: str = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _imported(root: Path, mutant: Mutant, tests: Sequence[str], arguments: Sequence[str]) -> str:
    sys.meta_path.insert(0, _Finder(root, mutant))
    first = _First()
    options = [one for one in arguments if one.startswith("-")]
    try:
        status = pytest.main([*options, "-x", *tests], plugins=[first])
    except Exception as e:  # noqa: BLE001 - whatever it is, importing it raised it
        return f"it cannot be imported: {type(e).__name__}"
    if first.failed or status:
        return first.failed or f"it cannot be imported: pytest ended with {int(status)}"
    return _SURVIVED


def forked(work: Callable[[], str], cpu_s: int = _CPU_S) -> str:
    """Do work in a process of its own, and return what it says; or how it ended, if it did not.

    Args:
        work: What to do there.
        cpu_s: How many seconds of a CPU it may take.
    """
    tells, asks = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(tells)
        _alone(cpu_s)
        try:
            said = work() or _NOTHING
        except BaseException as e:  # noqa: BLE001 - nothing may get out of this process
            said = f"{_BROKE}: {type(e).__name__}: {e}"
        os.write(asks, said.encode()[:4000])
        os._exit(0)
    os.close(asks)
    with os.fdopen(tells, "rb") as pipe:
        came = select.select([pipe], [], [], max(_WALL_S, 10 * cpu_s))[0]
        said = pipe.read1(4000).decode() if came else ""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # and what it left behind
    os.waitpid(pid, 0)
    if said.startswith(_BROKE):
        raise RuntimeError(said)
    return "" if said == _NOTHING else said or "it did not come to an end"


def _alone(cpu_s: int) -> None:
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_s, used + cpu_s + 1))
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + _MORE_BYTES, now + _MORE_BYTES))


def each_file(mutants: Iterable[Mutant]) -> Iterator[tuple[str, list[Mutant]]]:
    """Return the mutants of each file."""
    found: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        found[mutant.file].append(mutant)
    yield from found.items()

# SPDX-License-Identifier: Apache-2.0
"""Which tests run which lines of the files that decide, and how long each of them takes."""

from __future__ import annotations

import ast
import hashlib
import importlib
import pickle
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutant import Mutant


@dataclass(frozen=True, slots=True)
class Covering:
    """What was run by what.

    Attributes:
        lines: By file and line, the ids of the tests that ran it.
        seconds: By id, how long a test took.
        failed: Ids of tests that failed with no mutant at all.
    """

    lines: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]
    failed: Sequence[str] = ()

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that run what a mutant changes, the quickest first.

        Without any that runs the very lines, those of its function; of its file; all of them.
        """
        lines = self.lines.get(mutant.file, {})
        last = mutant.line + mutant.was.count(" / ")
        tries: list[Iterable[int]] = []
        if mutant.within:
            within = _extent(ast.parse(mutant.original), mutant.within.split("."))
            tries = [range(mutant.line, last + 1), within]
        for wanted in (*tries, lines):
            if found := frozenset[str]().union(*(lines.get(n, frozenset()) for n in wanted)):
                return sorted(found, key=lambda test: self.seconds.get(test, 0.0))
        return [] if tries else sorted(self.seconds, key=lambda test: self.seconds[test])


def _extent(node: ast.AST, names: Sequence[str]) -> range:
    for child in ast.iter_child_nodes(node):
        if getattr(child, "name", None) == names[0]:
            if names[1:]:
                return _extent(child, names[1:])
            return range(child.lineno, (child.end_lineno or 0) + 1)  # type: ignore[attr-defined]
    return range(0)


@dataclass(slots=True)
class _Mapper:
    coverage: Any
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what this test runs, and how long it takes."""
        self.coverage.switch_context(item.nodeid)
        began = time.process_time()
        done = yield
        self.seconds[item.nodeid] = time.process_time() - began
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        if report.failed:
            self.failed.append(report.nodeid)


def covered(root: Path, files: Sequence[str], arguments: Sequence[str]) -> Covering:
    """Run tests once as they are.

    Args:
        root: The checkout.
        files: Whose lines count.
        arguments: What pytest is to run.
    """
    paths = {str(root / file): file for file in files}
    coverage = importlib.import_module("coverage").Coverage(
        data_file=None, include=list(paths), config_file=False
    )
    mapper = _Mapper(coverage)
    coverage.start()
    pytest.main([*arguments], plugins=[mapper])
    coverage.stop()
    data = coverage.get_data()
    lines = {
        file: {n: frozenset(filter(None, who)) for n, who in data.contexts_by_lineno(path).items()}
        for path, file in paths.items()
    }
    return Covering(lines, mapper.seconds, tuple(mapper.failed))


def merged(parts: Sequence[Covering]) -> Covering:
    """Return what several runs show together."""
    lines: dict[str, dict[int, frozenset[str]]] = {}
    seconds: dict[str, float] = {}
    for part in parts:
        seconds |= part.seconds
        for file, by_line in part.lines.items():
            known = lines.setdefault(file, {})
            for n, who in by_line.items():
                known[n] = known.get(n, frozenset()) | who
    return Covering(lines, seconds, [test for part in parts for test in part.failed])


def split(covering: Covering, tests: Iterable[str]) -> dict[str, Covering]:
    """Return what each file of tests shows."""
    found = {}
    for test in tests:
        mine = f"{test}::"
        lines = {
            file: {
                n: found_there
                for n, who in by_line.items()
                if (found_there := frozenset(w for w in who if w.startswith(mine)))
            }
            for file, by_line in covering.lines.items()
        }
        seconds = {t: s for t, s in covering.seconds.items() if t.startswith(mine)}
        found[test] = Covering(lines, seconds, [t for t in covering.failed if t.startswith(mine)])
    return found


class Cache:
    """What each file of tests was seen to run, while nothing of the lab has changed.

    Args:
        root: The checkout.
        files: Whose lines count.
    """

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self._root = root
        self._folder = root / ".pytest_cache" / "mutants"
        code = sorted(
            {
                *root.glob("lab/**/*.py"),
                *root.glob("tests/support/*"),
                *root.glob("tests/conftest.py"),
            }
        )
        self._lab = hashlib.sha256(repr(files).encode())
        for path in code:
            if path.is_file():
                self._lab.update(path.read_bytes())

    def _path(self, test: str) -> Path:
        digest = self._lab.copy()
        digest.update((self._root / test).read_bytes())
        return self._folder / f"{test.replace('/', '.')}-{digest.hexdigest()[:16]}.pickle"

    def get(self, test: str) -> Covering | None:
        """Return what is known of a file of tests."""
        path = self._path(test)
        if not path.exists():
            return None
        found: Covering = pickle.loads(path.read_bytes())  # noqa: S301 - it is our own
        return found

    def put(self, test: str, covering: Covering) -> None:
        """Note what was seen of a file of tests, if none of them failed."""
        if covering.failed:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob(f"{test.replace('/', '.')}-*"):
            old.unlink()
        self._path(test).write_bytes(pickle.dumps(covering))

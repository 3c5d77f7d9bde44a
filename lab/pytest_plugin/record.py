# SPDX-License-Identifier: Apache-2.0
"""The record of a run of pytest: its plan before the first test, its reports after the last."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lab import __version__
from lab.build.tool_versions import other_than_locked
from lab.config.model import Cell, LabConfig
from lab.errors import ConfigError
from lab.history.store import NAME as HISTORY
from lab.pytest_plugin.plan import folder_of, is_in_the_plan, must_run_of, plan_of
from lab.pytest_plugin.resume import already_run
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.shard import Cut
from lab.pytest_plugin.turns import cell_of, turn_of
from lab.record.classify import exit_status, headline, must_run_gaps
from lab.record.model import RunHeader
from lab.record.plan import planned
from lab.report import publish
from lab.report.index import KEEP
from lab.resources.ledger import state_dir


class Recorder:
    """Writes the plan of a run, has its reports made, and ends pytest with its exit status."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._run = run
        self._lines: list[str] = []
        self._collected: list[pytest.Item] = []
        self._read: set[str] = set()
        self._cells: dict[Path, tuple[Cell, ...]] = {}
        self._cut = Cut(run)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Deselect what this tier has no place for, and what the resumed run has an outcome of.

        Args:
            config: pytest's.
            items: The tests; changed in place.

        Yields:
            Once, for all other plugins to deselect.

        Raises:
            UsageError: The resumed run had other cells, or another kernel; or lab.toml, a topology
                or must-run.toml is wrong.
        """
        self._read = {item.path.name for item in items}
        try:
            self._deselect(items, [i for i in items if not self._is_in_the_plan(i)])
        except ConfigError as e:
            raise pytest.UsageError(str(e)) from e
        self._collected = list(items)
        result = yield
        try:
            # In the order of collection: other plugins shuffle, each shard's in another way.
            place = {item: n for n, item in enumerate(self._collected)}
            whole = sorted(items, key=lambda item: place.get(item, len(place)))
            self._deselect(items, self._cut.others(whole))
            folder = next((item.path.parent for item in items if cell_of(item)), None)
            if self._run.before is not None and folder is not None:
                done = already_run(self._run.before, items, self._run.configuration(folder))
                self._deselect(items, done)
        except pytest.UsageError:
            items.clear()  # pytest ends the collection first: nothing may begin there
            raise
        return result

    def _deselect(self, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
        if left_out:
            self._config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]

    def _is_in_the_plan(self, item: pytest.Item) -> bool:
        run, folder = self._run, item.path.parent
        if item.get_closest_marker("needs_cell") is None:
            return is_in_the_plan(item, run.tier, ())
        cells = self._cells[folder] = self._cells.get(folder) or run.cells(folder)
        return is_in_the_plan(item, run.tier, cells)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass on to a worker of xdist which run it belongs to.

        Args:
            node: The worker's, whose `workerinput` is a dict that is sent to it.
        """
        node.workerinput["lab_run_id"] = self._run.run_id
        node.workerinput["lab_sitting"] = self._run.sitting
        node.workerinput["lab_started"] = self._run.started.isoformat()

    @pytest.hookimpl(trylast=True)  # a run that may not be resumed is left as it is
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what is going to be run, before any of it is.

        Args:
            session: With the tests that were chosen.

        Raises:
            UsageError: lab.toml, a topology or must-run.toml is wrong.
        """
        if self._config.option.collectonly or not session.items:
            return
        if self._run.before is not None:
            self._run.resume(self._run.before)
        elif (folder := folder_of(session.items)) is not None:
            try:
                self._run.begin(self._header(folder, session.items))
            except ConfigError as e:
                raise pytest.UsageError(str(e)) from e

    def _header(self, folder: Path, items: list[pytest.Item]) -> RunHeader:
        run = self._run
        cells = [(item, turn) for item in items if (turn := turn_of(item))]
        whole = self._cut.whole or items
        plan = plan_of(self._config, run, folder, self._collected or items, whole, read=self._read)
        plan, shard = self._cut.recorded(plan, items)
        return RunHeader(
            run_id=run.run_id,
            started=run.started,
            tier=run.tier.value,
            command_line=tuple(self._config.invocation_params.args),
            versions={
                "lab": __version__,
                "pytest": pytest.__version__,
                "configuration": run.configuration(folder),
            },
            planned=tuple(
                planned(cell, rerun=run.rerun(cell, item.path.parent), repeat=n)
                for item, (cell, n) in cells
            ),
            checks_planned=tuple(item.nodeid for item in items if not turn_of(item)),
            must_run=must_run_of(items),
            plan=plan,
            shard=shard,
            notes=tuple(filter(None, [other_than_locked(run.lab(folder).lock)])),
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put the record together, whose exit status is that of pytest, too.

        Args:
            session: Its exit status is changed where pytest's own would be too good, or says that
                the product failed where only the lab did.
        """
        run = self._run
        if run.is_worker or self._config.option.collectonly:
            return
        if run.before is not None and session.exitstatus == pytest.ExitCode.USAGE_ERROR:
            return  # it was not resumed, and is left as it is
        folder = run.own_folder
        if not (folder / "header.json").is_file():
            return
        lab = self._lab_of(session)
        notes: list[str] = []
        record = publish.finish(
            folder,
            # Of a shard nothing is learned: its siblings are cut by what it was cut by.
            known=state_dir(lab.state) / HISTORY if lab and run.shard is None else None,
            keep=lab.report.keep if lab else KEEP,
            sign_with=lab.report.sign_with if lab else None,
            tell=notes.append,
        )
        gaps = [str(gap) for gap in must_run_gaps(record)]
        page = folder / "index.html"
        alone = [f"{cell.key}: {cell.lacks}" for cell in record.cells if cell.lacks]
        self._lines = [headline(record), *gaps, *alone, *notes, f"report: {page}"]
        status = exit_status(record)
        if status != 0 and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            session.exitstatus = status

    def _lab_of(self, session: pytest.Session) -> LabConfig | None:
        """Return lab.toml, also where nothing was left to run; None if it cannot be read."""
        beside = session.items[0].path.parent if session.items else Path.cwd()
        try:
            return self._run.lab(beside)
        except ConfigError:
            return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what came of the run, and where its report is.

        Args:
            terminalreporter: pytest's.
        """
        if self._lines:
            terminalreporter.section("Caretaker Lab")
            for line in self._lines:
                terminalreporter.write_line(line)

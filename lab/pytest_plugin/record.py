# SPDX-License-Identifier: Apache-2.0
"""The record of a run of pytest: its plan before the first test, its reports after the last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import __version__
from lab.config.load import MUST_RUN
from lab.config.model import Accel, Arch, Cell, LabConfig
from lab.config.must_run import load_must_run
from lab.errors import ConfigError
from lab.history.store import NAME as HISTORY
from lab.pytest_plugin.resume import already_run
from lab.pytest_plugin.run import Run
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

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect what the resumed run has an outcome of.

        Args:
            config: pytest's.
            items: The tests; changed in place.

        Raises:
            UsageError: The resumed run had other cells, or another kernel.
        """
        before = self._run.before
        folder = next((item.path.parent for item in items if cell_of(item)), None)
        if before is None or folder is None:
            return
        try:
            done = already_run(before, items, self._run.configuration(folder))
        except pytest.UsageError:
            items.clear()  # pytest goes on to the end of the collection: nothing may begin there
            raise
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in done]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass on to a worker of xdist which run it belongs to.

        Args:
            node: The worker's, whose `workerinput` is a dict that is sent to it.
        """
        node.workerinput["lab_run_id"] = self._run.run_id
        node.workerinput["lab_started"] = self._run.started.isoformat()

    @pytest.hookimpl(trylast=True)  # a run that may not be resumed is left as it is
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what is going to be run, before any of it is.

        Args:
            session: With the tests that were chosen.
        """
        if self._config.option.collectonly or not session.items:
            return
        if self._run.before is not None:
            self._run.resume(self._run.before)
        elif any(cell_of(item) for item in session.items):
            self._run.begin(self._header(session.items))

    def _header(self, items: list[pytest.Item]) -> RunHeader:
        run = self._run
        cells = [(item, turn) for item in items if (turn := turn_of(item))]
        folder = cells[0][0].path.parent
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
            must_run=self._must_run(folder / MUST_RUN, [cell for _, (cell, _) in cells]),
        )

    def _must_run(self, path: Path, cells: Sequence[Cell]) -> tuple[str, ...]:
        ids = {cell.id for cell in cells}
        accelerated = {cell.arch for cell in cells if cell.accel is Accel.KVM}
        lists = load_must_run(path) if path.exists() else None
        wanted = [i for a in Arch if a not in accelerated for i in (lists.ids(a) if lists else ())]
        return tuple(i for i in wanted if self._whole or i in ids)

    @property
    def _whole(self) -> bool:
        """Whether nothing was picked out: then every cell of must-run.toml has to be there."""
        option = self._config.option
        picked = option.keyword or option.markexpr or option.lf or option.deselect
        named = any("::" in str(arg) for arg in self._config.args)
        return not (picked or named or self._run.kernel_tree)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put the record together; a cell that had to run and did not fails the run.

        Args:
            session: Its exit status is changed where pytest's own would be too good.
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
            known=state_dir(lab.state) / HISTORY if lab else None,
            keep=lab.report.keep if lab else KEEP,
            sign_with=lab.report.sign_with if lab else None,
            tell=notes.append,
        )
        gaps = [str(gap) for gap in must_run_gaps(record)]
        page = folder / "index.html"
        self._lines = [headline(record), *gaps, *notes, f"report: {page}"]
        if exit_status(record) != 0 and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

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

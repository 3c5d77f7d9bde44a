# SPDX-License-Identifier: Apache-2.0
"""One run of pytest over cells: what was collected, where its record is kept, how it ends."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab import __version__, data
from lab.config.load import MUST_RUN, load_lab, load_topologies, with_overrides
from lab.config.matrix import expand, select
from lab.config.model import Accel, Arch, Cell, LabConfig, Tier
from lab.config.must_run import load_must_run
from lab.errors import ConfigError
from lab.history.store import NAME as HISTORY
from lab.record import shards
from lab.record.classify import exit_status, headline, must_run_gaps
from lab.record.files import load_document, write_document
from lab.record.model import Outcome, RunHeader
from lab.record.plan import planned
from lab.record.shards import assemble
from lab.report import publish
from lab.report.index import KEEP
from lab.resources.ledger import state_dir
from lab.virt.probe import remembered

NAME = "lab-run"

_TOLD = frozenset(Outcome) - {Outcome.ERROR, Outcome.SKIPPED}


class Run:
    """One run of pytest over cells: what was collected, where its record is kept."""

    def __init__(self, config: pytest.Config, worker: dict[str, Any] | None) -> None:
        self._config = config
        self._worker = worker
        given = worker or {}
        self.tier: Tier = word(Tier, config.getoption("--lab-tier"), "--lab-tier")
        accel = config.getoption("--lab-accel")
        self._accel: Accel | None = word(Accel, accel, "--lab-accel") if accel else None
        self._repeat: str = config.getoption("--lab-repeat")
        if self._repeat != "nightly" and not (self._repeat.isdecimal() and int(self._repeat)):
            raise pytest.UsageError(
                f"--lab-repeat: a number or 'nightly' was wanted, not {self._repeat!r}"
            )
        self.worker_id: str = given.get("workerid", "main")
        self.reports = Path(config.getoption("--lab-reports")).absolute()
        self.folder: Path | None = None
        self.lines: list[str] = []
        self._before = self._resumed(config.getoption("--lab-resume"))
        header = load_document(self._before / "header.json", RunHeader) if self._before else None
        made_up = config.getoption("--lab-run-id") or secrets.token_hex(3)
        self.run_id: str = header.run_id if header else given.get("lab_run_id") or made_up
        told = given.get("lab_started") or datetime.now(UTC).isoformat(timespec="seconds")
        self.started = header.started if header else datetime.fromisoformat(told)

    def _resumed(self, option: str) -> Path | None:
        """Find the folder of the run that is to be gone on with.

        Raises:
            UsageError: there is none.
        """
        if not option:
            return None
        pattern = "*" if option == "last" else f"*{option}*"
        found = [
            path.parent
            for path in sorted(self.reports.glob(f"{pattern}/header.json"))
            if option != "last" or not (path.parent / "run.json").exists()
        ]
        if not found:
            raise pytest.UsageError(
                f"--lab-resume: no run '{option}' in {self.reports}; "
                "'last' is the newest that did not come to its end"
            )
        return found[-1]

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what a resumed run has told already; what broke is done again."""
        if self._before is None:
            return
        header = load_document(self._before / "header.json", RunHeader)
        if header.versions.get("configuration") != self._configuration(items):
            raise pytest.UsageError(
                f"--lab-resume: {self._before.name} ran other cells than these, or another kernel; "
                "give the same options and files, or begin a new run"
            )
        before = assemble(self._before)
        told = {cell.key for cell in before.cells if cell.outcome in _TOLD}
        told |= {check.id for check in before.checks if check.outcome in _TOLD}
        done = [item for item in items if name_of(item) in told]
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in done]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker which run it belongs to."""
        node.workerinput["lab_run_id"] = self.run_id
        node.workerinput["lab_started"] = self.started.isoformat()

    def lab(self, beside: Path) -> LabConfig:
        """Read lab.toml: the one here, above `beside`, or the lab's own; and the options."""
        option = Path(self._config.getoption("--lab-toml"))
        places = [option, beside.parent / option]
        usual = [data.LAB_TOML] if option == Path(data.LAB_TOML.name) else []
        path = next((p for p in (*places, *usual) if p.exists()), places[-1])
        tree = self._config.getoption("--lab-kernel")
        return with_overrides(
            load_lab(path),
            kernel_tree=Path(tree).expanduser() if tree else None,
            accelerator=self._accel,
        )

    def cells(self, folder: Path) -> tuple[Cell, ...]:
        """Give the cells of the topologies in `folder`, for the tier that was asked for."""
        lab = self.lab(folder)
        wanted, state = lab.host.accelerator, state_dir(lab.state)
        accels = {
            arch: remembered(state, arch) if wanted is Accel.AUTO else wanted for arch in Arch
        }
        return select(expand(load_topologies(folder, lab), lab, accel=accels), self.tier)

    def turns(self, folder: Path, cells: Sequence[Cell]) -> tuple[tuple[Cell, int], ...]:
        """Give each cell as often as it is to be done: the whole ladder, then all of it again."""
        said, nightly = self._repeat, self.lab(folder).nightly
        often = {c.id: nightly.repeats_of(c.id) if said == "nightly" else int(said) for c in cells}
        rounds = range(1, max(often.values(), default=0) + 1)
        return tuple((cell, n) for n in rounds for cell in cells if n <= often[cell.id])

    @property
    def stand_id(self) -> str:
        """What this worker's machines are called after; a run that is gone on with has new ones."""
        resumed = f"-r{secrets.token_hex(2)}" if self._before is not None else ""
        return f"{self.run_id}{resumed}" + (
            "" if self.worker_id == "main" else f"-{self.worker_id}"
        )

    @property
    def _first(self) -> bool:
        """Whether this is the process that writes what is of the whole run."""
        return self.worker_id in {"main", "gw0"}

    def begin(self, header: RunHeader) -> None:
        """Make the run's folder, once; every worker knows its name."""
        self.folder = self.reports / f"{self.started:%Y%m%dT%H%M%SZ}-{self.run_id}"
        if self._first:
            shards.begin(self.reports, header)

    def _go_on(self, folder: Path) -> None:
        """Note in the record that it was stopped, and is gone on with now."""
        self.folder = folder
        if not self._first:
            return
        header = load_document(folder / "header.json", RunHeader)
        now = datetime.now(UTC).replace(microsecond=0)
        update = {"resumed": (*header.resumed, now), "ended": None}
        write_document(folder / "header.json", header.model_copy(update=update))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what is going to be run, before any of it is."""
        if self._config.option.collectonly or not session.items:
            return
        if self._before is not None:
            self._go_on(self._before)
        elif any(cell_of(item) for item in session.items):
            self.begin(self._header(session.items))

    def _header(self, items: list[pytest.Item]) -> RunHeader:
        cells = [item for item in items if cell_of(item)]
        turns = [turn for item in cells if (turn := turn_of(item))]
        return RunHeader(
            run_id=self.run_id,
            started=self.started,
            tier=self.tier.value,
            command_line=tuple(self._config.invocation_params.args),
            versions={
                "lab": __version__,
                "pytest": pytest.__version__,
                "configuration": self._configuration(cells),
            },
            planned=tuple(planned(cell, rerun=self.rerun(cell), repeat=n) for cell, n in turns),
            checks_planned=tuple(item.nodeid for item in items if not turn_of(item)),
            must_run=self._must_run(cells[0].path.parent / MUST_RUN, [cell for cell, _ in turns]),
        )

    def _must_run(self, path: Path, cells: Sequence[Cell]) -> tuple[str, ...]:
        ids = {cell.id for cell in cells}
        accelerated = {cell.arch for cell in cells if cell.accel is Accel.KVM}
        lists = load_must_run(path) if path.exists() else None
        wanted = [i for a in Arch if a not in accelerated for i in (lists.ids(a) if lists else ())]
        return tuple(i for i in wanted if self._whole or i in ids)

    def rerun(self, cell: Cell) -> str:
        """Give the command that does only this cell again; -k would take ids that begin alike."""
        words = [f"topologies/test_cells.py::test_guest[{cell.id}]", f"--lab-tier={cell.tier}"]
        given = ((o, self._config.getoption(o)) for o in ("--lab-kernel", "--lab-accel"))
        words += [f"{option}={value}" for option, value in given if value]
        return f"pytest {shlex.join(words)}"

    def _configuration(self, items: list[pytest.Item]) -> str:
        folder = next(item.path.parent for item in items if cell_of(item))
        return configuration_of(self.cells(folder), self._config.getoption("--lab-kernel"))

    @property
    def _whole(self) -> bool:
        """Whether nothing was picked out: then every cell of must-run.toml has to be there."""
        option = self._config.option
        picked = option.keyword or option.markexpr or option.lf or option.deselect
        named = any("::" in str(arg) for arg in self._config.args)
        return not (picked or named or self._config.getoption("--lab-kernel"))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put the record together; a cell that had to run and did not fails the run."""
        if self._worker is not None or self._config.option.collectonly:
            return
        found = sorted(self.reports.glob(f"*-{self.run_id}/header.json"))
        if not found:
            return
        lab = self._lab_of(session)
        said: list[str] = []
        record = publish.finish(
            found[0].parent,
            known=state_dir(lab.state) / HISTORY if lab else None,
            keep=lab.report.keep if lab else KEEP,
            tell=said.append,
        )
        gaps = [str(gap) for gap in must_run_gaps(record)]
        self.lines = [headline(record), *gaps, *said, f"report: {found[0].parent / 'index.html'}"]
        if exit_status(record) != 0 and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _lab_of(self, session: pytest.Session) -> LabConfig | None:
        """Give lab.toml, also where nothing was left to be run; None if it cannot be found."""
        beside = session.items[0].path.parent if session.items else Path.cwd()
        try:
            return self.lab(beside)
        except ConfigError:
            return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the report is."""
        if self.lines:
            terminalreporter.section("Caretaker Lab")
            for line in self.lines:
                terminalreporter.write_line(line)


def configuration_of(cells: Iterable[Cell], kernel: str) -> str:
    """Give a digest of all that decides what cells are: a resumed run must have the same."""
    text = "\n".join([kernel, *sorted(repr(cell) for cell in cells)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_of(cell: Cell, repeat: int) -> str:
    """Give what tells a cell from its repeats, as its record has it."""
    return planned(cell, repeat=repeat).key


def name_of(item: pytest.Item) -> str:
    """Give what a test is called in a record: its cell's key, or its own id if it runs none."""
    turn = turn_of(item)
    return key_of(*turn) if turn else item.nodeid


def turn_of(item: pytest.Item) -> tuple[Cell, int] | None:
    """Give the cell that a test runs and which time it is, if it runs one."""
    cell = cell_of(item)
    spec = getattr(item, "callspec", None)
    return (cell, spec.params.get("repeat", 1)) if cell is not None and spec is not None else None


def cell_of(item: pytest.Item) -> Cell | None:
    """Give the cell that a test runs, if it runs one."""
    spec = getattr(item, "callspec", None)
    cell = spec.params.get("cell") if spec else None
    return cell if isinstance(cell, Cell) else None


def word(kind: Callable[[str], Any], given: str, option: str) -> Any:
    """Read one of an enum's words.

    Raises:
        UsageError: there is no such word; the message has the option.
    """
    try:
        return kind(given)
    except ValueError as e:
        raise pytest.UsageError(f"{option}: {e}") from e

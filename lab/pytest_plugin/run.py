# SPDX-License-Identifier: Apache-2.0
"""One run of pytest over cells: what the options say, its identity, its cells, its folder."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab import data
from lab.config.load import load_lab, load_topologies, with_overrides
from lab.config.matrix import expand, select
from lab.config.model import Accel, Arch, Cell, LabConfig, Tier
from lab.config.topology_folders import usual_topologies
from lab.deadline import Deadline, until
from lab.pytest_plugin.resume import configuration_of, stopped_run
from lab.record import shards
from lab.record.files import load_document, write_document
from lab.record.model import RunHeader
from lab.record.rerun import rerun_command
from lab.resources.ledger import state_dir
from lab.verify.manifest import unseal
from lab.virt.probe import likely_accelerators

_OTHERS_S = 60.0  # the first of several workers makes the run's folder, which takes it a second

_SHARD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


class Run:
    """One run of pytest over cells.

    Attributes:
        tier: The tier whose cells are run.
        run_id: Its name: of an xdist run, the same in every worker.
        started: When it was started first, in UTC.
        again: Whether the test that is running began before in this sitting.
        sitting: The id of this process and its workers: what is tried twice in it is a retry.
        worker_id: 'gw0' and so on in a worker of xdist; else 'main'.
        reports: The folder of all runs.
        folder: Its own folder there; None before `begin` or `resume`.
        before: The folder of the run that this one resumes; None if it resumes none.
        shard: Which shard it is, from 1, and of how many; None for a whole run.
    """

    def __init__(self, config: pytest.Config, worker: dict[str, Any] | None) -> None:
        """Read the options.

        Args:
            config: pytest's.
            worker: The `workerinput` of xdist; None outside of a worker.

        Raises:
            UsageError: An option has a word that it does not know, or there is no run to resume.
        """
        self._config = config
        from_main = worker or {}
        self.is_worker = worker is not None
        self.tier: Tier = word(Tier, config.getoption("--lab-tier"), "--lab-tier")
        accel = config.getoption("--lab-accel")
        self._accel: Accel | None = word(Accel, accel, "--lab-accel") if accel else None
        self._repeat: str = config.getoption("--lab-repeat")
        if self._repeat != "nightly" and not (self._repeat.isdecimal() and int(self._repeat)):
            raise pytest.UsageError(
                f"--lab-repeat: expected a number or 'nightly', got {self._repeat!r}"
            )
        self.shard = shard_of(config.getoption("--lab-shard"))
        self.again = False
        self.sitting: str = from_main.get("lab_sitting") or secrets.token_hex(3)
        self.worker_id: str = from_main.get("workerid", "main")
        self.reports = _at_home(config, "--lab-reports").absolute()
        self.folder: Path | None = None
        self.before = stopped_run(self.reports, config.getoption("--lab-resume"))
        header = load_document(self.before / "header.json", RunHeader) if self.before else None
        new_id = config.getoption("--lab-run-id") or secrets.token_hex(3)
        self.run_id: str = header.run_id if header else from_main.get("lab_run_id") or new_id
        began = from_main.get("lab_started") or datetime.now(UTC).isoformat(timespec="seconds")
        self.started = header.started if header else datetime.fromisoformat(began)

        if not (self.is_worker or self.before):
            self._insist_on_a_new_id()

    def _insist_on_a_new_id(self) -> None:
        """Refuse the id of another run: the history knows a run by nothing else."""
        found = sorted(self.reports.glob(f"*-{self.run_id}/header.json"))
        if found:
            raise pytest.UsageError(
                f"--lab-run-id: {found[-1].parent.name} in {self.reports} is another run of that "
                f"id; type another one, or resume that run: --lab-resume={self.run_id}"
            )

    @property
    def own_folder(self) -> Path:
        """The folder of this very run, also where no worker has made it yet."""
        return self.before or self.reports / f"{self.started:%Y%m%dT%H%M%SZ}-{self.run_id}"

    @property
    def kernel_tree(self) -> str:
        """The source tree that stands for kernel 'stock'; "" if none does."""
        tree = self._config.getoption("--lab-kernel")
        return str(_at_home(self._config, "--lab-kernel")) if tree else ""

    def toml(self, beside: Path) -> Path:
        """Return the lab.toml that is read: the one here, the one above a folder, or the lab's own.

        Args:
            beside: A folder of topologies.
        """
        option = _at_home(self._config, "--lab-toml")
        places = [option, beside.parent / option]
        usual = [data.LAB_TOML] if option == Path(data.LAB_TOML.name) else []
        return next((p for p in (*places, *usual) if p.exists()), places[-1])

    def lab(self, beside: Path) -> LabConfig:
        """Read lab.toml as the command line overrides it.

        Args:
            beside: A folder of topologies: see `toml`.

        Raises:
            ConfigError: It is not there, or something in it is wrong.
        """
        tree = self.kernel_tree
        return with_overrides(
            load_lab(self.toml(beside)),
            kernel_tree=Path(tree) if tree else None,
            accelerator=self._accel,
        )

    def cells(self, folder: Path, tier: Tier | None = None) -> tuple[Cell, ...]:
        """Return the cells of the topologies in a folder.

        Args:
            folder: Where the topologies are.
            tier: Whose cells; None is the tier of this run.

        Raises:
            ConfigError: lab.toml or a topology is wrong, or there is none.
        """
        lab = self.lab(folder)
        accels = likely_accelerators(state_dir(lab.state), lab.host.accelerator)
        cells = expand(load_topologies(folder, lab), lab, accel=accels)
        return select(cells, tier or self.tier)

    def accelerator(self, folder: Path, arch: Arch) -> Accel:
        """Return what hosts of an architecture run on, as far as it is known without a probe.

        Args:
            folder: Where the topologies are.
            arch: The architecture.

        Raises:
            ConfigError: lab.toml is wrong.
        """
        lab = self.lab(folder)
        return likely_accelerators(state_dir(lab.state), lab.host.accelerator)[arch]

    def turns(self, folder: Path, cells: Sequence[Cell]) -> tuple[tuple[Cell, int], ...]:
        """Return each cell as often as it is run: the whole ladder, then all of it again.

        Args:
            folder: Where the topologies are.
            cells: The ladder.

        Returns:
            Each cell with its repeat, from 1.

        Raises:
            ConfigError: lab.toml is wrong.
        """
        repeat, nightly = self._repeat, self.lab(folder).nightly
        times = {
            c.id: nightly.repeats_of(c.id) if repeat == "nightly" else int(repeat) for c in cells
        }
        rounds = range(1, max(times.values(), default=0) + 1)
        return tuple((cell, n) for n in rounds for cell in cells if n <= times[cell.id])

    @property
    def session_id(self) -> str:
        """What this worker's machines are named after; a resumed run has new ones."""
        resumed = f"-r{secrets.token_hex(2)}" if self.before is not None else ""
        worker = "" if self.worker_id == "main" else f"-{self.worker_id}"
        return f"{self.run_id}{resumed}{worker}"

    def rerun(self, cell: Cell, beside: Path) -> str:
        """Return the command that runs only this cell again, whatever its tier.

        Args:
            cell: The cell; its id names the accelerator.
            beside: The folder of its topology.
        """
        tree = self.kernel_tree
        options = [f"--lab-kernel={tree}"] if tree else []
        toml = self.toml(beside)
        if beside.resolve() != usual_topologies(toml).resolve():
            options.insert(0, f"--topology={beside / cell.topology}.toml")
        return rerun_command(cell.id, toml=toml, options=options)

    def configuration(self, folder: Path) -> str:
        """Return the digest that a run which resumes this one must have, too.

        Args:
            folder: Where the topologies are.
        """
        return configuration_of(self.cells(folder), self.kernel_tree)

    @property
    def _writes_header(self) -> bool:
        return self.worker_id in {"main", "gw0"}

    def begin(self, header: RunHeader) -> None:
        """Make the run's folder; of several workers only one does, and the others wait for it.

        Args:
            header: What the folder begins with.

        Raises:
            DeadlineError: The worker that makes it did not.
        """
        self.folder = self.own_folder
        if self._writes_header:
            shards.begin(self.reports, header)
            return
        made = self.folder / "header.json"
        until(str(made), lambda: made.exists() or None, Deadline.after(_OTHERS_S))

    def resume(self, folder: Path) -> None:
        """Continue in the folder of a stopped run, and note the time in its header.

        Args:
            folder: The stopped run's.
        """
        self.folder = folder
        if not self._writes_header:
            return
        header = load_document(folder / "header.json", RunHeader)
        now = datetime.now(UTC).replace(microsecond=0)
        update = {"resumed": (*header.resumed, now), "ended": None}
        unseal(folder)
        write_document(folder / "header.json", header.model_copy(update=update))


def word(kind: Callable[[str], Any], text: str, option: str) -> Any:
    """Read one of an enum's words.

    Args:
        kind: The enum.
        text: What was typed.
        option: Where it was typed, for the message.

    Returns:
        The member of `kind`.

    Raises:
        UsageError: There is no such word; the message names the option.
    """
    try:
        return kind(text)
    except ValueError as e:
        raise pytest.UsageError(f"{option}: {e}") from e


def _at_home(config: pytest.Config, option: str) -> Path:
    """Return the path of an option; a shell leaves the '~' of --lab-reports=~/x as it is."""
    path = Path(config.getoption(option))
    try:
        return path.expanduser()
    except RuntimeError as e:
        raise pytest.UsageError(f"{option}: '{path}' begins with an unknown home") from e


def shard_of(option: str) -> tuple[int, int] | None:
    """Read --lab-shard.

    Args:
        option: What was typed: "2/4" is the second of four.

    Returns:
        The number of the shard, from 1, and how many there are; None if nothing was typed.

    Raises:
        UsageError: It is neither.
    """
    if not option:
        return None
    found = _SHARD.fullmatch(option)
    if found is None or int(found[1]) > int(found[2]):
        raise pytest.UsageError(
            f"--lab-shard: expected i/n with i from 1 to n, as 2/4, got {option!r}"
        )
    return int(found[1]), int(found[2])

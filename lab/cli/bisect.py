# SPDX-License-Identifier: Apache-2.0
"""`lab bisect`: the commit with which a cell began to fail, also where it fails in some runs."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lab.bisect import notes as notebook
from lab.bisect.notes import Notes, Trial
from lab.bisect.repository import Repository
from lab.bisect.search import Search, report
from lab.bisect.sequential import SequentialTest, commits_to_judge
from lab.cli.cell_search import cell_named
from lab.cli.child_process import exclusive_lock, run_child
from lab.cli.option_table import with_options
from lab.cli.paths import at_home
from lab.cli.settings import Settings, err
from lab.config.load import MINE, STOCK, with_overrides
from lab.errors import ConfigError
from lab.record.files import load
from lab.record.labels import cause
from lab.record.model import CellRecord, Outcome
from lab.record.rerun import toml_option
from lab.resources.ledger import state_dir
from lab.signals import StoppedError

_LONGEST_S = 4 * 3600.0  # one run, with its kernel built from nothing
_MISTAKE = 2
# How a record's first cause begins where its kernel did not build, or died while it booted. One
# that did not come up in time may have been a slow machine's.
_NO_KERNEL = re.compile(r"ConfigError: |HostDiedError: .* did not come up")


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectOptions:
    """The options of `lab bisect` that may be left out."""

    lab_kernel: Annotated[
        Path,
        typer.Option(
            envvar="LAB_KERNEL", callback=at_home, help="The git tree; it is left as it is."
        ),
    ] = Path()
    shows: Annotated[
        float, typer.Option(help="In what share of runs the fault shows, at the least.")
    ] = 0.5
    noise: Annotated[
        float, typer.Option(help="In what share of runs a good kernel fails, at the most.")
    ] = 0.02
    alpha: Annotated[
        float, typer.Option(help="How likely a good commit is called bad, in the whole search.")
    ] = 0.05
    beta: Annotated[
        float, typer.Option(help="How likely a bad commit is called good, in the whole search.")
    ] = 0.05
    at_most: Annotated[
        int, typer.Option(min=1, help="Runs of one commit that decide nothing; then it is skipped.")
    ] = 60
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, and forget what was judged before.")
    ] = False

    @property
    def test(self) -> SequentialTest:
        """The test of the whole search.

        Raises:
            ConfigError: The numbers make none.
        """
        return SequentialTest(shows=self.shows, noise=self.noise, alpha=self.alpha, beta=self.beta)


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command()(with_options(BisectOptions)(bisect))


def bisect(
    ctx: typer.Context,
    good: Annotated[str, typer.Argument(metavar="GOOD", help="A commit where the cell passes.")],
    bad: Annotated[str, typer.Argument(metavar="BAD", help="A later one where it fails.")],
    *,
    cell: Annotated[str, typer.Option(help="The id of a cell of kernel 'stock'.")],
    options: BisectOptions,
) -> int:
    """Find the commit with which a cell began to fail, also where it fails in some runs only.

    git bisect chooses the commits, in a clone of its own. Each is run as often as its sequential
    test takes; one that does not build or boot is skipped. A search that was stopped goes on.
    """
    settings: Settings = ctx.obj
    lab = with_overrides(settings.lab(), kernel_tree=options.lab_kernel)
    cell = cell.replace(f"-{STOCK}-", f"-{MINE}-")
    cell_named(settings, lab, cell, lab.host.accelerator, None)
    source, test = options.lab_kernel.resolve(), options.test
    folder = state_dir(lab.state) / "bisect" / _name(str(source), good, bad, cell)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / "lock", f"this search goes on already, in {folder}") as lock:
        repository = Repository.of(source, folder / "tree")
        asked = _asked(repository, good, bad, cell, test)
        notes = asked if options.fresh else notebook.remembered(folder, asked)
        _say(_plan(notes, repository))
        judge = Runs(settings.path, folder, cell, lock).judge
        search = Search(repository, folder, notes, judge, _say, options.at_most)
        try:
            commits = search.run()
        except StoppedError:
            _say("to go on, type the same once more")
            raise
        told = report(search.notes, commits, repository.shown(commits[0].sha))
    (folder / "report.txt").write_text(told, encoding="utf-8")
    typer.echo(told, nl=False)
    return 0


def _name(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def _asked(repository: Repository, good: str, bad: str, cell: str, test: SequentialTest) -> Notes:
    ends = repository.commit(good), repository.commit(bad)
    each = test.shared(commits_to_judge(repository.count(*ends)))
    return Notes(
        good=ends[0], bad=ends[1], cell=cell, tree=str(repository.source), shows=test.shows,
        noise=test.noise, alpha=each.alpha, beta=each.beta,
    )  # fmt: skip


def _plan(notes: Notes, repository: Repository) -> str:
    between, test = repository.count(notes.good, notes.bad), notes.test
    begun = f"; {len(notes.commits)} were judged before" if notes.commits else ""
    return (
        f"{between} commits, of which about {commits_to_judge(between)} are judged{begun}: one is "
        f"good after {test.passes} runs without a failure, and bad after {test.failures} that fail"
    )


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs a cell on the tree of a search: `lab run`, in a process of its own.

    Attributes:
        toml: The lab.toml.
        folder: The search's folder.
        cell: The id of the cell.
        lock: The descriptor of the search's lock, which the process owns, too.
    """

    toml: Path
    folder: Path
    cell: str
    lock: int

    def judge(self, _: str) -> Trial:
        """Run the cell once, on what is checked out.

        Args:
            _: The commit.

        Returns:
            How it came out.

        Raises:
            ConfigError: What was typed, or lab.toml, is wrong: no commit could be judged.
        """
        reports, log = self.folder / "reports", self.folder / "lab-run.log"
        before = set(reports.glob("2*"))
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "lab", *toml_option(self.toml), "run", self.cell]
        argv += [f"--lab-kernel={self.folder / 'tree'}", f"--reports={reports}"]
        child = run_child(argv, log, cwd=Path.cwd(), keep=self.lock, at_most_s=_LONGEST_S)
        new = sorted(set(reports.glob("2*")) - before)
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if child.status == _MISTAKE:
            raise ConfigError("\n".join(said[-3:]))
        if not new or not (new[-1] / "run.json").is_file():
            return _without_a_run(said)
        return trial_of(load(new[-1]).cells[0], str(new[-1]))


def trial_of(cell: CellRecord, run: str) -> Trial:
    """Return what one run of the cell says of its commit.

    Args:
        cell: Its record.
        run: The folder of the run.
    """
    why = f"{cell.verdict.kind}: {cause(cell)}" if cell.verdict else cause(cell)
    match cell.outcome:
        case Outcome.PASSED:
            return Trial(came="passed", why=why, run=run)
        case Outcome.FAILED if cell.verdict is not None and cell.verdict.kind != "Unproven":
            return Trial(came="failed", why=why, run=run)
        case Outcome.FAILED | Outcome.SKIPPED | Outcome.UNAVAILABLE:
            return Trial(came="skip", why=why, run=run)
        case _ if _NO_KERNEL.match(cell.first_cause):
            return Trial(came="skip", why=why, run=run)
        case _:
            return Trial(came="unknown", why=why, run=run)


def _without_a_run(said: list[str]) -> Trial:
    return Trial(came="unknown", why=said[-1] if said else "lab run said nothing")


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""`lab run`: one cell from options, with an exit status that `git bisect run` understands."""

from __future__ import annotations

import secrets
import shlex
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lab import __version__
from lab.build.tool_versions import other_than_locked
from lab.cli.cannot_tell import status_of
from lab.cli.offline import Offline
from lab.cli.option_table import with_options
from lab.cli.paths import Into
from lab.cli.run_options import RunOptions
from lab.cli.run_target import Target, target_of
from lab.cli.settings import Settings, err, out
from lab.config.model import Cell, LabConfig
from lab.doctor.examine import insist
from lab.errors import LabError
from lab.events import Progress, Sink
from lab.history.store import NAME
from lab.history.store import opened as history
from lab.record import shards
from lab.record.classify import CANNOT_TELL, exit_status
from lab.record.files import load
from lab.record.labels import between, cause, milliseconds, result
from lab.record.model import RunHeader, RunRecord
from lab.record.plan import planned
from lab.report import publish
from lab.report.progress import progress_on
from lab.resources.ledger import state_dir
from lab.runner.dry_run import on_paper, plan_of
from lab.runner.judge_cell import judge_cell
from lab.runner.lab_session import opened
from lab.runner.pool import Pool
from lab.virt.xml import domain_xml

_MEANING = {0: "good: as expected", 1: "bad: not as expected", CANNOT_TELL: "cannot tell"}


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command()(with_options(RunOptions)(run))


def run(
    ctx: typer.Context,
    cell_id: Annotated[
        str,
        typer.Argument(
            metavar="CELL_ID",
            help="A cell of the topologies, of any tier: 'lab ladder' has the ids.",
        ),
    ] = "",
    *,
    options: RunOptions,
    reports: Into = Path("reports"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the machine and the plan; touch nothing.")
    ] = False,
    offline: Offline = False,  # noqa: ARG001 - its callback has done it
    as_json: Annotated[bool, typer.Option("--json", help="Print the cell's record.")] = False,
) -> int:
    """Run one cell on a fresh host, and print its verdict.

    The cell is one of the topologies, by its CELL_ID, with its own host and expectation; or it is
    made of options, on a host with lab.toml's sizes. An id takes no other options than --topology,
    --lab-kernel, --accel, --expect, --reports, --dry-run, --offline and --json. It is looked for
    in topologies beside lab.toml, or the lab's own, then beside tests that `pytest` would collect
    here.

    Exit status: 0 good (as expected), 1 bad (not as expected), 125 cannot tell, as
    `git bisect run` has it; 2 if the command line or lab.toml is wrong.
    """
    settings: Settings = ctx.obj
    there, debug = reports.absolute(), settings.debug

    def command() -> int:
        target = target_of(ctx, cell_id, options)
        if dry_run:
            _show_plan(target.lab, target.cell)
            return 0

        def judge() -> int:
            return _run_and_show(target, there, everything=debug, as_json=as_json)

        return status_of(judge, there, debug=debug, started=True)

    return status_of(command, there, debug=debug)


def _run_and_show(target: Target, reports: Path, *, everything: bool, as_json: bool) -> int:
    insist(target.lab)
    with progress_on(err, everything=everything) as sink:
        folder, record = _run(target, reports, sink)
    status = exit_status(record)
    if as_json:
        typer.echo(record.cells[0].model_dump_json(indent=1))
    else:
        _show(folder, record, status)
    return status


def _run(target: Target, reports: Path, sink: Sink) -> tuple[Path, RunRecord]:
    """Run it; whatever ends the run, its folder has a record, and the hosts go first."""
    lab, run_id = target.lab, secrets.token_hex(3)
    end = partial(
        publish.finish,
        known=state_dir(lab.state) / NAME,
        keep=lab.report.keep,
        sign_with=lab.report.sign_with,
        tell=_complain,
    )
    with ExitStack() as at_last, opened(lab, sink, run_id=run_id) as lab_session:
        accel = lab_session.accelerator(target.cell.arch, target.cell.kernel).accel
        cell = target.cell if target.named else target.cell.model_copy(update={"accel": accel})
        rerun = target.rerun(cell)
        header = RunHeader(
            run_id=run_id,
            started=datetime.now(UTC),
            tier=cell.tier.value,
            command_line=tuple(shlex.split(rerun)),
            versions={"lab": __version__},
            planned=(planned(cell, rerun=rerun),),
            notes=tuple(filter(None, [target.uncontrolled(cell), other_than_locked(lab.lock)])),
        )
        folder = shards.begin(reports, header)
        at_last.callback(end, folder)
        work = partial(Progress, what=cell.id, total=1, usually=_usually(lab, cell))
        sink(work(done=0))
        with closing(Pool(lab_session)) as pool:
            judge_cell(pool, cell, folder, rerun=rerun)
        sink(work(done=1))
    return folder, load(folder)


def _usually(lab: LabConfig, cell: Cell) -> float | None:
    """Return how long a cell took in earlier runs, in seconds; None if that is not known."""
    try:
        with history(state_dir(lab.state) / NAME) as book:
            return book.durations().get(cell.id)
    except LabError as e:
        _complain(f"the time left is not known: {e}")
        return None


def _show_plan(lab: LabConfig, cell: Cell) -> None:
    spec = on_paper(lab, cell)
    typer.echo(f"cell: {cell.id}\n")
    typer.echo(domain_xml(spec))
    typer.echo(f"kernel command line:\n  {spec.cmdline}\n\nplan:")
    for number, step in enumerate(plan_of(lab, cell), 1):
        typer.echo(f"  {number}. {step}")


def _show(folder: Path, record: RunRecord, status: int) -> None:
    cell = record.cells[0]
    verdict, wanted = cell.verdict, cell.expectation
    scope = f" ({verdict.scope.value})" if verdict and verdict.scope else ""
    said = verdict.reason if verdict else cause(cell)
    _line(f"\n{result(cell)}{scope}: {said}")
    if verdict and cause(cell) not in {"", verdict.reason}:
        _line(f"but: {cause(cell)}")
    _line(f"expected: {wanted.word if wanted else 'nothing'}")
    for note in record.notes:
        _line(note)
    if verdict and verdict.vcpus:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in (
            "vCPU",
            "beats",
            "longest silence: guest clock",
            "L0 clock",
            "it began, after the disruption",
        ):
            table.add_column(name, justify="right")
        for v in verdict.vcpus:
            seen = between(v.longest_l0_ms, v.most_l0_ms)
            clocks = milliseconds(v.longest_guest_ms), seen, milliseconds(v.began_ms)
            table.add_row(str(v.vcpu), str(v.beats), *clocks)
        out.print(table)
    if what := cell.witness.get("what"):
        _line(f"witness: {what}")
    for arch, accelerator in record.environment.accelerators.items():
        _line(f"{arch} on {accelerator.name.upper()}: {accelerator.why}")
    for name, kernel in record.environment.kernels.items():
        _line(f"kernel {name}: {kernel.release}, build id {kernel.build_id}")
    _line(f"evidence: {folder / cell.evidence}")
    _line(f"exit status {status}: {_MEANING[status]}")


def _complain(said: str) -> None:
    err.print(f"lab: {said}", markup=False, soft_wrap=True)


def _line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)

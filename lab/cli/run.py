# SPDX-License-Identifier: Apache-2.0
"""`lab run`: one cell from options, with an exit status that `git bisect run` understands."""

from __future__ import annotations

import secrets
import shlex
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lab import __version__
from lab.cli.progress import progress_on
from lab.cli.settings import Settings, err, out
from lab.config.load import with_overrides
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    Confidential,
    DisruptionKind,
    GuestKind,
    HostMode,
    KexecLoad,
    LabConfig,
    MemoryKind,
    VmmKind,
)
from lab.doctor.examine import insist
from lab.errors import LabError
from lab.events import Sink
from lab.history.store import NAME
from lab.record import shards
from lab.record.classify import CANNOT_TELL, exit_status
from lab.record.labels import between, cause, milliseconds, result
from lab.record.model import CellRecord, RunHeader, RunRecord
from lab.record.plan import planned
from lab.report import publish
from lab.resources.ledger import state_dir
from lab.runner.environment import environment_of
from lab.runner.lab_session import Stand, opened
from lab.runner.pool import Pool
from lab.runner.recording import record_of
from lab.runner.retry import attempted
from lab.runner.single_cell import on_paper, plan_of, single_cell
from lab.virt.probe import remembered
from lab.virt.xml import domain_xml

_MEANING = {0: "good: as expected", 1: "bad: not as expected", CANNOT_TELL: "cannot tell"}


class Expect(StrEnum):
    """What the guest is to do for the exit status to be 0."""

    SURVIVES = "survives"
    DIES = "dies"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """The cell as it was typed; its accelerator is found out later."""

    arch: Arch
    kernel: str
    guest: GuestKind
    vmm: VmmKind
    disruption: DisruptionKind
    vcpus: int
    stop_ms: int | None
    memory: MemoryKind | None
    load: KexecLoad
    confidential: Confidential | None
    mode: HostMode | None
    expect: Expect

    def typed(self, tree: Path | None) -> str:
        """Give the command line that does the same again, with the kernel from `tree` if any."""
        given = {f.name: getattr(self, f.name) for f in fields(self)} | {"lab_kernel": tree}
        return shlex.join(
            [
                "lab",
                "run",
                *(f"--{k.replace('_', '-')}={v}" for k, v in given.items() if v is not None),
            ]
        )

    def cell(self, lab: LabConfig, accel: Accel) -> Cell:
        return single_cell(
            lab, accel=accel, **{f.name: getattr(self, f.name) for f in fields(self)}
        )


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(run)


def run(
    ctx: typer.Context,
    *,
    disruption: Annotated[DisruptionKind, typer.Option("--disruption", "-d", help="What to do.")],
    guest: Annotated[GuestKind, typer.Option(help="What runs as L2.")] = GuestKind.LINUX,
    vmm: Annotated[VmmKind, typer.Option(help="What runs it.")] = VmmKind.QEMU,
    kernel: Annotated[str, typer.Option(help="L1's kernel: [kernel.NAME] of lab.toml.")] = "stock",
    lab_kernel: Annotated[
        Path | None,
        typer.Option(envvar="LAB_KERNEL", help="A source tree to test in place of 'stock'."),
    ] = None,
    arch: Annotated[Arch, typer.Option(help="Of L1 and L2.")] = Arch.X86_64,
    accel: Annotated[
        Accel | None, typer.Option(envvar="LAB_ACCEL", help="What L1 runs on, if not lab.toml's.")
    ] = None,
    vcpus: Annotated[int, typer.Option(min=1, help="Of the guest.")] = 1,
    stop_ms: Annotated[
        int | None, typer.Option(min=1, help="For vcpu-stop: how long; 250 if not given.")
    ] = None,
    memory: Annotated[
        MemoryKind | None, typer.Option(help="Judge the guest's memory, kept in this.")
    ] = None,
    load: Annotated[
        KexecLoad, typer.Option(help="For kexec: the system call that loads the kernel.")
    ] = KexecLoad.FILE_LOAD,
    confidential: Annotated[
        Confidential | None, typer.Option(help="What hides the guest's memory from its host.")
    ] = None,
    mode: Annotated[
        HostMode | None,
        typer.Option(help="Of L1: vhe, nvhe, protected or nested on arm64, swallowed on x86-64."),
    ] = None,
    expect: Annotated[
        Expect, typer.Option(help="What is good; the exit status is about this.")
    ] = Expect.SURVIVES,
    reports: Annotated[
        Path, typer.Option(envvar="LAB_REPORTS", help="Where the run's folder is made.")
    ] = Path("reports"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the machine and the plan; touch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cell's record.")] = False,
) -> int:
    """Run one cell on a fresh host, and say what came of it.

    Exit status: 0 good (as expected), 1 bad (not as expected), 125 cannot tell, as
    `git bisect run` has it; 2 if the command line or lab.toml is wrong.
    """
    settings: Settings = ctx.obj
    lab = with_overrides(settings.lab(), kernel_tree=lab_kernel, accelerator=accel)
    words = _Words(
        arch=arch,
        kernel=lab.kernel_for(kernel),
        guest=guest,
        vmm=vmm,
        disruption=disruption,
        vcpus=vcpus,
        stop_ms=stop_ms,
        memory=memory,
        load=load,
        confidential=confidential,
        mode=mode,
        expect=expect,
    )
    likely = _likely(lab, arch)
    cell = words.cell(lab, likely)  # what is wrong with the words is said before anything is done
    if dry_run:
        _show_plan(lab, cell)
        return 0
    try:
        insist(lab)
        with progress_on(err, everything=settings.debug) as sink:
            folder, record = _run(lab, words, words.typed(lab_kernel), reports.absolute(), sink)
    except LabError as e:
        if settings.debug:
            raise
        err.print(f"lab: cannot tell: {e}", markup=False, soft_wrap=True)
        return CANNOT_TELL
    status = exit_status(record)
    if as_json:
        typer.echo(record.cells[0].model_dump_json(indent=1))
    else:
        _show(folder, record, status)
    return status


def _run(
    lab: LabConfig, words: _Words, rerun: str, reports: Path, sink: Sink
) -> tuple[Path, RunRecord]:
    run_id = secrets.token_hex(3)
    with opened(lab, sink, run_id=run_id) as stand:
        cell = words.cell(lab, stand.accelerator(words.arch).accel)
        header = RunHeader(
            run_id=run_id,
            started=datetime.now(UTC),
            tier=cell.tier.value,
            command_line=tuple(shlex.split(rerun)),
            versions={"lab": __version__},
            planned=(planned(cell, rerun=rerun),),
        )
        folder = shards.begin(reports, header)
        shards.write_cell(folder, _judged(stand, cell, folder, rerun))
        shards.note_environment(folder, environment_of(stand), worker="main")
    known = state_dir(lab.state) / NAME
    told = publish.finish(folder, known=known, keep=lab.report.keep, tell=_complain)
    return folder, told


def _judged(stand: Stand, cell: Cell, folder: Path, rerun: str) -> CellRecord:
    evidence = Path("evidence") / shards.file_name(cell.id)
    with closing(Pool(stand)) as pool:
        came, broke = attempted(pool, cell, folder / evidence)
    return record_of(came, rerun=rerun, evidence=str(evidence), broke=broke)


def _likely(lab: LabConfig, arch: Arch) -> Accel:
    wanted = lab.host.accelerator
    return remembered(state_dir(lab.state), arch) if wanted is Accel.AUTO else wanted


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

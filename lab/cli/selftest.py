# SPDX-License-Identifier: Apache-2.0
"""`lab selftest`: a kernel's own selftests, run in an L1 of that kernel, as one cell of a run."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from lab import __version__
from lab.artifacts import selftests
from lab.artifacts.cache import standard
from lab.artifacts.recipes import recipe_of
from lab.cli.settings import Settings, err, out
from lab.cli.telling import telling
from lab.errors import ConfigError, LabError
from lab.report import fragments, publish
from lab.report.beside import excused, pairs
from lab.report.environment import environment_of
from lab.report.exits import CANNOT_TELL, exit_status, failing, headline
from lab.report.history import NAME
from lab.report.ktap import children_of
from lab.report.record import (
    CellRecord,
    ChildRecord,
    Outcome,
    PlannedCell,
    RunHeader,
    RunRecord,
    Scalar,
)
from lab.spec.load import with_overrides
from lab.spec.model import MODES, Accel, Arch, FromImage, LabConfig
from lab.stand.doctor import insist
from lab.stand.pool import Pool, Wish
from lab.stand.selftest import run_selftests
from lab.stand.stand import Stand, opened
from lab.virt.ledger import state_dir


class Suite(StrEnum):
    """Suites of the kernel's tree that have to do with live update."""

    KVM = "kvm"
    LIVEUPDATE = "liveupdate"
    KHO = "kho"


@dataclass(frozen=True, slots=True)
class _Words:
    """What was typed."""

    suite: Suite
    kernel: str
    beside: str
    arch: Arch
    only: str
    timeout_s: float
    env: tuple[str, ...]

    @property
    def typed(self) -> str:
        words = ["lab", "selftest", self.suite.value, f"--kernel={self.kernel}"]
        words += [f"--beside={self.beside}"] if self.beside else []
        words += [f"--arch={self.arch.value}", f"--only={self.only}"]
        words += [f"--timeout-s={self.timeout_s:g}", *(f"--env={e}" for e in self.env)]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of the tests on one kernel, and what its host complained of."""

    children: tuple[ChildRecord, ...]
    complained: str
    took_s: float


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(selftest)


def selftest(
    ctx: typer.Context,
    suite: Annotated[Suite, typer.Argument(help="Which suite of tools/testing/selftests.")],
    *,
    kernel: Annotated[str, typer.Option(help="[kernel.NAME] of lab.toml.")] = "stock",
    beside: Annotated[
        str, typer.Option(help="Another one: what fails on it too, with the same programs, may.")
    ] = "",
    lab_kernel: Annotated[
        Path | None, typer.Option(envvar="LAB_KERNEL", help="A source tree in place of 'stock'.")
    ] = None,
    arch: Annotated[Arch, typer.Option(help="Of L1.")] = Arch.X86_64,
    only: Annotated[str, typer.Option(help="Only programs like this: 'sev_*'.")] = "*",
    timeout_s: Annotated[float, typer.Option(min=1, help="For each program.")] = 60.0,
    env: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, for each program; may be repeated.")
    ] = None,
    reports: Annotated[
        Path, typer.Option(envvar="LAB_REPORTS", help="Where the run's folder is made.")
    ] = Path("reports"),
) -> int:
    """Build a kernel's selftests, run them in an L1 of it, and put them into a report.

    With --beside they run on another kernel, too, and the table has both. Exit status: 0 all
    passed or skipped, or did so as they do beside it; 1 one failed, 125 cannot tell.
    """
    settings: Settings = ctx.obj
    lab = with_overrides(settings.lab(), kernel_tree=lab_kernel)
    if suite is Suite.KHO:
        raise ConfigError(
            "the selftest 'kho' is an init that kexecs itself, and no program for a host",
            hint="its ground is covered by cells: lab run --disruption kexec --memory luo-memfd",
        )
    other = lab.kernel_for(beside) if beside else ""
    if other == lab.kernel_for(kernel):
        raise ConfigError(f"--beside={beside}: it is the same kernel", hint="name another one")
    words = _Words(
        suite, lab.kernel_for(kernel), other, arch, only, timeout_s, _settings(env or ())
    )
    try:
        insist(lab)
        with telling(err, everything=settings.debug) as sink, opened(lab, sink) as stand:
            folder, record = _run(lab, stand, words, reports.absolute())
    except ConfigError:
        raise
    except LabError as e:
        if settings.debug:
            raise
        err.print(f"lab: cannot tell: {e}", markup=False, soft_wrap=True)
        return CANNOT_TELL
    _show(folder, record)
    return exit_status(record)


def _settings(env: Sequence[str]) -> tuple[str, ...]:
    for setting in env:
        if not re.fullmatch(r"[A-Za-z_]\w*=.*", setting, re.ASCII):
            raise ConfigError(f"--env={setting}: no NAME=VALUE", hint="as in --env=soak=1000")
    return tuple(env)


def _run(lab: LabConfig, stand: Stand, words: _Words, reports: Path) -> tuple[Path, RunRecord]:
    tests = _built(lab, stand, words)
    accel = stand.accelerator(words.arch).accel
    kernels = [*([words.beside] if words.beside else []), words.kernel]
    plans = [_planned(words, kernel, accel) for kernel in kernels]
    header = RunHeader(
        run_id=stand.run_id,
        started=datetime.now(UTC),
        tier="selftest",
        command_line=tuple(shlex.split(words.typed)),
        versions={"lab": __version__},
        planned=tuple(plans),
    )
    folder = fragments.begin(reports, header)
    measure: tuple[ChildRecord, ...] = ()
    for kernel, plan in zip(kernels, plans, strict=True):
        came = _on(stand, _wish(lab, words, kernel), tests, folder / _evidence(plan), words)
        measure = measure or came.children  # the first is the measure, and is excused by itself
        told = excused(came.children, measure, words.beside) if words.beside else came.children
        fragments.write_cell(folder, _cell(plan, came, told))
    fragments.note_environment(folder, environment_of(stand), worker="main")
    known = state_dir(lab.state) / NAME
    return folder, publish.finish(folder, known=known, keep=lab.report.keep)


def _planned(words: _Words, kernel: str, accel: Accel) -> PlannedCell:
    place: dict[str, Scalar] = {
        "arch": words.arch.value,
        "accel": accel.value,
        "kernel": kernel,
        "mode": MODES[words.arch][0].value,
        "guest": "selftest",
        "vmm": words.suite.value,
    }
    name = f"{words.arch.value}-{accel.value}-{kernel}-selftest-{words.suite.value}"
    return PlannedCell(id=name, topology="selftest", dimensions=place, rerun=words.typed)


def _evidence(plan: PlannedCell) -> str:
    return f"evidence/{fragments.file_name(plan.id)}"


def _on(
    stand: Stand, wish: Wish, tests: selftests.Selftests, evidence: Path, words: _Words
) -> _Came:
    began = time.monotonic()
    with closing(Pool(stand)) as pool:
        text, complained = run_selftests(
            pool, wish, tests, evidence, timeout_s=words.timeout_s, env=words.env
        )
    return _Came(children_of(text), complained, time.monotonic() - began)


def _built(lab: LabConfig, stand: Stand, words: _Words) -> selftests.Selftests:
    if words.kernel not in lab.kernel:
        raise ConfigError(f"lab.toml: no kernel {words.kernel!r}")
    spec = lab.kernel[words.kernel]
    if isinstance(spec.source, FromImage):
        raise ConfigError(f"kernel {words.kernel!r} is an image, and has no tree with selftests")
    recipe = recipe_of(words.kernel, spec, words.arch, mirror=lab.mirror)
    made = selftests.build(
        recipe, words.suite.value, words.arch.value, standard(lab.cache), sink=stand.sink
    )
    chosen = tuple(p for p in made.programs if fnmatchcase(p.name, words.only))
    if not chosen:
        raise ConfigError(f"no program of {words.suite.value} is like {words.only!r}")
    return selftests.Selftests(made.suite, chosen)


def _wish(lab: LabConfig, words: _Words, kernel: str) -> Wish:
    return Wish(
        topology="selftest",
        role="a",
        arch=words.arch,
        kernel=kernel,
        mode=MODES[words.arch][0],
        vcpus=lab.host.vcpus,
        memory_mib=lab.host.memory_mib,
    )


def _cell(plan: PlannedCell, came: _Came, told: tuple[ChildRecord, ...]) -> CellRecord:
    """Make a record of what came on one kernel; `told` is that with what may fail excused."""
    bad = failing(told)
    cause = came.complained or (f"{len(bad)} failed, the first is {bad[0]}" if bad else "")
    if not told:
        cause = "no test said anything"
    outcome = Outcome.FAILED if bad or came.complained else Outcome.PASSED
    return CellRecord(
        **plan.model_dump(),
        outcome=outcome if told else Outcome.ERROR,
        first_cause=cause,
        children=told,
        evidence=_evidence(plan),
        duration_s=round(came.took_s, 3),
    )


def _show(folder: Path, record: RunRecord) -> None:
    *measure, tested = record.cells
    if measure:
        out.print(f"{measure[0].dimensions['kernel']!s:10} {tested.dimensions['kernel']}")
        for pair in pairs(measure[0].children, tested.children):
            line = f"{pair.measure:10} {pair.tested:10} {'  ' * pair.depth}{pair.name} {pair.mark}"
            out.print(line.rstrip(), markup=False, soft_wrap=True)
    for child in () if measure else tested.children:
        out.print(
            f"{'  ' * child.depth}{child.status:8} {child.name} {child.comment}".rstrip(),
            markup=False,
        )
    out.print(headline(record), markup=False, soft_wrap=True)
    out.print(f"report: {folder / 'index.html'}", markup=False, soft_wrap=True)

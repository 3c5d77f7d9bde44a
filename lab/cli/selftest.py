# SPDX-License-Identifier: Apache-2.0
"""`lab selftest`: a kernel's own selftests, run in an L1 of that kernel, as a cell of a run."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lab import __version__
from lab.build.cache import standard
from lab.cli.cannot_tell import status_of
from lab.cli.option_table import with_options
from lab.cli.paths import Into, at_home
from lab.cli.selftest_cells import (
    HostKernel,
    HostResults,
    SelftestRequest,
    Suite,
    cell_of,
    evidence_of,
    planned,
)
from lab.cli.selftest_suites import Prepared, Run, prepared, tell_what_is_lacking
from lab.cli.settings import Settings, err, out
from lab.config.host_request import HostRequest
from lab.config.load import with_overrides
from lab.config.model import MODES, Arch, HostMode, HostSpec, LabConfig
from lab.doctor.examine import insist
from lab.errors import ConfigError
from lab.history.store import NAME
from lab.record import shards
from lab.record.classify import exit_status, headline
from lab.record.model import ChildRecord, RunHeader, RunRecord
from lab.report import publish
from lab.report.ktap_input import children_of
from lab.report.progress import progress_on
from lab.report.side_by_side import excused, pairs
from lab.resources.ledger import state_dir
from lab.runner.environment import environment_of
from lab.runner.lab_session import LabSession, opened
from lab.runner.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestOptions:
    """The options of `lab selftest`."""

    kernel: Annotated[str, typer.Option(help="[kernel.NAME] of lab.toml.")] = "stock"
    beside: Annotated[
        str,
        typer.Option(
            help="A kernel to compare with, in its default mode: what fails there, too, is excused."
        ),
    ] = ""
    lab_kernel: Annotated[
        Path | None,
        typer.Option(
            envvar="LAB_KERNEL", callback=at_home, help="A source tree in place of 'stock'."
        ),
    ] = None
    arch: Annotated[Arch, typer.Option(help="Of L1.")] = Arch.X86_64
    mode: Annotated[
        HostMode | None, typer.Option(help="Of L1; without it, the architecture's default.")
    ] = None
    only: Annotated[str, typer.Option(help="Only programs that match this glob: 'sev_*'.")] = "*"
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list",
            callback=at_home,
            help="Only programs of this file: 'suite:program' a line, as kselftest-list.txt.",
        ),
    ] = None
    merge_config: Annotated[
        bool, typer.Option("--merge-config", help="Build the kernel with the suite's config, too.")
    ] = False
    kunitconfig: Annotated[
        Path | None,
        typer.Option(callback=at_home, help="Of kunit: a .kunitconfig; else all of KUnit's tests."),
    ] = None
    source: Annotated[
        str, typer.Option(help="Of kvm-unit-tests: a folder, or REPOSITORY#REF of git.")
    ] = ""
    timeout_s: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds for each program; else what the suite says, or 60."),
    ] = None
    env: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, for each program; may be repeated.")
    ] = None
    reports: Into = Path("reports")

    def request(self, suite: Suite, lab: LabConfig, toml: Path) -> SelftestRequest:
        """Return what is asked for.

        Args:
            suite: Which selftests.
            lab: What lab.toml says, with the overrides of these options.
            toml: The lab.toml that was read.

        Raises:
            ConfigError: The options make no sense.
        """
        usual = MODES[self.arch][0]
        tested = HostKernel(lab.kernel_for(self.kernel), self.mode or usual)
        measure = HostKernel(lab.kernel_for(self.beside), usual) if self.beside else None
        _check(self.arch, tested, measure)
        return SelftestRequest(
            suite=suite,
            tested=tested,
            beside=measure,
            arch=self.arch,
            only=self.only,
            timeout_s=self.timeout_s,
            env=_settings(self.env or ()),
            toml=toml,
            tree=self.lab_kernel,
            list_file=_file("--list", self.list_file),
            merge_config=self.merge_config,
            kunitconfig=_file("--kunitconfig", self.kunitconfig),
            source=self.source,
        )


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command()(with_options(SelftestOptions)(selftest))


def selftest(
    ctx: typer.Context,
    suite: Annotated[
        Suite,
        typer.Argument(help="Which suite of tools/testing/selftests, KUnit, or kvm-unit-tests."),
    ],
    *,
    options: SelftestOptions,
) -> int:
    """Build a kernel's selftests, run them in an L1 with it, and report them.

    Tests of two stages (liveupdate) are run before and after a kexec, which the lab does.

    With --beside they run on another kernel, too, and the table has both. Exit status: 0 if all
    passed, were skipped, or failed on the other kernel, too; 1 if one failed, 125 cannot tell.
    """
    settings: Settings = ctx.obj
    lab = with_overrides(settings.lab(), kernel_tree=options.lab_kernel)
    if suite is Suite.KHO:
        raise ConfigError(
            "the selftest 'kho' is an init that kexecs itself, and no program to run in a host",
            hint="a cell tests the same: lab run -d kexec --vmm labvmm --memory luo-memfd",
        )
    request = options.request(suite, lab, settings.path)
    reports = options.reports.absolute()

    def command() -> int:
        insist(lab)
        with progress_on(err, everything=settings.debug) as sink:
            suite_run = prepared(lab, request, standard(lab.cache), sink)
            with opened(suite_run.lab, sink) as lab_session:
                folder, record = _run(suite_run, lab_session, request, reports)
        _show(folder, record)
        return exit_status(record)

    return status_of(command, reports, debug=settings.debug)


def _check(arch: Arch, tested: HostKernel, measure: HostKernel | None) -> None:
    if tested.mode not in MODES[arch]:
        known = ", ".join(MODES[arch])
        raise ConfigError(f"--mode={tested.mode}: no such mode on {arch}", hint=f"it has: {known}")
    if tested == measure:
        raise ConfigError(
            f"--beside={measure.kernel}: this is the kernel under test, in the same mode",
            hint="name another kernel, or another --mode",
        )


def _file(option: str, path: Path | None) -> Path | None:
    found = path.expanduser() if path else None  # no shell expands the ~ in --list=~/x
    if found and not found.is_file():
        raise ConfigError(f"{option}={path}: no such file", hint=f"looked for {found.absolute()}")
    return found


def _settings(env: Sequence[str]) -> tuple[str, ...]:
    for setting in env:
        if not re.fullmatch(r"[A-Za-z_]\w*=.*", setting, re.ASCII):
            raise ConfigError(f"--env={setting}: expected NAME=VALUE", hint="as in --env=soak=1000")
    return tuple(env)


def _run(
    suite: Prepared, lab_session: LabSession, request: SelftestRequest, reports: Path
) -> tuple[Path, RunRecord]:
    lab = suite.lab
    tell_what_is_lacking(suite, request, lab_session)
    accel = lab_session.accelerator(request.arch, request.tested.kernel).accel
    hosts = [*([request.beside] if request.beside else []), request.tested]
    plans = [planned(request, on, accel) for on in hosts]
    header = RunHeader(
        run_id=lab_session.run_id,
        started=datetime.now(UTC),
        tier="selftest",
        command_line=tuple(shlex.split(request.typed)),
        versions={"lab": __version__},
        planned=tuple(plans),
    )
    folder = shards.begin(reports, header)
    measure: tuple[ChildRecord, ...] = ()
    for on, plan in zip(hosts, plans, strict=True):
        results = _results_on(
            lab_session, _host_request(lab, request, on), suite.run, folder / evidence_of(plan)
        )
        measure = measure or results.children  # the first host's results are the measure
        told = results.children
        if request.beside:
            told = excused(told, measure, str(request.beside))
        shards.write_cell(folder, cell_of(plan, results, told))
    shards.note_environment(folder, environment_of(lab_session), worker="main")
    known = state_dir(lab.state) / NAME
    return folder, publish.finish(
        folder, known=known, keep=lab.report.keep, sign_with=lab.report.sign_with
    )


def _results_on(
    lab_session: LabSession, host_wanted: HostRequest, run: Run, evidence: Path
) -> HostResults:
    began = time.monotonic()
    with closing(Pool(lab_session)) as pool:
        text, complained = run(pool, host_wanted, evidence)
    return HostResults(children_of(text), complained, time.monotonic() - began)


def _host_request(lab: LabConfig, request: SelftestRequest, on: HostKernel) -> HostRequest:
    spec = HostSpec(arch=request.arch, kernel=on.kernel, mode=on.mode)
    return lab.host_request("selftest", "a", spec, kernel=on.kernel)


def _show(folder: Path, record: RunRecord) -> None:
    *measure, tested = record.cells
    if measure:
        a, b = (f"{c.dimensions['kernel']}-{c.dimensions['mode']}" for c in record.cells)
        out.print(f"{a}  {b}", markup=False)
        for pair in pairs(measure[0].children, tested.children):
            columns = f"{pair.measure:{len(a)}}  {pair.tested:{len(b)}}  {'  ' * pair.depth}"
            out.print(f"{columns}{pair.name} {pair.mark}".rstrip(), markup=False, soft_wrap=True)
    for child in () if measure else tested.children:
        out.print(
            f"{'  ' * child.depth}{child.status:8} {child.name} {child.comment}".rstrip(),
            markup=False,
        )
    out.print(headline(record), markup=False, soft_wrap=True)
    out.print(f"report: {folder / 'index.html'}", markup=False, soft_wrap=True)

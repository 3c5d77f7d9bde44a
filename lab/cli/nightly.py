# SPDX-License-Identifier: Apache-2.0
"""`lab nightly`: the whole ladder with repeats, resumed if it was killed, within a time limit."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lab import data
from lab.bench import regression
from lab.cli.cannot_tell import status_of
from lab.cli.child_process import Child, exclusive_lock, run_child
from lab.cli.paths import Into
from lab.cli.settings import Settings, err, out
from lab.config.model import LabConfig, Tier
from lab.doctor.examine import insist
from lab.errors import ConfigError, InfraError
from lab.history import night
from lab.history.night import Night
from lab.history.store import NAME, opened
from lab.record.classify import AS_EXPECTED, CANNOT_TELL, exit_status, headline
from lab.record.files import load, load_document, write_document
from lab.record.labels import seconds
from lab.record.model import RunHeader, RunRecord
from lab.report import index, publish
from lab.report.progress import progress_on
from lab.resources.ledger import state_dir
from lab.signals import StoppedError
from lab.standing.cleanup import remove_leftovers_of

_TELL_S = 30.0
_STALE_S = 36 * 3600.0
_OPTIONS = "what follows 'lab nightly --' are options of pytest"
_USAGE, _NOTHING = 4, 5  # pytest's words for "not with these options", "nothing to run"


@dataclass(frozen=True, slots=True)
class _Plan:
    """One night, with all that its stages need."""

    lab: LabConfig
    toml: Path
    topologies: Path
    reports: Path
    state: Path
    night: Night
    resumes: bool
    began: float  # monotonic

    @property
    def left_s(self) -> float:
        return self.lab.nightly.at_most_s - (time.monotonic() - self.began)

    @property
    def known(self) -> Path:
        return self.state / NAME


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        nightly
    )


def nightly(
    ctx: typer.Context,
    *,
    tier: Annotated[Tier, typer.Option(help="Which cells.")] = Tier.NIGHTLY,
    reports: Into = Path("reports"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new night, also if one was killed.")
    ] = False,
) -> int:
    """Run the ladder with repeats, measure, report; resume a night that was killed.

    Further arguments are pytest's: lab nightly -- -k kexec. Repeats and the time limit are
    [nightly] of lab.toml. Exit status: 0 as expected, 1 the product failed, 125 cannot tell (the
    lab or this machine), 2 a mistake in what was typed.
    """
    settings: Settings = ctx.obj
    if data.INSTALLED and settings.topologies == data.TOPOLOGIES:
        raise ConfigError(f"no topologies/ beside {settings.path}", hint="make them: lab init")
    arguments = tuple(ctx.args)
    try:
        return status_of(
            lambda: _locked(settings, tier, reports, arguments, fresh=fresh),
            reports.absolute(),
            debug=settings.debug,
        )
    except StoppedError:
        _say("to resume this night, type: lab nightly")
        raise


def _locked(
    settings: Settings, tier: Tier, reports: Path, arguments: tuple[str, ...], *, fresh: bool
) -> int:
    """Run the night that was killed, or a new one, while no other nightly can start."""
    lab = settings.lab()
    state, began = state_dir(lab.state), time.monotonic()
    with exclusive_lock(state / "nightly.lock", _already_running(state)) as lock:
        last = None if fresh else night.remembered(state)
        mine = _tonight(last, tier, reports, arguments)
        plan = _Plan(
            lab, settings.path, settings.topologies, reports.absolute(), state, mine,
            mine.run_id == (last.run_id if last else ""), began,
        )  # fmt: skip
        insist(lab)
        night.remember(state, mine)
        status = _through_the_night(plan, lock, everything=settings.debug)
        night.forget(state)
    return status


def _already_running(state: Path) -> str:
    last = night.remembered(state)
    if last is None:
        return "another nightly is running"
    since = f"{last.began:%Y-%m-%d %H:%M:%S} UTC"
    return f"another nightly is running: run {last.run_id}, process {last.pid}, since {since}"


def _tonight(last: Night | None, tier: Tier, reports: Path, arguments: tuple[str, ...]) -> Night:
    """Return the night to run: the one that was killed, or a new one."""
    here = str(reports.absolute())
    new = Night(
        run_id=secrets.token_hex(3),
        reports=here,
        tier=tier.value,
        began=datetime.now(UTC),
        pid=os.getpid(),
        arguments=arguments,
    )
    if last is None:
        return new
    asked = (last.reports, last.tier, last.arguments)
    if asked != (here, tier.value, arguments):
        _say(f"run {last.run_id} was killed and had other options: starting a new one")
        return new
    if (new.began - last.began).total_seconds() > _STALE_S:
        _say(f"run {last.run_id} was killed too long ago to be resumed: starting a new one")
        return new
    return last.model_copy(update={"pid": new.pid})


def _through_the_night(plan: _Plan, lock: int, *, everything: bool) -> int:
    if plan.resumes:
        with progress_on(err, everything=everything) as sink:
            remove_leftovers_of(plan.lab, plan.night.run_id, sink)
    notes: list[str] = []
    came = _ladder(plan, lock, notes)
    folder = night.folder_of(plan.reports, plan.night.run_id)
    if folder is None or not (folder / "run.json").exists():
        if folder is None:
            night.forget(plan.state)  # nothing was started that could be resumed
        if came == _NOTHING:
            raise ConfigError(f"no test was chosen{_unmatched(_log(plan))}", hint=_OPTIONS)
        said = _last_error(_log(plan))
        raise InfraError(
            f"the ladder left no record (pytest's status {came}){said}", hint=f"read {_log(plan)}"
        )
    if plan.lab.nightly.bench and plan.left_s > 0:
        _bench(plan, folder, lock, notes)
    record = _published(plan, folder, notes)
    status = exit_status(record)
    if status == AS_EXPECTED and came != 0:
        _say(f"tests beside the cells failed (pytest's status {came}): read {folder}/pytest.log")
        status = CANNOT_TELL
    out.print(headline(record), markup=False, soft_wrap=True)
    out.print(f"report: {folder / 'index.html'}", markup=False, soft_wrap=True)
    out.print(f"took {seconds(time.monotonic() - plan.began)}; exit status {status}")
    return status


def _log(plan: _Plan) -> Path:
    return plan.state / f"nightly-{plan.night.run_id}.log"


def _last_error(log: Path) -> str:
    """Return the last error in pytest's log, with ": " before it; "" if there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line[1:].strip() for line in lines if line.startswith("E  ") and "Error: " in line]
    return f": {errors[-1]}" if errors else ""


def _refusal(log: Path) -> str:
    """Return why pytest's log says that a run is not resumed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    begin = next((n for n, line in enumerate(lines) if "--lab-resume: " in line), None)
    if begin is None:
        return f"read {log}"
    why = [lines[begin].partition("--lab-resume: ")[2], *lines[begin + 1 :]]
    return "\n".join(line for line in why if line and not line.startswith("put it back"))


def _unmatched(log: Path) -> str:
    """Return what pytest's log says of a selection that matches nothing, with ": " before it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("-k '", "tier "))]
    return f": {'; '.join(told)}" if told else ""


def _ladder(plan: _Plan, lock: int, notes: list[str]) -> int:
    """Run pytest over the topologies until it ends or the time is up; return its status."""
    run_id = plan.night.run_id
    folder = night.folder_of(plan.reports, run_id)
    resuming = plan.resumes and folder is not None
    if resuming:
        _say(f"resuming run {run_id}, which was stopped")
    came = _pytest(plan, lock, f"--lab-resume={run_id}" if resuming else f"--lab-run-id={run_id}")
    if resuming and came.status == _USAGE:
        raise ConfigError(
            f"cannot resume run {run_id}: {_refusal(_log(plan))}",
            hint="to start a new night, type: lab nightly --fresh",
        )
    if came.timed_out:
        limit = seconds(plan.lab.nightly.at_most_s)
        notes.append(f"The time was up after {limit}: what had not begun by then was left.")
    return 0 if resuming and came.status == _NOTHING else came.status


def _pytest(plan: _Plan, lock: int, run: str) -> Child:
    argv = [
        sys.executable, "-m", "pytest", str(plan.topologies), "-v", "--lab-repeat=nightly",
        "-p", "no:randomly",  # the ladder's order is that in which its hosts are shared
        f"--lab-tier={plan.night.tier}", f"--lab-toml={plan.toml.absolute()}",
        f"--lab-reports={plan.reports}", run, *plan.night.arguments,
    ]  # fmt: skip
    with opened(plan.known) as book:
        durations = book.durations()
    since, told = datetime.now(UTC), _Told()

    def look() -> None:
        folder = night.folder_of(plan.reports, plan.night.run_id)
        if folder is not None:
            told(night.progress(folder, durations, since=since))

    _say(f"run {plan.night.run_id}: the ladder, tier {plan.night.tier}; its log is {_log(plan)}")
    beside = plan.topologies.parent
    return run_child(argv, _log(plan), cwd=beside, keep=lock, at_most_s=plan.left_s, look=look)


class _Told:
    """Prints how far a night is when a cell has ended, at most every 30 s."""

    def __init__(self) -> None:
        self._done, self._at = -1, float("-inf")

    def __call__(self, now: night.Progress) -> None:
        at = time.monotonic()
        if now.ended != self._done and (at - self._at >= _TELL_S or not now.left):
            self._done, self._at = now.ended, at
            _say(str(now))


def _bench(plan: _Plan, folder: Path, lock: int, notes: list[str]) -> None:
    _say("measuring how fast the lab is here")
    argv = [sys.executable, "-m", "lab", "--lab-toml", str(plan.toml.absolute()), "bench"]
    argv += [f"--to={folder}/bench.json", f"--reports={plan.reports}", f"--tier={plan.night.tier}"]
    came = run_child(argv, _log(plan), cwd=Path.cwd(), keep=lock, at_most_s=plan.left_s)
    if came.status == 0:
        notes.append("How fast the lab was on this machine is in bench.json.")
        notes += regression.told(json.loads((folder / "bench.json").read_bytes())["slower"])
    else:
        notes.append(f"The bench did not finish (status {came.status}): read pytest.log.")


def _published(plan: _Plan, folder: Path, notes: Sequence[str]) -> RunRecord:
    """Put the notes and the log into the run's folder, and make its pages again."""
    log = _log(plan)
    with (folder / "pytest.log").open("ab") as kept:
        kept.write(log.read_bytes())
    log.unlink()
    if not notes:
        return load(folder)
    header = load_document(folder / "header.json", RunHeader)
    told = tuple(dict.fromkeys((*header.notes, *notes)))
    write_document(folder / "header.json", header.model_copy(update={"notes": told}))
    record = publish.publish(folder, known=plan.known, tell=_say)
    publish.seal(folder, record, sign_with=plan.lab.report.sign_with, tell=_say)
    index.shelve(plan.reports)
    return record


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""Each mutant is wrong in one way, and must be caught by the check that is named beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.config.model import Cell, DisruptionKind, GuestKind, KexecLoad, Options, VmmKind
from lab.deadline import Deadline
from lab.disruption.delivered import Delivered
from lab.errors import HostDiedError
from lab.guest.guest import RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.host import kexec
from lab.host.host import RunningHost
from lab.observe.identity import Happened, kexec_happened, process_gone
from lab.runner.pool import Pool
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Lost, Unproven, Verdict

# A mutant turns some 7 s after its first beat. It is watched from 1 to 5 s after that beat on, and
# for long enough that one which froze for 4 s is seen to beat again.
_AFTER_MS = 7000
_WATCH_S = 10.0

Run = Callable[..., Verdict]


@pytest.fixture
def run(control: Cell, pool: Pool, tmp_path: Path) -> Run:
    """Return a function that runs a mutant of the control cell, and returns the verdict."""

    def run_mutant(*words: str, guest: GuestKind = GuestKind.LINUX, **changes: object) -> Verdict:
        deed: Any = changes.pop("deed", None)
        cell = control.model_copy(update={"guest": guest, **changes})
        watch = pool.lab_session.lab.watch
        if words:
            watch = watch.model_copy(update={"after_s": _WATCH_S})
        result = attempted(pool, cell, tmp_path, watch=watch, words=words, deed=deed)
        if result.broke:
            raise result.broke
        assert result.verdict is not None
        return result.verdict

    return run_mutant


@pytest.mark.parametrize("guest", [GuestKind.LINUX, GuestKind.SPINNER])
@pytest.mark.parametrize(
    ("mutant", "checks"),
    [
        ("freeze:{at}:4000", {Check.SILENCE, Check.GUEST_SILENCE}),
        ("rewind:{at}", {Check.REWIND, Check.CHAIN}),
        ("restart:{at}", {Check.RESTART}),
        ("canary:{at}", {Check.CANARY}),
        ("chain:{at}", {Check.CHAIN}),
        ("bit:{at}", {Check.RAM}),
        ("page:{at}", {Check.RAM}),
        ("ram:{at}", {Check.RAM}),
    ],
)
def test_a_changed_guest_is_no_survivor(
    run: Run, guest: GuestKind, mutant: str, checks: set[Check]
) -> None:
    verdict = run(f"mutant={mutant.format(at=_AFTER_MS)}", guest=guest)

    assert isinstance(verdict, Lost | Unproven), verdict.reason
    assert verdict.check in checks, verdict.reason


# Run in L1: while the VMM is stopped, all of its guest's RAM from an offset on is overwritten.
_OVERWRITE = """
import os, signal, sys
pid, size, begin = map(int, sys.argv[1:])
for name in os.listdir(f"/proc/{pid}/fd"):
    link = f"/proc/{pid}/fd/{name}"
    if os.stat(link).st_size == size and "memfd:" in os.readlink(link):
        break
else:
    sys.exit("no memfd of its guest's RAM")
os.kill(pid, signal.SIGSTOP)
ram = os.open(link, os.O_WRONLY)
for at in range(begin, size, 1 << 20):
    os.pwrite(ram, b"Z" * (1 << 20), at)
os.kill(pid, signal.SIGCONT)
"""
_BEHIND_THE_IMAGE = 2 << 20  # a bare guest's code, stacks and beacons are below, on x86-64


@pytest.mark.parametrize("guest", [GuestKind.SPINNER, GuestKind.TICKER])
def test_a_guest_whose_ram_was_overwritten_while_it_was_away_is_lost(
    run: Run, guest: GuestKind
) -> None:
    def overwrite(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
        at, size = time.monotonic(), guest.plan.memory_mib << 20
        arguments = map(str, (guest.vmm.pid, size, _BEHIND_THE_IMAGE))
        guest.host.session.check(["python3", "-c", _OVERWRITE, *arguments])
        return Delivered(Happened("an overwriting of its RAM", at, time.monotonic()), guest)

    verdict = run(guest=guest, deed=overwrite)

    assert isinstance(verdict, Lost), verdict.reason
    assert verdict.check is Check.RAM, verdict.reason
    assert verdict.figures.beats_on


def test_a_kill_that_kills_nothing_proves_nothing(run: Run) -> None:
    def pretend(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
        at = time.monotonic()
        now = guest.vmm
        return Delivered(
            process_gone(guest.vmm, now, what="SIGKILL", at=at, done=time.monotonic()), guest
        )

    verdict = run(disruption=DisruptionKind.VMM_KILL, deed=pretend)

    assert isinstance(verdict, Unproven), verdict.reason
    assert verdict.check is Check.DISRUPTION


def test_a_kexec_that_does_not_happen_proves_nothing(run: Run) -> None:
    def load_only(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
        host, at = guest.host, time.monotonic()
        by = Deadline.after(host.patience.kexec)
        loaded = kexec.load(host, how=KexecLoad.FILE_LOAD, by=by)
        before = host.identity
        host.reconnect(by)
        witness = kexec_happened(
            before,
            host.identity,
            nonce=loaded.nonce,
            wanted_build_id=host.blueprint.kernel.build_id,
            at=at,
            done=time.monotonic(),
        )
        host.taint("a kernel is loaded that was not entered")
        return Delivered(witness, guest)

    verdict = run(disruption=DisruptionKind.KEXEC, deed=load_only)

    assert isinstance(verdict, Unproven), verdict.reason
    assert verdict.check is Check.DISRUPTION


def test_a_panic_on_the_console_ends_a_wait_at_once(control: Cell, pool: Pool) -> None:
    def crash(host: RunningHost) -> float:
        host.taint("its kernel was made to panic")
        host.session.spawn(["sh", "-c", "sleep 0.2; echo c >/proc/sysrq-trigger"], "/dev/null")
        began = time.monotonic()
        with pytest.raises(HostDiedError, match="anic"):
            host.console.wait_for("this never comes", Deadline.after(120))
        return time.monotonic() - began

    wish = control.request
    with pool.lease(wish) as host:
        assert crash(host) < 60


@pytest.fixture
def control(cells: tuple[Cell, ...]) -> Cell:
    """Return a control cell of the stock kernel: nothing is done to it."""
    return next(
        cell
        for cell in cells
        if cell.topology == "x86_64-one-host"
        and cell.disruption is DisruptionKind.NONE
        and cell.vmm is VmmKind.LABVMM
    )

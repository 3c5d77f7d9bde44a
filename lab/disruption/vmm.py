# SPDX-License-Identifier: Apache-2.0
"""Ways for a VMM to die, to stop for a while, or to be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lab.config.model import Options
from lab.deadline import Deadline, until
from lab.disruption.delivered import Delivered
from lab.errors import DeadlineError
from lab.guest.guest import RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.host.commands import labvmm, process
from lab.observe.identity import DidNot, Happened, process_gone

_MS = 1_000_000  # nanoseconds
_INIT = 1

Facts = Mapping[str, str | int | float]


def kill(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """End the VMM by SIGKILL."""
    return _ends(guest, "SIGKILL", lambda by: _signal(guest, "KILL", by))


def segv(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """End the VMM as a wild pointer would, by SIGSEGV."""
    return _ends(guest, "SIGSEGV", lambda by: _signal(guest, "SEGV", by))


def leave(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Have the VMM end by itself."""

    def ask(by: Deadline) -> Facts:
        driver.quit(guest, by)
        return {}

    return _ends(guest, "its own exit", ask)


def oom(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Have the kernel's OOM killer end the VMM, in a memory cgroup of its own."""

    def starve(by: Deadline) -> Facts:
        said = labvmm(guest.host.session, "oom", "--pid", str(guest.vmm.pid), by=by)
        return {"oom_kill": int(said["events"].get("oom_kill", 0))}

    delivered = _ends(guest, "the OOM killer", starve)
    if isinstance(delivered.witness, Happened) and not delivered.facts.get("oom_kill"):
        return Delivered(
            DidNot("the VMM is gone, but the OOM killer counts no kill"), guest, delivered.facts
        )
    return delivered


def stop_vcpus(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Stop the whole VMM for a known time, as L1's monotonic clock measures it."""
    at = time.monotonic()
    said = labvmm(
        guest.host.session,
        "vcpu-stop",
        "--pid",
        str(guest.vmm.pid),
        "--ms",
        str(options.stop_ms),
        by=Deadline.after(guest.host.patience.command),
    )
    inner, outer = int(said["stop_ns"]), int(said["outer"]["ns"])
    facts = {"stop_inner_ms": inner / _MS, "stop_outer_ms": outer / _MS}
    if not guest.vmm_lives:
        return Delivered(DidNot("the VMM did not live through SIGSTOP and SIGCONT"), guest, facts)
    what = f"the VMM was stopped for {inner / _MS:.1f} to {outer / _MS:.1f} ms of L1's clock"
    return Delivered(Happened(what, at, time.monotonic()), guest, facts)


def transfer(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Replace the VMM by a new process of it, as planned; both must be seen."""
    at = time.monotonic()
    new = driver.replace(guest, Deadline.after(guest.host.patience.guest))
    gone = _wait_gone(guest, at, f"the hand-over to process {new.vmm.pid}")
    if not new.vmm_lives:
        return Delivered(DidNot(f"the new VMM, process {new.vmm.pid}, is not there"), new)
    facts = {"old_pid": guest.vmm.pid, "new_pid": new.vmm.pid, **_emptied(gone)}
    return Delivered(gone, new, facts)


def _ends(guest: RunningGuest, what: str, deed: Callable[[Deadline], Facts]) -> Delivered:
    if not guest.vmm_lives:
        gone = f"the VMM, process {guest.vmm.pid}, was gone already before {what}"
        return Delivered(DidNot(gone), guest, {"pid": guest.vmm.pid})
    by = Deadline.after(guest.host.patience.command)
    at = time.monotonic()
    facts = deed(by)
    end = _wait_gone(guest, at, what)
    return Delivered(end, guest, {"pid": guest.vmm.pid, **facts, **_emptied(end)})


def _emptied(gone: Happened | DidNot) -> Facts:
    return {"vmm_cgroup": "empty"} if isinstance(gone, Happened) else {}


def _wait_gone(guest: RunningGuest, at: float, what: str) -> Happened | DidNot:
    """Look until the VMM's process, by pid and start time, is gone, and its cgroup is empty."""
    by = Deadline.after(guest.host.patience.command)

    def look() -> Happened | None:
        now = process(guest.host.session, guest.vmm.pid)
        seen = process_gone(guest.vmm, now, what=what, at=at, done=time.monotonic())
        if not isinstance(seen, Happened) or guest.vmm_processes(by):
            return None
        # A host that shows not even its init shows nothing of others either.
        return seen if process(guest.host.session, _INIT) is not None else None

    try:
        return until("the VMM to be gone", look, by)
    except DeadlineError:
        return DidNot(f"{_left(guest)} after {what}")


def _left(guest: RunningGuest) -> str:
    one = f"the VMM, process {guest.vmm.pid},"
    rest = guest.vmm_processes(Deadline.after(guest.host.patience.command))
    if guest.vmm_lives or not rest:
        return f"{one} was not seen to go"
    return f"{one} is gone, and {', '.join(rest)} of its cgroup lives on"


def _signal(guest: RunningGuest, name: str, by: Deadline) -> Facts:
    guest.host.session.check(["kill", f"-{name}", str(guest.vmm.pid)], by=by)
    return {}

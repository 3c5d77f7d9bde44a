# SPDX-License-Identifier: Apache-2.0
"""Ways to end a host's kernel: by kexec, by a crash, by a reset from L0."""

from __future__ import annotations

import time

from lab.build.kernel import KernelImage
from lab.config.model import Options
from lab.deadline import Deadline
from lab.disruption.delivered import Delivered
from lab.guest.guest import RunningGuest
from lab.guest.handover.protocol import Orphaning
from lab.guest.vmms.protocol import Vmm
from lab.host import kexec as kexecs
from lab.host.host import ready_line
from lab.observe.identity import DidNot, Happened, HostIdentity, kexec_happened


def kexec(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Load a kernel under a new nonce, and enter it by kexec; as often as the cell says.

    It is the host's own, or by turns that of `options.through` and its own. A guest that may
    outlive the kernel is made ready for it first. In each kernel but the last it is adopted; where
    nobody is there to be adopted, no other kexec follows.
    """
    handover = driver.handover
    guest, first, facts = _jump(guest, handover, options, 1)
    done, last = 1, first
    while done < options.kexecs and isinstance(last, Happened) and _is_there(guest, handover):
        guest = handover.adopt(guest, Deadline.after(guest.host.patience.command))
        done += 1
        guest, last, facts = _jump(guest, handover, options, done)
    if isinstance(first, Happened) and isinstance(last, Happened) and done > 1:
        last = Happened(f"{done} kexecs, the last: {last.what}", first.at, last.done)
    return Delivered(last, guest, {"kexecs": done, **facts})


def _jump(
    guest: RunningGuest, handover: Orphaning, options: Options, turn: int
) -> tuple[RunningGuest, Happened | DidNot, dict[str, float | str]]:
    """Make one; say too how it was loaded, and how long its parts took, in seconds.

    Of the last one it is told.
    """
    host, began = guest.host, time.monotonic()
    other = host.blueprint.through if turn % 2 else None
    by = Deadline.after(host.patience.kexec)
    before = host.identity
    guest = handover.prepare_for_kernel_exit(guest, by)
    left = time.monotonic()
    loaded = kexecs.load(host, how=options.load, by=by, other=other)
    at = time.monotonic()
    jumped = kexecs.jump(host, loaded, by)
    took = {"leave_s": left - began, "load_s": at - left,
            "kexec_s": jumped.kexec_s, "boot_s": jumped.boot_s}  # fmt: skip
    witness = _witness(guest, before, loaded.nonce, at, other or host.blueprint.kernel)
    told = {part: round(s, 3) for part, s in took.items()}
    return guest, witness, {"load": loaded.how.value, **told}


def _is_there(guest: RunningGuest, handover: Orphaning) -> bool:
    return bool(handover.status(guest, Deadline.after(guest.host.patience.command)).vcpus)


def crash_kexec(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Load a crash kernel, and make the host panic into it.

    A guest that may outlive the kernel is made ready for its end first.
    """
    host = guest.host
    by = Deadline.after(host.patience.kexec)
    before = host.identity
    guest = driver.handover.prepare_for_kernel_exit(guest, by)
    loaded = kexecs.load_crash(host, by=by)
    at = time.monotonic()
    kexecs.panic(host, loaded, by)
    witness = _witness(guest, before, loaded.nonce, at, host.blueprint.kernel)
    return Delivered(witness, guest, {"load": loaded.how.value})


def reset(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Reset the host from L0: all of its CPUs, so that no caretaker outlives it."""
    host = guest.host
    by = Deadline.after(host.patience.boot)
    guest = driver.handover.prepare_for_kernel_exit(guest, by)
    before, mark = host.identity, host.console.mark()
    host.taint("it was reset")
    at = time.monotonic()
    host.domain.reset()
    host.console.wait_for(ready_line(host.nonce), by, since=mark)
    host.runs = host.blueprint.kernel
    host.reconnect(by)
    if host.identity.boot_id == before.boot_id:
        return Delivered(DidNot(f"the host's boot id is still {before.boot_id}"), guest)
    what = f"reset: boot id {before.boot_id} became {host.identity.boot_id}"
    return Delivered(Happened(what, at, time.monotonic()), guest)


def _witness(
    guest: RunningGuest, before: HostIdentity, nonce: str, at: float, kernel: KernelImage
) -> Happened | DidNot:
    return kexec_happened(
        before,
        guest.host.identity,
        nonce=nonce,
        wanted_build_id=kernel.build_id,
        at=at,
        done=time.monotonic(),
    )

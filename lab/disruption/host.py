# SPDX-License-Identifier: Apache-2.0
"""Ways for a host's kernel to go: by kexec, by a crash, by the reset button."""

from __future__ import annotations

import time

from lab.deadline import Deadline
from lab.disruption.delivered import Delivered
from lab.machine import kexec as kexecs
from lab.machine.guest import RunningGuest
from lab.machine.host import ready_line
from lab.machine.orphaning.table import orphaning_for
from lab.machine.vmm import Vmm
from lab.spec.model import Options
from lab.witness.identity import DidNot, Happened, HostIdentity, kexec_happened


def kexec(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Load the host's own kernel under a new nonce, and jump into it; as often as is wanted.

    A guest that may outlive the kernel is made ready for it first. In each kernel but the last it
    is adopted; where nobody is there to be adopted, no other kexec follows.
    """
    guest, first = _jump(guest, options)
    done, last = 1, first
    while done < options.kexecs and isinstance(last, Happened) and _is_there(guest):
        abi = orphaning_for(guest.plan.orphaning)
        guest = abi.adopt(guest, Deadline.after(guest.host.patience.command))
        guest, last = _jump(guest, options)
        done += 1
    if isinstance(first, Happened) and isinstance(last, Happened) and done > 1:
        last = Happened(f"{done} kexecs, the last: {last.what}", first.at, last.done)
    return Delivered(last, guest, {"load": options.load.value, "kexecs": done})


def _jump(guest: RunningGuest, options: Options) -> tuple[RunningGuest, Happened | DidNot]:
    host = guest.host
    by = Deadline.after(host.patience.kexec)
    before = host.identity
    guest = orphaning_for(guest.plan.orphaning).leave(guest, by)
    loaded = kexecs.load(host, how=options.load, by=by)
    at = time.monotonic()
    kexecs.jump(host, loaded, by)
    return guest, _witness(guest, before, loaded.nonce, at)


def _is_there(guest: RunningGuest) -> bool:
    by = Deadline.after(guest.host.patience.command)
    return bool(orphaning_for(guest.plan.orphaning).status(guest, by).vcpus)


def crash_kexec(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Load a crash kernel, and make the host panic into it."""
    host = guest.host
    by = Deadline.after(host.patience.kexec)
    before = host.identity
    loaded = kexecs.load_crash(host, by=by)
    at = time.monotonic()
    kexecs.panic(host, loaded, by)
    return Delivered(_witness(guest, before, loaded.nonce, at), guest)


def reset(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Press the reset button of the host, from L0."""
    host = guest.host
    by = Deadline.after(host.patience.boot)
    before, mark = host.identity, host.console.mark()
    host.spoilt = "it was reset"
    at = time.monotonic()
    host.domain.reset()
    host.console.wait_for(ready_line(host.nonce), by, since=mark)
    host.reconnect(by)
    if host.identity.boot_id == before.boot_id:
        return Delivered(DidNot(f"the host's boot id is still {before.boot_id}"), guest)
    what = f"reset: boot id {before.boot_id} became {host.identity.boot_id}"
    return Delivered(Happened(what, at, time.monotonic()), guest)


def _witness(guest: RunningGuest, before: HostIdentity, nonce: str, at: float) -> Happened | DidNot:
    host = guest.host
    return kexec_happened(
        before,
        host.identity,
        nonce=nonce,
        wanted_build_id=host.blueprint.kernel.build_id,
        at=at,
        done=time.monotonic(),
    )

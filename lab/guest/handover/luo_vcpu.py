# SPDX-License-Identifier: Apache-2.0
"""vCPUs in a LUO session, by the RFC "Orphaned Virtual Machines": with CPUs, RAM and VM.

Its tree is one more kernel: `[kernel.rfc] git = ..., ref = ...`, and `orphaning = "luo-vcpu"`.
Whether such a kernel does what it says was not seen: the lab has tried this with a stand-in only.

Source: "[RFC PATCH 00/46] Orphaned Virtual Machines", 2026-09-20; see labvmm's luo-vcpu.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping

from lab.deadline import Deadline
from lab.errors import UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.launch import ready, run_argv
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.guest.handover.vmm_status import status_by_vmm
from lab.guest.start import started
from lab.host.commands import LABVMM, labvmm
from lab.host.host import RunningHost
from lab.observe.proof import Proof, unseen

_PRESERVED = "/sys/devices/system/cpu/preserved"


class LuoVcpuOrphaning:
    """labvmm's VM, which a second process preserves before a kexec; a new labvmm goes on with it.

    The VMM lives until the kexec, for KVM's VM is bound to its memory map: such a guest does not
    outlive its VMM under one kernel.
    """

    name = "luo-vcpu"
    orphans = True

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask labvmm in the host what its kernel lacks."""
        said = labvmm(host.session, "luo-vcpu", "probe", by=by)
        return (
            None if said["can"] else f"the kernel of {host.role} lacks {', '.join(said['lacks'])}"
        )

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest and return as soon as its VMM process exists."""
        return started(host, plan, [*run_argv(host, plan), "--ram", "memfd", "--plain"], by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Preserve all of it, and leave the session open; without that ABI, do nothing."""
        host, plan = guest.host, guest.plan
        if self.unsupported_reason(host, by) is not None:
            return guest
        argv = [
            *LABVMM, "luo-vcpu", "preserve", "--session", _session(plan), "--vmm", plan.socket,
            "--cpus", *map(str, _cpus(plan)),
        ]  # fmt: skip
        what = f"the session of {plan.name}"
        keeper = ready(host, argv, f"{plan.folder}/luo-vcpu.log", what, by)
        return dataclasses.replace(guest, keepers=(keeper,))

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Refuse: under one kernel the guest cannot change its VMM."""
        raise UnavailableError(
            f"with orphaning {self.name!r} a guest can leave its VMM only for a kexec of its host"
        )

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask the kernel which CPUs are preserved; if none of the guest's is, ask its VMM.

        The kernel tells of CPUs and not of vCPUs: while they are preserved, all count as running.
        """
        said = guest.host.session.run(["cat", _PRESERVED], by=by).stdout
        if not _listed(said) & set(_cpus(guest.plan)):
            return status_by_vmm(guest, by)
        vcpus = (VcpuSeen(n, "RUNNING", "unknown", None, 0, 0) for n in range(guest.plan.vcpus))
        return OrphanStatus("GONE", "run", 0, tuple(vcpus))

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Return that L0 has no view of it beyond its beats."""
        return unseen("where this kernel keeps what runs a preserved vCPU is not known to L0")

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Start a VMM in the new kernel that retrieves the guest, and runs it under KVM."""
        plan, host = guest.plan, guest.host
        host.session.check(["mkdir", "-p", str(plan.folder)], by=by)
        argv = [
            *LABVMM, "luo-vcpu", "adopt", "--session", _session(plan),
            "--socket", plan.socket, "--console", plan.console,
        ]  # fmt: skip
        log = f"{plan.folder}/adopt-{secrets.token_hex(4)}.log"
        vmm = ready(host, argv, log, f"the adopter of {plan.name}", by)
        return dataclasses.replace(guest, vmm=vmm, keepers=())


def _cpus(plan: GuestPlan) -> range:
    return range(1, plan.vcpus + 1)  # the boot CPU cannot be preserved


def _listed(text: str) -> set[int]:
    """Parse a list of CPUs as sysfs has it: "1-2,4"."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _session(plan: GuestPlan) -> str:
    return f"lab-{plan.name}"

# SPDX-License-Identifier: Apache-2.0
"""vCPUs resident with the caretaker, on CPUs without a kernel, over a kexec of their host."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping

from lab.caretaker.control import Caretaker
from lab.caretaker.residency_proof import residency
from lab.config.model import Accel
from lab.deadline import Deadline
from lab.errors import InfraError, UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.launch import ready, run_argv
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.guest.handover.vmm_status import status_by_vmm
from lab.guest.start import started
from lab.host.commands import LABVMM
from lab.host.host import RunningHost
from lab.observe.proof import Proof, unseen

_DEVICE = "/dev/caretaker"
_VCPUS = "/sys/kernel/caretaker/vcpus"
_VCPU = re.compile(r"(\d+) (held|parked) apic \d+ entries (\d+) exit (\S+) info \S+ \S+ rip (\S+)")
_STATES = {"held": "RUNNING", "parked": "PAUSED"}


class ResidentOrphaning:
    """An ordinary VM of labvmm's, whose vCPUs become resident before their host's kernel exits.

    Args:
        name: The word of a cell's `orphaning` option.
        preserve: Have LUO preserve the vCPUs; without it they end with the host's kernel.
        keeper_socket: File name of the keeper's socket in the guest's folder; empty for the usual
            one, if the guest has no other keeper.
    """

    orphans = True

    def __init__(self, name: str, *, preserve: bool, keeper_socket: str = "") -> None:
        self.name = name
        self.preserve = preserve
        self._keeper_socket = keeper_socket

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Look for the caretaker's device in the host."""
        there = host.session.run(["test", "-c", _DEVICE], by=by).status == 0
        return None if there else f"the kernel of {host.role} has no {_DEVICE}"

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest and return as soon as its VMM process exists."""
        return started(host, plan, [*run_argv(host, plan), "--ram", "memfd", "--plain"], by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Make its vCPUs resident, and kill its VMM; without a caretaker, do nothing."""
        host, plan = guest.host, guest.plan
        if self.unsupported_reason(host, by) is not None:
            return guest
        cpus = [str(cpu) for cpu in range(1, plan.vcpus + 1)]
        argv = [
            *LABVMM, "resident", "move-in", "--session", _session(plan), "--vmm", plan.socket,
            "--socket", self._socket(plan), "--cpus", *cpus,
            *([] if self.preserve else ["--unpreserved"]),
        ]  # fmt: skip
        what = f"the caretaker's keeper of {plan.name}"
        keeper = ready(host, argv, f"{plan.folder}/resident.log", what, by)
        guest.kill_vmm(by)
        return dataclasses.replace(guest, keepers=(keeper,))

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Refuse: a guest leaves its VMM by `prepare_for_kernel_exit`."""
        raise UnavailableError(
            f"with orphaning {self.name!r} a guest can leave its VMM only for a kexec of its host"
        )

    def has(self, guest: RunningGuest, by: Deadline) -> bool:
        """Return whether any vCPU is resident on this guest's host."""
        return bool(_listed(guest.host, by))

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask the caretaker; if no vCPU is resident, the new VMM; if none lives, it is nowhere."""
        vcpus = _listed(guest.host, by)
        if vcpus:
            return OrphanStatus("GONE", "run", 0, vcpus)
        return status_by_vmm(guest, by)

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Look at the CPUs that its vCPUs are on, where they are emulated."""
        domain, accel = guest.host.domain, guest.host.blueprint.accel
        if accel is not Accel.TCG:
            return unseen(f"under {accel.value.upper()}, L0 does not see the state of L1's CPUs")
        region = Caretaker(guest.host.session).region()
        return residency(domain.cpus, domain.peek, region, pages, by)

    def adopt(
        self, guest: RunningGuest, by: Deadline, *, words: tuple[str, ...] = ()
    ) -> RunningGuest:
        """Start a VMM in the new kernel that retrieves the guest, and runs it under KVM.

        Args:
            guest: As it left the kernel before.
            by: When to give up.
            words: More options for `labvmm resident adopt`.

        Returns:
            The guest under its new VMM, without a keeper.

        Raises:
            InfraError: The new VMM ended instead; the message has its output.
        """
        plan, host = guest.plan, guest.host
        host.session.check(["mkdir", "-p", str(plan.folder)], by=by)
        argv = [
            *LABVMM, "resident", "adopt", "--session", _session(plan),
            "--socket", plan.socket, "--console", plan.console, *words,
        ]  # fmt: skip
        log = f"{plan.folder}/adopt-{secrets.token_hex(4)}.log"
        vmm = ready(host, argv, log, f"the adopter of {plan.name}", by)
        return dataclasses.replace(guest, vmm=vmm, keepers=())

    def _socket(self, plan: GuestPlan) -> str:
        name = self._keeper_socket
        return str(plan.folder / name) if name else plan.keeper_socket


def _listed(host: RunningHost, by: Deadline) -> tuple[VcpuSeen, ...]:
    said = host.session.run(["cat", _VCPUS], by=by).stdout.splitlines()
    found = [_VCPU.match(line) for line in said]
    if unread := [line for line, match in zip(said, found, strict=True) if match is None]:
        raise InfraError(f"{_VCPUS} of {host.role} has a line that cannot be read: {unread[0]!r}")
    return tuple(
        VcpuSeen(n, _STATES[match[2]], match[4], match[5], 0, 0)
        for n, match in enumerate(found)
        if match is not None
    )


def _session(plan: GuestPlan) -> str:
    return f"lab-{plan.name}"

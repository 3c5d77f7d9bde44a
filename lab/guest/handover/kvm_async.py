# SPDX-License-Identifier: Apache-2.0
"""The ABI of the reference kernel: KVM_CAP_ORPHAN, KVM_RUN_ASYNC and KVM_ADOPT, by labvmm."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from typing import Any

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.launch import ready, run_argv
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.guest.start import started
from lab.host.commands import LABVMM, labvmm
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity
from lab.observe.proof import Proof, unseen


class AsyncOrphaning:
    """A keeper process keeps the guest's descriptors open, and the kernel runs its vCPUs.

    Args:
        words: More options for `labvmm run`.
        keep: The command of labvmm that keeps: a mutant has another.
        adopt: The one that adopts.
    """

    name = "async"
    orphans = True

    def __init__(
        self,
        words: tuple[str, ...] = (),
        *,
        keep: tuple[str, ...] = ("keep",),
        adopt: tuple[str, ...] = ("adopt",),
    ) -> None:
        self._words, self._keep, self._adopt = words, keep, adopt

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask labvmm in the host whether its KVM has KVM_CAP_ORPHAN."""
        said = labvmm(host.session, "orphan-status", by=by)
        return None if said["can"] else f"the kernel of {host.role} has no KVM_CAP_ORPHAN"

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the keeper, and then the guest; return as soon as its VMM process exists."""
        keeper = self.keeper(host, plan, by)
        words = ["--orphanable", "--orphan-policy", plan.orphan_policy, *self._words]
        argv = [*run_argv(host, plan), *words, "--keeper", plan.keeper_socket]
        try:
            guest = started(host, plan, argv, by)
        except InfraError:
            host.session.run(["kill", "-KILL", str(keeper.pid)], by=by)
            raise
        return dataclasses.replace(guest, keepers=(keeper,))

    def keeper(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> ProcessIdentity:
        """Start the process that will keep a guest's descriptors open."""
        host.session.check(["mkdir", "-p", str(plan.folder)], by=by)
        argv = [*LABVMM, *self._keep, "--socket", plan.keeper_socket]
        return ready(host, argv, f"{plan.folder}/keeper.log", "a keeper", by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Do nothing: it outlives its VMM, not its host's kernel."""
        return guest

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM release the guest and end."""
        session = guest.host.session
        labvmm(session, "ctl", "--socket", guest.plan.socket, "release", by=by)
        until(f"VMM {guest.vmm.pid} to end", lambda: None if guest.vmm_lives else True, by)

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask KVM, by the keeper's descriptors; a guest without VMM and keeper is nowhere."""
        if not guest.vmm_or_keeper_lives:
            return OrphanStatus("GONE", guest.plan.orphan_policy, 0, ())
        session, socket = guest.host.session, guest.plan.keeper_socket
        return status_of(labvmm(session, "orphan-status", "--keeper", socket, by=by))

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Return that L0 cannot tell this guest from any other of its host's."""
        return unseen("its vCPUs are threads of the host's kernel, which look like any other to L0")

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Start a new VMM that adopts the guest, by the descriptors that the keeper passes on.

        Its log is its own: an adopter before it may have written the same line.
        """
        plan, host = guest.plan, guest.host
        argv = [*LABVMM, *self._adopt, "--keeper", plan.keeper_socket, "--socket", plan.socket]
        log = f"{plan.folder}/adopt-{secrets.token_hex(4)}.log"
        vmm = ready(host, argv, log, f"the adopter of {plan.name}", by)
        return dataclasses.replace(guest, vmm=vmm)


def status_of(said: Mapping[str, Any]) -> OrphanStatus:
    """Read what `labvmm orphan-status` printed."""
    fields = ("index", "state", "exit", "pc", "exit_seq", "served")
    return OrphanStatus(
        owner=str(said["owner"]),
        policy=str(said["policy"]),
        generation=int(said["generation"]),
        vcpus=tuple(VcpuSeen(*(v[field] for field in fields)) for v in said["vcpus"]),
    )

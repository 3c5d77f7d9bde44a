# SPDX-License-Identifier: Apache-2.0
"""What a stock kernel refuses, as its documentation says: the limits that the lab is about."""

from __future__ import annotations

import pytest

from lab.config.model import Arch, Cell, DisruptionKind, GuestKind, HostMode, VmmKind
from lab.deadline import Deadline
from lab.guest.guest import GuestPlan
from lab.guest.vmms.table import driver_for
from lab.host.commands import labvmm
from lab.runner.pool import Pool


@pytest.fixture(params=list(Arch), ids=str)
def control(request: pytest.FixtureRequest, cells: tuple[Cell, ...]) -> Cell:
    """Return a cell of the stock kernel, on a host that is native, or nVHE on arm64."""
    return next(
        cell
        for cell in cells
        if cell.arch is request.param
        and cell.kernel == "stock"
        and cell.disruption is DisruptionKind.NONE
        and cell.mode in {HostMode.NATIVE, HostMode.NVHE}
    )


def test_another_process_may_not_use_a_vm(control: Cell, pool: Pool) -> None:
    """Hand vmfd and vcpufd to another process.

    Source: Documentation/virt/kvm/api.rst, "General description": VM ioctls must be issued from
    the process that was used to create the VM; the kernel says EIO.
    """
    with pool.lease(control.request) as host:
        by = Deadline.after(host.patience.guest)
        plan = GuestPlan(name="foreign", kind=GuestKind.SPINNER, vmm=VmmKind.LABVMM, memory_mib=16)
        driver = driver_for(plan.vmm)
        guest = driver.start(host, plan, by)
        guest.beacons(by)
        driver.pause(guest, by)
        said = labvmm(host.session, "foreign", "--socket", plan.socket, by=by)
        guest.kill()

    ioctls = {op: answer for op, answer in said["answers"].items() if "KVM_" in op}
    assert "vcpu.KVM_RUN" in ioctls
    assert set(ioctls.values()) == {"EIO"}, ioctls


def test_live_update_has_one_agent_and_takes_a_descriptor_once(control: Cell, pool: Pool) -> None:
    """Open /dev/liveupdate twice, and preserve one descriptor twice.

    Source: Documentation/userspace-api/liveupdate.rst and include/uapi/linux/liveupdate.h.
    """
    with pool.lease(control.request) as host:
        said = labvmm(host.session, "luo", "check", by=Deadline.after(host.patience.command))

    errnos = said["errnos"]
    assert errnos["preserve"] == "ok", errnos
    assert errnos["open_twice"] == "EBUSY", errnos
    assert errnos["preserve_fd_twice"] == "EBUSY", errnos

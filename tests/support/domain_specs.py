# SPDX-License-Identifier: Apache-2.0
"""The machines that the tests of lab.virt want."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.config.enums import Accel, Arch, HostMode
from lab.config.host_request import HostRequest
from lab.resources.owner import Owner
from lab.resources.run_folders import QemuUser
from lab.virt.xml import DomainSpec

ASKED = HostRequest(
    topology="one_host",
    role="l1",
    arch=Arch.X86_64,
    kernel="stock",
    mode=HostMode.NATIVE,
    vcpus=2,
    memory_mib=2048,
)
ASKED_ARM64 = replace(ASKED, arch=Arch.ARM64, mode=HostMode.VHE)
L1 = DomainSpec(
    name="lab-7f3a-l1-a",
    run_id="7f3a",
    owner=Owner(4711, 160765, "df1768eb-3e2b-407d-be35-e8463387460d"),
    role="l1-a",
    request=ASKED,
    accel=Accel.TCG,
    kernel=Path("/cache/kernel/bzImage"),
    initrd=Path("/state/runs/7f3a/l1-a.initrd"),
    cmdline='console=ttyS0 lab.nonce=c0ffee dyndbg="file a.c +p; file b&c.c +p"',
    console=Path("/state/runs/7f3a/l1-a.console"),
    disks=(Path("/cache/root.squashfs"), Path("/cache/tools.squashfs")),
    ssh_port=22022,
    mac="52:54:00:01:02:03",
    user=QemuUser(64055, 64055),
)

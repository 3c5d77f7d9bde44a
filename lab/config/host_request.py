# SPDX-License-Identifier: Apache-2.0
"""A requested host, with nothing left open: the one value from a cell to its machine."""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch import Arch, HostMode


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRequest:
    """What a cell, a test, a benchmark or `lab up` needs of a host. Equal requests may share one.

    `lab.config.model.LabConfig.host_request` makes it, and is where defaults are taken.

    Attributes:
        topology: The topology's name.
        role: Its name there.
        arch: Its architecture.
        kernel: Its kernel's name in lab.toml, stand-ins resolved.
        mode: Where its kernel runs relative to its hypervisor.
        vcpus: How many vCPUs it has.
        memory_mib: Its memory, in MiB.
        overcommit: It may have more vCPUs than L0 has cores.
        through: Another kernel, which it goes to by kexec.
    """

    topology: str
    role: str
    arch: Arch
    kernel: str
    mode: HostMode
    vcpus: int
    memory_mib: int
    overcommit: bool = False
    through: str | None = None

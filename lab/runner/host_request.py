# SPDX-License-Identifier: Apache-2.0
"""What is asked of a host: by a cell, a test beside the cells, or a benchmark; pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Arch, Cell, HostMode


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRequest:
    """What a cell needs of its host; cells with the same wish may share one."""

    topology: str
    role: str
    arch: Arch
    kernel: str
    mode: HostMode
    vcpus: int
    memory_mib: int
    overcommit: bool = False
    through: str | None = None  # another kernel, which it is to go to by kexec

    @classmethod
    def of(cls, cell: Cell) -> HostRequest:
        """Give what `cell` needs."""
        return cls(
            topology=cell.topology,
            role=cell.host,
            arch=cell.arch,
            kernel=cell.kernel,
            mode=cell.mode,
            vcpus=cell.host_vcpus,
            memory_mib=cell.host_memory_mib,
            overcommit=cell.host_overcommit,
            through=cell.options.through,
        )

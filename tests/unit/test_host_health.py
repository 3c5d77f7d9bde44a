# SPDX-License-Identifier: Apache-2.0
"""What a kernel complains of counts, but for what kexec under a guest is known to bring."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from lab.host.health import complaint
from lab.host.host import RunningHost
from lab.kernlog import findings
from lab.verdict.problem import ProblemKind
from lab.virt.console import Mark

KNOWN = (
    "WARNING: ../src/arch/arm64/kvm/arch_timer.c:507 at set_cntvoff+0x48/0x50, CPU#1: python3/56"
)
OTHER = "WARNING: ../src/arch/arm64/kvm/mmu.c:12 at stage2_unmap+0x48/0x50, CPU#1: python3/56"


def told(*lines: str, kexec: bool) -> str | None:
    console = SimpleNamespace(findings=lambda _: list(findings(lines)))
    host = SimpleNamespace(role="a", console=console)
    found = complaint(cast("RunningHost", host), cast("Mark", None), kexec=kexec)
    assert found is None or found.kind is ProblemKind.PRODUCT
    return found.reason if found else None


def test_nvhe_warns_when_kexec_takes_its_hypervisor_away() -> None:
    assert told(KNOWN, kexec=True) is None
    assert told(KNOWN, kexec=False) == f"the kernel of a complained: {KNOWN}"


def test_no_other_warning_hides_behind_it() -> None:
    assert told(KNOWN, OTHER, kexec=True) == f"the kernel of a complained: {OTHER}"

# SPDX-License-Identifier: Apache-2.0
"""Is an L1 fit for another cell? Healthy is what was looked at and found well."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab.config.enums import DisruptionKind
from lab.errors import InfraError
from lab.host.host import RunningHost
from lab.kernlog import Kind
from lab.observe.window import Window
from lab.verdict.problem import Problem, ProblemKind
from lab.virt.console import Mark

# A cgroup that is too small for one process is how vmm-oom is done; the host is not short of any.
_MEANT = "Memory cgroup out of memory"
# kexec stops KVM while vCPUs run. In nVHE nothing but a stub is left of the hypervisor then, which
# answers all that a vCPU's thread asks of it with 0xbadca11, HVC_STUB_ERR. Seen with Linux 7.3.4.
_WITHOUT_HYPERVISOR = re.compile(
    r"WARNING: \S*arch/arm64/kvm/\S+ at "
    r"(set_cntvoff|vgic_v3_load|vgic_v3_put|kvm_arm_vcpu_enter_exit|pend_serror_exception)\+"
)
# The panic that crash-kexec is made by; any other is none of its doing.
_CRASHED = "Kernel panic - not syncing: sysrq triggered crash"
_STALLS = frozenset({Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.RCU_STALL, Kind.HUNG_TASK})
_FAULTS = frozenset(Kind) - _STALLS
_L0_STOOD_S = 1.0
_LEFT_MIB = 512  # what a cell needs, and what a leak would eat


def unfit(host: RunningHost) -> Problem | None:
    """Look whether a host is fit for another cell.

    Returns:
        What taints it; None if all that was looked at is well.
    """
    try:
        why = _complaints(host) or _processes(host) or _memory(host)
    except InfraError as e:
        why = f"it cannot be asked: {e}"
    return Problem(ProblemKind.HOST, why) if why else None


def complaint(
    host: RunningHost, since: Mark, disruption: DisruptionKind = DisruptionKind.NONE
) -> Problem | None:
    """Look for what a host's kernel complained of, but for what the disruption is made of.

    Args:
        host: Whose console is read.
        since: From where on; a kernel that it went into meanwhile is heard too.
        disruption: What was done to it.

    Returns:
        Its first complaint, of which the product is guilty; None if there is none.
    """
    told = [text for text in _heard(host, since, _FAULTS) if not _meant(text, disruption)]
    if not told:
        return None
    return Problem(ProblemKind.PRODUCT, f"the kernel of {host.role} complained: {told[0]}")


def stall(host: RunningHost, since: Mark, voids: Iterable[Window] = ()) -> Problem | None:
    """Look for where a host's kernel saw itself stand still.

    Args:
        host: Whose console is read.
        since: From where on.
        voids: The stretches in which L0 itself stood still.

    Returns:
        The first, of which the product is guilty; or the lab, where L0 stood still for a second
        or more in all. None if there is none.
    """
    told = _heard(host, since, _STALLS)
    if not told:
        return None
    late = sum(void.length for void in voids) >= _L0_STOOD_S
    kind = ProblemKind.FIGURES if late else ProblemKind.PRODUCT
    return Problem(kind, f"the kernel of {host.role} stood still: {told[0]}")


def _heard(host: RunningHost, since: Mark, kinds: frozenset[Kind]) -> list[str]:
    return [found.text for found in host.console.findings(since) if found.kind in kinds]


def _meant(text: str, disruption: DisruptionKind) -> bool:
    match disruption:
        case DisruptionKind.VMM_OOM:
            return text.startswith(_MEANT)
        case DisruptionKind.CRASH_KEXEC:
            return text.startswith(_CRASHED)
        case DisruptionKind.KEXEC:
            return _WITHOUT_HYPERVISOR.match(text) is not None
        case _:
            return False


def _complaints(host: RunningHost) -> str | None:
    found = [f for f in host.console.findings() if not f.text.startswith(_MEANT)]
    return f"its kernel complained: {found[0].text}" if found else None


def _processes(host: RunningHost) -> str | None:
    """Look for processes that still hold a VM."""
    script = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c anon_inode:kvm"
    count = host.session.run(["sh", "-c", script]).stdout.strip()
    return None if count == "0" else f"something still holds a VM ({count} descriptors)"


def _memory(host: RunningHost) -> str | None:
    for line in host.session.get("/proc/meminfo").decode().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            free = int(rest.split()[0]) // 1024
            return None if free >= _LEFT_MIB else f"it has {free} MiB free only"
    return "its /proc/meminfo has no MemAvailable"

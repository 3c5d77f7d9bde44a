# SPDX-License-Identifier: Apache-2.0
"""Is an L1 fit for another cell? It is if everything was looked at and nothing is wrong."""

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

# vmm-oom puts the VMM into a cgroup that is too small for it; the host is not short of memory.
_MEANT = "Memory cgroup out of memory"
# kexec stops KVM while vCPUs run. In nVHE only a stub is left of the hypervisor then, which answers
# each hypercall of a vCPU's thread with 0xbadca11, HVC_STUB_ERR. Seen with Linux 7.3.4.
_WITHOUT_HYPERVISOR = re.compile(
    r"WARNING: \S*arch/arm64/kvm/\S+ at "
    r"(kvm_arch_vcpu_load|set_cntvoff|vgic_v3_load|vgic_v3_put|kvm_arm_vcpu_enter_exit"
    r"|pend_serror_exception)\+"
)
# The panic that crash-kexec itself makes; any other is a complaint.
_CRASHED = "Kernel panic - not syncing: sysrq triggered crash"
_STALLS = frozenset({Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.RCU_STALL, Kind.HUNG_TASK})
_FAULTS = frozenset(Kind) - _STALLS
_L0_STALLED_S = 1.0
_LEFT_MIB = 512  # what a cell needs; less means that a cell before leaked memory


def insist_running(host: RunningHost) -> None:
    """Require that the machine under a host still runs: else every guest of it is silent.

    Args:
        host: The host, at the end of a watch.

    Raises:
        InfraError: libvirt says that it is paused, shut off or crashed.
    """
    state = host.domain.state()
    if state != "running":
        raise InfraError(
            f"the machine of {host.role} is {state} at the end of the watch, and has to be running"
        )


def unfit(host: RunningHost) -> Problem | None:
    """Check whether a host is fit for another cell: console, processes, memory.

    Args:
        host: An L1, between two cells.

    Returns:
        What taints it; None if nothing does. A host that does not answer is tainted, too.
    """
    try:
        why = _complaints(host) or _processes(host) or _memory(host)
    except InfraError as e:
        why = f"it does not answer: {e}"
    return Problem(ProblemKind.HOST, why) if why else None


def complaint(
    host: RunningHost, since: Mark, disruption: DisruptionKind = DisruptionKind.NONE
) -> Problem | None:
    """Find the first complaint of a host's kernel that the disruption does not explain.

    Args:
        host: The host; its console is read.
        since: From where on; a kernel that was entered meanwhile is read, too.
        disruption: What was done to it.

    Returns:
        The complaint, as a problem of the product; None if there is none.
    """
    told = [text for text in _heard(host, since, _FAULTS) if not _meant(text, disruption)]
    if not told:
        return None
    return Problem(ProblemKind.PRODUCT, f"the kernel of {host.role} complained: {told[0]}")


def stall(host: RunningHost, since: Mark, voids: Iterable[Window] = ()) -> Problem | None:
    """Find where a host's kernel reported a lockup, an RCU stall or a hung task.

    Args:
        host: The host; its console is read.
        since: From where on.
        voids: The stretches in which L0 itself stalled.

    Returns:
        The first report; a problem of the product, or of the figures where L0 stalled for a second
        or more in all. None if there is none.
    """
    told = _heard(host, since, _STALLS)
    if not told:
        return None
    late = sum(void.length for void in voids) >= _L0_STALLED_S
    kind = ProblemKind.FIGURES if late else ProblemKind.PRODUCT
    return Problem(kind, f"the kernel of {host.role} stalled: {told[0]}")


def _heard(host: RunningHost, since: Mark, kinds: frozenset[Kind]) -> list[str]:
    return [found.text for found in host.console.findings(since) if found.kind in kinds]


def _meant(text: str, disruption: DisruptionKind) -> bool:
    if disruption is DisruptionKind.VMM_OOM:
        return text.startswith(_MEANT)
    if disruption is DisruptionKind.CRASH_KEXEC:
        return text.startswith(_CRASHED)
    return disruption is DisruptionKind.KEXEC and _WITHOUT_HYPERVISOR.match(text) is not None


def _complaints(host: RunningHost) -> str | None:
    found = [f for f in host.console.findings() if not f.text.startswith(_MEANT)]
    return f"its kernel complained: {found[0].text}" if found else None


def _processes(host: RunningHost) -> str | None:
    """Look for processes that have a VM's descriptor open."""
    script = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c anon_inode:kvm"
    count = host.session.run(["sh", "-c", script]).stdout.strip()
    return None if count == "0" else f"a process still has a VM open ({count} descriptors)"


def _memory(host: RunningHost) -> str | None:
    for line in host.session.get("/proc/meminfo").decode().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            free = int(rest.split()[0]) // 1024
            return (
                None
                if free >= _LEFT_MIB
                else f"only {free} MiB of its memory are free, and a cell needs {_LEFT_MIB}"
            )
    return "its /proc/meminfo has no MemAvailable"

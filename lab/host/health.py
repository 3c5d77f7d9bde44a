# SPDX-License-Identifier: Apache-2.0
"""Is an L1 fit for another cell? Healthy is what was looked at and found well."""

from __future__ import annotations

import re

from lab.errors import InfraError
from lab.host.host import RunningHost
from lab.kernlog import Kind
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
_FAULTS = frozenset({Kind.OOPS, Kind.WARN, Kind.LOCKDEP, Kind.KASAN, Kind.UBSAN})
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


def complaint(host: RunningHost, since: Mark, *, kexec: bool = False) -> Problem | None:
    """Look for what a host's kernel complained of; a stall is not told from a slow L0.

    Args:
        host: Whose console is read.
        since: From where on.
        kexec: The host went through one meanwhile, with a guest running.

    Returns:
        Its first complaint, of which the product is guilty; None if there is none.
    """
    found = [f.text for f in host.console.findings(since) if f.kind in _FAULTS]
    told = [text for text in found if not (kexec and _WITHOUT_HYPERVISOR.match(text))]
    if not told:
        return None
    return Problem(ProblemKind.PRODUCT, f"the kernel of {host.role} complained: {told[0]}")


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

# SPDX-License-Identifier: Apache-2.0
"""The closed sets of words that configuration, cell ids and reports are made of."""

from __future__ import annotations

from enum import StrEnum

from lab.arch import Arch, HostMode

__all__ = [
    "MODES",
    "Accel",
    "Arch",
    "Confidential",
    "DisruptionKind",
    "GuestKind",
    "HostMode",
    "KexecLoad",
    "MemoryKind",
    "OrphanPolicy",
    "Orphaning",
    "Scope",
    "Tier",
    "VmmKind",
]


class Accel(StrEnum):
    """How an L1 is run on L0; `AUTO` asks for the best of the others."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


class Loss(StrEnum):
    """The checks by which a guest may be lost: what a control or a known failure may name."""

    SILENCE = "silence"
    NOWHERE = "nowhere"
    GUEST_SILENCE = "guest-silence"
    HOST = "host"
    CANARY = "canary"
    RESTART = "restart"
    REWIND = "rewind"
    CHAIN = "chain"
    CLOCK = "clock"
    CLOCK_RATE = "clock-rate"
    CLOCK_STEP = "clock-step"
    BEAT_RATE = "beat-rate"
    RAM = "ram"
    FAULTS = "faults"
    MEMORY = "memory"


class Errata(StrEnum):
    """What the lab does about the errors of QEMU's TCG that lose x86-64 guests at random."""

    APPLY = "apply"
    LEAVE = "leave"


class GuestKind(StrEnum):
    """What runs as L2."""

    LINUX = "linux"
    SPINNER = "spinner"
    TICKER = "ticker"


class VmmKind(StrEnum):
    """The userspace process in L1 that runs an L2."""

    QEMU = "qemu"
    LABVMM = "labvmm"


MODES = {arch: arch.traits.modes for arch in Arch}  # the first is the usual one


class Tier(StrEnum):
    """How often a cell is run; each tier contains the ones before it."""

    CI = "ci"
    NIGHTLY = "nightly"
    SOAK = "soak"


class Scope(StrEnum):
    """What is judged: that the guest went on running, or that its memory is still there."""

    RUNNING = "running"
    MEMORY = "memory"


class DisruptionKind(StrEnum):
    """What is done to the guest, to its VMM or to its host."""

    NONE = "none"
    VCPU_STOP = "vcpu-stop"
    VMM_KILL = "vmm-kill"
    VMM_SEGV = "vmm-segv"
    VMM_OOM = "vmm-oom"
    VMM_EXIT = "vmm-exit"
    KEXEC = "kexec"
    CRASH_KEXEC = "crash-kexec"
    HOST_RESET = "host-reset"
    CPR_TRANSFER = "cpr-transfer"

    @property
    def takes_away(self) -> bool:
        """Whether a guest loses what it runs by: a survival of it needs a control that dies."""
        return self not in {DisruptionKind.NONE, DisruptionKind.VCPU_STOP}

    @property
    def ends_vmm(self) -> bool:
        """Whether the VMM alone dies of it."""
        return self.value.startswith("vmm-")

    @property
    def ends_host(self) -> bool:
        """Whether the host's kernel dies of it."""
        return self.loads_kernel or self is DisruptionKind.HOST_RESET

    @property
    def loads_kernel(self) -> bool:
        """Whether another kernel has to be loaded with kexec first."""
        return self in {DisruptionKind.KEXEC, DisruptionKind.CRASH_KEXEC}


class MemoryKind(StrEnum):
    """What backs a guest's memory, where a cell asks for something in particular."""

    MEMFD = "memfd"
    LUO_MEMFD = "luo-memfd"
    LUO_GUEST = "luo-guest"  # all state of a paused guest, which is resumed afterwards


class KexecLoad(StrEnum):
    """The system call that loads the next kernel; only the first carries a handover."""

    FILE_LOAD = "kexec_file_load"
    LOAD = "kexec_load"


class Orphaning(StrEnum):
    """The kernel's interface by which a guest may outlive its VMM, or its host's kernel."""

    ASYNC = "async"
    RESIDENT = "resident"  # its vCPUs live with the caretaker, over a kexec too
    UNPRESERVED = "resident-unpreserved"  # the same, and not preserved by LUO: a control
    LUO_VCPU = "luo-vcpu"  # its vCPUs are preserved by LUO, as the RFC "Orphaned VMs" has it
    LASTING = "lasting"  # both: it outlives its VMM under KVM, and then a kexec


class OrphanPolicy(StrEnum):
    """What a guest's vCPUs do when its VMM goes without having released it."""

    RUN = "run"
    PARK = "park"
    KILL = "kill"


class Confidential(StrEnum):
    """The technology that hides a guest's memory from its host."""

    SEV_SNP = "sev-snp"
    PKVM = "pkvm"

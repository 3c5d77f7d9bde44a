# SPDX-License-Identifier: Apache-2.0
"""The closed sets of words that configuration, cell ids and reports are made of."""

from __future__ import annotations

from enum import StrEnum


class Arch(StrEnum):
    """Of an L1 and of its L2: they are always the same."""

    X86_64 = "x86_64"
    ARM64 = "arm64"

    @property
    def qemu(self) -> str:
        """What QEMU and libvirt call it."""
        return "aarch64" if self is Arch.ARM64 else "x86_64"

    @property
    def debian(self) -> str:
        """What Debian calls it."""
        return "arm64" if self is Arch.ARM64 else "amd64"

    @property
    def kernel(self) -> str:
        """What Linux's `make ARCH=` calls it."""
        return "arm64" if self is Arch.ARM64 else "x86"


class Accel(StrEnum):
    """How an L1 is run on L0; `AUTO` is a wish, the others are facts."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


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


class HostMode(StrEnum):
    """Where the host's kernel runs relative to its hypervisor."""

    NATIVE = "native"
    VHE = "vhe"
    NVHE = "nvhe"
    PROTECTED = "protected"
    NESTED = "nested"
    SWALLOWED = "swallowed"


MODES = {  # the first is the usual one
    Arch.X86_64: (HostMode.NATIVE, HostMode.SWALLOWED),
    Arch.ARM64: (HostMode.VHE, HostMode.NVHE, HostMode.PROTECTED, HostMode.NESTED),
}


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
    LUO_GUEST = "luo-guest"  # with all else of a guest that stands still: it goes on afterwards


class KexecLoad(StrEnum):
    """The system call that loads the next kernel; only the first carries a handover."""

    FILE_LOAD = "kexec_file_load"
    LOAD = "kexec_load"


class Orphaning(StrEnum):
    """The kernel's interface by which a guest may outlive its VMM, or its host's kernel."""

    ASYNC = "async"
    RESIDENT = "resident"  # its vCPUs live with the caretaker, over a kexec too
    UNPRESERVED = "resident-unpreserved"  # the same, and not told to LUO: a control
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

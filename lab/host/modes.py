# SPDX-License-Identifier: Apache-2.0
"""The modes of a host: how each is asked for, and the two proofs that the host is in it.

On arm64 the proof from inside is what KVM says of itself when it starts. The proof from outside is
the exception level of the host's kernel, read from the machine's registers by L0: a kernel that was
deprivileged runs at EL1, whatever it believes or says. How it is proven that an x86-64 host is
swallowed is in lab.caretaker.swallow_proof.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lab.build.kernel import KernelImage
from lab.caretaker.swallow_proof import require_swallowed
from lab.config.model import Arch, HostMode
from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.ssh.session import Session
from lab.virt.domain import Domain

# arch/arm64/kvm/arm.c, at the end of kvm_arm_init()
_SAYS = re.compile(r"kvm \[\d+\]: (.*VHE.*) mode initialized successfully")
_LEVEL = re.compile(r"PSTATE=.*\bEL(\d)[ht]")


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode on one architecture.

    Attributes:
        words: The words on the kernel's command line that ask for it.
        says: A pattern of how KVM then names its mode at boot; None if it names none.
        level: The exception level of the host's kernel; None on x86-64.
        below: Whether the host is swallowed.
    """

    words: tuple[str, ...] = ()
    says: str | None = None
    level: int | None = None
    below: bool = False


# One for each mode that a topology may ask for: lab.config.enums.MODES.
BY_MODE: Mapping[tuple[Arch, HostMode], Mode] = {
    (Arch.X86_64, HostMode.NATIVE): Mode(),
    (Arch.X86_64, HostMode.SWALLOWED): Mode(("caretaker=on",), below=True),
    (Arch.ARM64, HostMode.VHE): Mode((), r"VHE", 2),
    (Arch.ARM64, HostMode.NVHE): Mode(("kvm-arm.mode=nvhe",), r"Hyp nVHE", 1),
    (Arch.ARM64, HostMode.PROTECTED): Mode(
        ("kvm-arm.mode=protected",), r"Protected [hn]VHE(\+NV2)?", 1
    ),
    (Arch.ARM64, HostMode.NESTED): Mode(("kvm-arm.mode=nested",), r"VHE\+NV2", 2),
}


def require_mode(
    kernel: KernelImage, wanted: HostMode, session: Session, domain: Domain, by: Deadline
) -> str:
    """Require that a host is in the mode that was asked for.

    Args:
        kernel: What it boots.
        wanted: The mode.
        session: A session with it.
        domain: Its machine.
        by: When to give up.

    Returns:
        What proved it, for people; empty for a mode that needs no proof.

    Raises:
        UnavailableError: The mode is swallowed, and its kernel has no caretaker.
        InfraError: It is in another mode.
    """
    mode = BY_MODE[Arch(kernel.arch), wanted]
    proofs = require_swallowed(session, domain, kernel, by) if mode.below else []
    if mode.says is not None:
        said = said_mode(session.check(["dmesg"], by=by))
        if said is None or not re.fullmatch(mode.says, said):
            raise InfraError(
                f"{session.peer} should be in mode {wanted.value!r}, but its KVM reports "
                f"{said + ' mode' if said else 'no mode'}",
                hint="its processor or its kernel's configuration lacks what the mode needs",
            )
        proofs.append(f"KVM says {said!r}")
    if mode.level is not None:
        level = kernel_level(domain, by)
        if level != mode.level:
            raise InfraError(
                f"{session.peer} should be in mode {wanted.value!r}, with its kernel at "
                f"EL{mode.level}, but L0 sees it at EL{level}"
            )
        proofs.append(f"L0 sees its kernel at EL{level}")
    return "; ".join(proofs)


def said_mode(dmesg: str) -> str | None:
    """Return how KVM named its mode at boot; None if it did not."""
    found = _SAYS.search(dmesg)
    return found[1] if found else None


def level_of(registers: str) -> int | None:
    """Return the exception level that QEMU's `info registers` shows; None if it shows none."""
    found = _LEVEL.search(registers)
    return int(found[1]) if found else None


def kernel_level(domain: Domain, by: Deadline) -> int:
    """Return the exception level of a host's kernel, as L0 sees it.

    A processor that is in userland, at EL0, says nothing of the kernel: it is looked at again.

    Raises:
        DeadlineError: It was in userland each time.

    Source: Arm Architecture Reference Manual, D1.1 "Exception levels"; QEMU's `info registers`.
    """

    def seen() -> int | None:
        return level_of(domain.monitor("info registers")) or None

    return until(f"the kernel of {domain.role} to be at work", seen, by, every=0.01)

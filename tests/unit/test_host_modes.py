# SPDX-License-Identifier: Apache-2.0
"""A host is in the mode that it was asked for, seen from inside and from outside; or it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lab.build.kernel import KernelImage
from lab.config.model import MODES, Arch, HostMode
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.host.modes import BY_MODE, level_of, require_mode, said_mode
from lab.ssh.session import Session
from lab.virt.domain import Domain

# As Linux 7.3.4 said it, and as QEMU 10.0.2 showed it.
SAID = "[    0.1] kvm [1]: {} mode initialized successfully\n"
REGISTERS = " PC=ffff80008000 X00=0\nPSTATE=600003c9 -ZC- NS EL{}h  SVCR=00000000 --\n"


def proof(mode: HostMode, said: str, level: int, arch: Arch = Arch.ARM64) -> str:
    session = SimpleNamespace(peer="a", check=lambda *_, **__: SAID.format(said) if said else "")
    domain = SimpleNamespace(role="a", monitor=lambda _: REGISTERS.format(level))
    kernel = cast("KernelImage", SimpleNamespace(arch=arch.value))
    return require_mode(
        kernel, mode, cast("Session", session), cast("Domain", domain), Deadline.after(0.1)
    )


@pytest.mark.parametrize(
    ("mode", "said", "level"),
    [
        (HostMode.VHE, "VHE", 2),
        (HostMode.NVHE, "Hyp nVHE", 1),
        (HostMode.PROTECTED, "Protected hVHE", 1),
        (HostMode.PROTECTED, "Protected nVHE", 1),
        (HostMode.NESTED, "VHE+NV2", 2),
    ],
)
def test_a_mode_is_proven_from_inside_and_from_outside(
    mode: HostMode, said: str, level: int
) -> None:
    assert proof(mode, said, level) == f"KVM says {said!r}; L0 sees its kernel at EL{level}"
    for other in set(MODES[Arch.ARM64]) - {mode}:
        with pytest.raises(InfraError, match=f"should be in mode '{other.value}'"):
            proof(other, said, level)


def test_a_host_that_only_says_so_is_seen_through() -> None:
    with pytest.raises(InfraError, match="with its kernel at EL1, but L0 sees it at EL2"):
        proof(HostMode.PROTECTED, "Protected hVHE", 2)


def test_a_kvm_that_says_nothing_proves_nothing() -> None:
    with pytest.raises(InfraError, match="its KVM reports no mode"):
        proof(HostMode.VHE, "", 2)


def test_userland_says_nothing_of_the_kernels_level() -> None:
    with pytest.raises(InfraError, match="the kernel of a to be at work"):
        proof(HostMode.VHE, "VHE", 0)


def test_a_native_host_has_nothing_to_prove() -> None:
    assert proof(HostMode.NATIVE, "", 0, Arch.X86_64) == ""


def test_what_is_no_mode_line_is_none() -> None:
    assert said_mode("kvm [1]: IPA Size Limit: 48 bits\n") is None
    assert level_of("RIP=0000000000100000 RFL=00000002\n") is None


def test_there_is_a_way_to_each_mode_that_a_topology_may_ask_for() -> None:
    assert set(BY_MODE) == {(arch, mode) for arch in Arch for mode in MODES[arch]}

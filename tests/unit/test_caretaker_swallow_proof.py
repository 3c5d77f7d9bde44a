# SPDX-License-Identifier: Apache-2.0
"""A host that is swallowed is told from any that is not, by what L0 sees of it."""

from __future__ import annotations

import json
import signal
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab.build.kernel import KernelImage
from lab.caretaker.swallow_proof import leaves, require_caretaker, require_swallowed
from lab.config.model import Arch, HostMode
from lab.deadline import Deadline
from lab.errors import InfraError, ProductError, UnavailableError
from lab.host.mode_cache import last, note
from lab.ssh.session import Session
from lab.virt.cpus import Cpu
from lab.virt.domain import Domain

MIB, GIB = 1 << 20, 1 << 30
START, SIZE = 2 * GIB - 4 * MIB, 4 * MIB
TEXT = struct.pack("<4s7I", b"CTAK", 1, 8192, 64, 4096, 40, 48, 4096) + b"code below Linux" * 2
ROOT = START + MIB
BELOW = tuple(Cpu(i, True, ROOT, 4) for i in range(2))


def nested(*, hides: bool = True) -> dict[int, bytes]:
    """Map 3 GiB to themselves, the second one by leaves of 2 MiB without what is private."""
    upper = {0: (ROOT + 4096) | 7}
    hidden = range(START, START + SIZE) if hides else ()
    middle = {i: i * GIB | 0x87 for i in (0, 2)} | {1: (ROOT + 8192) | 7}
    lower = {i: (GIB + i * 2 * MIB) | 0x87 for i in range(512) if GIB + i * 2 * MIB not in hidden}
    tables = (upper, middle, lower)
    return {ROOT + i * 4096: _table(table) for i, table in enumerate(tables)}


def _table(entries: dict[int, int]) -> bytes:
    return struct.pack("<512Q", *(entries.get(i, 0) for i in range(512)))


@dataclass(frozen=True)
class Seen:
    """What a host says, and what L0 sees of it."""

    cpus: str = "0 swallowed abi 1 index 0\n1 swallowed abi 1 index 1\n"
    state: str = "swallowed"
    text: bytes = TEXT
    qemu: tuple[Cpu, ...] = BELOW
    hides: bool = True
    status: int = -signal.SIGSEGV
    read: bytes = b""
    accel: str = "tcg"

    def run(self, words: list[str], **_: object) -> object:
        """Answer as a session does."""
        said = {"cpus": self.cpus, "state": self.state}
        return SimpleNamespace(stdout=said[words[-1].rpartition("/")[2]])

    def check(self, words: list[str], **_: object) -> str:
        """Answer as a session does."""
        if words[0] == "python3":
            return json.dumps({"status": self.status, "read": self.read.hex()})
        return f"{START:#x} {SIZE:#x}\n"

    def peek(self, phys: int, size: int) -> bytes:
        """Show its memory as libvirt does."""
        page = nested(hides=self.hides).get(phys)
        return (page or self.text + bytes(4096))[:size]


SWALLOWED = Seen()


def proof(seen: Seen, tmp_path: Path, *, config: Path | None = None) -> list[str]:
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(b"before" + TEXT + b"after")
    domain = SimpleNamespace(
        peek=seen.peek, cpus=lambda: seen.qemu, evidence=lambda: {"accelerator": seen.accel}
    )
    session = SimpleNamespace(peer="a", run=seen.run, check=seen.check)
    kernel = SimpleNamespace(name="reference", vmlinux=vmlinux, config=config)
    return require_swallowed(
        cast("Session", session),
        cast("Domain", domain),
        cast("KernelImage", kernel),
        Deadline.after(0.2),
    )


def test_a_swallowed_host_is_proven_from_inside_and_from_outside(tmp_path: Path) -> None:
    assert proof(SWALLOWED, tmp_path) == [
        "the caretaker answers on each of 2 CPUs",
        f"L0 reads its 64 bytes of code at {START:#x} as they were built",
        (
            "QEMU has all 2 CPUs in guest mode, on 1 nested table of the caretaker's, of whose "
            "512 leaves none is private"
        ),
        "a process that touches it is killed; L0 reads b'CTAK' there",
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(SWALLOWED, cpus="", state="unavailable: no SVM"), "is not: unavailable: no SVM"),
        (replace(SWALLOWED, text=bytes(64)), "L0 sees no caretaker"),
        (replace(SWALLOWED, text=TEXT[:-1] + b"?"), "is not what was built"),
        (replace(SWALLOWED, qemu=(BELOW[0], Cpu(1, False))), "all CPUs in guest mode"),
        (replace(SWALLOWED, qemu=(BELOW[0], Cpu(1, True, GIB, 4))), "all CPUs in guest mode"),
        (replace(SWALLOWED, hides=False), "this caretaker hides nothing"),
        (replace(SWALLOWED, status=0, read=b"CTAK"), r"private memory: .* lived and read b'CTAK'"),
        (replace(SWALLOWED, status=0), "can reach private memory"),
    ],
)
def test_what_only_says_that_it_is_swallowed_is_seen_through(
    seen: Seen, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InfraError, match=said):
        proof(seen, tmp_path)


def test_what_is_not_known_of_other_accelerators_is_said(tmp_path: Path) -> None:
    assert "L0 sees that under TCG only" in " ".join(
        proof(replace(SWALLOWED, accel="kvm"), tmp_path)
    )


def test_a_kernel_that_cannot_try_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="lets a process try"):
        proof(replace(SWALLOWED, status=2), tmp_path)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(SWALLOWED, cpus="0 native\n1 native\n"), "is not: 0 native, 1 native"),
        (replace(SWALLOWED, cpus="", state=""), "its kernel says nothing of a caretaker"),
        (replace(SWALLOWED, cpus="", state="off"), "is not: off"),
    ],
)
def test_a_kernel_built_with_a_caretaker_that_comes_up_without_failed(
    seen: Seen, said: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("CONFIG_CARETAKER=y\n")
    with pytest.raises(ProductError, match=said):
        proof(seen, tmp_path, config=config)


def test_a_kernel_without_a_caretaker_makes_the_mode_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no caretaker: kernel 'reference'"):
        proof(replace(SWALLOWED, cpus="", state=""), tmp_path)
    config = tmp_path / "config"
    config.write_text("# CONFIG_CARETAKER is not set\n")
    kernel = cast("KernelImage", SimpleNamespace(name="stock", config=config))
    require_caretaker(kernel, HostMode.NATIVE)
    with pytest.raises(UnavailableError, match="no caretaker: kernel 'stock' was built without"):
        require_caretaker(kernel, HostMode.SWALLOWED)
    config.write_text("CONFIG_CARETAKER=y\n")
    require_caretaker(kernel, HostMode.SWALLOWED)


def test_a_table_that_leads_to_itself_ends_in_an_error() -> None:
    loop = _table(dict.fromkeys(range(512), 0x1000 | 7))
    with pytest.raises(InfraError, match="does not end"):
        list(leaves(lambda *_: loop, 0x1000, 10_000))


def test_what_proved_a_mode_last_is_remembered(tmp_path: Path) -> None:
    assert last(tmp_path, Arch.X86_64, HostMode.SWALLOWED) == ""
    note(tmp_path, Arch.X86_64, HostMode.SWALLOWED, "seen")
    note(tmp_path, Arch.ARM64, HostMode.NVHE, "EL1")
    assert last(tmp_path, Arch.X86_64, HostMode.SWALLOWED) == "seen"
    (tmp_path / "modes.json").write_text("{")
    assert last(tmp_path, Arch.X86_64, HostMode.SWALLOWED) == ""

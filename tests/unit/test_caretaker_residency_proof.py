# SPDX-License-Identifier: Apache-2.0
"""A guest that no kernel is below is seen to be on its CPUs; each thing that is not so is told."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lab.caretaker.control import Region
from lab.caretaker.residency_proof import CPU_BYTES, CPU_GUEST, residency
from lab.deadline import Deadline
from lab.observe.proof import Method, Proof
from lab.virt.cpus import Cpu

REGION = Region(0x7FA00000, 0x200000)
HOSTS, GUESTS, EMPTY = 0x7FA10000, 0x7FA20000, 0x7FA30000  # roots of nested tables
PAGE = 0x1234000


IMAGE = 0x5123  # bytes
VMCB = REGION.start + 0x6000 + CPU_BYTES + CPU_GUEST  # of CPU 1
CODE = REGION.start + 0x800


def peek(at: int, size: int) -> bytes:
    """Read tables: the host's and the guest's lead to the first GiB, the empty one to nothing."""
    if at == REGION.start:
        return struct.pack("<4s7I", b"CTAK", 2, IMAGE, 0, 0, 0, 0, 0)
    if at == VMCB + 0xB0:
        return struct.pack("<Q", GUESTS)
    entries = [0] * 512
    if at in {HOSTS, GUESTS}:
        entries[0] = (at + 0x1000) | 1
    elif at in {HOSTS + 0x1000, GUESTS + 0x1000}:
        entries[0] = 1 << 7 | 1
    return struct.pack("<512Q", *entries)[:size]


def seen(*looks: tuple[Cpu, ...], pages: dict[int, int] | None = None) -> Proof:
    left = list(looks)

    def look() -> tuple[Cpu, ...]:
        return left.pop(0) if len(left) > 1 else left[0]

    return residency(look, peek, REGION, pages or {0: PAGE}, Deadline.after(0.3))


def test_cpu_on_its_own_table_leading_to_the_beats_passes() -> None:
    proof = seen((Cpu(0, in_guest=True, root=HOSTS), Cpu(1, in_guest=True, root=GUESTS)))
    assert proof.right
    assert proof.method is Method.SVM_STATE
    assert "CPUs [1] in guest mode, on 1 nested table" in proof.seen


def test_one_that_idles_is_looked_at_again() -> None:
    idle = (Cpu(0, in_guest=True, root=HOSTS), Cpu(1, in_guest=False))
    host_away = (Cpu(0, in_guest=False), Cpu(1, in_guest=True, root=GUESTS))
    assert seen(idle, idle, host_away).right


@pytest.mark.parametrize(
    ("cpu", "told"),
    [
        (Cpu(1, in_guest=False), "does not see CPUs [1] in guest mode"),
        (Cpu(1, in_guest=True), "does not see CPUs [1] in guest mode"),
        (Cpu(1, in_guest=True, root=0x1000), "does not see CPUs [1] in guest mode"),
        (Cpu(1, in_guest=True, root=HOSTS), "CPU 1 is on the nested table of the host"),
        (Cpu(1, in_guest=True, root=EMPTY), f"of CPU 1 does not lead to {PAGE:#x}"),
    ],
    ids=["native", "no-table", "kvms-table", "hosts-table", "elsewhere"],
)
def test_what_is_not_so_is_told(cpu: Cpu, told: str) -> None:
    proof = seen((Cpu(0, in_guest=True, root=HOSTS), cpu))
    assert not proof.right
    assert told in proof.seen


def test_one_that_sleeps_is_known_by_what_it_will_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.caretaker.residency_proof._AWAKE_S", 0.05)
    host = Cpu(0, in_guest=True, root=HOSTS)
    proof = seen((host, Cpu(1, in_guest=False, rip=CODE)))
    assert proof.right, proof.seen
    assert "CPUs [1] asleep in the caretaker's code, on 1 nested table" in proof.seen
    assert not seen((host, Cpu(1, in_guest=False, rip=REGION.start - 1))).right
    assert not seen((Cpu(0, in_guest=False), Cpu(1, in_guest=False, rip=CODE))).right


@pytest.mark.parametrize("other", [HOSTS, 0x1000])
def test_one_that_sleeps_on_a_table_of_somebody_elses_is_told(
    monkeypatch: pytest.MonkeyPatch, other: int
) -> None:
    monkeypatch.setattr("lab.caretaker.residency_proof._AWAKE_S", 0.05)
    true, there = peek, struct.pack("<Q", other)
    monkeypatch.setattr(
        f"{__name__}.peek", lambda at, size: there if at == VMCB + 0xB0 else true(at, size)
    )
    proof = seen((Cpu(0, in_guest=True, root=HOSTS), Cpu(1, in_guest=False, rip=CODE)))
    assert not proof.right
    assert "on the nested table of the host" in proof.seen


def test_where_a_cpus_vmcb_is_was_taken_from_the_caretaker() -> None:
    layout = Path(__file__).parents[2] / (
        "guest-images/kernels/reference/tree/arch/x86/caretaker/core/layout.h"
    )
    words = [line.split() for line in layout.read_text(encoding="utf-8").splitlines()]
    said = {w[1]: w[2] for w in words if len(w) >= 3 and w[0] == "#define"}
    assert int(said["CPU_BYTES"], 16) == CPU_BYTES
    assert int(said["CPU_GUEST"], 16) == CPU_GUEST


def test_each_vcpu_has_a_cpu() -> None:
    cpus = (Cpu(0, in_guest=True, root=HOSTS), Cpu(1, in_guest=True, root=GUESTS))
    proof = seen((*cpus, Cpu(2, in_guest=False)), pages={0: PAGE, 1: PAGE})
    assert not proof.right
    assert "CPUs [2]" in proof.seen
    assert seen((*cpus, Cpu(2, in_guest=True, root=GUESTS)), pages={0: PAGE, 1: PAGE}).right

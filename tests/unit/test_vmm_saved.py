# SPDX-License-Identifier: Apache-2.0
"""A guest that is saved: what is read of it, in which order it is put back, and what is refused."""

from __future__ import annotations

import os
import platform
from collections import Counter
from typing import Any, cast

import pytest

from lab.vmm.errors import VmmError
from lab.vmm.kvm import arm64 as kvm_arm64
from lab.vmm.machine import control
from lab.vmm.machine.machine import Machine
from lab.vmm.state import handover_verbs, liveupdate, snapshot, snapshot_arm64
from lab.vmm.state.snapshot_arm64 import Field

TYPER = 7  # 256 interrupt lines, as KVM makes them where nobody says how many
CTLR = 4 << 8  # five bits of priority


def _controller(_: int, group: int, attribute: int, size: int = 4) -> int:
    if group == kvm_arm64.GROUP_DISTRIBUTOR and attribute == snapshot_arm64.GICD_TYPER:
        return TYPER
    return CTLR if group == kvm_arm64.GROUP_CPU_SYSREGS and size == 8 else 0


@pytest.fixture
def fields(monkeypatch: pytest.MonkeyPatch) -> list[Field]:
    monkeypatch.setattr(snapshot_arm64, "get_attribute", _controller)
    return list(snapshot_arm64._fields(3, 2))


def test_all_of_the_interrupt_controller_is_in_the_list_once(fields: list[Field]) -> None:
    assert len(set(fields)) == len(fields)
    count = Counter(field.group for field in fields)
    shared = 256 - 32
    bits = 1 + 1 + 2 + 1 + 1 + 8  # group, enable, config, pending, active, priority
    assert count[kvm_arm64.GROUP_DISTRIBUTOR] == 1 + 2 * shared + shared * bits // 32
    assert count[kvm_arm64.GROUP_REDISTRIBUTOR] == 2 * (1 + bits)
    assert count[kvm_arm64.GROUP_LEVEL_INFO] == 2 + shared // 32
    assert count[kvm_arm64.GROUP_CPU_SYSREGS] == 2 * (7 + 2)
    assert {field.size for field in fields if field.group == kvm_arm64.GROUP_CPU_SYSREGS} == {8}


def test_interrupt_route_and_level_are_restored_before_pending(
    fields: list[Field],
) -> None:
    """And affinity routing, which decides what the rest means, before all."""
    assert fields[0] == Field(kvm_arm64.GROUP_DISTRIBUTOR, snapshot_arm64.GICD_CTLR)
    at = {field: n for n, field in enumerate(fields)}
    for irq in range(32, 256, 32):
        pending = at[Field(kvm_arm64.GROUP_DISTRIBUTOR, snapshot_arm64.PENDING + irq // 8)]
        route = Field(kvm_arm64.GROUP_DISTRIBUTOR, snapshot_arm64.GICD_IROUTER + 8 * irq)
        assert at[route] < pending
        assert at[Field(kvm_arm64.GROUP_LEVEL_INFO, irq)] < pending


def test_each_cpu_is_named_by_its_affinity(fields: list[Field]) -> None:
    named = {field.attribute >> 32 for field in fields if field.group >= kvm_arm64.GROUP_CONTROL}
    assert named == {0, 1}


@pytest.mark.parametrize(
    ("register", "size"),
    [(0x6030_0000_0010_0000, 8), (0x6020_0000_0010_00D4, 4), (0x6040_0000_0010_0054, 16)],
)
def test_a_register_says_how_large_it_is(register: int, size: int) -> None:
    assert snapshot_arm64._size(register) == size


def _words(**other: object) -> int:
    said = {"magic": snapshot.MAGIC, "version": snapshot.VERSION, "arch": platform.machine()}
    return liveupdate.in_memfd({**said, "count": 1, **other}, "saved")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"version": 9}, "is labvmm-saved 9 of .*; this labvmm restores"),
        ({"arch": "riscv64"}, "of riscv64"),
        ({"magic": "labvmm-vm"}, "is labvmm-vm 1"),
    ],
)
def test_what_it_does_not_know_is_refused(other: dict[str, object], why: str) -> None:
    with pytest.raises(VmmError, match=why):
        snapshot.read(_words(**other))


def test_what_is_no_guest_is_refused() -> None:
    fd = os.memfd_create("none")
    os.write(fd, b"[1, 2")
    with pytest.raises(VmmError, match="no guest's state: JSONDecodeError"):
        snapshot.read(fd)
    assert snapshot.read(_words())["count"] == 1


class _Guest:
    """One that cannot be saved, if it is told so."""

    def __init__(self, **kind: object) -> None:
        self.protected = bool(kind.get("protected"))
        self.orphanable = kind.get("lasting")

    def pause(self) -> None:
        """It must not come to that."""
        raise AssertionError


@pytest.mark.parametrize(
    ("kind", "why"), [({"protected": True}, "may not read it"), ({"lasting": 1}, "orphaned")]
)
def test_a_guest_that_cannot_be_saved_runs_on(kind: dict[str, Any], why: str) -> None:
    with pytest.raises(VmmError, match=why):
        snapshot.save(cast("Machine", _Guest(**kind)))


class _Saved:
    """A guest that stands still because it was saved."""

    handed_over = True
    resumed = False

    def resume(self) -> None:
        self.resumed = True

    def status(self) -> dict[str, object]:
        return {"state": "running"}


def test_save_and_unsave_find_the_module_that_is_loaded_late() -> None:
    guest = _Saved()
    verbs = handover_verbs.verbs(cast("Machine", guest))
    reply = verbs["unsave"](control.Question({}, {}))
    assert (reply.content, guest.handed_over, guest.resumed) == ({"state": "running"}, False, True)

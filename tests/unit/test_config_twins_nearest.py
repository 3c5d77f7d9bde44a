# SPDX-License-Identifier: Apache-2.0
"""Which cells may be the twin of which, and which of several it is: one difference at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    Confidential,
    Dies,
    DisruptionKind,
    GuestKind,
    HostMode,
    KexecLoad,
    LabConfig,
    MemoryKind,
    Options,
    Orphaning,
    OrphanPolicy,
    Survives,
    Tier,
    VmmKind,
)
from lab.config.twins import with_twins

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
SIMPLE = CellRequest(vmm=VmmKind.LABVMM, disruption=DisruptionKind.KEXEC).cell(LAB, accel=Accel.TCG)
IMPAIRED: dict[str, object] = {"chaos": True, "kexecs": 3}  # farther in what counts least


def cell(
    options: dict[str, object] | None = None,
    *,
    kernel: str = "own",
    mode: HostMode = HostMode.NATIVE,
    arch: Arch = Arch.X86_64,
    **more: object,
) -> Cell:
    request = replace(SIMPLE.request, kernel=kernel, mode=mode, arch=arch)
    update = {"tier": Tier.CI, "expectation": Dies(), **more, "request": request}
    return SIMPLE.model_copy(update={**update, "options": Options(**(options or {}))})  # type: ignore[arg-type]


def lives(options: dict[str, object] | None = None, **more: object) -> Cell:
    wanted = {"orphaning": Orphaning.RESIDENT} if options is None else options
    return cell(wanted, expectation=Survives(), **more)  # type: ignore[arg-type]


def twin(mine: Cell, *controls: Cell) -> str:
    return with_twins([mine, *controls], {}, {}, stock="stock")[0].twin


@pytest.mark.parametrize(
    "other",
    [
        cell(arch=Arch.ARM64),
        cell(accel=Accel.KVM),
        cell(guest=GuestKind.TICKER),
        cell(vmm=VmmKind.QEMU),
        cell(vcpus=2),
        cell({"confidential": Confidential.PKVM}),
        cell(disruption=DisruptionKind.VMM_KILL),
        cell(kernel="theirs"),
        cell(mode=HostMode.SWALLOWED),
        cell(kernel="stock", mode=HostMode.SWALLOWED),
        cell(expectation=Survives()),
    ],
)
def test_a_twin_is_the_same_guest_on_the_same_host(other: Cell) -> None:
    mine = lives(guest=GuestKind.LINUX, vcpus=1)
    assert twin(mine, other) == ""
    assert twin(mine, other, cell()) == cell().id


@pytest.mark.parametrize(
    "off",
    [
        {},
        {"orphaning": Orphaning.UNPRESERVED},
        {"orphaning": Orphaning.RESIDENT, "policy": OrphanPolicy.PARK},
        {"orphaning": Orphaning.RESIDENT, "memory": MemoryKind.MEMFD},
        {"orphaning": Orphaning.RESIDENT, "load": KexecLoad.LOAD},
    ],
)
def test_a_twin_on_the_same_kernel_has_the_feature_off(off: dict[str, object]) -> None:
    assert twin(lives(), cell(off)) == cell(off).id


def test_the_same_feature_is_no_twin() -> None:
    same: dict[str, object] = {"orphaning": Orphaning.RESIDENT, "chaos": True}
    assert twin(lives(), cell(same)) == ""
    assert twin(lives(), cell(same, kernel="stock")) == cell(same, kernel="stock").id


def test_the_twin_of_a_transfer_kills_the_source() -> None:
    moved = lives({}, disruption=DisruptionKind.CPR_TRANSFER)
    killed = cell(disruption=DisruptionKind.VMM_KILL)
    assert twin(moved, cell(disruption=DisruptionKind.CPR_TRANSFER), killed) == killed.id


@pytest.mark.parametrize("mode", [HostMode.NVHE, HostMode.PROTECTED, HostMode.SWALLOWED])
def test_the_stock_kernel_is_in_the_same_mode_or_the_one_without_the_feature(
    mode: HostMode,
) -> None:
    same, native = cell(kernel="stock", mode=mode), cell(kernel="stock")
    assert twin(lives(mode=mode), same) == same.id
    assert twin(lives(mode=mode), native) == (native.id if mode is HostMode.SWALLOWED else "")


GUEST: dict[str, object] = {"memory": MemoryKind.LUO_GUEST}


@pytest.mark.parametrize(
    ("mine", "near", "far"),
    [
        pytest.param(lives(), cell(IMPAIRED), cell(tier=Tier.NIGHTLY), id="tier"),
        pytest.param(
            lives(tier=Tier.NIGHTLY), cell(tier=Tier.NIGHTLY), cell(IMPAIRED), id="rarer-is-near"
        ),
        pytest.param(lives(), cell(IMPAIRED), cell(kernel="stock"), id="kernel"),
        pytest.param(
            lives(mode=HostMode.SWALLOWED),
            cell(IMPAIRED, kernel="stock", mode=HostMode.SWALLOWED),
            cell(kernel="stock"),
            id="mode",
        ),
        pytest.param(
            lives(GUEST), cell({**IMPAIRED, "memory": MemoryKind.MEMFD}), cell(), id="memory"
        ),
        pytest.param(
            lives(), cell(IMPAIRED), cell({"memory": MemoryKind.MEMFD}), id="without-memory"
        ),
        pytest.param(
            lives(GUEST | {"load": KexecLoad.LOAD}),
            cell({**IMPAIRED, "load": KexecLoad.LOAD}),
            cell(),
            id="load",
        ),
        pytest.param(
            lives(), cell(IMPAIRED), cell({"orphaning": Orphaning.UNPRESERVED}), id="orphaning"
        ),
        pytest.param(
            lives(),
            cell({**IMPAIRED, "orphaning": Orphaning.UNPRESERVED}),
            cell({"orphaning": Orphaning.UNPRESERVED, "policy": OrphanPolicy.PARK}),
            id="policy",
        ),
        pytest.param(lives(), cell({"kexecs": 3}), cell({"chaos": True}), id="chaos"),
        pytest.param(lives(), cell({"kexecs": 2}), cell({"kexecs": 3}), id="kexecs"),
    ],
)
def test_the_nearest_is_the_twin(mine: Cell, near: Cell, far: Cell) -> None:
    assert near.id != far.id
    assert twin(mine, far, near) == near.id
    assert twin(mine, near, far) == near.id


def test_a_cell_keeps_its_place_and_the_others_have_no_twin() -> None:
    harmless = lives(disruption=DisruptionKind.NONE)
    found = with_twins([harmless, lives(), cell()], {}, {}, stock="stock")
    assert [(one.id, one.twin) for one in found] == [
        (harmless.id, ""),
        (lives().id, cell().id),
        (cell().id, ""),
    ]

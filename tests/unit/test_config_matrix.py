# SPDX-License-Identifier: Apache-2.0
"""From grids to cells, from cells to tiers, and the list of those that must run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from lab.config.load import load_lab, load_topologies, load_topology, with_overrides
from lab.config.matrix import dimensions, expand, select
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    Dies,
    DisruptionKind,
    HostMode,
    LabConfig,
    Scope,
    Survives,
    Tier,
    Unavailable,
    Xfail,
)
from lab.config.pairwise import pairs, pairwise
from lab.errors import ConfigError

ROOT = Path(__file__).parents[2]
TOPOLOGIES = ROOT / "topologies"

HEAD = """
name = "t"
description = "d"
[host.a]
arch = "arm64"
mode = "protected"
memory_mib = 512
[host.b]
arch = "x86_64"
[guest.linux]
memory_mib = 192
"""

GRIDS = """
[[cells]]
host = "a"
guest = "linux"
vmm = "labvmm"
disruption = "crash-kexec"
vcpus = [1, 2]
options = [{memory = "luo-memfd"}]
scope = "memory"
expect = {xfail = "not yet", link = "https://x.example/1"}
tier = "soak"

[[cells]]
host = "b"
kernel = ["stock", "next-1"]
guest = "spinner"
vmm = "qemu"
disruption = "vmm-kill"
expect = "dies"
tier = "nightly"
"""


@pytest.fixture
def lab() -> LabConfig:
    return load_lab(ROOT / "lab.toml")


@pytest.fixture
def committed(lab: LabConfig) -> tuple[Cell, ...]:
    return expand(load_topologies(TOPOLOGIES, lab), lab, accel="tcg")


def cells_of(tmp_path: Path, lab: LabConfig, text: str, accel: str = "tcg") -> tuple[Cell, ...]:
    (tmp_path / "t.toml").write_text(text)
    return expand([load_topology(tmp_path / "t.toml")], lab, accel=accel)


def test_an_id_says_what_a_cell_is_and_then_what_is_unusual(tmp_path: Path, lab: LabConfig) -> None:
    assert [cell.id for cell in cells_of(tmp_path, lab, HEAD + GRIDS)] == [
        "arm64-tcg-stock-protected-linux-labvmm-crash_kexec-luo_memfd",
        "arm64-tcg-stock-protected-linux-labvmm-crash_kexec-2vcpus-luo_memfd",
        "x86_64-tcg-stock-spinner-qemu-vmm_kill",
        "x86_64-tcg-next_1-spinner-qemu-vmm_kill",
    ]


def test_a_cell_knows_all_that_is_needed_to_run_it(tmp_path: Path, lab: LabConfig) -> None:
    first, *_, last = cells_of(tmp_path, lab, HEAD + GRIDS)
    assert (first.host, first.request.vcpus, first.request.memory_mib) == ("a", lab.host.vcpus, 512)
    assert first.memory_mib == 192
    link = "https://x.example/1"
    assert first.expectation == Xfail(reason="not yet", link=link, scope=Scope.MEMORY)
    assert first.scope is Scope.MEMORY
    assert (last.request.memory_mib, last.memory_mib) == (lab.host.memory_mib, 16)
    assert last.expectation == Dies()


def test_each_architecture_may_have_its_accelerator(tmp_path: Path, lab: LabConfig) -> None:
    (tmp_path / "t.toml").write_text(HEAD + GRIDS)
    accel = {Arch.ARM64: Accel.TCG, Arch.X86_64: Accel.KVM}
    cells = expand([load_topology(tmp_path / "t.toml")], lab, accel=accel)
    assert {(cell.arch, cell.accel) for cell in cells} == set(accel.items())


def test_an_accelerator_that_is_only_a_wish_makes_no_cell(tmp_path: Path, lab: LabConfig) -> None:
    with pytest.raises(ValueError, match="probe for it"):
        cells_of(tmp_path, lab, HEAD + GRIDS, accel="auto")


def test_a_cell_that_is_made_twice_is_a_mistake(tmp_path: Path, lab: LabConfig) -> None:
    again = 'host = "b"\nguest = ["ticker", "spinner"]\nvmm = "qemu"\ndisruption = "vmm-kill"\n'
    text = f'{HEAD}{GRIDS}[[cells]]\n{again}expect = "survives"\ntier = "ci"\n'
    with pytest.raises(ConfigError) as caught:
        cells_of(tmp_path, lab, text)
    assert str(caught.value) == (
        "t.toml: cells[3]: cell 'x86_64-tcg-stock-spinner-qemu-vmm_kill' "
        "is also made by t.toml: cells[2]\nhint: take it out of one of the two lists"
    )


def test_cells_are_frozen(committed: tuple[Cell, ...]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        committed[0].request = replace(committed[0].request, kernel="other")


def test_a_kernel_of_ones_own_is_named_in_the_ids(tmp_path: Path, lab: LabConfig) -> None:
    mine = with_overrides(lab, kernel_tree=tmp_path)
    cells = expand(load_topologies(TOPOLOGIES, mine), mine, accel="kvm")
    assert {cell.kernel for cell in cells} == {
        "debian",
        "mine",
        "reference",
    }  # it stands for 'stock'
    assert "x86_64-kvm-mine-linux-qemu-vmm_kill" in {cell.id for cell in cells}


def test_the_one_host_topology_has_every_cell_of_the_table(committed: tuple[Cell, ...]) -> None:
    by_id = {cell.id.removeprefix("x86_64-tcg-stock-"): cell for cell in committed}
    both = ("qemu", "labvmm")
    for guest, vmm in product(("linux", "spinner", "ticker"), both):
        assert by_id[f"{guest}-{vmm}-none"].expectation == Survives()
        for way in ("kill", "segv", "oom", "exit"):
            assert by_id[f"{guest}-{vmm}-vmm_{way}"].expectation == Dies()
    for vmm in both:
        assert by_id[f"linux-{vmm}-vcpu_stop-250ms"].options.stop_ms == 250
        assert by_id[f"linux-{vmm}-vcpu_stop-1000ms"].expectation == Survives()
        for way in ("kexec", "crash_kexec", "host_reset"):
            assert by_id[f"linux-{vmm}-{way}"].expectation == Dies()
    assert by_id["linux-qemu-cpr_transfer"].expectation == Survives()
    assert isinstance(by_id["linux-qemu-vmm_kill-sev_snp"].expectation, Unavailable)


def test_live_update_of_memory_has_its_two_twins(committed: tuple[Cell, ...]) -> None:
    memory = {cell.id: cell.expectation for cell in committed if cell.scope is Scope.MEMORY}
    whole = [memory.pop(cell_id) for cell_id in list(memory) if cell_id.endswith("-luo_guest")]
    assert set(whole) == {Survives(scope=Scope.MEMORY)}
    x86 = "x86_64-tcg-stock-linux-labvmm-kexec"
    arm64 = "arm64-tcg-stock-nvhe-linux-labvmm-kexec"
    assert memory == {
        f"{x86}-luo_memfd": Survives(scope=Scope.MEMORY),
        f"{x86}-luo_memfd-kexec_load": Dies(scope=Scope.MEMORY),
        f"{x86}-memfd": Dies(scope=Scope.MEMORY),
        f"{arm64}-luo_memfd": Survives(scope=Scope.MEMORY),
        f"{arm64}-memfd": Dies(scope=Scope.MEMORY),
    }


def test_nothing_on_a_stock_kernel_survives_what_ends_its_vmm(committed: tuple[Cell, ...]) -> None:
    for cell in committed:
        ended = cell.disruption.ends_vmm or cell.disruption.ends_host
        if cell.kernel == "stock" and cell.scope is Scope.RUNNING and ended:
            assert isinstance(cell.expectation, Dies | Unavailable), cell.id


def test_a_swallowed_host_is_expected_to_do_as_the_native_one(committed: tuple[Cell, ...]) -> None:
    mine = [cell for cell in committed if cell.kernel == "reference" and cell.arch is Arch.X86_64]
    expected: dict[HostMode, dict[str, object]] = {HostMode.NATIVE: {}, HostMode.SWALLOWED: {}}
    for cell in mine:
        expected[cell.mode][cell.id.replace("-swallowed", "")] = cell.expectation
    native, swallowed = expected[HostMode.NATIVE], expected[HostMode.SWALLOWED]
    assert native
    assert native == {cell: swallowed.get(cell) for cell in native}


def test_each_tier_contains_the_one_before(committed: tuple[Cell, ...]) -> None:
    ci, nightly, soak = ({c.id for c in select(committed, tier)} for tier in Tier)
    assert ci < nightly < soak
    assert soak == {cell.id for cell in committed}
    assert all(cell.tier is Tier.CI for cell in select(committed, Tier.CI))  # twins included


def test_nightly_has_every_pair_that_occurs(committed: tuple[Cell, ...]) -> None:
    def of(cells: tuple[Cell, ...]) -> set[object]:
        return {pair for cell in cells for pair in pairs(dimensions(cell))}

    meant = tuple(cell for cell in committed if cell.tier is not Tier.SOAK)
    assert of(select(committed, Tier.NIGHTLY)) == of(meant)


def test_a_soak_cell_is_not_run_nightly(committed: tuple[Cell, ...]) -> None:
    elsewhere = replace(committed[0].request, kernel="other")
    soak = committed[0].model_copy(update={"tier": Tier.SOAK, "request": elsewhere})
    assert soak not in select((*committed, soak), Tier.NIGHTLY)
    assert soak in select((*committed, soak), Tier.SOAK)


def test_pairwise_selects_few_rows_and_misses_no_pair() -> None:
    rows = [tuple(zip("abcd", row, strict=True)) for row in product(range(3), repeat=4)]
    taken = [rows[i] for i in pairwise(rows)]
    assert {p for row in taken for p in pairs(row)} == {p for row in rows for p in pairs(row)}
    assert len(taken) <= 15  # of 81; 9 is the least there can be


def test_pairwise_is_the_same_each_time_and_in_order() -> None:
    rows = [tuple(zip("abc", row, strict=True)) for row in product("xyz", repeat=3)]
    assert pairwise(rows) == pairwise(rows) == sorted(pairwise(rows))


def test_pairwise_wants_nothing_that_is_there_anyway() -> None:
    rows = [("a", "b", "c"), ("a", "b", "d")]
    assert pairwise(rows, have=[("a", "b", "c")]) == [1]
    assert pairwise(rows, have=rows) == []
    assert pairwise([]) == []


def test_every_disruption_is_one_of_three_sorts() -> None:
    sorts = Counter((kind.ends_vmm, kind.ends_host) for kind in DisruptionKind)
    assert sorts == {(True, False): 4, (False, True): 3, (False, False): 3}
    harmless = {kind for kind in DisruptionKind if not kind.takes_away}
    assert harmless == {DisruptionKind.NONE, DisruptionKind.VCPU_STOP}

# SPDX-License-Identifier: Apache-2.0
"""Each surviving cell has a twin that must die: the nearest one, or the one that its grid names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config.load import load_lab, load_topologies, load_topology
from lab.config.matrix import expand, select
from lab.config.model import Cell, Dies, DisruptionKind, LabConfig, Parks, Survives, Tier
from lab.config.twins import needs_twin
from lab.errors import ConfigError

ROOT = Path(__file__).parents[2]
X86 = "x86_64-tcg"
HOSTS = """
name = "toy"
description = "a toy"
[host.a]
arch = "x86_64"
[host.b]
arch = "x86_64"
kernel = "reference"
[host.c]
arch = "x86_64"
kernel = "reference"
mode = "swallowed"
"""
LIVES = """
[[cells]]
host = "b"
guest = "linux"
vmm = "labvmm"
disruption = "vmm-kill"
options = {orphaning = "async"}
expect = "survives"
tier = "ci"
"""
DIES = """
[[cells]]
host = "%s"
guest = "%s"
vmm = "labvmm"
disruption = "vmm-kill"
expect = "dies"
tier = "%s"
"""


@pytest.fixture(scope="module")
def lab() -> LabConfig:
    return load_lab(ROOT / "lab.toml")


@pytest.fixture(scope="module")
def committed(lab: LabConfig) -> dict[str, Cell]:
    cells = expand(load_topologies(ROOT / "topologies", lab), lab, accel="tcg")
    return {cell.id: cell for cell in cells}


def made(lab: LabConfig, tmp_path: Path, *grids: str) -> dict[str, Cell]:
    """Return the cells of a toy with these grids."""
    path = tmp_path / "toy.toml"
    path.write_text(HOSTS + "".join(grids), encoding="utf-8")
    return {cell.id: cell for cell in expand([load_topology(path, lab)], lab, accel="tcg")}


def twin(cells: dict[str, Cell]) -> str:
    return cells[f"{X86}-reference-linux-labvmm-vmm_kill-async"].twin


def test_every_surviving_cell_of_the_committed_topologies_has_a_twin(
    committed: dict[str, Cell],
) -> None:
    surviving = [cell for cell in committed.values() if needs_twin(cell)]
    assert len(surviving) > 100
    for cell in surviving:
        control = committed[cell.twin]
        assert isinstance(control.expectation, Dies), cell.id
        ours = cell.arch, cell.accel, cell.guest, cell.vmm, cell.vcpus, cell.options.confidential
        theirs = (
            control.arch, control.accel, control.guest, control.vmm, control.vcpus,
            control.options.confidential,
        )  # fmt: skip
        assert ours == theirs, cell.id
        assert control.kernel in {cell.kernel, "stock"}, cell.id
    assert all(not cell.twin for cell in committed.values() if not needs_twin(cell))


@pytest.mark.parametrize("tier", Tier)
def test_a_tier_has_the_twins_of_its_cells(committed: dict[str, Cell], tier: Tier) -> None:
    chosen = {cell.id for cell in select(tuple(committed.values()), tier)}
    assert {committed[i].twin for i in chosen} - {""} <= chosen


@pytest.mark.parametrize(
    ("lives", "control"),
    [
        ("stock-linux-qemu-cpr_transfer", "stock-linux-qemu-vmm_kill"),
        ("stock-linux-labvmm-kexec-luo_memfd", "stock-linux-labvmm-kexec-memfd"),
        ("stock-linux-labvmm-kexec-luo_guest", "stock-linux-labvmm-kexec-memfd"),
        ("stock-ticker-labvmm-kexec-luo_guest", "stock-ticker-labvmm-kexec"),
        ("reference-linux-labvmm-vmm_kill-async", "reference-linux-labvmm-vmm_kill"),
        ("reference-linux-labvmm-vmm_kill-async-park", "reference-linux-labvmm-vmm_kill"),
        ("reference-linux-labvmm-vmm_oom-async", "stock-linux-labvmm-vmm_oom"),
        (
            "reference-swallowed-linux-labvmm-vmm_kill-async",
            "reference-swallowed-linux-labvmm-vmm_kill",
        ),
        (
            "reference-swallowed-spinner-labvmm-kexec-resident",
            "reference-swallowed-spinner-labvmm-kexec-resident_unpreserved",
        ),
        ("reference-swallowed-ticker-labvmm-kexec-resident", "stock-ticker-labvmm-kexec"),
        ("stock-linux-qemu-none", ""),
        ("stock-linux-qemu-vcpu_stop-250ms", ""),
        ("stock-linux-qemu-vmm_kill", ""),
    ],
)
def test_the_twin_is_the_same_host_with_the_feature_off_or_else_stock(
    committed: dict[str, Cell], lives: str, control: str
) -> None:
    assert committed[f"{X86}-{lives}"].twin == (f"{X86}-{control}" if control else "")


def test_what_needs_a_twin_survives_what_takes_something_away(committed: dict[str, Cell]) -> None:
    cell = committed[f"{X86}-reference-linux-labvmm-vmm_kill-async"]
    assert needs_twin(cell)
    assert needs_twin(cell.model_copy(update={"expectation": Parks()}))
    assert not needs_twin(cell.model_copy(update={"expectation": Dies()}))
    for harmless in (DisruptionKind.NONE, DisruptionKind.VCPU_STOP):
        assert not needs_twin(cell.model_copy(update={"disruption": harmless}))
    assert isinstance(cell.expectation, Survives)


def test_another_guest_tier_or_mode_is_farther_than_the_same(
    lab: LabConfig, tmp_path: Path
) -> None:
    stock, own = DIES % ("a", "linux", "ci"), DIES % ("b", "linux", "ci")
    assert twin(made(lab, tmp_path, LIVES, DIES % ("b", "spinner", "ci"))) == ""
    assert twin(made(lab, tmp_path, LIVES, DIES % ("c", "linux", "ci"))) == ""
    assert twin(made(lab, tmp_path, LIVES, stock)) == f"{X86}-stock-linux-labvmm-vmm_kill"
    assert twin(made(lab, tmp_path, LIVES, stock, own)) == f"{X86}-reference-linux-labvmm-vmm_kill"
    rarer = DIES % ("b", "linux", "nightly")
    assert twin(made(lab, tmp_path, LIVES, stock, rarer)) == f"{X86}-stock-linux-labvmm-vmm_kill"


def test_a_twin_of_a_higher_tier_is_run_with_its_cell(lab: LabConfig, tmp_path: Path) -> None:
    cells = made(lab, tmp_path, LIVES, DIES % ("b", "linux", "soak"))
    assert len(select(tuple(cells.values()), Tier.CI)) == 2


def test_a_grid_may_name_the_twin(lab: LabConfig, tmp_path: Path) -> None:
    own, stock = DIES % ("b", "linux", "ci"), DIES % ("a", "linux", "ci")
    cells = made(lab, tmp_path, f'{LIVES}twin = {{kernel = "stock", options = {{}}}}\n', own, stock)
    assert twin(cells) == f"{X86}-stock-linux-labvmm-vmm_kill"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ('{kernel = "stock", options = {}}', "no cell 'x86_64-tcg-stock-linux-labvmm-vmm_kill'"),
        ('{disruption = "none"}', "no cell 'x86_64-tcg-reference-linux-labvmm-none-async' is to"),
        ("{}", "a twin without a key is the cell itself"),
        ('{vmm = "qemu"}', "twin: unknown key 'vmm'"),
    ],
)
def test_a_twin_that_is_no_control_is_one_sentence(
    lab: LabConfig, tmp_path: Path, named: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        made(lab, tmp_path, f"{LIVES}twin = {named}\n", DIES % ("b", "linux", "ci"))
    assert said in str(caught.value)
    assert "toy.toml: cells[1]" in str(caught.value)

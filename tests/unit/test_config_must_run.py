# SPDX-License-Identifier: Apache-2.0
"""The floor below the plan: what the topologies no longer make is named, on every accelerator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lab.config.load import load_lab, load_topologies, with_overrides
from lab.config.matrix import expand
from lab.config.model import Accel, Arch, Cell, LabConfig, Tier, Unavailable
from lab.config.must_run import MustRun, fallen, load_must_run
from lab.errors import ConfigError

ROOT = Path(__file__).parents[2]
TOPOLOGIES = ROOT / "topologies"
TCG = dict.fromkeys(Arch, Accel.TCG)


@pytest.fixture(scope="module")
def lab() -> LabConfig:
    return load_lab(ROOT / "lab.toml")


@pytest.fixture(scope="module")
def committed(lab: LabConfig) -> tuple[Cell, ...]:
    return expand(load_topologies(TOPOLOGIES, lab), lab, accel="tcg")


def test_the_floor_is_all_that_topologies_make_but_unavailable_cells(
    committed: tuple[Cell, ...],
) -> None:
    must = load_must_run(TOPOLOGIES / "must-run.toml", [cell.id for cell in committed])
    for tier in Tier:
        for arch in Arch:
            assert Counter(must.of(tier).ids(arch)) == Counter(
                cell.id
                for cell in committed
                if cell.arch is arch
                and cell.tier is tier
                and not isinstance(cell.expectation, Unavailable)
            )


def test_the_floor_has_every_module_of_tests_beside_the_cells() -> None:
    must = load_must_run(TOPOLOGIES / "must-run.toml")
    assert sorted(must.beside) == sorted(path.name for path in TOPOLOGIES.glob("test_*.py"))


@pytest.mark.parametrize("accel", [Accel.TCG, Accel.KVM])
def test_nothing_of_the_committed_topologies_is_below_the_floor(
    lab: LabConfig, accel: Accel, tmp_path: Path
) -> None:
    mine = with_overrides(lab, kernel_tree=tmp_path, accelerator=accel)
    must = load_must_run(TOPOLOGIES / "must-run.toml")
    for each in (lab, mine):
        cells = expand(load_topologies(TOPOLOGIES, each), each, accel=accel)
        assert fallen(must, cells, Tier.SOAK, lab=each, accels=dict.fromkeys(Arch, accel)) == {}


def test_a_cell_that_no_topology_makes_any_more_is_named(
    lab: LabConfig, committed: tuple[Cell, ...]
) -> None:
    must = load_must_run(TOPOLOGIES / "must-run.toml")
    rest = [cell for cell in committed if cell.topology != "x86_64-reference"]
    gone = {cell.id for cell in committed} - {cell.id for cell in rest}
    assert gone
    assert {*fallen(must, rest, Tier.SOAK, lab=lab, accels=TCG)} == gone
    ci = {cell.id for cell in committed if cell.tier is Tier.CI} & gone
    assert {*fallen(must, rest, Tier.CI, lab=lab, accels=TCG)} == ci


def test_a_cell_that_became_one_of_a_higher_tier_is_named(
    lab: LabConfig, committed: tuple[Cell, ...]
) -> None:
    must = load_must_run(TOPOLOGIES / "must-run.toml")
    first = next(cell for cell in committed if cell.tier is Tier.CI)
    rarer = [c if c is not first else c.model_copy(update={"tier": Tier.SOAK}) for c in committed]
    said = fallen(must, rarer, Tier.CI, lab=lab, accels=TCG)
    assert said == {first.id: "it is of tier soak, and must-run.toml says ci"}


def test_on_kvm_with_a_kernel_of_ones_own_ids_are_read_as_there(
    lab: LabConfig, tmp_path: Path
) -> None:
    mine = with_overrides(lab, kernel_tree=tmp_path, accelerator=Accel.KVM)
    must = load_must_run(TOPOLOGIES / "must-run.toml")
    gone = fallen(
        must, [], Tier.CI, lab=mine, accels={Arch.X86_64: Accel.KVM, Arch.ARM64: Accel.TCG}
    )
    assert "x86_64-kvm-mine-linux-qemu-vmm_kill" in gone
    assert "x86_64-kvm-reference-linux-labvmm-vmm_kill" in gone
    assert "arm64-tcg-mine-nvhe-linux-qemu-vmm_kill" in gone


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'x86_64 = ["x86_64-tcg-a", "x86_64-tcg-bcde"]',
            "must.toml: x86_64[2]: no topology makes the cell 'x86_64-tcg-bcde'",
        ),
        (
            'arm64 = ["x86_64-tcg-a"]',
            "must.toml: arm64[1]: expected an id that starts with 'arm64-tcg-', got 'x86_64-tcg-a'",
        ),
        (
            'x86_64 = ["x86_64-tcg-a", "x86_64-tcg-a"]',
            "must.toml: x86_64[2]: 'x86_64-tcg-a' is listed twice",
        ),
        ("x86 = []", "must.toml: unknown key 'x86'"),
        (
            '[nightly]\narm64 = ["a"]',
            "must.toml: nightly.arm64[1]: expected an id that starts with 'arm64-tcg-', got 'a'",
        ),
    ],
)
def test_a_mistake_in_the_list_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "must.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_must_run(tmp_path / "must.toml", ["x86_64-tcg-a", "x86_64-tcg-bcd"])
    assert str(caught.value).replace(f"{tmp_path}/", "").split("\nhint: ")[0] == said


def test_a_floor_is_of_one_architecture_or_of_both() -> None:
    floor = MustRun(x86_64=("a", "b"), arm64=("c",))
    assert floor.ids() == ("a", "b", "c")
    assert (floor.ids(Arch.X86_64), floor.ids(Arch.ARM64)) == (("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x86_64-tcg-ab", "did you mean 'x86_64-tcg-a'?"),
        (f"x86_64-tcg-{'z' * 40}", "the list and topologies/*.toml must agree"),
    ],
)
def test_a_cell_that_no_topology_makes_has_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "must.toml").write_text(f'x86_64 = ["{name}"]')
    with pytest.raises(ConfigError) as caught:
        load_must_run(tmp_path / "must.toml", ["x86_64-tcg-a"])
    assert caught.value.hint == hint

# SPDX-License-Identifier: Apache-2.0
"""`lab run`: which cell it is for, and the command that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer

from lab.cli import main
from lab.cli.option_table import with_options
from lab.cli.run_options import Expect, RunOptions, as_options
from lab.cli.run_target import Target, target_of
from lab.cli.settings import Settings
from lab.config.model import (
    Accel,
    Arch,
    DisruptionKind,
    Orphaning,
    OrphanPolicy,
    Parks,
    Scope,
    VmmKind,
)
from lab.errors import ConfigError
from tests.support.cli_lab import own_lab

KILL = "x86_64-tcg-stock-linux-qemu-vmm_kill"
ASYNC = "--kernel reference --vmm labvmm --orphaning async"
RESIDENT = "--kernel reference --mode swallowed --vmm labvmm --orphaning resident"
PARK = "x86_64-tcg-reference-linux-labvmm-vmm_kill-async-park"


@pytest.fixture(name="toml", autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("LAB_TOML", "LAB_KERNEL", "LAB_ACCEL"):
        monkeypatch.delenv(name, raising=False)
    with own_lab() as path:
        yield path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    status = main(["run", *words, "--dry-run"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["run", *words, "--dry-run"]) == 2  # else a mistake that is missed would build
    out, err = capsys.readouterr()
    assert not out
    return err.splitlines()


def target(cell_id: str = "", toml: Path | None = None, **options: Any) -> Target:
    ctx: Any = SimpleNamespace(obj=Settings(toml), get_parameter_source=lambda _: None)
    return target_of(ctx, cell_id, RunOptions(**options))


@pytest.mark.parametrize(
    ("cell_id", "host", "expected"),
    [
        (KILL, "boot host a: 2 vCPUs, 1536 MiB, on TCG", "dies"),
        (PARK, "boot host ref: 2 vCPUs, 1536 MiB, on TCG", "parks"),
        ("x86_64-tcg-stock-linux-labvmm-kexec-memfd", "boot host a", "dies, memory"),
        ("x86_64-tcg-reference-swallowed-ticker-labvmm-kexec-2vcpus-resident",
         "boot host three: 3 vCPUs", "survives"),
        ("arm64-tcg-stock-protected-linux-labvmm-vmm_kill-pkvm", "boot host protected", "dies"),
        ("x86_64-kvm-stock-spinner-qemu-vmm_kill", "on KVM", "dies"),
        (f"{KILL}#2", "boot host a", "dies"),
    ],
)  # fmt: skip
def test_an_id_has_its_topologys_host_and_expectation(
    capsys: pytest.CaptureFixture[str], cell_id: str, host: str, expected: str
) -> None:
    out = shown(capsys, cell_id)
    assert out.startswith(f"cell: {cell_id.removesuffix('#2')}\n")
    assert host in out
    assert out.endswith(f"judge; expected: {expected}\n")


def test_an_id_decides_what_its_host_runs_on(toml: Path) -> None:
    assert 'accelerator = "tcg"' in toml.read_text(encoding="utf-8")
    named = target("x86_64-kvm-stock-linux-qemu-vmm_kill")
    assert (named.cell.accel, named.lab.host.accelerator) == (Accel.KVM, Accel.KVM)


def test_every_cell_of_every_tier_has_an_id_that_is_found() -> None:
    settings = Settings()
    cells = settings.cells(settings.lab(), Accel.TCG)
    assert len(cells) > 200
    assert {target(cell.id).cell for cell in cells[::20]} == set(cells[::20])


def test_an_expectation_overrides_the_topologys_in_the_cells_scope() -> None:
    memory = target("x86_64-tcg-stock-linux-labvmm-kexec-memfd", expect=Expect.PARKS)
    assert memory.cell.expectation == Parks(scope=Scope.MEMORY)
    assert memory.rerun(memory.cell).endswith("-memfd --expect=parks")


def test_an_unknown_id_names_those_that_are_close(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = refused(capsys, "x86_64-tcg-stock-linux-qemu-vmm_kil")
    assert first == ("lab: lab run: no topology has a cell 'x86_64-tcg-stock-linux-qemu-vmm_kil'")
    assert second.startswith(f"hint: close to it: {KILL}, ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--vcpus 1", "says everything about its cell, and --vcpus too"),
        ("--guest linux --chaos", "says everything about its cell, and --guest, --chaos too"),
        ("--accel kvm", "names accelerator tcg, and --accel (or LAB_ACCEL) kvm"),
    ],
)
def test_an_id_and_its_dimensions_exclude_each_other(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    first, second = refused(capsys, KILL, *words.split())
    assert message in first
    assert second.startswith("hint: leave out ")


def test_an_id_takes_what_leaves_its_cell_alone(
    capsys: pytest.CaptureFixture[str], toml: Path
) -> None:
    mine = KILL.replace("stock", "mine")
    words = ["--lab-kernel", str(toml.parent), "--accel", "tcg", "--expect", "survives"]
    assert shown(capsys, mine, *words).startswith(f"cell: {mine}\n")
    _, hint = refused(capsys, KILL, *words)
    assert hint.startswith(f"hint: close to it: {mine}, ")


def test_selftests_are_no_cells(capsys: pytest.CaptureFixture[str]) -> None:
    _, hint = refused(capsys, "x86_64-tcg-stock-native-selftest-kvm")
    assert hint == "hint: type: lab selftest SUITE --kernel=NAME"


@pytest.mark.parametrize(
    ("words", "cell_id", "plan"),
    [
        (f"{ASYNC} -d vmm-kill", "x86_64-tcg-reference-linux-labvmm-vmm_kill-async",
         "expected: survives"),
        (f"{ASYNC} -d vmm-kill --policy park --expect parks", PARK, "expected: parks"),
        (f"{RESIDENT} -d kexec --kexecs 2 --through mutant",
         "x86_64-tcg-reference-swallowed-linux-labvmm-kexec-2kexecs-through_mutant-resident",
         "expected: survives"),
        ("-d kexec --vmm labvmm --memory luo-memfd --vcpus 2 --expect dies",
         "x86_64-tcg-stock-linux-labvmm-kexec-2vcpus-luo_memfd", "expected: dies, memory"),
        ("-d vmm-kill --chaos --expect dies", f"{KILL}-chaos", "expected: dies"),
        ("-d kexec --scope memory --expect dies", "x86_64-tcg-stock-linux-qemu-kexec",
         "expected: dies, memory"),
    ],
)  # fmt: skip
def test_options_reach_every_dimension(
    capsys: pytest.CaptureFixture[str], words: str, cell_id: str, plan: str
) -> None:
    out = shown(capsys, *words.split())
    assert out.startswith(f"cell: {cell_id}\n")
    assert plan in out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("-d vmm-kill --orphaning async", "hint: type --vmm=labvmm"),
        ("-d vmm-kill --policy park --vmm labvmm", "hint: add: --orphaning=async"),
        ("-d kexec --memory memfd --scope running --vmm labvmm", "hint: add: --scope=memory"),
        ("-d kexec --kexecs 3 --vmm labvmm",
         "hint: add: --disruption=kexec, --orphaning=resident, --kexecs=3"),
        ("-d kexec --through stok --vmm labvmm --orphaning resident",
         "hint: did you mean 'stock'?"),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other_are_told_as_options(
    capsys: pytest.CaptureFixture[str], words: str, hint: str
) -> None:
    assert refused(capsys, *words.split())[1] == hint


def test_a_hint_without_keys_is_left_as_it_is() -> None:
    assert as_options("it is for 'kexec' only") == "it is for 'kexec' only"
    assert as_options(None) is None


def test_rerun_of_options_is_an_id_where_a_topology_has_the_cell(toml: Path) -> None:
    twin = target(
        disruption=DisruptionKind.VMM_KILL, vmm=VmmKind.LABVMM, kernel="reference",
        orphaning=Orphaning.ASYNC, policy=OrphanPolicy.PARK, expect=Expect.PARKS,
    )  # fmt: skip
    assert twin.rerun(twin.cell) == f"lab run {PARK}"
    elsewhere = target(toml=toml.absolute(), disruption=DisruptionKind.VMM_KILL, expect=Expect.DIES)
    assert elsewhere.rerun(elsewhere.cell) == f"lab run {KILL}"  # that lab.toml is read anyway


@pytest.mark.parametrize(
    "options",
    [
        {"disruption": DisruptionKind.VMM_KILL},  # the topology expects that it dies
        {"disruption": DisruptionKind.KEXEC, "arch": Arch.ARM64, "vcpus": 3, "chaos": True},
        {"disruption": DisruptionKind.VCPU_STOP, "stop_ms": 125},
    ],
)
def test_rerun_of_options_repeats_them_where_no_topology_has_the_cell(
    capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    made = target(**options)
    lab, run, *words = shlex.split(made.rerun(made.cell))
    assert (lab, run) == ("lab", "run")
    assert all(word.startswith("--") for word in words)
    assert shown(capsys, *words).startswith(f"cell: {made.cell.id}\n")
    again = target(**{**options, "expect": Expect.DIES})
    assert "--expect=dies" in again.rerun(again.cell) or again.rerun(again.cell).endswith(KILL)


def test_rerun_names_the_lab_toml_that_is_not_read_anyway(toml: Path) -> None:
    other = toml.with_name("other.toml")
    other.write_text(toml.read_text(encoding="utf-8"), encoding="utf-8")
    named = target(KILL, toml=other)
    assert named.rerun(named.cell) == f"lab --lab-toml={other} run {KILL}"
    tree = target(KILL.replace("stock", "mine"), lab_kernel=toml.parent)
    assert tree.rerun(tree.cell) == f"lab run {tree.cell.id} --lab-kernel={toml.parent}"


def test_a_broken_topology_does_not_hinder_a_cell_of_options(toml: Path) -> None:
    (toml.parent / "topologies").mkdir()
    (toml.parent / "topologies" / "bad.toml").write_text("name = 1", encoding="utf-8")
    made = target(disruption=DisruptionKind.NONE)
    assert made.rerun(made.cell) == "lab run --disruption=none"
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        target(KILL)


@dataclass(frozen=True, kw_only=True)
class _Bare:
    word: Annotated[str, typer.Option()]


def test_an_option_table_has_a_default_for_each_option() -> None:
    with pytest.raises(TypeError, match="_Bare: no default for word"):
        with_options(_Bare)

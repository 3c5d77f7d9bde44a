# SPDX-License-Identifier: Apache-2.0
"""What a test asks for by its markers: defaults, other words, and what makes no sense."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.config.load import load_lab
from lab.config.model import Arch, GuestKind, HostMode, LabConfig, Orphaning, VmmKind
from lab.errors import ConfigError
from lab.pytest_plugin.building import asked, needed
from lab.pytest_plugin.run import Run
from lab.testing.markers import guest_request, host_request

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab() -> LabConfig:
    return load_lab(ROOT / "lab.toml")


def item(*marks: pytest.MarkDecorator, fixtures: tuple[str, ...] = ("lab_host", "pool")) -> Any:
    named = {mark.name: mark.mark for mark in marks}
    return SimpleNamespace(
        nodeid="test_mine.py::test_it",
        path=ROOT / "topologies" / "test_mine.py",
        fixturenames=fixtures,
        get_closest_marker=named.get,
        iter_markers=lambda _: (),
    )


def test_unmarked_test_gets_a_stock_host_of_lab_toml(lab: LabConfig) -> None:
    found = host_request(item(), lab)
    assert (found.arch, found.kernel, found.mode) == (Arch.X86_64, "stock", HostMode.NATIVE)
    assert (found.vcpus, found.memory_mib) == (lab.host.vcpus, lab.host.memory_mib)


def test_marker_says_what_the_host_is(lab: LabConfig) -> None:
    words = {"arch": "arm64", "kernel": "reference", "mode": "protected"}
    found = host_request(item(pytest.mark.lab_host(**words, vcpus=3, memory_mib=1500)), lab)
    assert (found.arch, found.kernel, found.mode) == (Arch.ARM64, "reference", HostMode.PROTECTED)
    assert (found.vcpus, found.memory_mib) == (3, 1500)


def test_host_of_another_architecture_has_a_mode_of_it(lab: LabConfig) -> None:
    assert host_request(item(pytest.mark.lab_host(arch="arm64")), lab).mode is HostMode.VHE


def test_kernel_that_stands_for_stock_is_taken_instead(lab: LabConfig) -> None:
    mine = lab.kernel["reference"].model_copy(update={"stands_for": "stock"})
    other = lab.model_copy(update={"kernel": {**lab.kernel, "mine": mine}})
    assert host_request(item(), other).kernel == "mine"


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (pytest.mark.lab_host(arch="x68_64"), "arch: "),
        (pytest.mark.lab_host(arch=["arm64"]), "arch: "),
        (pytest.mark.lab_host(mode="vhe"), "x86_64 hosts have no mode 'vhe'"),
        (pytest.mark.lab_host(cpus=2), "cpus"),
        (pytest.mark.lab_host(kernel="stok"), "no kernel 'stok' in lab.toml\nhint: did you mean"),
        (pytest.mark.lab_host("arm64"), "takes keywords only"),
    ],
)
def test_wrong_host_marker_is_named(lab: LabConfig, mark: pytest.MarkDecorator, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        host_request(item(mark), lab)
    assert str(e.value).startswith("test_mine.py::test_it: @pytest.mark.lab_host: ")
    assert said in str(e.value)


def test_unmarked_test_gets_a_linux_guest_of_qemu() -> None:
    vmm, plan = guest_request(item())
    assert (plan.kind, plan.vmm, plan.vcpus, plan.memory_mib) == (
        GuestKind.LINUX, VmmKind.QEMU, 1, 128,
    )  # fmt: skip
    assert (vmm.kind, vmm.handover.name) == (VmmKind.QEMU, "none")
    assert plan.name != guest_request(item())[1].name


def test_marker_says_what_the_guest_is() -> None:
    words = {"kind": "ticker", "vmm": "labvmm", "orphaning": "async", "policy": "park"}
    vmm, plan = guest_request(item(pytest.mark.lab_guest(**words, vcpus=2, words=("beacon.x=1",))))
    assert (plan.kind, plan.vmm, plan.memory_mib) == (GuestKind.TICKER, VmmKind.LABVMM, 16)
    assert (vmm.handover.name, plan.orphan_policy, plan.words) == (
        Orphaning.ASYNC, "park", ("beacon.x=1",),
    )  # fmt: skip


def test_guest_of_qemu_cannot_be_orphaned() -> None:
    with pytest.raises(ConfigError, match="guests of qemu cannot be orphaned\nhint: type vmm="):
        guest_request(item(pytest.mark.lab_guest(orphaning="async")))


def test_kernels_of_marked_tests_are_built_once_and_no_others(lab: LabConfig) -> None:
    mark = pytest.mark.lab_host(kernel="reference")
    tests = [item(), item(mark), item(mark), item(fixtures=("pool",))]
    run = cast("Run", SimpleNamespace(lab=lambda _: lab, cells=lambda _: ()))
    assert [request.kernel for _, request in asked(tests, run)] == ["stock", "reference"]
    assert needed(tests[:3], run) == []


def test_wrong_guest_marker_is_told_before_anything_is_built(lab: LabConfig) -> None:
    run = cast("Run", SimpleNamespace(lab=lambda _: lab))
    wrong = item(pytest.mark.lab_guest(kind="bsd"), fixtures=("lab_host", "lab_guest"))
    with pytest.raises(ConfigError, match=r"@pytest\.mark\.lab_guest: kind: "):
        asked([wrong], run)

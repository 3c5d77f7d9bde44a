# SPDX-License-Identifier: Apache-2.0
"""What a kernel lacks for a cell: said with the option or the version, and with nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab.build.kernel import KernelImage
from lab.config.cell_request import CellRequest
from lab.config.load import load_lab
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    Confidential,
    DisruptionKind,
    GuestKind,
    HostMode,
    KexecLoad,
    MemoryKind,
    Options,
    Scope,
    VmmKind,
)
from lab.runner.lacking import lacking

ROOT = Path(__file__).parents[2]
DEBIAN = ("KEXEC", "KEXEC_FILE", "CRASH_DUMP", "KVM")
LUO = ("KEXEC_HANDOVER", "LIVEUPDATE", "LIVEUPDATE_MEMFD")


def kernel(tmp_path: Path, *options: str, release: str = "7.3.4+deb13-cloud-amd64") -> KernelImage:
    config = tmp_path / f"config-{release}"
    config.write_text("".join(f"CONFIG_{option}=y\n" for option in options))
    return KernelImage(
        name="debian",
        arch="x86_64",
        image=tmp_path / "bzImage",
        vmlinux=tmp_path / "vmlinux",
        config=config,
        release=release,
        build_id="b",
        digest="d",
        source="here",
    )


def cell(disruption: DisruptionKind = DisruptionKind.VMM_KILL, **said: Any) -> Cell:
    options = Options(**said.pop("options", {}))
    vmm = VmmKind.LABVMM if options.memory else VmmKind.QEMU
    request = CellRequest(
        kernel="debian", disruption=disruption, options=options, vmm=said.pop("vmm", vmm), **said
    )
    return request.cell(load_lab(ROOT / "lab.toml"), accel=Accel.TCG)


def why(kernel: KernelImage, wanted: Cell) -> str | None:
    return lacking(wanted, kernel, kernel)


@pytest.mark.parametrize("disruption", [d for d in DisruptionKind if d.value != "cpr-transfer"])
def test_a_distributions_kernel_has_what_most_cells_need(
    disruption: DisruptionKind, tmp_path: Path
) -> None:
    assert why(kernel(tmp_path, *DEBIAN), cell(disruption)) is None


@pytest.mark.parametrize(
    ("missing", "memory"),
    [
        ("KEXEC_HANDOVER", MemoryKind.LUO_MEMFD),
        ("LIVEUPDATE", MemoryKind.MEMFD),
        ("LIVEUPDATE", MemoryKind.LUO_GUEST),
        ("LIVEUPDATE_MEMFD", MemoryKind.LUO_MEMFD),
    ],
)
def test_a_cell_of_live_update_names_the_option_that_is_missing(
    missing: str, memory: MemoryKind, tmp_path: Path
) -> None:
    wanted = cell(DisruptionKind.KEXEC, options={"memory": memory}, scope=Scope.MEMORY)
    options = {*DEBIAN, *LUO}
    assert why(kernel(tmp_path, *options), wanted) is None
    said = why(kernel(tmp_path, *(options - {missing})), wanted)
    assert said is not None
    assert said.startswith(f"kernel 'debian' (7.3.4+deb13-cloud-amd64) has no CONFIG_{missing} (")
    assert said.count("CONFIG_") == 1


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    options = {"memory": MemoryKind.LUO_MEMFD, "load": KexecLoad.LOAD}
    wanted = cell(DisruptionKind.KEXEC, options=options, scope=Scope.MEMORY)
    said = why(kernel(tmp_path, *DEBIAN), wanted)
    assert said is not None
    assert re.findall(r"CONFIG_(\w+)", said) == list(LUO)
    assert said.count("kernel 'debian'") == 1


def test_kexec_needs_one_of_two_system_calls(tmp_path: Path) -> None:
    for has in ("KEXEC", "KEXEC_FILE"):
        assert why(kernel(tmp_path, has), cell(DisruptionKind.KEXEC)) is None
    said = why(kernel(tmp_path), cell(DisruptionKind.KEXEC))
    assert said is not None
    assert "has no CONFIG_KEXEC_FILE or CONFIG_KEXEC (loading the next kernel)" in said


def test_a_crash_kernel_needs_room_for_one(tmp_path: Path) -> None:
    said = why(kernel(tmp_path, "KEXEC_FILE"), cell(DisruptionKind.CRASH_KEXEC))
    assert said is not None
    assert "has no CONFIG_CRASH_DUMP" in said


@pytest.mark.parametrize(("release", "runs"), [("6.15.9", False), ("6.16.3", True), ("7.3", True)])
def test_nested_mode_came_with_a_version(release: str, runs: bool, tmp_path: Path) -> None:
    wanted = cell(arch=Arch.ARM64, mode=HostMode.NESTED)
    assert (why(kernel(tmp_path, *DEBIAN, release=release), wanted) is None) is runs


@pytest.mark.parametrize(
    ("release", "guest", "option", "runs"),
    [
        ("6.12.118", GuestKind.SPINNER, "KVM", False),
        ("7.3.4", GuestKind.SPINNER, "KVM", True),
        ("7.3.4", GuestKind.LINUX, "KVM", False),
        ("7.3.4", GuestKind.LINUX, "ARM_PKVM_GUEST", True),
    ],
)
def test_protected_guests_need_a_version_and_linux_an_option(
    release: str, guest: GuestKind, option: str, runs: bool, tmp_path: Path
) -> None:
    wanted = cell(
        arch=Arch.ARM64,
        mode=HostMode.PROTECTED,
        guest=guest,
        vmm=VmmKind.LABVMM,
        options={"confidential": Confidential.PKVM},
    )
    assert (why(kernel(tmp_path, option, release=release), wanted) is None) is runs


def test_a_kernel_that_tells_nothing_lacks_nothing(tmp_path: Path) -> None:
    mute = kernel(tmp_path)
    assert mute.config
    mute.config.unlink()
    silent = KernelImage(
        name="mine",
        arch="x86_64",
        image=mute.image,
        vmlinux=mute.vmlinux,
        config=None,
        release="",
        build_id="",
        digest="",
        source="",
    )
    wanted = cell(
        DisruptionKind.KEXEC, options={"memory": MemoryKind.LUO_MEMFD}, scope=Scope.MEMORY
    )
    assert why(silent, wanted) is None

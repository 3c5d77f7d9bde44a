# SPDX-License-Identifier: Apache-2.0
"""What labvmm lays out for an arm64 guest: device tree, Image, and the serial port."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lab.vmm.arch.arm64 import board, fdt
from lab.vmm.arch.arm64 import driver as arm64
from lab.vmm.devices.pl011 import Pl011
from lab.vmm.devices.serial import STATE_BYTES
from lab.vmm.errors import VmmError
from lab.vmm.kvm import arm64 as kvm_arm64
from lab.vmm.kvm import common as kvm
from lab.vmm.machine import memory
from lab.vmm.machine.driver import Boot
from lab.vmm.machine.vcpu import UNION

MIB = 1 << 20
BASE = memory.BASES["aarch64"]
SMALL = fdt.Node("", {"a": [1, 2], "b": "x"}, [fdt.Node("n@1", {"a": b"\1\2\3", "c": ["p", "q"]})])


def image(offset: int = 0, size: int = 0x3000, code: bytes = b"") -> bytes:
    return struct.pack("<QQQQ", 0, offset, size, 0xA) + bytes(24) + b"ARM\x64" + bytes(4) + code


def boot(kernel: Path, vcpus: int = 2, initrd: Path | None = None) -> Boot:
    return Boot(kernel, initrd, "console=ttyAMA0 beacon=1", vcpus)


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (kvm_arm64.VcpuInit, 32),
        (kvm_arm64.OneReg, 16),
        (kvm_arm64.CreateDevice, 12),
        (kvm_arm64.DeviceAttr, 24),
    ],
)
def test_structures_have_the_kernels_size(structure: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(structure) == size


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (kvm_arm64.Request.KVM_GET_ONE_REG, 0x4010AEAB),
        (kvm_arm64.Request.KVM_ARM_VCPU_INIT, 0x4020AEAE),
        (kvm_arm64.Request.KVM_CREATE_DEVICE, 0xC00CAEE0),
        (kvm_arm64.Request.KVM_SET_DEVICE_ATTR, 0x4018AEE1),
        (kvm_arm64.REGISTERS["pc"], 0x6030000000100040),
        (kvm_arm64.REGISTERS["sctlr_el1"], 0x603000000013C080),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(number: int, wanted: int) -> None:
    assert number == wanted


def test_a_small_tree_is_what_the_specification_says() -> None:
    structure = bytes.fromhex(
        "00000001 00000000"
        "00000003 00000008 00000000 00000001 00000002"
        "00000003 00000002 00000002 78000000"
        "00000001 6e403100"
        "00000003 00000003 00000000 01020300"
        "00000003 00000004 00000004 70007100"
        "00000002 00000002 00000009"
    )
    header = struct.pack(
        ">10I", 0xD00DFEED, 56 + len(structure) + 6, 56, 56 + len(structure), 40, 17, 16, 0, 6,
        len(structure),
    )  # fmt: skip
    assert fdt.build(SMALL) == header + bytes(16) + structure + b"a\0b\0c\0"


@pytest.mark.skipif(not shutil.which("dtc"), reason="needs dtc (package device-tree-compiler)")
@pytest.mark.parametrize("vcpus", [1, 17])
def test_dtc_finds_nothing_wrong_with_the_machines_tree(tmp_path: Path, vcpus: int) -> None:
    tree = board.device_tree(
        boot(Path("Image"), vcpus), BASE, 256 * MIB, (BASE + MIB, BASE + 2 * MIB), bytes(32)
    )
    (tmp_path / "tree.dtb").write_bytes(fdt.build(tree))
    read = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", str(tmp_path / "tree.dtb")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert not read.stderr
    assert 'bootargs = "console=ttyAMA0 beacon=1";' in read.stdout
    assert "reg = <0x00 0x40000000 0x00 0x10000000>;" in read.stdout
    assert read.stdout.count('device_type = "cpu"') == vcpus


def test_the_17th_cpu_begins_another_cluster() -> None:
    assert [board.affinity(n) for n in (0, 15, 16, 17)] == [0, 15, 0x100, 0x101]


@pytest.mark.parametrize(("asked", "placed"), [(0, 2 * MIB), (0x80000, 0x80000)])
def test_arm64_image_loads_at_its_header_offset_or_behind_dtb(asked: int, placed: int) -> None:
    assert board.image_place(image(asked), "kernel") == (placed, 0x3000)


def test_what_is_no_image_is_refused_with_a_word_on_what_is() -> None:
    with pytest.raises(VmmError, match=r"kernel 'x' is no arm64 Image\nhint: .*not compressed"):
        board.image_place(b"\x7fELF" + bytes(100), "kernel 'x'")


def test_tree_kernel_and_initrd_are_in_ram_that_begins_at_1_gib(tmp_path: Path) -> None:
    kernel, initrd = tmp_path / "Image", tmp_path / "initrd"
    kernel.write_bytes(image(code=b"code"))
    initrd.write_bytes(b"archive")
    ram = memory.memfd(8 * MIB)._replace(base=BASE)
    driver = arm64.Arm64(-1, -1, lambda _: None)
    driver.load(ram, boot(kernel, initrd=initrd))
    assert ram.pages[:4] == b"\xd0\x0d\xfe\xed"
    assert ram.pages[2 * MIB : 2 * MIB + 68] == kernel.read_bytes()
    assert ram.pages[8 * MIB - 4096 : 8 * MIB - 4089] == b"archive"
    ram.pages.close()
    os.close(ram.fd)


def test_kernel_larger_than_ram_is_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "Image"
    kernel.write_bytes(image(size=16 * MIB))
    ram = memory.memfd(8 * MIB)._replace(base=BASE)
    with pytest.raises(VmmError, match="up to 0x41200000, it ends at 0x40800000"):
        arm64.Arm64(-1, -1, lambda _: None).load(ram, boot(kernel))
    ram.pages.close()
    os.close(ram.fd)


def test_serial_byte_is_sent_at_once_and_raises_the_line() -> None:
    out: list[bytes] = []
    line: list[bool] = []
    port = Pl011(out.append, line.append)
    port.write(0, ord("a"))
    assert (out, line) == ([b"a"], [])
    port.write(0x38, 1 << 5)
    assert (port.read(0x40), line) == (1 << 5, [True])
    port.write(0x44, 1 << 5)
    assert (port.read(0x40), port.read(0x3C), line) == (0, 0, [True, False])


def test_adopter_restores_the_serial_ports_settings() -> None:
    kept = bytearray(STATE_BYTES)
    first = Pl011(lambda _: None, lambda _: None, kept)
    for register, value in ((0x24, 0x1234), (0x2C, 0x70), (0x30, 0x301), (0x38, 0x20)):
        first.write(register, value)
    second = Pl011(lambda _: None, lambda _: None, kept)
    assert [second.read(r) for r in (0x24, 0x2C, 0x30, 0x38)] == [0x1234, 0x70, 0x301, 0x20]


def test_linux_knows_the_port_by_its_identity() -> None:
    port = Pl011(lambda _: None, lambda _: None)
    assert [port.read(0xFE0 + 4 * n) for n in range(4)] == [0x11, 0x10, 0x14, 0x00]
    assert [port.read(0xFF0 + 4 * n) for n in range(4)] == [0x0D, 0xF0, 0x05, 0xB1]


def mmio(address: int, value: int, *, is_write: bool) -> bytearray:
    run = bytearray(4096)
    struct.pack_into("=QQIB", run, UNION, address, value, 4, is_write)
    return run


def test_exit_table_serves_the_port_and_counts_unknown_exits() -> None:
    out: list[bytes] = []
    driver = arm64.Arm64(-1, -1, out.append)
    handle = driver.exits[kvm.Exit.MMIO]
    assert handle(mmio(0x0900_0000, ord("x"), is_write=True)) is None  # type: ignore[arg-type]
    flags = mmio(0x0900_0018, 0, is_write=False)
    assert handle(flags) is None  # type: ignore[arg-type]
    assert flags[UNION + 8] == 0x90
    nowhere = mmio(0x0A00_0000, 7, is_write=False)
    handle(nowhere)  # type: ignore[arg-type]
    assert nowhere[UNION + 8] == 0
    assert (out, driver.unclaimed_accesses()) == ([b"x"], {"mmio": 1})


@pytest.mark.parametrize(
    ("event", "kind"), [(1, "shutdown"), (2, "reset"), (3, "crash"), (9, "system-event")]
)
def test_psci_ends_a_guest(event: int, kind: str) -> None:
    run = bytearray(4096)
    struct.pack_into("=I", run, UNION, event)
    stop = arm64.Arm64(-1, -1, lambda _: None).exits[kvm.Exit.SYSTEM_EVENT](run)  # type: ignore[arg-type]
    assert stop is not None
    assert stop.kind == kind

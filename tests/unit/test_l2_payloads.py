# SPDX-License-Identifier: Apache-2.0
"""The L2 payloads compile, and boot by the right note; the same sources make the same ones."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from tests.support.l2_make import make

needs_arm64 = pytest.mark.skipif(
    not shutil.which("aarch64-linux-gnu-gcc"), reason="needs gcc-aarch64-linux-gnu"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("l2")
    make(out)
    return out


@pytest.fixture(scope="module")
def built_arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("l2-arm64")
    make(out, "ARCH=arm64", "CC=aarch64-linux-gnu-gcc")
    return out


@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_a_bare_metal_payload_boots_by_its_pvh_note(built: Path, name: str) -> None:
    entry, notes = pvh_notes((built / name).read_bytes())
    # XEN_ELFNOTE_PHYS32_ENTRY is 18; QEMU reads 8 bytes of a 64-bit ELF's descriptor.
    assert notes == [(b"Xen\0", 18, struct.pack("<Q", entry))]


@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_a_bare_metal_payload_needs_nothing_from_elsewhere(built: Path, name: str) -> None:
    path = str(built / name)
    undefined = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True)
    assert not undefined.stdout.strip()
    dynamic = subprocess.run(["readelf", "-lr", path], check=True, capture_output=True, text=True)
    assert "There are no relocations" in dynamic.stdout
    assert not re.search(r"INTERP|DYNAMIC", dynamic.stdout)


def test_the_linux_beacon_is_static(built: Path) -> None:
    path = str(built / "beacon")
    headers = subprocess.run(["readelf", "-l", path], check=True, capture_output=True, text=True)
    assert "INTERP" not in headers.stdout


@needs_arm64
@pytest.mark.parametrize("name", ["spinner", "ticker"])
def test_an_arm64_payload_says_in_its_header_where_it_goes(built_arm64: Path, name: str) -> None:
    image = (built_arm64 / f"{name}.img").read_bytes()
    offset, size, flags = struct.unpack_from("<QQQ", image, 8)
    assert image[56:60] == b"ARM\x64"
    assert (offset, flags) == (2 << 20, 0xA)
    assert size >= len(image)
    elf = (built_arm64 / f"{name}.elf").read_bytes()
    assert struct.unpack_from("<Q", elf, 24) == (0x4000_0000 + offset,)


@needs_arm64
@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_arm64_payload_is_freestanding_and_without_fp_in_c(built_arm64: Path, name: str) -> None:
    path = str(built_arm64 / name)
    undefined = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True)
    assert not undefined.stdout.strip()
    objects = [p for p in (built_arm64 / "obj" / "arm64").glob("*.o") if p.stem != "fp"]
    code = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", *map(str, objects)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert not re.search(r"\t[^\t\n]*\b[vqd]([0-9]|[12][0-9]|3[01])\b(?! <)", code.stdout)


@needs_arm64
@pytest.mark.skipif(not shutil.which("qemu-system-aarch64"), reason="needs qemu-system-arm")
def test_an_arm64_payload_beats_on_both_cpus_of_a_bare_machine(
    built_arm64: Path, tmp_path: Path
) -> None:
    """Only the emulator: no KVM, and nothing of labvmm."""
    console = tmp_path / "console"
    secret = f"beacon={bytes(range(16)).hex()}:{bytes(16).hex()}"
    argv = ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max", "-accel", "tcg"]
    argv += ["-smp", "2", "-m", "64", "-nodefaults", "-display", "none"]
    argv += ["-serial", f"file:{console}", "-kernel", str(built_arm64 / "ticker.img")]
    machine = subprocess.Popen([*argv, "-append", f"{secret} vcpus=2"])
    try:
        until("its beats", lambda: "beating" in read(console) or None, Deadline.after(30))
    finally:
        machine.kill()
        machine.wait()
    said = read(console)
    assert re.findall(r"BEACON vcpu=(\d) gpa=0x40\w{6} boot=\w{32}\n", said) == ["0", "1"]
    assert said.endswith("BEACON beating n=2\n")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@needs_arm64
def test_the_arm64_linux_beacon_is_static(built_arm64: Path) -> None:
    path = str(built_arm64 / "beacon")
    headers = subprocess.run(["readelf", "-hl", path], check=True, capture_output=True, text=True)
    assert "AArch64" in headers.stdout
    assert "INTERP" not in headers.stdout


def test_the_same_sources_make_the_same_payloads(built: Path, tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("beacon", "spinner.elf", "ticker.elf"):
        again = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert again == hashlib.sha256((built / name).read_bytes()).hexdigest(), name


def pvh_notes(elf: bytes) -> tuple[int, list[tuple[bytes, int, bytes]]]:
    """Return the entry and every note, read as QEMU does: aligned to the segment's alignment."""
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    notes = []
    for i in range(count):
        kind, _, at, _, _, length, _, align = struct.unpack_from(
            "<IIQQQQQQ", elf, headers + i * size
        )
        if kind != 4:  # PT_NOTE
            continue
        name_size, found_size, note = struct.unpack_from("<III", elf, at)
        name = elf[at + 12 : at + 12 + name_size]
        found = at + 12 + -(-name_size // align) * align
        assert found + found_size <= at + length
        notes.append((name, note, elf[found : found + found_size]))
    return entry, notes

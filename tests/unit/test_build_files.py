# SPDX-License-Identifier: Apache-2.0
"""Archives, ELF notes, seeds and the initramfs: the formats that a kernel reads."""

from __future__ import annotations

import gzip
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from lab.build import cpio, elf, initrd, pyz, seed, tools
from lab.build.cache import Cache
from lab.build.kernel import KernelImage
from lab.build.python import Python
from lab.errors import ConfigError, InfraError

KERNEL = KernelImage(
    name="mine",
    arch="x86_64",
    image=Path("bzImage"),
    vmlinux=Path("vmlinux"),
    config=None,
    release="7.3.4",
    build_id="b",
    digest="d",
    source="here",
)
WHOLE = dict.fromkeys(seed.NEEDED, (b"x", 0o600))

needs_cpio = pytest.mark.skipif(not shutil.which("cpio"), reason="cpio is not installed")


def listed(archive: bytes, *options: str) -> list[str]:
    done = subprocess.run(
        ["cpio", "--list", "--quiet", *options], input=archive, capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


@needs_cpio
def test_an_archive_has_the_folders_that_its_files_need() -> None:
    archive = cpio.archive({"a/b/c": cpio.File(b"12345", 0o600), "d": cpio.File(b"")})
    assert listed(archive) == ["a", "a/b", "a/b/c", "d"]
    assert re.match(r"-rw-------\s+1 root\s+root\s+5 ", listed(archive, "--verbose")[2])


@needs_cpio
def test_an_archive_gives_back_what_went_in(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5
    archive = cpio.archive({"f/one": cpio.File(content)})
    subprocess.run(
        ["cpio", "--extract", "--quiet", "--make-directories"],
        input=archive,
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "f/one").read_bytes() == content


def test_the_order_of_the_files_does_not_change_the_archive() -> None:
    one, two = cpio.File(b"1"), cpio.File(b"2")
    assert cpio.archive({"a": one, "b": two}) == cpio.archive({"b": two, "a": one})


@needs_cpio
def test_a_seed_is_found_beneath_its_folder_with_its_modes() -> None:
    lines = listed(seed.make(WHOLE), "--verbose")
    assert any(re.match(r"-rw------- .* seed/ssh_host_ed25519_key$", line) for line in lines)


def test_seed_without_a_key_is_refused_before_boot() -> None:
    files = {name: file for name, file in WHOLE.items() if name != "nonce"}
    with pytest.raises(InfraError, match="lacks nonce"):
        seed.make(files)


def test_initramfs_leaves_the_random_seed_for_the_kernel() -> None:
    packed = initrd.pack({"init": cpio.File(b"x" * 1001, 0o755)})
    assert len(packed) % 4 == 0
    assert gzip.decompress(packed).startswith(b"070701")


@needs_cpio
def test_the_init_of_l1_is_one_static_program(tmp_path: Path) -> None:
    image = initrd.build(KERNEL, Cache(tmp_path))
    assert listed(gzip.decompress(image.read_bytes())) == ["init"]
    shown = subprocess.run(
        ["readelf", "--program-headers", image.parent / "init"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "LOAD" in shown
    assert "INTERP" not in shown


def test_the_build_id_is_the_one_that_readelf_shows() -> None:
    program = Path("/bin/ls").resolve()
    shown = subprocess.run(
        ["readelf", "--notes", program], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"Build ID: (\w+)", shown)
    assert match
    assert elf.build_id(program) == match[1]
    assert not elf.boots_by_pvh(program)


def note(build_id: bytes) -> bytes:
    return struct.pack("<III", 4, 20, 3) + b"GNU\0" + build_id * 20


def vdso(build_id: bytes) -> bytes:
    """Return an ELF file of a header, a note and an empty table of sections."""
    content = note(build_id)
    ends = 64 + len(content)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 183, 1, 0, 0, ends, 0, 64, 56, 0, 64, 0, 0
    )
    return head + content


def vdso_32(build_id: bytes) -> bytes:
    """Return the same of 32 bits: that of compat processes."""
    content = note(build_id)
    ends = 52 + len(content)
    head = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 3, 40, 1, 0, 0, ends, 0, 52, 32, 0, 40, 0, 0
    )
    return head + content


@pytest.mark.parametrize("made", [vdso, vdso_32])
@pytest.mark.parametrize("first", [True, False])
def test_a_raw_images_build_id_is_not_that_of_the_vdso_in_it(
    tmp_path: Path, made: Callable[[bytes], bytes], *, first: bool
) -> None:
    parts = [made(b"v"), note(b"k")] if first else [note(b"k"), made(b"v")]
    image = tmp_path / "Image"
    image.write_bytes(bytes(64).join((b"MZ", *parts, b"")))
    assert elf.build_id_within(image) == (b"k" * 20).hex()


def test_a_raw_image_with_a_vdsos_build_id_only_has_none(tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(bytes(64) + vdso(b"v"))
    with pytest.raises(ConfigError, match="has no GNU build id"):
        elf.build_id_within(image)


def test_a_file_that_is_not_elf_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(ConfigError, match="is not a 64-bit little-endian ELF file"):
        elf.notes(tmp_path / "text")


def test_labvmm_is_packed_by_labvmm_and_cached_by_its_sources(tmp_path: Path) -> None:
    source = tmp_path / "one.py"
    source.write_text("1")
    cache, packed = Cache(tmp_path / "cache"), []

    def pack(target: Path, compiled: Callable[[Path], None]) -> None:
        packed.append(compiled)
        target.write_text("packed")

    one, other = Python(tmp_path / "one"), Python(tmp_path / "other")
    first = pyz.build({PurePath("labvmm.py"): source}, pack, one, cache)
    assert pyz.build({PurePath("labvmm.py"): source}, pack, one, cache) == first
    source.write_text("2")
    second = pyz.build({PurePath("labvmm.py"): source}, pack, one, cache)
    assert second not in {first, pyz.build({PurePath("labvmm.py"): source}, pack, other, cache)}
    assert packed == [one.compile_beside, one.compile_beside, other.compile_beside]


@pytest.mark.skipif(not shutil.which("unsquashfs"), reason="squashfs-tools is not installed")
def test_the_tools_disk_holds_what_it_was_given(tmp_path: Path) -> None:
    program = tmp_path / "any"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    image = tools.build({"ctl": program}, Cache(tmp_path / "cache"))
    listing = subprocess.run(
        ["unsquashfs", "-ll", image], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"-rwxr-xr-x root/root\s+10 1970-01-01 .*squashfs-root/ctl", listing)

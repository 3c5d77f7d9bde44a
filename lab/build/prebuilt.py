# SPDX-License-Identifier: Apache-2.0
"""Kernels that the user built: what the lab must know of them is read out of the boot image."""

from __future__ import annotations

import bz2
import lzma
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from lab.arch import architecture
from lab.build import elf
from lab.build.cache import Cache, file_digest
from lab.build.commands import need, output_of_bytes
from lab.build.kernel import KernelImage
from lab.errors import ConfigError
from lab.events import Sink, nowhere

_BANNER = re.compile(rb"Linux version (\S+) ")
_SECTOR = 512
_OLDEST_PROTOCOL = 0x208  # the first whose header says where the compressed kernel is
_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", lambda packed: zlib.decompressobj(31).decompress(packed)),
    (b"\xfd7zXZ\0", lambda packed: lzma.LZMADecompressor().decompress(packed)),
    (b"]\0\0", lambda packed: lzma.LZMADecompressor().decompress(packed)),
    (b"BZh", lambda packed: bz2.BZ2Decompressor().decompress(packed)),
    (b"(\xb5/\xfd", lambda packed: output_of_bytes([need("zstd", package="zstd"), "-dc"], packed)),
    (b"\x02!L\x18", lambda packed: output_of_bytes([need("lz4", package="lz4"), "-dc"], packed)),
)


def take(name: str, arch: str, image: Path, cache: Cache, *, sink: Sink = nowhere) -> KernelImage:
    """Take a bzImage or Image that the user built; copy it to where libvirt's QEMU can read it.

    Args:
        name: The kernel's name in lab.toml.
        arch: "x86_64" or "arm64".
        image: The boot image.
        cache: Where the copy goes.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: The file is not a boot image for `arch`, or has no build id.
    """
    made_for = architecture(arch)
    if not image.is_file():
        raise ConfigError(f"kernel '{name}': image '{image}' is not there")
    file_name = Path(made_for.image).name

    def into(out: Path) -> None:
        shutil.copyfile(image, out / file_name)
        vmlinux = out / "vmlinux"
        raw = image.read_bytes()
        vmlinux.write_bytes(_unpacked(image, raw) if file_name == "bzImage" else raw)
        banner = _BANNER.search(vmlinux.read_bytes())
        if banner is None:
            raise ConfigError(f"kernel '{name}': '{image}' holds no 'Linux version'")
        (out / "release").write_bytes(banner[1])
        (out / "build-id").write_text(elf.build_id_within(vmlinux))

    made = cache.entry(
        "prebuilt",
        {"arch": arch, "image": file_digest(image)},
        into,
        what=f"kernel {name} from {image.name}",
        usually_s=2,
        sink=sink,
        needs_mib=300,
    )
    return KernelImage(
        name=name,
        arch=made_for.name,
        image=made / file_name,
        vmlinux=made / "vmlinux",
        config=None,
        release=(made / "release").read_text(),
        build_id=(made / "build-id").read_text(),
        digest=made.name,
        source=f"prebuilt {image.name}",
    )


def _unpacked(image: Path, raw: bytes) -> bytes:
    """Take the ELF file out of a bzImage: its boot header says where it is, and how long."""
    if raw[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", raw, 0x206)[0] < _OLDEST_PROTOCOL:
        raise ConfigError(
            f"'{image}' is not a bzImage",
            hint="give arch/x86/boot/bzImage of the build, not vmlinux or vmlinux.bin",
        )
    protected_mode = ((raw[0x1F1] or 4) + 1) * _SECTOR
    offset, length = struct.unpack_from("<II", raw, 0x248)
    payload = raw[protected_mode + offset :][:length]
    for magic, unpack in _UNPACKERS:
        if payload.startswith(magic):
            # The unpacked size follows what is packed, except with gzip, which has its own.
            return unpack(payload if magic == _UNPACKERS[0][0] else payload[:-4])
    raise ConfigError(f"'{image}' has an unknown compression (starts {payload[:4].hex()})")

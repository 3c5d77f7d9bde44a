# SPDX-License-Identifier: Apache-2.0
"""What is in a kernel's boot image: whose processor it is for, and the kernel without its packing.

x86-64 has bzImage. arm64 has Image, which distributions ship packed too: by gzip (Ubuntu), or in an
EFI program that unpacks itself (Fedora's zboot).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch
from lab.build.compression import GZIP, is_packed, unpacked
from lab.errors import ConfigError

_SECTOR = 512
_OLDEST_PROTOCOL = 0x208  # the first whose header says where the compressed kernel is
_ARM64_MAGIC = slice(56, 60)
_BANNER = re.compile(rb"Linux version (\S+) ")


@dataclass(frozen=True, slots=True)
class BootImage:
    """A boot image: what QEMU boots, and what is in it, the kernel itself."""

    arch: Arch
    bootable: bytes
    kernel: bytes
    """vmlinux on x86-64, Image on arm64."""

    @property
    def release(self) -> str | None:
        """What `uname -r` will say; None if the kernel does not tell."""
        found = _BANNER.search(self.kernel)
        return found[1].decode(errors="replace") if found else None


def read(path: Path) -> BootImage:
    """Read a boot image.

    Args:
        path: bzImage; or Image, as it is or packed.

    Returns:
        What it is.

    Raises:
        ConfigError: It is none of these.
    """
    raw = path.read_bytes()
    if raw[0x202:0x206] == b"HdrS":
        return BootImage(Arch.X86_64, raw, _of_bzimage(path, raw))
    image = _of_zboot(raw) if raw[4:8] == b"zimg" else unpacked(raw)
    if image[_ARM64_MAGIC] == b"ARM\x64":
        return BootImage(Arch.ARM64, image, image)
    raise ConfigError(
        f"'{path}' is not a bzImage (x86-64), and no Image (arm64)",
        hint="name arch/x86/boot/bzImage or arch/arm64/boot/Image of the build, not its vmlinux",
    )


def _of_bzimage(path: Path, raw: bytes) -> bytes:
    """Return the ELF file in a bzImage: its boot header says where it is, and how long."""
    if struct.unpack_from("<H", raw, 0x206)[0] < _OLDEST_PROTOCOL:
        raise ConfigError(f"'{path}' is a bzImage from before Linux 2.6.26")
    protected_mode = ((raw[0x1F1] or 4) + 1) * _SECTOR
    offset, length = struct.unpack_from("<II", raw, 0x248)
    payload = raw[protected_mode + offset :][:length]
    if not is_packed(payload):
        raise ConfigError(f"'{path}' has an unknown compression (starts {payload[:4].hex()})")
    # The unpacked size follows what is packed, except with gzip, which has its own.
    return unpacked(payload if payload.startswith(GZIP) else payload[:-4])


def _of_zboot(raw: bytes) -> bytes:
    offset, length = struct.unpack_from("<II", raw, 8)
    return unpacked(raw[offset:][:length])

# SPDX-License-Identifier: Apache-2.0
"""Made-up kernels: boot images, modules, and the packages that distributions ship them in."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import subprocess
import tarfile
from collections.abc import Mapping

from lab.build import cpio

RELEASE = "7.3.4-made-up"
BUILD_ID = "42" * 20
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")

NEEDS = {
    "virtio_blk": "",
    "failover": "",
    "net-failover": "failover",
    "virtio_net": "net-failover",
    "squashfs": "",
    "overlay": "",
    "irqbypass": "",
    "kvm": "irqbypass",
    "kvm-amd": "kvm",
}
"""The modules of an x86-64 kernel whose virtio_pci is built in, and what each depends on."""


def kernel(signs: bytes = b"virtio_pci.force_legacy", release: str = RELEASE) -> bytes:
    """An ELF file with a build id, a banner, and the texts of what is built in."""
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes.fromhex(BUILD_ID)
    head = _HEADER.pack(b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(note), len(note), 4)
    return head + segment + note + b"Linux version " + release.encode() + b" (lab)\0" + signs


def bzimage(payload: bytes) -> bytes:
    """A boot image as the x86 boot protocol has it: set-up sectors, then the packed kernel."""
    head = bytearray(2 * 512)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + bytes(16) + payload + b"behind"


def vmlinuz(signs: bytes = b"virtio_pci.force_legacy", release: str = RELEASE) -> bytes:
    """A bzImage of `kernel`."""
    return bzimage(gzip.compress(kernel(signs, release), mtime=0))


def arm64_image(signs: bytes = b"", release: str = RELEASE) -> bytes:
    """An Image of arm64, unpacked."""
    head = bytes(56) + b"ARM\x64" + bytes(4)
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes.fromhex(BUILD_ID)
    return head + note + b"Linux version " + release.encode() + b" (lab)\0" + signs


def zboot(payload: bytes) -> bytes:
    """An EFI program that unpacks itself, as Fedora's arm64 kernels are."""
    head = bytearray(64)
    head[:8] = b"MZ\0\0zimg"
    struct.pack_into("<II", head, 8, 64, len(payload))
    return bytes(head) + payload


def module(depends: str = "", release: str = RELEASE) -> bytes:
    """An ELF file with a section .modinfo, and the names of its sections."""
    info = f"license=GPL\0depends={depends}\0vermagic={release} SMP \0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    at = 64 + len(info)
    sections = (
        bytes(64),
        struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(info), 0, 0, 1, 0),
        struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, at, len(names), 0, 0, 1, 0),
    )
    head = _HEADER.pack(
        b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, at + len(names), 0, 64, 0, 0, 64, 3, 2
    )
    return head + info + names + b"".join(sections)


def files(
    *, root: str = "usr/lib/modules", pack: str = "xz", without: str = "", release: str = RELEASE
) -> dict[str, bytes]:
    """The files of a package with everything, by path."""
    found = {
        f"boot/vmlinuz-{RELEASE}": vmlinuz(),
        f"boot/config-{RELEASE}": b"CONFIG_KEXEC=y\nCONFIG_VIRTIO_PCI=y\n",
        f"{root}/{RELEASE}/modules.builtin": b"kernel/drivers/virtio/virtio_pci.ko\n",
        "usr/share/doc/changelog": b"nothing that counts",
    }
    for name, needs in NEEDS.items():
        if name != without:
            path = f"{root}/{RELEASE}/kernel/{name}.ko"
            found[f"{path}.{pack}" if pack else path] = packed(module(needs, release), pack)
    return found


def packed(raw: bytes, how: str) -> bytes:
    """`raw`, packed by gz, xz, zst, or nothing."""
    match how:
        case "xz":
            return lzma.compress(raw, check=lzma.CHECK_CRC32)
        case "gz":
            return gzip.compress(raw, mtime=0)
        case "zst":
            return subprocess.run(["zstd", "-c"], input=raw, capture_output=True, check=True).stdout
        case _:
            return raw


def deb(contents: Mapping[str, bytes], how: str = "xz") -> bytes:
    """A Debian package: an ar archive with two tar archives in it."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    end = f".{how}" if how else ""
    members = {
        "debian-binary": b"2.0\n",
        f"control.tar{end}": packed(b"", how),
        f"data.tar{end}": packed(whole.getvalue(), how),
    }
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        + content
        + bytes(len(content) % 2)
        for name, content in members.items()
    )


def rpm(contents: Mapping[str, bytes], how: str = "gz") -> bytes:
    """A package of Fedora's: a lead, two empty headers, and a cpio archive."""
    lead = b"\xed\xab\xee\xdb\x03\0" + bytes(90)
    header = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 0, 0)
    archive = cpio.archive({name: cpio.File(content) for name, content in contents.items()})
    return lead + header + header + packed(archive, how)

# SPDX-License-Identifier: Apache-2.0
"""Firmware for SEV-SNP: whether a guest can start with it, before one is started; no guess by name.

No build of Debian 12 or 13 has the hash table by which QEMU measures a kernel.

Source: QEMU, target/i386/sev.c, pc_system_ovmf_table_find(); edk2, OvmfPkg/ResetVector/X64/
OvmfSevMetadata.asm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lab.confidential.extra import sevsnpmeasure
from lab.errors import ConfigError

_PAGE = 4096
_NEEDED = frozenset({"SNP_SEC_MEM", "SNP_SECRETS", "CPUID"})
_HASHES = "SNP_KERNEL_HASHES"
_HINT = "Debian's package ovmf-amdsev has one: /usr/share/ovmf/OVMF.amdsev.fd"


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a firmware is good for.

    Attributes:
        path: Its file.
        digest: SHA-256 of it, in hex.
        sections: The kinds of sections in its SNP metadata.
        hash_table: Where in the guest's memory QEMU writes hashes of the kernel; 0 for nowhere.
        has_reset_vector: Whether it says where other vCPUs begin.
    """

    path: Path
    digest: str
    sections: frozenset[str]
    hash_table: int
    has_reset_vector: bool

    @property
    def starts(self) -> bool:
        """Whether an SNP guest can start with it."""
        return self.has_reset_vector and self.sections >= _NEEDED

    @property
    def measures_kernels(self) -> bool:
        """Whether QEMU's `kernel-hashes` works with it."""
        return self.starts and _HASHES in self.sections and self.hash_table != 0


def read(path: Path) -> Firmware:
    """Read the metadata of a firmware.

    Args:
        path: The whole image, as for QEMU's `-bios`.

    Returns:
        What it is good for.

    Raises:
        ConfigError: It is no file, or its metadata is damaged.
        InfraError: The extra is missing.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"firmware {path}: cannot be read: {e.strerror}") from e
    if not data or len(data) % _PAGE:
        raise ConfigError(f"firmware {path}: {len(data)} bytes are no whole pages of {_PAGE}")
    ovmf = sevsnpmeasure("ovmf").OVMF
    try:
        parsed = ovmf(str(path))
        table = parsed.sev_hashes_table_gpa() if parsed.is_sev_hashes_table_supported() else 0
        sections = frozenset(item.section_type().name for item in parsed.metadata_items())
    except (RuntimeError, ValueError) as e:
        raise ConfigError(f"firmware {path}: its SEV metadata is damaged: {e}") from e
    try:
        parsed.sev_es_reset_eip()
        has_reset_vector = True
    except RuntimeError:
        has_reset_vector = False
    digest = hashlib.sha256(data).hexdigest()
    return Firmware(path, digest, sections, table, has_reset_vector)


def insist_fit(path: Path, *, kernel_hashes: bool) -> Firmware:
    """Require that an SNP guest can start with a firmware.

    Args:
        path: The whole image.
        kernel_hashes: Whether it has to measure the kernel, too.

    Returns:
        What it is good for.

    Raises:
        ConfigError: It is damaged, or has not what is needed.
        InfraError: The extra is missing.
    """
    found = read(path)
    if not found.starts:
        missing = ", ".join(sorted(_NEEDED - found.sections)) or "the reset vector of vCPUs"
        raise ConfigError(
            f"firmware {path}: no SEV-SNP guest can start with it: it lacks {missing}", hint=_HINT
        )
    if kernel_hashes and not found.measures_kernels:
        raise ConfigError(
            f"firmware {path}: it has no place for kernel-hashes, so that a kernel is not measured",
            hint=_HINT,
        )
    return found

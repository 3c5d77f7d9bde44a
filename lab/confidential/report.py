# SPDX-License-Identifier: Apache-2.0
"""An attestation report of SEV-SNP: 1184 bytes in, fields out; pure, and nothing is believed yet.

Source: AMD 56860, "SEV Secure Nested Paging Firmware ABI Specification", table "ATTESTATION_REPORT
structure"; virtee/sev, src/firmware/guest/types/snp.rs, for how processors differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lab.errors import ConfigError

SIZE = 0x4A0  # bytes
SIGNED = 0x2A0  # bytes from the start that the signature is over
_VERSIONS = frozenset({2, 3, 5})
_WITH_CPUID = 3
_COORDINATE = 72  # bytes of each half of the signature, little-endian
_TURIN_CHIP_ID = 8  # bytes; the rest of the field is zero


class Processor(StrEnum):
    """A generation of processors: each has its own root key, and its own form of a TCB."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


# By family: models of Zen 3, of Zen 4 and 4c, and of Zen 5.
_MODELS = (
    (0x19, range(0x10), Processor.MILAN),
    (0x19, range(0x10, 0x20), Processor.GENOA),
    (0x19, range(0xA0, 0xB0), Processor.GENOA),
    (0x1A, range(0x12), Processor.TURIN),
)


@dataclass(frozen=True, slots=True)
class Tcb:
    """Security versions of the firmware below a guest; `fmc` is None before Turin."""

    bootloader: int
    tee: int
    snp: int
    microcode: int
    fmc: int | None = None

    def __str__(self) -> str:
        fmc = "" if self.fmc is None else f"fmc {self.fmc}, "
        return (
            f"{fmc}bootloader {self.bootloader}, tee {self.tee}, snp {self.snp}, "
            f"microcode {self.microcode}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report says, whoever wrote it.

    Attributes:
        raw: All of its 1184 bytes.
        version: The version of its form: 2, 3 or 5.
        policy: What the guest was launched with, as a bit mask.
        vmpl: The privilege level that asked for it: 0 is the guest's kernel.
        signature_algorithm: 1 is ECDSA P-384 with SHA-384.
        signer: What signed it: 0 is the VCEK, 1 the VLEK, 7 nothing.
        chip_key_masked: Whether the host had the signature left out.
        report_data: 64 bytes of the guest's own choice.
        measurement: 48 bytes: the launch digest.
        host_data: 32 bytes that the VMM chose at launch.
        report_id: 32 random bytes, drawn at launch: which instance of the guest it is.
        reported_tcb: The TCB that the key is bound to.
        chip_id: 64 bytes: which processor it is; zeros if the host masks it.
        r: One half of the signature, as a number.
        s: The other.
        signature_rest: The bytes of the signature's field that have to be zero.
        processor: The generation, as far as the report tells; None for Milan or Genoa by version 2.
    """

    raw: bytes
    version: int
    policy: int
    vmpl: int
    signature_algorithm: int
    signer: int
    chip_key_masked: bool
    report_data: bytes
    measurement: bytes
    host_data: bytes
    report_id: bytes
    reported_tcb: Tcb
    chip_id: bytes
    r: int
    s: int
    signature_rest: bytes
    processor: Processor | None

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return self.raw[:SIGNED]


def parse(raw: bytes) -> Report:
    """Take a report apart.

    Args:
        raw: What the guest got: 1184 bytes.

    Returns:
        Its fields; none of them was verified.

    Raises:
        ConfigError: It has another size, an unknown version, or is of an unknown processor.
    """
    if len(raw) != SIZE:
        raise ConfigError(f"an attestation report has {SIZE} bytes, and {len(raw)} came")
    version = _number(raw, 0x000, 4)
    if version not in _VERSIONS:
        known = ", ".join(map(str, sorted(_VERSIONS)))
        raise ConfigError(f"an attestation report of version {version} came; known are {known}")
    chip_id = raw[0x1A0:0x1E0]
    processor = _processor(version, raw[0x188], raw[0x189], chip_id)
    key_info = _number(raw, 0x048, 4)
    return Report(
        raw=raw,
        version=version,
        policy=_number(raw, 0x008, 8),
        vmpl=_number(raw, 0x030, 4),
        signature_algorithm=_number(raw, 0x034, 4),
        signer=key_info >> 2 & 0b111,
        chip_key_masked=bool(key_info & 0b10),
        report_data=raw[0x050:0x090],
        measurement=raw[0x090:0x0C0],
        host_data=raw[0x0C0:0x0E0],
        report_id=raw[0x140:0x160],
        reported_tcb=tcb_of(raw[0x180:0x188], processor),
        chip_id=chip_id,
        r=_number(raw, SIGNED, _COORDINATE),
        s=_number(raw, SIGNED + _COORDINATE, _COORDINATE),
        signature_rest=raw[SIGNED + 2 * _COORDINATE :],
        processor=processor,
    )


def tcb_of(raw: bytes, processor: Processor | None) -> Tcb:
    """Read a TCB; the same bytes mean other parts on another generation.

    Args:
        raw: 8 bytes.
        processor: The generation; None for Milan or Genoa.

    Returns:
        The versions.
    """
    if processor is Processor.TURIN:
        return Tcb(bootloader=raw[1], tee=raw[2], snp=raw[3], microcode=raw[7], fmc=raw[0])
    return Tcb(bootloader=raw[0], tee=raw[1], snp=raw[6], microcode=raw[7])


def _processor(version: int, family: int, model: int, chip_id: bytes) -> Processor | None:
    if version < _WITH_CPUID:
        short = any(chip_id) and not any(chip_id[_TURIN_CHIP_ID:])
        return Processor.TURIN if short else None
    for known, models, processor in _MODELS:
        if family == known and model in models:
            return processor
    raise ConfigError(
        f"an attestation report of family {family:#x}, model {model:#x} came: no processor known"
    )


def _number(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], "little")

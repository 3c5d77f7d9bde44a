# SPDX-License-Identifier: Apache-2.0
"""A firmware is refused before a guest is started with it; a launch measures as published."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from lab.confidential.extra import sevsnpmeasure
from lab.confidential.firmware import insist_fit, read
from lab.confidential.measurement import Launch, measurement_of
from lab.errors import ConfigError, InfraError
from tests.support.snp_reports import FOLDER, own_chain, own_report, real_chain, refused_for

AMDSEV = FOLDER / "ovmf_AmdSev_suffix.bin"
GENERIC = FOLDER / "ovmf_OvmfX64_suffix.bin"
NOTHING = Path("/dev/null")
# sev-snp-measure's own vectors for QEMU: tests/test_guest.py of it, commit 8f2b337e.
PUBLISHED = {
    "no kernel": (
        Launch(firmware=AMDSEV, vcpus=1),
        (
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6"
            "013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d"
        ),
    ),
    "other features": (
        Launch(firmware=AMDSEV, vcpus=1, features=0x21),
        (
            "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af"
            "9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b"
        ),
    ),
    "a kernel": (
        Launch(firmware=AMDSEV, vcpus=1, kernel=NOTHING, initrd=NOTHING,
               cmdline="console=ttyS0 loglevel=7"),
        (
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2c"
            "e7d0d6f354454362f390ef83a92046c042e706363b4b08fa"
        ),
    ),
    "four vCPUs": (
        Launch(firmware=AMDSEV, vcpus=4, kernel=NOTHING, initrd=NOTHING),
        (
            "5061fffb019493a903613d56d54b94912a1a2f9e4502385f"
            "5c194616753720a92441310ba6c4933de877c36e23046ad5"
        ),
    ),
    "generic": (
        Launch(firmware=GENERIC, vcpus=1),
        (
            "da0296de8193586a5512078dcd719eccecbd87e2b825ad41"
            "48c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLISHED)
def test_a_launch_measures_as_published(case: str) -> None:
    launch, digest = PUBLISHED[case]
    assert measurement_of(launch).hex() == digest


def test_the_measurement_is_what_a_report_is_compared_with() -> None:
    measured = measurement_of(PUBLISHED["no kernel"][0])
    other = measurement_of(PUBLISHED["generic"][0])
    raw = own_report({0x090: measured})
    assert refused_for(raw, own_chain(), measurement=measured) == []
    assert refused_for(raw, own_chain(), measurement=other) == ["measurement"]


def test_no_initrd_is_measured_as_an_empty_one() -> None:
    one = Launch(firmware=AMDSEV, vcpus=1, kernel=NOTHING)
    assert measurement_of(one) == measurement_of(Launch(
        firmware=AMDSEV, vcpus=1, kernel=NOTHING, initrd=NOTHING))  # fmt: skip


def test_the_cpu_is_in_the_measurement() -> None:
    launches = [Launch(firmware=AMDSEV, vcpus=1, cpu=c) for c in ("EPYC-v4", "EPYC-Milan")]
    assert len({measurement_of(launch) for launch in launches}) == 2


def test_a_build_for_snp_starts_and_measures_kernels() -> None:
    found = insist_fit(AMDSEV, kernel_hashes=True)
    assert found.starts
    assert found.measures_kernels
    assert found.hash_table


def test_a_generic_build_starts_and_measures_no_kernel() -> None:
    assert insist_fit(GENERIC, kernel_hashes=False).starts
    with pytest.raises(ConfigError, match="no place for kernel-hashes") as e:
        insist_fit(GENERIC, kernel_hashes=True)
    assert "ovmf-amdsev" in str(e.value.hint)


def changed(tmp_path: Path, was: bytes, now: bytes) -> Path:
    data = AMDSEV.read_bytes()
    assert data.count(was) == 1
    path = tmp_path / "changed.fd"
    path.write_bytes(data.replace(was, now))
    return path


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


def test_a_firmware_without_metadata_starts_no_guest(tmp_path: Path) -> None:
    path = changed(tmp_path, guid("dc886566-984a-4798-a75e-5585a7bf67cc"), bytes(16))
    with pytest.raises(ConfigError, match="it lacks CPUID, SNP_SECRETS, SNP_SEC_MEM"):
        insist_fit(path, kernel_hashes=False)
    with pytest.raises(ConfigError, match="no SEV-SNP guest can start"):
        measurement_of(Launch(firmware=path, vcpus=1))


def test_a_firmware_without_a_table_starts_no_guest(tmp_path: Path) -> None:
    path = changed(tmp_path, guid("96b582de-1fb2-45f7-baea-a366c55a082d"), bytes(16))
    assert read(path).sections == frozenset()
    assert not read(path).has_reset_vector


def test_a_firmware_without_a_reset_vector_starts_no_guest(tmp_path: Path) -> None:
    path = changed(tmp_path, guid("00f771de-1a7e-4fcb-890e-68c77e2fb44e"), bytes(16))
    with pytest.raises(ConfigError, match="it lacks the reset vector"):
        insist_fit(path, kernel_hashes=False)


def test_a_firmware_without_a_hash_table_measures_no_kernel(tmp_path: Path) -> None:
    path = changed(tmp_path, guid("7255371f-3a3b-4b04-927b-1da6efa8d454"), bytes(16))
    assert read(path).starts
    assert not read(path).measures_kernels


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        (b"ASEV", b"ASEX", "its SEV metadata is damaged: Wrong SEV metadata signature"),
        (b"\x10\0\0\0", b"\x77\0\0\0", "its SEV metadata is damaged"),
    ],
)
def test_damaged_metadata_is_told(tmp_path: Path, was: bytes, now: bytes, says: str) -> None:
    data = AMDSEV.read_bytes()
    at = data.index(b"ASEV")
    path = tmp_path / "changed.fd"
    path.write_bytes(data[:at] + data[at:].replace(was, now, 1))
    with pytest.raises(ConfigError, match=says):
        read(path)


@pytest.mark.parametrize("data", [b"", bytes(4095), bytes(100)])
def test_what_is_no_firmware_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.fd"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="are no whole pages"):
        read(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read(tmp_path / "none")


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="CPU 'host' is not known beforehand"):
        measurement_of(Launch(firmware=AMDSEV, vcpus=1, cpu="host"))
    with pytest.raises(ConfigError, match="only with a kernel"):
        measurement_of(Launch(firmware=AMDSEV, vcpus=1, cmdline="quiet"))
    with pytest.raises(ConfigError, match="/nowhere: cannot be measured"):
        measurement_of(Launch(firmware=AMDSEV, vcpus=1, kernel=Path("/nowhere")))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sevsnpmeasure", None)
    monkeypatch.delitem(sys.modules, "sevsnpmeasure.ovmf", raising=False)
    with pytest.raises(InfraError, match="sev-snp-measure is missing") as e:
        sevsnpmeasure("ovmf")
    assert "caretaker-lab[snp]" in str(e.value.hint)


def test_the_real_chain_is_of_another_processor_than_ours() -> None:
    assert real_chain().root != own_chain().root

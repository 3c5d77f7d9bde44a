# SPDX-License-Identifier: Apache-2.0
"""The doctor's judgement: what was seen, what it means, and that each bad finding has a remedy."""

from __future__ import annotations

import pytest

from lab.config.model import Accel, Arch
from lab.doctor import findings
from lab.doctor.findings import PROGRAMS, Finding, KvmSeen, Level

_MSR = "QEMU ended with status -6: failed to set MSR 0x10a to 0xc000069"


def banner(version: str) -> str:
    return f"QEMU emulator version {version} (Debian 1:{version}+ds-2)"


@pytest.mark.parametrize(
    ("said", "level"),
    [
        (banner("10.0.2"), Level.FINE),
        (banner("9.2.0"), Level.FINE),
        (banner("9.1.2"), Level.BROKEN),
        (banner("7.2.13"), Level.BROKEN),
        ("QEMU", Level.LIMITS),
        (None, Level.BROKEN),
    ],
)
def test_qemu_must_be_new_enough(said: str | None, level: Level) -> None:
    assert findings.qemu(Arch.X86_64, said).level is level


def test_missing_qemu_for_one_architecture_does_not_stop_others() -> None:
    finding = findings.qemu(Arch.ARM64, None)
    assert finding.level is Level.LIMITS
    assert finding.remedy == "apt install qemu-system-arm"


@pytest.mark.parametrize(
    ("seen", "level", "cause"),
    [
        (KvmSeen(there=False), Level.LIMITS, "there is none"),
        (KvmSeen(there=True, opens="Permission denied"), Level.LIMITS, "it does not open"),
        (KvmSeen(there=True, runs=_MSR), Level.LIMITS, "it opens, but cannot run a guest: QEMU"),
        (KvmSeen(there=True, nests="0"), Level.LIMITS, "it runs guests, but gives them no SVM"),
        (
            KvmSeen(there=True, nests="1", remembered=Accel.TCG, reason="a guest says nothing"),
            Level.LIMITS,
            "it opens, but is of no use: a guest says nothing",
        ),
        (
            KvmSeen(there=True, nests="1", remembered=Accel.KVM, reason="a KVM guest ran"),
            Level.FINE,
            "a KVM guest ran",
        ),
        (KvmSeen(there=True, nests="Y"), Level.FINE, "QEMU comes up on it"),
    ],
)
def test_kvm_is_what_runs_a_guest_and_not_what_opens(
    seen: KvmSeen, level: Level, cause: str
) -> None:
    finding = findings.kvm(seen)
    assert (finding.level, finding.cause[: len(cause)]) == (level, cause)


def test_without_kvm_the_lab_still_works() -> None:
    assert "TCG" in findings.kvm(KvmSeen(there=True, runs=_MSR)).consequence


def test_a_libvirt_that_the_lab_can_start_itself_is_fine() -> None:
    uri = "qemu:///system"
    assert findings.libvirt(uri, "", "").level is Level.FINE
    assert findings.libvirt(uri, "refused", "").level is Level.FINE
    assert findings.libvirt(uri, "refused", "libvirtd is not installed").level is Level.BROKEN


def test_each_missing_program_is_a_finding_of_its_own() -> None:
    assert [f.level for f in findings.programs(())] == [Level.FINE]
    found = findings.programs([p for p in PROGRAMS if p.name in {"passt", "mksquashfs"}])
    assert [(f.subject, f.level, f.remedy) for f in found] == [
        ("passt", Level.BROKEN, "apt install passt"),
        ("mksquashfs", Level.BROKEN, "apt install squashfs-tools"),
    ]


@pytest.mark.parametrize(
    ("free", "built", "level"),
    [
        (20000, False, Level.FINE),
        (5000, False, Level.LIMITS),
        (2000, False, Level.BROKEN),
        (5000, True, Level.FINE),
        (2000, True, Level.LIMITS),
        (500, True, Level.BROKEN),
    ],
)
def test_a_build_needs_room(free: int, built: bool, level: Level) -> None:
    assert findings.disk("/c", free, built=built).level is level


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [(8000, 6000, Level.FINE), (8000, 1000, Level.LIMITS), (2500, 2000, Level.BROKEN)],
)
def test_a_host_must_fit(total: int, free: int, level: Level) -> None:
    assert findings.memory(total, free, 2048).level is level


@pytest.mark.parametrize(
    ("mask", "root", "level"),
    [
        (0o022, True, Level.FINE),
        (0o027, True, Level.LIMITS),
        (0o077, True, Level.LIMITS),
        (0o077, False, Level.FINE),
    ],
)
def test_what_root_makes_must_be_open_to_qemu(mask: int, root: bool, level: Level) -> None:
    assert findings.umask(mask, root=root).level is level


def test_debian_is_told_by_its_os_release() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n'
    assert findings.debian(findings.os_release(text)).level is Level.FINE
    other = 'PRETTY_NAME="Fedora Linux 44"\nID=fedora\nVERSION_ID=44\n'
    assert findings.debian(findings.os_release(other)).level is Level.LIMITS


def test_leftovers_are_named_with_what_to_type() -> None:
    assert findings.leftovers([]).level is Level.FINE
    finding = findings.leftovers(["machine lab-7f3a01-a"])
    assert "lab-7f3a01-a" in finding.cause
    assert finding.remedy == "lab down"


def test_what_proved_swallowed_hosts_is_said_in_its_own_words() -> None:
    assert findings.swallowed("QEMU has all 2 CPUs").cause.endswith("QEMU has all 2 CPUs")
    assert "none was up here yet" in findings.swallowed("").cause


def test_an_error_of_qemus_that_can_be_taken_out_is_no_limit() -> None:
    assert findings.errata("").level is Level.FINE
    assert findings.errata("it is static").cause.endswith("cannot be taken out: it is static")


def test_every_bad_finding_has_cause_consequence_and_remedy() -> None:
    bad: list[Finding] = [
        *(findings.qemu(arch, said) for arch in Arch for said in (None, banner("7.2.0"))),
        *findings.programs(PROGRAMS),
        findings.errata("this build does not export it"),
        findings.errata_left(),
        findings.kvm(KvmSeen(there=False)),
        findings.kvm(KvmSeen(there=True, opens="no")),
        findings.kvm(KvmSeen(there=True, runs=_MSR)),
        findings.kvm(KvmSeen(there=True, nests="N")),
        findings.libvirt("qemu:///system", "refused", "not installed"),
        findings.disk("/c", 0, built=False),
        findings.memory(1000, 1000, 2048),
        findings.memory(8000, 1000, 2048),
        findings.umask(0o077, root=True),
        findings.debian({}),
        findings.leftovers(["machine x"]),
    ]
    for finding in bad:
        assert finding.level is not Level.FINE
        assert finding.cause, finding
        assert finding.consequence, finding
        assert finding.remedy, finding

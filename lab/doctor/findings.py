# SPDX-License-Identifier: Apache-2.0
"""What a machine's state means for the lab: from what was seen to what to type; pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from lab.config.enums import Accel, Arch
from lab.config.fields import Model
from lab.data import INSTALLER

QEMU_WANTED = (9, 2)
_DEBIANS = frozenset({"12", "13"})
_ROOM_MIB = 8000  # sources, two kernels, a root file system, and a build in progress
_ROOM_LEAST_MIB = 2500
_ROOM_CACHED_MIB = 1000
_FOR_L0_MIB = 1024
_CLOSED = 0o005  # of a umask: others may neither read nor enter


class Level(StrEnum):
    """How bad it is."""

    FINE = "fine"
    LIMITS = "limits"  # the lab works, but less well, or not for all that it could do
    BROKEN = "broken"


class Finding(Model):
    """One thing that was looked at: what is so, what follows, and what to type about it."""

    subject: str
    level: Level
    cause: str
    consequence: str = ""
    remedy: str = ""


class KvmSeen(Model):
    """What was seen of KVM; each later thing was tried only if those before it worked.

    Attributes:
        there: Whether there is a /dev/kvm.
        opens: Why it does not open; empty if it does.
        runs: Why QEMU cannot run a guest on it; empty if it does.
        nests: What nesting parameter the modules show; empty if none.
        remembered: What the probe of 'lab up' found since L0 booted, if it ran; and why.
    """

    there: bool
    opens: str = ""
    runs: str = ""
    nests: str = ""
    remembered: Accel | None = None
    reason: str = ""


class Program(Model):
    """A program that the lab runs: who needs it, and what package has it.

    `first` is whether no verdict comes without it; else only kernels are not built.
    """

    name: str
    package: str
    use: str
    first: bool = True


PROGRAMS = (
    Program(name="passt", package="passt", use="SSH reaches L1 through it"),
    Program(name="mmdebstrap", package="mmdebstrap", use="makes the root file system of L1"),
    Program(name="mksquashfs", package="squashfs-tools", use="packs the root file system of L1"),
    *(
        Program(name=name, package=package, use="builds kernels and L2 payloads")
        for name, package in (("gcc", "gcc"), ("ld", "binutils"), ("make", "make"))
    ),
    *(
        Program(name=name, package=name, use="builds kernels; 'debian' needs no build", first=False)
        for name in ("flex", "bison", "bc", "lz4", "cpio")
    ),
)


def fine(subject: str, cause: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(subject=subject, level=Level.FINE, cause=cause)


def qemu(arch: Arch, banner: str | None) -> Finding:
    """Judge what `qemu-system-... --version` said; None if there is no such program."""
    subject = f"QEMU for {arch.value}"
    if banner is None:
        return Finding(
            subject=subject,
            level=Level.BROKEN if arch is Arch.X86_64 else Level.LIMITS,
            cause=f"{arch.traits.emulator} is not installed",
            consequence=f"no {arch.value} host can run",
            remedy=f"apt install {arch.traits.qemu_package}",
        )
    found = re.search(r"version (\d+)\.(\d+)", banner)
    if found is None:
        return Finding(
            subject=subject,
            level=Level.LIMITS,
            cause=f"it does not say its version: {banner!r}",
            consequence="it may be older than 9.2, which gets nested paging wrong in real mode",
        )
    if (int(found[1]), int(found[2])) >= QEMU_WANTED:
        return fine(subject, f"version {found[1]}.{found[2]}")
    return Finding(
        subject=subject,
        level=Level.BROKEN,
        cause=f"version {found[1]}.{found[2]} is older than 9.2",
        consequence="its nested paging is wrong in real mode: L2 guests do not boot",
        remedy=f"{INSTALLER}    # or: apt install -t bookworm-backports {arch.traits.qemu_package}",
    )


def libvirt(uri: str, refusal: str, startable: str) -> Finding:
    """Judge whether a libvirt answers at `uri`, and if not, whether the lab can start it."""
    if not refusal:
        return fine("libvirt", f"{uri} answers")
    if not startable:
        return fine("libvirt", f"nothing answers at {uri} yet; 'lab up' starts its daemons")
    return Finding(
        subject="libvirt",
        level=Level.BROKEN,
        cause=f"nothing answers at {uri}: {startable}",
        consequence="no host can run",
        remedy=f"systemctl start libvirtd    # or: {INSTALLER}, where it is not installed",
    )


def errata(why_not: str) -> Finding:
    """Judge whether QEMU's errors that lose guests can be taken out; empty: they can."""
    if not why_not:
        return fine("TCG", "QEMU's errors that lose guests are taken out of each machine it runs")
    return Finding(
        subject="TCG",
        level=Level.LIMITS,
        cause=f"QEMU's errors that lose guests cannot be taken out: {why_not}",
        consequence="x86-64 hosts, and guests in them, are lost at random",
        remedy="use a QEMU as Debian builds it, with modules (see lab/virt/errata.py), or KVM",
    )


def errata_left() -> Finding:
    """Return the finding that lab.toml has the lab leave QEMU's errors in."""
    return Finding(
        subject="TCG",
        level=Level.LIMITS,
        cause='QEMU\'s errors that lose guests are left in: lab.toml has errata = "leave"',
        consequence="x86-64 hosts under TCG, and guests in them, are lost at random",
        remedy='errata = "apply"    # in lab.toml, [libvirt]; or a QEMU as patched in docs/qemu',
    )


def kvm(seen: KvmSeen) -> Finding:
    """Judge KVM: a device that opens is no proof that it runs a guest."""
    consequence = "hosts run on TCG: all verdicts can be had, but slower, and times are not real"
    subject = "/dev/kvm"
    if not seen.there:
        cause = "there is none"
        remedy = "modprobe kvm_amd    # or kvm_intel; needs SVM or VT-x, switched on in firmware"
    elif seen.opens:
        cause = f"it does not open: {seen.opens}"
        remedy = 'usermod --append --groups kvm "$USER"    # then log in again'
    elif seen.runs:
        cause = f"it opens, but cannot run a guest: {seen.runs}"
        remedy = "lab up    # it takes TCG by itself; for KVM, try it on another machine"
    elif seen.remembered is Accel.TCG:
        cause = f"it opens, but is of no use: {seen.reason}"
        remedy = "modprobe -r kvm_amd && modprobe kvm_amd nested=1    # or kvm_intel"
    elif seen.nests in {"0", "N"}:
        cause = "it runs guests, but gives them no SVM or VMX: nesting is off"
        remedy = "modprobe -r kvm_amd && modprobe kvm_amd nested=1    # or kvm_intel"
    elif seen.remembered is Accel.KVM:
        return fine(subject, seen.reason)
    else:
        return fine(subject, "QEMU comes up on it; 'lab up' proves it by running a whole guest")
    return Finding(
        subject=subject, level=Level.LIMITS, cause=cause, consequence=consequence, remedy=remedy
    )


def swallowed(proof: str) -> Finding:
    """Return what was proven of swallowed hosts on this machine, in the proof's words."""
    subject = "swallowed hosts"
    if proof:
        return fine(subject, f"proven by the last one: {proof}")
    return fine(
        subject,
        "none was up here yet; each must be proven to be swallowed at its boot, or it is refused",
    )


def programs(missing: Iterable[Program]) -> list[Finding]:
    """Judge which of `PROGRAMS` are not installed."""
    missing = list(missing)
    if not missing:
        return [fine("programs", f"{', '.join(p.name for p in PROGRAMS)} are installed")]
    return [
        Finding(
            subject=program.name,
            level=Level.BROKEN if program.first else Level.LIMITS,
            cause=f"the program '{program.name}' is not installed",
            consequence=f"it {program.use}"
            if program.use.split()[0].endswith("s")
            else program.use,
            remedy=f"apt install {program.package}",
        )
        for program in missing
    ]


def disk(cache: str, free_mib: int, *, built: bool) -> Finding:
    """Judge the free space beneath the cache; `built` if a kernel and a root are there already."""
    least, wanted = (_ROOM_CACHED_MIB, _ROOM_LEAST_MIB) if built else (_ROOM_LEAST_MIB, _ROOM_MIB)
    cause = f"{free_mib} MiB free beneath {cache}"
    if free_mib >= wanted:
        return fine("disk", cause)
    level = Level.BROKEN if free_mib < least else Level.LIMITS
    return Finding(
        subject="disk",
        level=level,
        cause=cause,
        consequence=f"a build from nothing takes up to {_ROOM_MIB} MiB, later ones {wanted} MiB",
        remedy="lab clean    # or set 'cache' in lab.toml to a folder on another disk",
    )


def memory(total_mib: int, free_mib: int, host_mib: int) -> Finding:
    """Judge whether an L1 of `host_mib` fits into the machine, ever and now."""
    cause = f"{free_mib} of {total_mib} MiB are available, and a host takes {host_mib} MiB"
    if total_mib - _FOR_L0_MIB < host_mib:
        return Finding(
            subject="memory",
            level=Level.BROKEN,
            cause=cause,
            consequence="not one host fits",
            remedy="set host.memory_mib in lab.toml lower, 1024 is the least that works",
        )
    if free_mib < host_mib:
        return Finding(
            subject="memory",
            level=Level.LIMITS,
            cause=cause,
            consequence="a host waits until others have released memory",
            remedy="lab down    # or end other programs",
        )
    return fine("memory", cause)


def umask(mask: int, *, root: bool) -> Finding:
    """Judge the umask: root's files must be open to the user that QEMU runs as."""
    cause = f"it is {mask:04o}"
    if not root or not mask & _CLOSED:
        return fine("umask", cause)
    return Finding(
        subject="umask",
        level=Level.LIMITS,
        cause=cause,
        consequence="QEMU runs as another user, and could not enter folders made from here",
        remedy="umask 022",
    )


def debian(release: Mapping[str, str]) -> Finding:
    """Judge what /etc/os-release says."""
    name = release.get("PRETTY_NAME") or release.get("ID") or "unknown"
    if release.get("ID") == "debian" and release.get("VERSION_ID") in _DEBIANS:
        return fine("system", name)
    return Finding(
        subject="system",
        level=Level.LIMITS,
        cause=f"this is {name}, not Debian 12 or 13",
        consequence=f"'{INSTALLER}' can install nothing; kernels from Debian need apt",
        remedy="see what else is missing below; use a tarball or a tree for kernels",
    )


def leftovers(names: Sequence[str]) -> Finding:
    """Judge what killed labs left behind."""
    if not names:
        return fine("leftovers", "nothing was left behind")
    return Finding(
        subject="leftovers",
        level=Level.LIMITS,
        cause=f"left behind by a lab that was killed: {', '.join(names)}",
        consequence="they take memory and disk space",
        remedy="lab down",
    )


def wrong(subject: str, message: str, hint: str | None, consequence: str) -> Finding:
    """Return an error as a finding."""
    return Finding(
        subject=subject,
        level=Level.BROKEN,
        cause=message,
        consequence=consequence,
        remedy=hint or "",
    )


def os_release(text: str) -> dict[str, str]:
    """Read /etc/os-release."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: " ".join(shlex.split(value)) for key, _, value in pairs}

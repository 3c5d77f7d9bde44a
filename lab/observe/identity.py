# SPDX-License-Identifier: Apache-2.0
"""Did the disruption happen? Host and process, before and after, as values; pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lab.errors import InfraError

NONCE = "lab.nonce"
_NOTE = struct.Struct("<III")
_BUILD_ID = 3
_STAT_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Happened:
    """The disruption was ordered at `at` and complete by `done`, on L0's monotonic clock."""

    what: str
    at: float
    done: float


@dataclass(frozen=True, slots=True)
class DidNot:
    """The disruption did not happen, or nobody can say that it did."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A control: nothing was done, on purpose."""


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Which boot of which kernel an L1 is running."""

    boot_id: str
    cmdline: str
    build_id: str
    release: str
    uptime_s: float

    @property
    def nonces(self) -> tuple[str, ...]:
        """All nonces on the command line, in order."""
        words = (word.partition("=") for word in self.cmdline.split())
        return tuple(value for name, _, value in words if name == NONCE)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Which process a pid means: its start time tells it from a later one with the same pid."""

    pid: int
    start_time: int
    state: str
    threads: int

    @property
    def remains(self) -> bool:
        """A zombie: nothing is left of it but its exit status."""
        return self.state in {"Z", "X"} and self.threads <= 1


Witness = Happened | DidNot | Undisturbed


def build_id_of(notes: bytes) -> str:
    """Find the GNU build id in the text of `/sys/kernel/notes`."""
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        name = notes[at + _NOTE.size : at + _NOTE.size + name_size]
        at += _NOTE.size + (name_size + 3) // 4 * 4
        if name == b"GNU\0" and kind == _BUILD_ID and at + size <= len(notes):
            return notes[at : at + size].hex()
        at += (size + 3) // 4 * 4
    raise InfraError("the kernel's notes hold no build id", hint="link it with --build-id=sha1")


def process_of(stat: str) -> ProcessIdentity:
    """Read `/proc/PID/stat`; the name in it may hold spaces and parentheses."""
    pid, _, rest = stat.partition(" (")
    _, closed, tail = rest.rpartition(") ")
    fields = tail.split()
    if not closed or not pid.strip().isdigit() or len(fields) < _STAT_FIELDS:
        raise InfraError(f"this is not the text of /proc/PID/stat: {stat[:80]!r}")
    return ProcessIdentity(int(pid), int(fields[19]), fields[0], int(fields[17]))


def process_gone(  # noqa: PLR0911 - one return for each way of being wrong
    before: ProcessIdentity | None,
    after: ProcessIdentity | None,
    *,
    what: str,
    at: float,
    done: float,
) -> Happened | DidNot:
    """Say whether the process is gone; None for `after` is a pid that nobody has."""
    if before is None:
        return DidNot(f"nobody noted which process was to go: {what}")
    if before.remains:
        return DidNot(f"process {before.pid} was gone already before: {what}")
    if after is None:
        return Happened(f"{what}: process {before.pid} is gone", at, done)
    if after.pid != before.pid:
        return DidNot(f"process {after.pid} was looked at, and not process {before.pid}")
    if after.start_time != before.start_time:
        return Happened(f"{what}: process {before.pid} is gone, its pid taken anew", at, done)
    if after.remains:
        return Happened(f"{what}: process {before.pid} is gone but for its status", at, done)
    return DidNot(f"process {before.pid} is still there: {what}")


def kexec_happened(  # noqa: PLR0911 - one return for each way of being wrong
    before: HostIdentity | None,
    after: HostIdentity | None,
    *,
    nonce: str,
    wanted_build_id: str,
    at: float,
    done: float,
) -> Happened | DidNot:
    """Say whether the host runs the very kernel it was to jump to, in a new boot."""
    if before is None or after is None:
        return DidNot(f"the host did not say who it was {'before' if before is None else 'after'}")
    if not nonce or not wanted_build_id:
        return DidNot(f"there is no {'build id' if nonce else 'nonce'} to know the new kernel by")
    if not before.boot_id or not after.boot_id:
        return DidNot("the host gave no boot id")
    if after.boot_id == before.boot_id:
        return DidNot(f"the host's boot id is still {before.boot_id}")
    if nonce in before.nonces:
        return DidNot(f"the nonce {nonce!r} was on the command line before")
    if after.nonces[-1:] != (nonce,):
        came = f"is {after.nonces[-1]!r}" if after.nonces else "is not there"
        return DidNot(f"the nonce on the new command line {came}, and {nonce!r} was given")
    if after.build_id.lower() != wanted_build_id.lower():
        return DidNot(f"kernel build {after.build_id} is running, and not {wanted_build_id}")
    return Happened(f"kexec into {after.release}", at, done)

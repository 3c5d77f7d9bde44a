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
    """The disruption happened.

    Attributes:
        what: The deed, and what was seen of it.
        at: When it was ordered, on L0's monotonic clock in seconds.
        done: When it was complete at the latest.
    """

    what: str
    at: float
    done: float


@dataclass(frozen=True, slots=True)
class DidNot:
    """The disruption did not happen, or it cannot be told whether it did."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A control: nothing was done, on purpose."""


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Which boot of which kernel an L1 runs.

    Attributes:
        boot_id: /proc/sys/kernel/random/boot_id.
        cmdline: /proc/cmdline.
        build_id: The GNU build id of its kernel, in hex.
        release: As `uname -r`.
        uptime_s: Seconds since this kernel began.
    """

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
    """Which process a pid means: its start time tells it from a later one with the same pid.

    Attributes:
        pid: Its number in L1.
        start_time: In clock ticks after L1's boot.
        state: One letter, as R, S, Z.
        threads: How many it has.
    """

    pid: int
    start_time: int
    state: str
    threads: int

    @property
    def remains(self) -> bool:
        """Whether it is dead but for its exit status: a zombie without living threads."""
        return self.state in {"Z", "X"} and self.threads <= 1


Witness = Happened | DidNot | Undisturbed


def build_id_of(notes: bytes) -> str:
    """Find the GNU build id among a kernel's ELF notes.

    Args:
        notes: The bytes of /sys/kernel/notes.

    Returns:
        The id in hex.

    Raises:
        InfraError: There is none; the kernel was linked without --build-id.

    Source: elf(5), "Notes (Nhdr)".
    """
    at = 0
    while len(head := notes[at : at + _NOTE.size]) == _NOTE.size:
        name_size, size, kind = _NOTE.unpack(head)
        name = notes[at + _NOTE.size : at + _NOTE.size + name_size]
        at += _NOTE.size + (name_size + 3) // 4 * 4
        if name == b"GNU\0" and kind == _BUILD_ID and at + size <= len(notes):
            return notes[at : at + size].hex()
        at += (size + 3) // 4 * 4
    raise InfraError("the kernel's notes have no build id", hint="link it with --build-id=sha1")


def process_of(stat: str) -> ProcessIdentity:
    """Parse /proc/PID/stat; the program's name in it may have spaces and parentheses.

    Args:
        stat: The file's text.

    Returns:
        The process.

    Raises:
        InfraError: The text is another.

    Source: proc_pid_stat(5): fields 3 (state), 20 (num_threads) and 22 (starttime).
    """
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
    """Witness whether a process is gone.

    Args:
        before: The process before the deed; None if it was not looked at.
        after: What has its pid now; None if nothing has.
        what: The deed, as a phrase for people.
        at: When it was ordered, on L0's monotonic clock in seconds.
        done: When the process was looked at again.

    Returns:
        Happened if that very process is gone, or is a zombie; else why it is not, or is not known.
    """
    if before is None:
        return DidNot(f"which process had to end was not noted: {what}")
    if before.remains:
        return DidNot(f"process {before.pid} had ended already before: {what}")
    if after is None:
        return Happened(f"{what}: process {before.pid} is gone", at, done)
    if after.pid != before.pid:
        return DidNot(f"process {after.pid} was looked at instead of process {before.pid}")
    if after.start_time != before.start_time:
        return Happened(f"{what}: process {before.pid} is gone, and its pid in use again", at, done)
    if after.remains:
        return Happened(f"{what}: process {before.pid} is a zombie", at, done)
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
    """Witness whether the host is in a new boot, of the kernel that was loaded.

    Args:
        before: The host before the deed; None if it was not asked.
        after: The host now; None if it did not answer.
        nonce: The value of `lab.nonce=` that the new kernel was loaded with.
        wanted_build_id: The build id of that kernel, in hex.
        at: When the kexec was ordered, on L0's monotonic clock in seconds.
        done: When the new kernel answered.

    Returns:
        Happened if boot id, last nonce and build id are as they have to be; else what is not.
    """
    if before is None or after is None:
        return DidNot(f"the host's identity was not read {'before' if before is None else 'after'}")
    if not nonce or not wanted_build_id:
        return DidNot(f"there is no {'build id' if nonce else 'nonce'} to know the new kernel by")
    if not before.boot_id or not after.boot_id:
        return DidNot("the host has no boot id")
    if after.boot_id == before.boot_id:
        return DidNot(f"the host's boot id is still {before.boot_id}")
    if nonce in before.nonces:
        return DidNot(f"the nonce {nonce!r} was on the command line before")
    if after.nonces[-1:] != (nonce,):
        came = f"is {after.nonces[-1]!r}" if after.nonces else "is not there"
        return DidNot(
            f"the nonce on the new command line {came}, but the kernel was loaded with {nonce!r}"
        )
    if after.build_id.lower() != wanted_build_id.lower():
        return DidNot(f"kernel build {after.build_id} runs instead of {wanted_build_id}")
    return Happened(f"kexec into {after.release}", at, done)

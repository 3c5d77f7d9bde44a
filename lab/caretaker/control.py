# SPDX-License-Identifier: Apache-2.0
"""The caretaker of a host with the reference kernel, as it looks from inside that host.

Source: guest-images/kernels/reference/tree/Documentation/virt/caretaker.rst.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.ssh.session import Session

FILES = "/sys/kernel/caretaker"
DEEDS = "/sys/kernel/debug/caretaker/do"
MEMORY = "/sys/kernel/debug/caretaker/memory"
PHYSICAL = "/dev/mem"
MAGIC = b"CTAK"
_BELOW = re.compile(r"\d+ swallowed abi \d+ index \d+$")

# A child touches private memory, which may kill it; the parent reports how it ended.
# Python's own mmap refuses files without a size.
_TOUCH = """
import ctypes, json, os, sys
path, start, size, offset = sys.argv[1], *map(int, sys.argv[2:5])
store = sys.argv[5] == "store"
us, them = os.pipe()
child = os.fork()
if not child:
    map = ctypes.CDLL(None, use_errno=True).mmap
    map.restype, map.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 6
    at = map(0, size, 3, 1, os.open(path, os.O_RDWR), start)
    if at == ctypes.c_void_p(-1).value: os._exit(2)
    if store: ctypes.memmove(at + offset, b"STORED!!", 8)
    os.write(them, ctypes.string_at(at + offset, 8))
    os._exit(0)
os.close(them)
status = os.waitpid(child, 0)[1]
print(json.dumps({"status": os.waitstatus_to_exitcode(status), "read": os.read(us, 8).hex()}))
"""


@dataclass(frozen=True, slots=True)
class Region:
    """The caretaker's private memory.

    Attributes:
        start: Its physical address.
        size: Bytes.
    """

    start: int
    size: int

    def holds(self, address: int) -> bool:
        """Return whether a byte is in private memory.

        Args:
            address: Its physical address.

        Returns:
            True if it is.
        """
        return self.start <= address < self.start + self.size

    def touches(self, start: int, size: int) -> bool:
        """Return whether a range has a byte in common with private memory.

        Args:
            start: Its physical address.
            size: Bytes.

        Returns:
            True if it has.
        """
        return start < self.start + self.size and self.start < start + size


@dataclass(frozen=True, slots=True)
class Touch:
    """What came of a load from private memory (or a store and a load) by a process.

    Attributes:
        read: The 8 bytes that it read; empty if it read none.
        status: Its exit status; minus the signal's number if one killed it.
    """

    read: bytes
    status: int

    @property
    def refused(self) -> bool:
        """Whether SIGSEGV killed it before it read anything."""
        return self.status == -signal.SIGSEGV and not self.read

    def __str__(self) -> str:
        how = f"was killed by {signal.Signals(-self.status).name}" if self.status < 0 else "lived"
        return f"a process that touched it {how} and read {self.read!r}"


class Caretaker:
    """The files of a host's caretaker: what they report, and what can be ordered by them.

    Args:
        session: A session with the host, as root.

    Source: guest-images/kernels/reference/tree/Documentation/virt/caretaker.rst, "Use".
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def state(self) -> str:
        """The kernel's word: "swallowed", "released" or "unavailable: <why>".

        Empty if the kernel has no caretaker.
        """
        return self._session.run(["cat", f"{FILES}/state"]).stdout.strip()

    def native_cpus(self) -> tuple[list[str], int]:
        """Have each CPU ask by hypercall whether a caretaker is below it.

        The caretaker answers, and not Linux; but the answers come through Linux.

        Returns:
            The lines of the CPUs that are not swallowed, as "1 native"; and how many CPUs were
            asked: 0 if the kernel has no caretaker.
        """
        answers = self._session.run(["cat", f"{FILES}/cpus"]).stdout.splitlines()
        return [line for line in answers if not _BELOW.match(line)], len(answers)

    def region(self) -> Region:
        """Read where the private memory is.

        Returns:
            The region, by the host's word.

        Raises:
            InfraError: The kernel has no caretaker.
        """
        start, size = self._session.check(["cat", f"{FILES}/region"]).split()
        return Region(int(start, 0), int(size, 0))

    def counters(self) -> dict[str, int]:
        """Read the caretaker's counters.

        Returns:
            Each counter by its name, summed over all CPUs.

        Raises:
            InfraError: The kernel has no caretaker.
        """
        lines = self._session.check(["cat", f"{FILES}/counters"]).splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}

    def log(self) -> str:
        """Read the end of the caretaker's log.

        Returns:
            Its lines.

        Raises:
            InfraError: The kernel has no caretaker.
        """
        return self._session.get(f"{FILES}/log").decode(errors="replace")

    def digests(self) -> list[str]:
        """Read the digests of the caretaker's text.

        Returns:
            Two FNV-1a sums in hex: of the text as built, and as it is in memory now.

        Raises:
            InfraError: The kernel has no caretaker.
        """
        return [
            line.split()[1] for line in self._session.check(["cat", f"{FILES}/digest"]).splitlines()
        ]

    def swallow(self, by: Deadline | None = None) -> None:
        """Move all CPUs of the host into guest mode.

        Args:
            by: When to give up; a minute from now without it.

        Raises:
            InfraError: The kernel refused; the message has its errno.
        """
        self._write("swallow", by)

    def release(self, by: Deadline | None = None) -> None:
        """Move all CPUs of the host back to root mode.

        Args:
            by: When to give up; a minute from now without it.

        Raises:
            InfraError: The kernel refused, as with EBUSY while a vCPU is resident.
        """
        self._write("release", by)

    def replace(self, by: Deadline | None = None) -> None:
        """Replace the caretaker that runs by that of the kernel that runs now.

        Args:
            by: When to give up; a minute from now without it.

        Raises:
            InfraError: The kernel refused; the message has its errno.
        """
        self._write("replace", by)

    def _write(self, name: str, by: Deadline | None) -> None:
        # not by the shell's own echo, which reports each errno as an I/O error
        script = f"printf 1 | tee {FILES}/{name} >/dev/null"
        said = self._session.run(["sh", "-c", script], by=by)
        if said.status:
            raise InfraError(f"'{name}' on {self._session.peer} failed: {said.stderr.strip()}")

    def do(self, verb: str, *numbers: int, cpu: int = 0) -> list[str]:
        """Have the host do what a bad host would, by debugfs, on one CPU.

        Args:
            verb: A word of /sys/kernel/debug/caretaker/do: "read", "wrmsr", "hypercall", "icr"...
            numbers: Its arguments: a physical address, an MSR and a value...
            cpu: The CPU that does it.

        Returns:
            The words that the kernel writes back: first 0 or a negative errno, then values in hex.

        Raises:
            InfraError: There is no such verb, or the kernel lacks CONFIG_CARETAKER_TEST.
        """
        words = " ".join([verb, *map(hex, numbers)])
        script = f"echo '{words}' >{DEEDS} && cat {DEEDS}"
        return self._session.check(["taskset", "-c", str(cpu), "sh", "-c", script]).split()

    def touch(self, offset: int = 0, *, store: bool = False, physical: bool = False) -> Touch:
        """Have a process of root's load 8 bytes from private memory, or store them and load.

        It maps the file `memory` in debugfs, which only CONFIG_CARETAKER_TEST makes; or /dev/mem.

        Args:
            offset: Where in private memory, in bytes.
            store: Store before the load.
            physical: By /dev/mem.

        Returns:
            What it read, and how it ended.

        Raises:
            InfraError: It could not even try.
        """
        how = "store" if store else "load"
        region = self.region()
        at = (PHYSICAL, region.start) if physical else (MEMORY, 0)
        words = ["python3", "-I", "-c", _TOUCH, *map(str, (*at, region.size, offset)), how]
        said = json.loads(self._session.check(words))
        if said["status"] > 0:
            raise InfraError(
                f"no file of {self._session.peer} lets a process try the caretaker's memory",
                hint="its kernel needs CONFIG_CARETAKER_TEST, which is on by default",
            )
        return Touch(bytes.fromhex(said["read"]), said["status"])

# SPDX-License-Identifier: Apache-2.0
"""The caretaker of a host with the reference kernel, as it looks from inside that host.

What it means: guest-images/kernels/reference/tree/Documentation/virt/caretaker.rst.
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

# A child touches private memory, for it may die of it; the parent tells how it ended.
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
    """Private memory, physical."""

    start: int
    size: int

    def holds(self, address: int) -> bool:
        """Whether this address is in it."""
        return self.start <= address < self.start + self.size

    def touches(self, start: int, size: int) -> bool:
        """Whether any of that is in it."""
        return start < self.start + self.size and self.start < start + size


@dataclass(frozen=True, slots=True)
class Touch:
    """What came of a load of private memory (or a store and a load) by a process."""

    read: bytes
    status: int

    @property
    def refused(self) -> bool:
        """Whether it died of it, and read nothing."""
        return self.status == -signal.SIGSEGV and not self.read

    def __str__(self) -> str:
        how = f"died of {signal.Signals(-self.status).name}" if self.status < 0 else "lived"
        return f"a process that touched it {how} and read {self.read!r}"


class Caretaker:
    """What a host says of its caretaker, and has it do."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def state(self) -> str:
        """What its kernel believes; empty if it knows of none."""
        return self._session.run(["cat", f"{FILES}/state"]).stdout.strip()

    def native_cpus(self) -> tuple[list[str], int]:
        """Have each CPU ask below itself; give what those said that nobody answered, of how many.

        The caretaker answers, not Linux: but it reaches us through Linux.
        """
        answers = self._session.run(["cat", f"{FILES}/cpus"]).stdout.splitlines()
        return [line for line in answers if not _BELOW.match(line)], len(answers)

    def region(self) -> Region:
        """Say where its private memory is."""
        start, size = self._session.check(["cat", f"{FILES}/region"]).split()
        return Region(int(start, 0), int(size, 0))

    def counters(self) -> dict[str, int]:
        """Give its counters, over all CPUs."""
        lines = self._session.check(["cat", f"{FILES}/counters"]).splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}

    def log(self) -> str:
        """Give the end of its log."""
        return self._session.get(f"{FILES}/log").decode(errors="replace")

    def digests(self) -> list[str]:
        """Give the digests of its text: as built, and as it is."""
        return [
            line.split()[1] for line in self._session.check(["cat", f"{FILES}/digest"]).splitlines()
        ]

    def swallow(self, by: Deadline | None = None) -> None:
        """Move the host into guest mode.

        Raises:
            InfraError: it refuses.
        """
        self._write("swallow", by)

    def release(self, by: Deadline | None = None) -> None:
        """Move it back.

        Raises:
            InfraError: it refuses.
        """
        self._write("release", by)

    def replace(self, by: Deadline | None = None) -> None:
        """Put the caretaker of the kernel that runs now in place of the one that is there.

        Raises:
            InfraError: it refuses.
        """
        self._write("replace", by)

    def _write(self, name: str, by: Deadline | None) -> None:
        # not by the shell's own echo, which calls each refusal an I/O error
        script = f"printf 1 | tee {FILES}/{name} >/dev/null"
        said = self._session.run(["sh", "-c", script], by=by)
        if said.status:
            raise InfraError(f"'{name}' on {self._session.peer} failed: {said.stderr.strip()}")

    def do(self, verb: str, *numbers: int, cpu: int = 0) -> list[str]:
        """Have the host do what a bad one would, on one CPU; give what came of it."""
        words = " ".join([verb, *map(hex, numbers)])
        script = f"echo '{words}' >{DEEDS} && cat {DEEDS}"
        return self._session.check(["taskset", "-c", str(cpu), "sh", "-c", script]).split()

    def touch(self, offset: int = 0, *, store: bool = False, physical: bool = False) -> Touch:
        """Have a process of root's load from private memory, or store to it and load.

        It maps a file that only tests have, or /dev/mem.

        Raises:
            InfraError: it could not even try.
        """
        how = "store" if store else "load"
        region = self.region()
        at = (PHYSICAL, region.start) if physical else (MEMORY, 0)
        words = ["python3", "-I", "-c", _TOUCH, *map(str, (*at, region.size, offset)), how]
        said = json.loads(self._session.check(words))
        if said["status"] > 0:
            raise InfraError(
                f"nothing on {self._session.peer} can try to touch the caretaker's memory",
                hint="its kernel needs CONFIG_CARETAKER_TEST, which is on by default",
            )
        return Touch(bytes.fromhex(said["read"]), said["status"])

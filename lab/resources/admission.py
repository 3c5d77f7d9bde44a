# SPDX-License-Identifier: Apache-2.0
"""Admission to this machine's memory and cores; and the machine alone, to measure time."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.deadline import Deadline, until
from lab.errors import ConfigError, InfraError
from lab.resources.ledger import Entry, Ledger, flocked, owned
from lab.resources.owner import Owner

_FOR_L0_MIB = 1024  # what L0 itself keeps: QEMU's own memory, page cache, the lab


@dataclass(frozen=True, slots=True)
class Machine:
    """What can be shared: memory and cores, of the machine or of a budget within it."""

    memory_mib: int
    cores: int

    @classmethod
    def here(cls, memory_mib: int | None = None, cores: int | None = None) -> Machine:
        """Return this machine's memory and cores, or a budget as far as the machine has it.

        Args:
            memory_mib: The budget's memory in MiB; all but 1 GiB for L0 if None.
            cores: The budget's cores; all that this process may use if None.

        Returns:
            What can be shared.
        """
        has_mib = _meminfo_mib("MemTotal") - _FOR_L0_MIB
        has_cores = len(os.sched_getaffinity(0))
        return cls(min(memory_mib or has_mib, has_mib), min(cores or has_cores, has_cores))


class Admission:
    """The door of this machine: requests for memory and cores wait for both, in order.

    Args:
        state: The state folder.
        machine: What can be shared; all of this machine if None.
    """

    def __init__(self, state: Path, machine: Machine | None = None) -> None:
        self._machine = machine or Machine.here()
        self._ledger = Ledger(state / "admission.json")
        self._state = state

    @contextlib.contextmanager
    def admit(self, memory_mib: int, cores: int, by: Deadline, *, what: str) -> Iterator[None]:
        """Reserve memory and cores for the block; they are free again when this process dies, too.

        Args:
            memory_mib: MiB of memory.
            cores: How many cores.
            by: Until when to wait.
            what: What they are for, for messages.

        Raises:
            ConfigError: The machine has less than that.
            DeadlineError: Other lab processes had it until `by`.
        """
        self.must_fit(memory_mib, cores, what)
        me = owned(
            Owner.me(),
            ticket=secrets.token_hex(8),
            memory_mib=memory_mib,
            cores=cores,
            what=what,
            admitted=False,
        )
        with self._ledger.opened() as entries:
            entries.append(me)
        try:
            until(
                f"{memory_mib} MiB and {cores} cores for {what}",
                lambda: self._try(me["ticket"]),
                by,
                every=0.25,
            )
            yield
        finally:
            with self._ledger.opened() as entries:
                entries[:] = [e for e in entries if e["ticket"] != me["ticket"]]

    def cores_for(self, vcpus: int, *, overcommit: bool) -> int:
        """Return how many cores a machine asks for.

        Args:
            vcpus: Its vCPUs.
            overcommit: Whether it may share cores if the machine has fewer.

        Returns:
            As many as its vCPUs, or all that there are.
        """
        return min(vcpus, self._machine.cores) if overcommit else vcpus

    def holders(self) -> list[str]:
        """List what is admitted, for a message or `lab status`.

        Returns:
            A line for each: what, MiB and cores.
        """
        with self._ledger.opened() as entries:
            return [
                f"{e['what']} ({e['memory_mib']} MiB, {e['cores']} cores)"
                for e in entries
                if e["admitted"]
            ]

    def others_wait(self) -> bool:
        """Return whether a request waits, so that an idle machine should be given up.

        Returns:
            Whether there is one.
        """
        with self._ledger.opened() as entries:
            return any(not e["admitted"] for e in entries)

    def must_fit(self, memory_mib: int, cores: int, what: str) -> None:
        """Check that the machine has so much at all, free or not.

        Args:
            memory_mib: MiB of memory.
            cores: How many cores.
            what: What they are for, for the message.

        Raises:
            ConfigError: It has less.
        """
        for asked, has, unit, key, also in (
            (memory_mib, self._machine.memory_mib, "MiB", "memory_mib", ""),
            (cores, self._machine.cores, "cores", "cores", " or say overcommit = true there"),
        ):
            if asked > has:
                raise ConfigError(
                    f"{what} asks for {asked} {unit}, but the lab has {has} {unit} here",
                    hint=f"ask for less in the topology{also}, or raise budget.{key} in lab.toml",
                )

    def _try(self, ticket: str) -> bool | None:
        with self._ledger.opened() as entries:
            before = [e for e in entries if e["admitted"]]
            mine = next((e for e in entries if not e["admitted"]), None)
            if mine is None or mine["ticket"] != ticket:  # another request is first in the queue
                return None
            if not self._fits(mine, before):
                return None
            mine["admitted"] = True
            return True

    def _fits(self, mine: Entry, others: list[Entry]) -> bool:
        memory = sum(int(e["memory_mib"]) for e in (mine, *others))
        cores = sum(int(e["cores"]) for e in (mine, *others))
        free = _meminfo_mib("MemAvailable")  # other programs' memory counts, too
        return (
            memory <= self._machine.memory_mib
            and cores <= self._machine.cores
            and int(mine["memory_mib"]) <= free
        )


@contextlib.contextmanager
def together(state: Path, by: Deadline, *, what: str = "an ordinary cell") -> Iterator[None]:
    """Share this machine with other ordinary cells, but not with one that measures time.

    Args:
        state: The state folder.
        by: Until when to wait.
        what: What it is for, for the message.

    Raises:
        DeadlineError: A timing cell ran until `by`.
    """
    with contextlib.ExitStack() as stack:
        with flocked(state / "gate.flock", f"{what}: a timing cell to be done", by):
            shared = flocked(
                state / "machine.flock", f"{what}: a timing cell to be done", by, shared=True
            )
            stack.enter_context(shared)
        yield


@contextlib.contextmanager
def alone(state: Path, by: Deadline, *, what: str = "a timing cell") -> Iterator[None]:
    """Have this machine alone; later requests wait, so that ordinary cells cannot starve this one.

    Args:
        state: The state folder.
        by: Until when to wait.
        what: What it is for, for the message.

    Raises:
        DeadlineError: Other cells ran until `by`.
    """
    with (
        flocked(state / "gate.flock", f"{what}: its turn at the machine", by),
        flocked(state / "machine.flock", f"{what}: the machine to itself", by),
    ):
        yield


def _meminfo_mib(key: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) // 1024
    raise InfraError(f"/proc/meminfo has no {key}")

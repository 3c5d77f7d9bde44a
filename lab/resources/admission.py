# SPDX-License-Identifier: Apache-2.0
"""Who may use how much of this machine, now; and who has it alone, because time is measured."""

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
    """What there is to share: memory and cores, of the machine or of a budget within it."""

    memory_mib: int
    cores: int

    @classmethod
    def here(cls, memory_mib: int | None = None, cores: int | None = None) -> Machine:
        """Give this machine's, or the budget given, as far as the machine has it."""
        has_mib = _meminfo_mib("MemTotal") - _FOR_L0_MIB
        has_cores = len(os.sched_getaffinity(0))
        return cls(min(memory_mib or has_mib, has_mib), min(cores or has_cores, has_cores))


class Admission:
    """The door of this machine: whoever asks for memory and cores waits, in order, for both."""

    def __init__(self, state: Path, machine: Machine | None = None) -> None:
        self._machine = machine or Machine.here()
        self._ledger = Ledger(state / "admission.json")
        self._state = state

    @contextlib.contextmanager
    def admit(self, memory_mib: int, cores: int, by: Deadline, *, what: str) -> Iterator[None]:
        """Hold `memory_mib` and `cores` for the block; they are given back when we die, too.

        Raises:
            ConfigError: there is not that much, however long one waits.
            DeadlineError: others had it until `by`.
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
        """Say how many cores a machine of `vcpus` asks for; all, if it makes do with fewer."""
        return min(vcpus, self._machine.cores) if overcommit else vcpus

    def holders(self) -> list[str]:
        """Say who is in, for a message or `lab status`."""
        with self._ledger.opened() as entries:
            return [
                f"{e['what']} ({e['memory_mib']} MiB, {e['cores']} cores)"
                for e in entries
                if e["admitted"]
            ]

    def others_wait(self) -> bool:
        """Whether anybody waits for a place, so that what is idle should be given up."""
        with self._ledger.opened() as entries:
            return any(not e["admitted"] for e in entries)

    def must_fit(self, memory_mib: int, cores: int, what: str) -> None:
        """Check that there is so much at all, whoever has it now.

        Raises:
            ConfigError: there is not.
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
            if mine is None or mine["ticket"] != ticket:  # somebody was here first
                return None
            if not self._fits(mine, before):
                return None
            mine["admitted"] = True
            return True

    def _fits(self, mine: Entry, others: list[Entry]) -> bool:
        memory = sum(int(e["memory_mib"]) for e in (mine, *others))
        cores = sum(int(e["cores"]) for e in (mine, *others))
        free = _meminfo_mib("MemAvailable")  # programs that are not the lab's count, too
        return (
            memory <= self._machine.memory_mib
            and cores <= self._machine.cores
            and int(mine["memory_mib"]) <= free
        )


@contextlib.contextmanager
def together(state: Path, by: Deadline, *, what: str = "an ordinary cell") -> Iterator[None]:
    """Hold this machine with other ordinary cells, but not beside one that measures time."""
    with contextlib.ExitStack() as stack:
        with flocked(state / "gate.flock", f"{what}: a timing cell to be done", by):
            shared = flocked(
                state / "machine.flock", f"{what}: a timing cell to be done", by, shared=True
            )
            stack.enter_context(shared)
        yield


@contextlib.contextmanager
def alone(state: Path, by: Deadline, *, what: str = "a timing cell") -> Iterator[None]:
    """Hold this machine alone: whoever comes meanwhile waits, so that readers cannot starve us."""
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

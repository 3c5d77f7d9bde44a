# SPDX-License-Identifier: Apache-2.0
"""A swallowed host, seen from inside and from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.caretaker.control import Caretaker, Region
from lab.caretaker.swallow_proof import is_below
from lab.host.health import unfit
from lab.host.host import RunningHost

_LOOKS = 30


@dataclass
class SwallowedHost:
    """A host with a caretaker, seen from inside and from outside."""

    host: RunningHost
    caretaker: Caretaker
    region: Region

    @classmethod
    def of(cls, host: RunningHost) -> SwallowedHost:
        """Look at `host`."""
        caretaker = Caretaker(host.session)
        return cls(host, caretaker, caretaker.region())

    @property
    def spare(self) -> int:
        """An offset in private memory where nothing is; the caretaker's tables end before."""
        return self.region.size - 4096 + 64

    def counted(self, *names: str) -> Callable[[], list[int]]:
        """Return a function that returns by how much each of these counters has grown since."""
        before = self.caretaker.counters()

        def grown() -> list[int]:
            now = self.caretaker.counters()
            return [now[name] - before[name] for name in names]

        return grown

    def below(self) -> list[bool]:
        """Return for each CPU whether it is below the caretaker, as QEMU has it.

        One may be in the caretaker at that moment, and is so most of the time just after it came
        online, when its guests' tables are filled anew: it is looked for many times.
        """
        found = [False] * self.host.blueprint.request.vcpus
        for _ in range(_LOOKS):
            looks = [is_below(cpu, self.region) for cpu in self.host.domain.cpus()]
            found = [before or now for before, now in zip(found, looks, strict=True)]
            if all(found):
                break
        return found

    def insist_sound(self) -> None:
        """Assert that the host lives, is swallowed on each CPU, and that its caretaker is whole."""
        assert self.caretaker.native_cpus() == ([], self.host.blueprint.request.vcpus)
        built, below = self.caretaker.digests()
        assert built == below
        assert unfit(self.host) is None


Boot = Callable[..., RunningHost]
"""Boot a host for one test alone, natively, with more kernel parameters."""

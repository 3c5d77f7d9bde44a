# SPDX-License-Identifier: Apache-2.0
"""A running guest under the outside eye, and what a test may assert of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from lab.config.model import Watch
from lab.deadline import pause, until
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning
from lab.guest.vmms.protocol import Vmm
from lab.host.host import RunningHost
from lab.observe.trail import Kind, Trail
from lab.runner.watch import Watched, look_again, watched

_SILENT_S = 1.0  # a beacon beats each ms, unless beacon.period_us= says otherwise
_SETTLING, _LOOKS = 2, 3  # looks of the eye, which may be slow beside other work


@dataclass
class WatchedGuest:
    """A guest whose beacon L0 reads past its host, from its first beats to the test's end.

    Attributes:
        host: The L1 that it runs in; `host.session` runs programs there.
        vmm: Drives the program that runs it.
        guest: Its VMM's process, and its plan; another value after `adopt`.
        seen: The open eye, for everything that has no method here.
    """

    host: RunningHost
    vmm: Vmm
    guest: RunningGuest
    seen: Watched

    @classmethod
    def begin(
        cls, host: RunningHost, vmm: Vmm, plan: GuestPlan, watch: Watch, stack: ExitStack
    ) -> Self:
        """Start a guest, and see each of its vCPUs beat.

        Args:
            host: The L1 to start it in.
            vmm: What runs it.
            plan: What it is started with.
            watch: How the eye looks.
            stack: Closing it ends the guest.

        Returns:
            The guest.

        Raises:
            FalseStartError: It did not begin to beat.
            InfraError: Its VMM did not start.
        """
        guest = vmm.start(host, plan, host.by_guest())
        with ExitStack() as until_seen:
            until_seen.callback(guest.kill)
            seen = stack.enter_context(watched(guest, watch))
            until_seen.pop_all()
        begun = cls(host, vmm, guest, seen)
        stack.callback(begun.end)
        return begun

    def end(self) -> None:
        """Kill its VMM and its keepers, whichever it has by now."""
        self.guest.kill()

    def kill_vmm(self) -> None:
        """Kill its VMM, and wait until that has ended."""
        self.guest.kill_vmm(self.host.by_guest())

    def adopt(self) -> None:
        """Start a VMM that adopts it, by the ABI that it was started for.

        Raises:
            UnavailableError: By that ABI no guest can be adopted.
            InfraError: The new VMM did not get it.
        """
        self.guest = self.abi.adopt(self.guest, self.host.by_guest())

    @property
    def abi(self) -> Orphaning:
        """The strategy by which it may outlive its VMM, or its host's kernel."""
        return self.vmm.handover

    def find_again(self) -> None:
        """Find its beacons anew, after something that may have moved its memory.

        Raises:
            InfraError: They are nowhere in its host's memory.
        """
        look_again(self.seen, self.guest)

    def insist_lives(self, vcpu: int = 0) -> None:
        """Assert that it beats, and is the guest that it was when it was started.

        How long it was silent is not judged: that is for the cells.

        Args:
            vcpu: The vCPU that is looked at.

        Raises:
            AssertionError: Its beacon is that of another guest, or of an earlier state.
            DeadlineError: It does not beat.
        """
        before, by = self.beats(vcpu), self.host.by_guest()
        until("it to beat on", lambda: self.beats(vcpu) > before or None, by)
        wrong = [each for each in self._trail(vcpu).anomalies if each.kind is not Kind.OVERRUN]
        assert wrong == []

    def insist_silent(self, vcpu: int = 0) -> None:
        """Assert that it beats no more, for a second.

        Args:
            vcpu: The vCPU that is looked at.

        Raises:
            AssertionError: It beats.
        """
        by = self.host.by_guest()
        self.seen.eye.looked(_SETTLING, by)
        before = self.beats(vcpu)
        pause(_SILENT_S)
        self.seen.eye.looked(_LOOKS, by)
        assert self.beats(vcpu) == before

    def beats(self, vcpu: int) -> int:
        """Count the looks in which it was seen to have beaten.

        Args:
            vcpu: The vCPU that is looked at.

        Returns:
            How many there were since it was started.
        """
        return len(self._trail(vcpu).by)

    def interrupts(self, vcpu: int) -> int:
        """Return the interrupts that its payload counted; what it counts depends on the payload.

        Args:
            vcpu: The vCPU that is looked at.

        Returns:
            The count on its newest page.
        """
        return self._trail(vcpu).irqs

    def silence_s(self, vcpu: int, *, since: int) -> float:
        """Measure the longest time without a beat, by the guest's own clock.

        Args:
            vcpu: The vCPU that is looked at.
            since: From which look on, as `beats` counts them.

        Returns:
            Seconds.
        """
        trail = self._trail(vcpu)
        stamps = trail.stamps[trail.start[since] :]
        return max(b - a for a, b in pairwise(stamps)) / 1e9

    def _trail(self, vcpu: int) -> Trail:
        return self.seen.eye.found().trails[vcpu]

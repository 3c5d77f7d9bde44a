# SPDX-License-Identifier: Apache-2.0
"""One warm host at a time, which cells share as long as each leaves it provably healthy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.config.host_request import HostRequest
from lab.deadline import Deadline
from lab.errors import BrokenHostError, LabError, UnavailableError
from lab.events import Step
from lab.host.health import unfit
from lab.host.host import RunningHost, booted
from lab.runner.lab_session import LabSession

_TRIES = 2  # one failure may be this machine's; two running are the host's
_TURN_S = 3600.0  # how long to wait for memory and cores that others have


class Pool:
    """The host of one worker; taken down when it is tainted, or another worker waits for its room.

    Args:
        lab_session: The run that the hosts belong to.

    Attributes:
        console: The console of the host booted last, whether it came up or not; None before.
    """

    def __init__(self, lab_session: LabSession) -> None:
        self.lab_session = lab_session
        self._stack = ExitStack()
        self._host: RunningHost | None = None
        self._request: HostRequest | None = None
        self._booted = 0
        self.console: Path | None = None  # of the host booted last, whether it came up or not
        self._failures: dict[HostRequest, list[LabError]] = {}

    @contextmanager
    def lease(self, request: HostRequest) -> Iterator[RunningHost]:
        """Lease a healthy host for the block, and check afterwards whether it still is.

        Args:
            request: The host; a warm one that was booted for an equal request is used again.

        Yields:
            The host.

        Raises:
            BrokenHostError: It did not come up twice in a row, and is not tried again.
            UnavailableError: No machine with this kernel can be in that mode.
            LabError: It could not be booted this time.
        """
        host = self._warm(request)
        try:
            yield host
        except BaseException:
            host.taint("its last cell broke off")
            raise
        finally:
            self._after(host)

    def detach(self) -> RunningHost | None:
        """Remove the warm host from the pool without taking it down.

        Returns:
            The host, which the caller has to take down; None if there is none.
        """
        host, self._host, self._request = self._host, None, None
        if host is not None:
            self._stack.pop_all()
        return host

    def close(self) -> None:
        """Take the host down."""
        self._host = self._request = None
        self._stack.close()

    def _warm(self, request: HostRequest) -> RunningHost:
        failures = self._failures.setdefault(request, [])
        if len(failures) >= _TRIES:
            self.console = None  # nothing was booted now
            raise BrokenHostError(f"{request.role} is broken: {failures[0]}") from failures[0]
        if self._host is not None and self._request == request and not self._host.tainted:
            return self._host
        self.close()
        try:
            self._host = self._boot(request)
        except UnavailableError:  # a fact of this machine, and no failure
            self._stack.close()
            raise
        except LabError as e:
            self._stack.close()
            failures.append(e)
            raise
        failures.clear()
        self._request = request
        return self._host

    def _boot(self, request: HostRequest) -> RunningHost:
        self._booted += 1
        self.console = None
        blueprint = self.lab_session.blueprint(request, f"{request.role}{self._booted}")
        self.console = blueprint.folder / "console.log"
        door = self.lab_session.admission
        cores = door.cores_for(request.vcpus, overcommit=request.overcommit)
        room = door.admit(request.memory_mib, cores, Deadline.after(_TURN_S), what=blueprint.name)
        self._stack.enter_context(room)
        connection = self.lab_session.connection
        return self._stack.enter_context(booted(connection, blueprint, self.lab_session.sink))

    def _after(self, host: RunningHost) -> None:
        host.tainted = host.tainted or unfit(host)
        if host.tainted:
            self.lab_session.sink(
                Step(what=f"{host.role} is tainted, no other cell uses it: {host.tainted}")
            )
        elif self.lab_session.admission.others_wait():
            self.lab_session.sink(
                Step(what=f"taking {host.role} down: another worker waits for its room")
            )
            self.close()

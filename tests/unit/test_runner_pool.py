# SPDX-License-Identifier: Apache-2.0
"""A host that does not come up: tried once more, then its first cause is all that is said."""

from __future__ import annotations

from typing import cast

import pytest

from lab.config.host_request import HostRequest
from lab.config.model import Arch, HostMode
from lab.errors import BrokenHostError, InfraError, LabError, UnavailableError
from lab.host.blueprint import Blueprint
from lab.runner.lab_session import LabSession
from lab.runner.pool import Pool

REQUEST = HostRequest(
    topology="t",
    role="a",
    arch=Arch.X86_64,
    kernel="stock",
    mode=HostMode.NATIVE,
    vcpus=2,
    memory_mib=1024,
)


class _BarrenStand:
    """A session in which nothing can be booted; it counts the tries."""

    def __init__(self, kind: type[LabError] = InfraError) -> None:
        self.tried = 0
        self._kind = kind

    def blueprint(self, request: HostRequest, role: str) -> Blueprint:
        self.tried += 1
        raise self._kind(f"{request.role} did not come up, time {self.tried}")


def test_host_failing_twice_is_not_retried_and_keeps_first_cause() -> None:
    lab_session = _BarrenStand()
    pool = Pool(cast("LabSession", lab_session))

    for time in (1, 2):
        with pytest.raises(InfraError, match=f"time {time}"), pool.lease(REQUEST):
            pass
    for _ in range(3):
        with pytest.raises(BrokenHostError, match="a is broken: a did not come up, time 1"):
            pool.lease(REQUEST).__enter__()

    assert lab_session.tried == 2


def test_unavailable_mode_is_never_counted_as_a_boot_failure() -> None:
    lab_session = _BarrenStand(UnavailableError)
    pool = Pool(cast("LabSession", lab_session))
    for time in (1, 2, 3):
        with pytest.raises(UnavailableError, match=f"time {time}"), pool.lease(REQUEST):
            pass

# SPDX-License-Identifier: Apache-2.0
"""Fixtures for a suite of one's own: a booted host, and a running guest under the outside eye.

A test says what it needs by markers; what they leave out is lab.toml's:

    @pytest.mark.lab_host(kernel="mine", vcpus=2, memory_mib=2048)
    @pytest.mark.lab_guest(kind="linux", vmm="labvmm")
    def test_guest_lives_while_its_host_compiles(lab_guest):
        lab_guest.host.session.check(["sh", "-c", "..."])
        lab_guest.insist_lives()

Kernels and images are built before the first test, outside of any test's time limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # as in the package itself
    from lab.host.host import RunningHost
    from lab.runner.lab_session import LabSession
    from lab.runner.pool import Pool
    from lab.testing.watched_guest import WatchedGuest


@pytest.fixture
def lab_host(request: pytest.FixtureRequest, pool: Pool) -> Iterator[RunningHost]:
    """A booted L1 as `@pytest.mark.lab_host(...)` has it; without one, x86-64 with kernel 'stock'.

    Keys: arch, kernel, mode, vcpus, memory_mib, overcommit, as in a topology's [host.<name>].
    `session` runs programs in it, `console` is its serial console, `domain` is its machine.
    Tests that ask for the same host get the same one after each other, as long as it is healthy:
    its kernel has not complained, and no test broke off.
    """
    from lab.testing.markers import host_request

    with pool.lease(host_request(request.node, pool.lab_session.lab)) as host:
        yield host


@pytest.fixture
def lab_guest(
    request: pytest.FixtureRequest, lab_host: RunningHost, lab_session: LabSession
) -> Iterator[WatchedGuest]:
    """A guest of `lab_host` as `@pytest.mark.lab_guest(...)` has it, seen to beat; else Linux.

    Keys: kind, vmm, vcpus, memory_mib, words, orphaning, policy. L0 looks at it until the test
    ends, past its host: `insist_lives()` and `insist_silent()` say what became of it.
    """
    from lab.testing.markers import guest_request
    from lab.testing.watched_guest import WatchedGuest

    vmm, plan = guest_request(request.node)
    with ExitStack() as stack:
        yield WatchedGuest.begin(lab_host, vmm, plan, lab_session.lab.watch, stack)

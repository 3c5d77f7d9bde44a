# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests beside the cells: hosts whose guests can be orphaned, swallowed hosts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from lab.config.host_request import HostRequest
from lab.config.model import Arch, Cell, HostMode
from lab.guest.handover.table import orphaning_for
from lab.host.host import RunningHost, booted
from lab.runner.lab_session import LabSession
from lab.runner.pool import Pool
from lab.testing.orphans import Orphans, insist_quiet
from lab.testing.swallowed import Boot, SwallowedHost

_PLACES = ((Arch.X86_64, HostMode.NATIVE), (Arch.ARM64, HostMode.NVHE), (Arch.ARM64, HostMode.VHE))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say of each test that wants a swallowed host, that a cell of the run has to have one."""
    if "swallowed_request" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.needs_cell(mode=HostMode.SWALLOWED))


def _param(arch: Arch, mode: HostMode) -> object:
    needs = pytest.mark.needs_cell(arch=arch, mode=mode, orphaning=True)
    return pytest.param((arch, mode), id=f"{arch}-{mode}", marks=needs)


# Of the module, so that pytest does all tests of one host before it turns to the next.
@pytest.fixture(scope="module", params=[_param(*place) for place in _PLACES])
def place(request: pytest.FixtureRequest, cells: tuple[Cell, ...]) -> Cell:
    """Return a cell of each kind of host whose guests can be orphaned."""
    arch, mode = request.param
    mine = (cell for cell in cells if (cell.arch, cell.mode) == (arch, mode))
    return next(cell for cell in mine if cell.options.orphaning)


@pytest.fixture
def orphans(place: Cell, pool: Pool) -> Iterator[Orphans]:
    """Lease a host whose guests can be orphaned."""
    with pool.lease(place.request) as host, ExitStack() as stack:
        stack.callback(insist_quiet, host, host.console.mark())  # when all guests have gone
        abi = orphaning_for(place.options.orphaning or "none")
        assert abi.unsupported_reason(host, host.by_guest()) is None
        yield Orphans(host, abi, stack)


@pytest.fixture(scope="session")
def swallowed_request(cells: tuple[Cell, ...]) -> HostRequest:
    """Return what a host is like that is swallowed at boot."""
    return next(cell.request for cell in cells if cell.mode is HostMode.SWALLOWED)


@pytest.fixture
def swallowed(swallowed_request: HostRequest, pool: Pool) -> Iterator[SwallowedHost]:
    """Lease a swallowed host, which has to be as sound after the test."""
    with pool.lease(swallowed_request) as host:
        yield SwallowedHost.of(host)
        SwallowedHost.of(host).insist_sound()  # by another session, if its kernel is another one


@pytest.fixture
def boot(swallowed_request: HostRequest, pool: Pool, lab_session: LabSession) -> Iterator[Boot]:
    """Return a function that boots a host for this test alone, natively, with more words."""
    pool.close()
    with ExitStack() as stack:

        def native(
            *words: str,
            kernel: str = swallowed_request.kernel,
            vcpus: int = swallowed_request.vcpus,
        ) -> RunningHost:
            like = replace(swallowed_request, kernel=kernel, mode=HostMode.NATIVE, vcpus=vcpus)
            plan = lab_session.blueprint(like, f"own{secrets.token_hex(2)}")
            plan = replace(plan, words=(*plan.words, *words))
            return stack.enter_context(booted(lab_session.connection, plan, lab_session.sink))

        yield native

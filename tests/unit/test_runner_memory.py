# SPDX-License-Identifier: Apache-2.0
"""Memory that did not come back is lost only if the kernel says so."""

from __future__ import annotations

import enum
import errno
import os

import pytest

from lab.errors import InfraError
from lab.runner.memory import told
from lab.vmm.state import liveupdate


@pytest.mark.parametrize(
    "after",
    [
        "ab" * 32,
        "nothing: labvmm luo: [Errno 2] LIVEUPDATE_IOCTL_RETRIEVE_SESSION: left no session 'lab'",
        "nothing: labvmm luo: [Errno 5] LIVEUPDATE_SESSION_RETRIEVE_FD: Input/output error",
        "nothing: labvmm luo: '/dev/liveupdate' cannot be opened: No such file or directory",
    ],
)
def test_what_the_kernel_said_is_taken(after: str) -> None:
    assert told(after) == after


@pytest.mark.parametrize(
    "after",
    [
        "",
        "nothing: status 137",
        "nothing: python3: can't open file '/lab/labvmm.pyz': [Errno 2] No such file or directory",
        "nothing: labvmm luo: '/dev/liveupdate' cannot be opened: Device or resource busy",
        "nothing: MemoryError",
    ],
)
def test_what_only_the_lab_could_not_do_is_no_loss(after: str) -> None:
    with pytest.raises(InfraError, match="whether the memory is there"):
        told(after)


def test_what_labvmm_says_of_a_refusal_is_known_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_fd: int, request: enum.IntEnum, _argument: object) -> int:
        raise OSError(errno.ENOENT, f"{request.name}: {os.strerror(errno.ENOENT)}")

    monkeypatch.setattr(liveupdate, "call", refused)
    with pytest.raises(OSError, match="left no session") as no_session:
        liveupdate.retrieve(3, "mine")
    with pytest.raises(OSError, match="nothing under token") as no_file:
        liveupdate.retrieve_fd(3, 1)
    for said in (no_session, no_file):
        assert told(f"nothing: labvmm luo: {said.value}")

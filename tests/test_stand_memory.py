# SPDX-License-Identifier: Apache-2.0
"""Memory that did not come back is lost only if the kernel says so."""

from __future__ import annotations

import pytest

from lab.errors import InfraError
from lab.stand.memory import told


@pytest.mark.parametrize(
    "after",
    [
        "ab" * 32,
        "nothing: labvmm luo: [Errno 2] LIVEUPDATE_IOCTL_RETRIEVE_SESSION: No such file",
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

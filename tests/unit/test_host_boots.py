# SPDX-License-Identifier: Apache-2.0
"""Each boot of a host is told by its own kernel: boot id and build id, over SSH."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from lab.deadline import Deadline
from lab.host.host import RunningHost


class Kernel:
    """The files in which a running kernel tells of itself."""

    def __init__(self, boot_id: str, build_id: bytes) -> None:
        notes = struct.pack("<III", 4, len(build_id), 3) + b"GNU\0" + build_id
        self.files = {
            "/proc/sys/kernel/random/boot_id": boot_id.encode(),
            "/proc/cmdline": b"quiet",
            "/sys/kernel/notes": notes,
            "/proc/sys/kernel/osrelease": b"7.3.4",
            "/proc/uptime": b"1.5 2.0",
        }

    def get(self, path: str) -> bytes:
        """Read a file."""
        return self.files[path]

    def close(self) -> None:
        """Hang up."""


def test_each_boot_is_noted_once_with_its_build() -> None:
    kernels = [Kernel("b1", b"\xaa" * 4), Kernel("b1", b"\xaa" * 4), Kernel("b2", b"\xbb" * 4)]
    entry: Any = SimpleNamespace(open=lambda *_: kernels.pop(0))
    blueprint: Any = SimpleNamespace(role="a", kernel=None, patience=SimpleNamespace(ssh=1))
    nothing: Any = None
    host = RunningHost(blueprint, nothing, nothing, entry, "nonce")
    host.reconnect(Deadline.after(1))  # the same boot: its sshd was started anew
    host.reconnect(Deadline.after(1))
    assert [(boot.boot_id, boot.build_id) for boot in host.boots] == [
        ("b1", "aaaaaaaa"),
        ("b2", "bbbbbbbb"),
    ]

# SPDX-License-Identifier: Apache-2.0
"""What QEMU says when it cannot, as one line; and what is asked of whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InfraError
from lab.events import Event
from lab.virt.daemons import ensure_daemons, stop_what_we_started
from lab.virt.probe import last_words

LYING_KVM = """could not start lab-probe-1: internal error: QEMU unexpectedly closed the monitor \
(vm='lab-probe-1'): 2026-11-22T19:52:13.769019Z qemu-system-x86_64: error: failed to set MSR 0x10a \
to 0x400000000c000069
qemu-system-x86_64: target/i386/kvm/kvm.c:3849: kvm_buf_set_msrs: Assertion `ret == \
cpu->kvm_msr_buf->nmsrs' failed."""

NO_ACCESS = """could not start lab-probe-1: internal error: process exited while connecting to \
monitor: Could not access KVM kernel module: Permission denied
2026-11-22T19:52:13Z qemu-system-x86_64: failed to initialize kvm: Permission denied"""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (LYING_KVM, "failed to set MSR 0x10a to 0x400000000c000069"),
        (NO_ACCESS, "failed to initialize kvm: Permission denied"),
        ("it is Tuesday\n", "it is Tuesday"),
        ("", "no reason was printed"),
    ],
)
def test_the_line_that_says_why_is_picked_out(said: str, meant: str) -> None:
    assert last_words(said) == meant


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu+ssh://h/system", "test:///default"])
def test_no_daemon_is_started_for_a_remote_or_session_uri(uri: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    ensure_daemons(uri, tmp_path, seen.append)
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_stopped_where_nothing_was_started(tmp_path: Path) -> None:
    seen: list[Event] = []
    stop_what_we_started(tmp_path, seen.append)
    assert seen == []


def test_a_library_error_is_ours() -> None:
    assert issubclass(InfraError, Exception)

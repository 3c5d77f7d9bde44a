# SPDX-License-Identifier: Apache-2.0
"""A disruption that did not happen is never taken for one: each way, by name."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import InfraError
from lab.observe.identity import (
    DidNot,
    Happened,
    HostIdentity,
    ProcessIdentity,
    build_id_of,
    kexec_happened,
    process_gone,
    process_of,
)

BEFORE = HostIdentity("b1", "console=ttyS0 lab.nonce=aa", "abcd", "7.3.4", 100.0)
AFTER = HostIdentity("b2", "console=ttyS0 lab.nonce=bb", "ABCD", "7.3.4", 1.0)


@pytest.mark.parametrize(
    ("before", "after", "nonce", "build", "reason"),
    [
        pytest.param(BEFORE, None, "bb", "abcd", "was not read after", id="no-answer"),
        pytest.param(None, AFTER, "bb", "abcd", "was not read before", id="not-asked"),
        pytest.param(BEFORE, BEFORE, "bb", "abcd", "still b1", id="nothing-happened"),
        pytest.param(
            BEFORE, replace(AFTER, boot_id="b1"), "bb", "abcd", "still b1", id="forged-cmdline"
        ),
        pytest.param(
            BEFORE, replace(AFTER, boot_id=""), "bb", "abcd", "no boot id", id="no-boot-id"
        ),
        pytest.param(
            replace(BEFORE, boot_id=""), AFTER, "bb", "abcd", "no boot id", id="no-boot-id-before"
        ),
        pytest.param(
            BEFORE, replace(BEFORE, boot_id="b2"), "bb", "abcd", "is 'aa'", id="plain-reboot"
        ),
        pytest.param(
            BEFORE, replace(AFTER, cmdline=""), "bb", "abcd", "is not there", id="no-nonce-there"
        ),
        pytest.param(
            BEFORE, replace(AFTER, cmdline="x.lab.nonce=bb"), "bb", "abcd", "not there", id="other"
        ),
        pytest.param(
            BEFORE, replace(AFTER, cmdline="lab.nonce=bbb"), "bb", "abcd", "'bbb'", id="longer"
        ),
        pytest.param(
            BEFORE,
            replace(AFTER, cmdline="lab.nonce=bb lab.nonce=cc"),
            "bb",
            "abcd",
            "'cc'",
            id="overridden",
        ),
        pytest.param(BEFORE, AFTER, "aa", "abcd", "was on the command line before", id="old-nonce"),
        pytest.param(BEFORE, AFTER, "", "abcd", "no nonce", id="empty-nonce"),
        pytest.param(BEFORE, AFTER, "bb", "", "no build id", id="empty-build"),
        pytest.param(BEFORE, AFTER, "bb", "ef01", "build ABCD runs instead", id="other-kernel"),
    ],
)
def test_a_kexec_did_not_happen(
    before: HostIdentity | None, after: HostIdentity | None, nonce: str, build: str, reason: str
) -> None:
    found = kexec_happened(before, after, nonce=nonce, wanted_build_id=build, at=1.0, done=2.0)
    assert isinstance(found, DidNot)
    assert reason in found.reason


@pytest.mark.parametrize("cmdline", ["lab.nonce=bb", "a lab.nonce=aa lab.nonce=bb b"])
def test_a_kexec_happened(cmdline: str) -> None:
    after = replace(AFTER, cmdline=cmdline)
    found = kexec_happened(BEFORE, after, nonce="bb", wanted_build_id="abcd", at=1.0, done=2.0)
    assert found == Happened("kexec into 7.3.4", 1.0, 2.0)


OLD = ProcessIdentity(70, 1234, "S", 3)


@pytest.mark.parametrize(
    ("before", "after", "gone", "says"),
    [
        pytest.param(OLD, None, True, "is gone", id="no-such-pid"),
        pytest.param(OLD, replace(OLD, start_time=99), True, "in use again", id="pid-reused"),
        pytest.param(OLD, replace(OLD, state="Z", threads=1), True, "is a zombie", id="zombie"),
        pytest.param(OLD, OLD, False, "still there", id="alive"),
        pytest.param(OLD, replace(OLD, threads=1), False, "still there", id="one-thread-left"),
        pytest.param(OLD, replace(OLD, state="T"), False, "still there", id="stopped"),
        pytest.param(OLD, replace(OLD, state="Z"), False, "still there", id="only-leader-gone"),
        pytest.param(OLD, replace(OLD, pid=71), False, "was looked at", id="another-pid"),
        pytest.param(None, None, False, "was not noted", id="not-noted"),
        pytest.param(
            replace(OLD, state="Z", threads=1), None, False, "ended already", id="gone-before"
        ),
    ],
)
def test_a_process_is_gone_or_not(
    before: ProcessIdentity | None,
    after: ProcessIdentity | None,
    gone: bool,
    says: str,
) -> None:
    found = process_gone(before, after, what="vmm-kill", at=1.0, done=2.0)
    assert isinstance(found, Happened) is gone
    assert says in (found.what if isinstance(found, Happened) else found.reason)


def test_a_process_with_a_name_full_of_parentheses_is_read() -> None:
    stat = "42 (a) R (b c) S " + " ".join(str(n) for n in range(4, 53))
    assert process_of(stat) == ProcessIdentity(42, 22, "S", 20)


def test_this_very_process_is_read() -> None:
    me = process_of(Path("/proc/self/stat").read_text(encoding="utf-8"))
    assert (me.pid, me.state) == (os.getpid(), "R")
    assert me.start_time > 0


@pytest.mark.parametrize(
    "text", ["", "42", "42 (x", "42 (x " + "1 " * 50, "42 (x) S 1 2", "x (y) " + "1 " * 50]
)
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(InfraError, match="not the text of"):
        process_of(text)


def note(name: bytes, kind: int, text: bytes) -> bytes:
    def padded(b: bytes) -> bytes:
        return b + bytes(-len(b) % 4)

    return struct.pack("<III", len(name), len(text), kind) + padded(name) + padded(text)


def test_the_build_id_is_found_among_other_notes() -> None:
    notes = note(b"Xen\0", 3, b"abc") + note(b"GNU\0", 1, b"x" * 5) + note(b"GNU\0", 3, b"\xab\xcd")
    assert build_id_of(notes) == "abcd"


@pytest.mark.parametrize(
    "notes", [b"", b"123", note(b"Linux\0", 3, b"x"), note(b"GNU\0", 3, b"x" * 20)[:20]]
)
def test_notes_without_build_id_are_refused(notes: bytes) -> None:
    with pytest.raises(InfraError, match="no build id"):
        build_id_of(notes)

# SPDX-License-Identifier: Apache-2.0
"""Who a host and a process are, to the last byte and field of what the kernel says of them."""

from __future__ import annotations

import struct
from dataclasses import replace

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

OLD = ProcessIdentity(70, 1234, "S", 3)
BEFORE = HostIdentity("b1", "quiet lab.nonce=aa", "abcd", "7.3.4", 100.0)
AFTER = HostIdentity("b2", "quiet lab.nonce=bb", "ABCD", "7.3.5", 1.0)


@pytest.mark.parametrize(
    ("state", "threads", "remains"),
    [
        ("Z", 1, True),
        ("Z", 0, True),
        ("Z", 2, False),  # its leader has ended, and another thread runs on
        ("X", 1, True),
        ("S", 1, False),
        ("D", 0, False),
    ],
)
def test_of_a_zombie_only_its_status_remains(state: str, threads: int, *, remains: bool) -> None:
    assert replace(OLD, state=state, threads=threads).remains is remains


@pytest.mark.parametrize(
    "after", [None, replace(OLD, start_time=1235), replace(OLD, state="Z", threads=1)]
)
def test_a_process_went_when_the_lab_says_so(after: ProcessIdentity | None) -> None:
    found = process_gone(OLD, after, what="kill 7", at=1.0, done=2.0)
    assert isinstance(found, Happened)
    assert (found.at, found.done) == (1.0, 2.0)
    assert "kill 7" in found.what
    assert "70" in found.what


def test_a_process_of_another_pid_is_told_with_both() -> None:
    found = process_gone(OLD, replace(OLD, pid=71), what="kill", at=1.0, done=2.0)
    assert isinstance(found, DidNot)
    assert "71" in found.reason
    assert "70" in found.reason


def stat(fields: int) -> str:
    """Return a stat whose fields after the name are the numbers from 3 on."""
    return "42 (a b) " + " ".join(["S", *(str(n) for n in range(4, fields + 3))])


def test_a_stat_with_just_enough_fields_is_read() -> None:
    assert process_of(stat(20)) == ProcessIdentity(42, 22, "S", 20)
    with pytest.raises(InfraError):
        process_of(stat(19))


@pytest.mark.parametrize("text", ["42 (x)", "(x) " + "1 " * 50, "4 2 (x) " + "1 " * 50])
def test_a_stat_has_a_pid_and_an_end_of_its_name(text: str) -> None:
    with pytest.raises(InfraError):
        process_of(text)


def test_what_is_no_stat_is_told_up_to_a_length() -> None:
    with pytest.raises(InfraError) as told:
        process_of("9" * 200)
    assert "9" * 80 in str(told.value)
    assert "9" * 81 not in str(told.value)


def note(name: bytes, kind: int, text: bytes) -> bytes:
    head = struct.pack("<III", len(name), len(text), kind)
    return head + name + bytes(-len(name) % 4) + text + bytes(-len(text) % 4)


WANTED = note(b"GNU\0", 3, b"\xab\xcd\xef\x01")


@pytest.mark.parametrize("size", range(1, 10))
def test_a_note_before_it_is_passed_over_to_the_byte(size: int) -> None:
    assert build_id_of(note(b"x" * size, 3, b"y" * 5) + WANTED) == "abcdef01"
    assert build_id_of(note(b"GNU\0", 1, b"y" * size) + WANTED) == "abcdef01"


@pytest.mark.parametrize("cut", [1, 2, 4, 5])
def test_a_build_id_that_is_cut_off_is_none(cut: int) -> None:
    with pytest.raises(InfraError):
        build_id_of(WANTED[:-cut])


def test_a_build_id_of_odd_length_is_whole_without_its_padding() -> None:
    whole = note(b"GNU\0", 3, b"\xab\xcd\xef")
    assert build_id_of(whole) == build_id_of(whole[:-1]) == "abcdef"


def test_a_note_without_name_and_text_is_passed_over() -> None:
    assert build_id_of(note(b"", 3, b"") + WANTED) == "abcdef01"


def test_an_empty_build_id_is_one() -> None:
    assert build_id_of(note(b"GNU\0", 3, b"")) == ""


def kexec(before: HostIdentity | None, after: HostIdentity | None, **more: str) -> str | Happened:
    known = {"nonce": "bb", "wanted_build_id": "abcd"} | more
    found = kexec_happened(before, after, at=1.0, done=2.0, **known)
    return found if isinstance(found, Happened) else found.reason


@pytest.mark.parametrize("wanted", ["abcd", "ABCD", "aBcD"])
def test_a_build_id_is_the_same_in_capitals(wanted: str) -> None:
    found = kexec(BEFORE, AFTER, wanted_build_id=wanted)
    assert isinstance(found, Happened)
    assert (found.at, found.done) == (1.0, 2.0)
    assert "7.3.5" in found.what


def test_what_it_lacks_to_know_the_kernel_by_is_told() -> None:
    assert "nonce" in str(kexec(BEFORE, AFTER, nonce=""))
    assert "build id" in str(kexec(BEFORE, AFTER, wanted_build_id=""))
    assert "nonce" in str(kexec(BEFORE, AFTER, nonce="", wanted_build_id=""))


def test_which_side_was_not_read_is_told() -> None:
    assert "before" in str(kexec(None, AFTER))
    assert "before" in str(kexec(None, None))
    assert "after" in str(kexec(BEFORE, None))


def test_the_last_nonce_counts_and_none_may_have_been_there() -> None:
    twice = replace(AFTER, cmdline="lab.nonce=aa lab.nonce=bb")
    assert isinstance(kexec(BEFORE, twice), Happened)
    assert isinstance(kexec(replace(BEFORE, cmdline="lab.nonce=bb lab.nonce=aa"), AFTER), str)
    found = kexec(BEFORE, replace(AFTER, cmdline="lab.nonce=bb lab.nonce=cc lab.nonce=dd"))
    assert "'dd'" in str(found)
    assert "'cc'" not in str(found)


def test_nonces_are_words_of_their_own() -> None:
    line = "lab.nonce lab.nonce= xlab.nonce=x lab.nonce=a=b"
    assert replace(BEFORE, cmdline=line).nonces == ("", "", "a=b")


def test_another_build_is_told_with_both() -> None:
    found = str(kexec(BEFORE, replace(AFTER, build_id="ffff")))
    assert "ffff" in found
    assert "abcd" in found

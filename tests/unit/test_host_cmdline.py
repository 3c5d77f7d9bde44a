# SPDX-License-Identifier: Apache-2.0
"""Command lines: what must be on them for anything else to be believed."""

from __future__ import annotations

import pytest

from lab.config.model import Arch, GuestKind, VmmKind
from lab.guest.guest import GuestPlan
from lab.guest.payload import payload_for
from lab.host.cmdline import guest_cmdline, host_cmdline

CANARY, KEY = bytes(range(16)), bytes(range(16, 32))


def test_a_host_is_told_from_any_other_boot_by_its_nonce() -> None:
    assert "lab.nonce=c0ffee" in host_cmdline(Arch.X86_64, nonce="c0ffee").split()


def test_more_words_come_last_so_that_they_win() -> None:
    words = host_cmdline(Arch.X86_64, nonce="1", extra=("crashkernel=0",)).split()

    assert words.index("crashkernel=256M") < words.index("crashkernel=0")


@pytest.mark.parametrize("words", ["quiet", "loglevel=3", "ro quiet", "loglevel=0x2 debug"])
def test_no_word_makes_a_host_too_quiet_to_be_judged(words: str) -> None:
    assert host_cmdline(Arch.X86_64, nonce="1", extra=(words,)).split()[-1] == "loglevel=6"


@pytest.mark.parametrize("words", ["loglevel=8", "debug", "console=tty0", "loglevel=x"])
def test_words_that_hide_no_complaint_stand_last(words: str) -> None:
    assert host_cmdline(Arch.X86_64, nonce="1", extra=(words,)).split()[-1] == words


@pytest.mark.parametrize("kind", GuestKind)
def test_every_guest_is_given_its_canary_and_its_key(kind: GuestKind) -> None:
    line = guest_cmdline(Arch.X86_64, kind, canary=CANARY, key=KEY, vcpus=2)

    assert f"beacon={CANARY.hex()}:{KEY.hex()}" in line.split()


def test_a_guests_key_shows_in_no_repr() -> None:
    plan = GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.QEMU, key=KEY)

    assert KEY.hex() not in repr(plan)
    assert repr(KEY) not in repr(plan)


def test_two_guests_never_share_a_key() -> None:
    one, other = (GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.QEMU) for _ in range(2))

    assert one.key != other.key
    assert one.canary != other.canary


def test_only_a_linux_guest_has_an_initramfs() -> None:
    payloads = {
        kind: payload_for(Arch.X86_64, GuestPlan(name="g", kind=kind, vmm=VmmKind.QEMU))
        for kind in GuestKind
    }

    assert [kind for kind, payload in payloads.items() if payload.initrd] == [GuestKind.LINUX]

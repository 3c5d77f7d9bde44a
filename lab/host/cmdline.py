# SPDX-License-Identifier: Apache-2.0
"""Kernel command lines of L1 and L2, composed from what they are for; pure."""

from __future__ import annotations

from lab.config.model import Arch, GuestKind

_HEARD = 6  # KERN_NOTICE and what is graver: all complaints that taint a host

_L1_COMMON = (
    "panic=-1",  # a panic reboots at once; the console has been recorded by then
    f"loglevel={_HEARD}",
    "kho=on",
    # The default is twice what is reserved at boot, and a crash kernel's place counts as that.
    "kho_scratch=16M,64M,256M",
    "liveupdate=on",
    "retain_initrd",  # kexec loads the same initrd again, from /sys/firmware/initrd
    "crashkernel=256M",
    "ip=10.0.2.15::10.0.2.2:255.255.255.0:l1:eth0:off",
)

_L2_COMMON = ("panic=-1", "loglevel=4", "rdinit=/init")


def host_cmdline(arch: Arch, *, nonce: str, extra: tuple[str, ...] = ()) -> str:
    """Compose the command line of an L1.

    Args:
        arch: Its architecture.
        nonce: The value of `lab.nonce=`, which tells this boot from any other.
        extra: More words, which come last and so win over the lab's own.

    Returns:
        The words, joined by blanks.

    Source: Documentation/admin-guide/kernel-parameters.txt; Documentation/admin-guide/mm/kho.rst
        for `kho=` and `kho_scratch=`.
    """
    words = (
        f"console={arch.traits.console}",
        *_L1_COMMON,
        *arch.traits.host_words,
        f"lab.nonce={nonce}",
    )
    return " ".join((*words, *extra, *_audible(extra)))


def _audible(extra: tuple[str, ...]) -> tuple[str, ...]:
    """Return what undoes the words that would hide a complaint of the kernel from its console."""
    levels = (_level(word) for text in extra for word in text.split())
    return (f"loglevel={_HEARD}",) if any(level < _HEARD for level in levels) else ()


def _level(word: str) -> int:
    if word == "quiet":
        return 4
    key, _, level = word.partition("=")
    try:
        return int(level, 0) if key == "loglevel" else _HEARD
    except ValueError:  # the kernel does not take it either
        return _HEARD


def guest_cmdline(
    arch: Arch,
    kind: GuestKind,
    *,
    canary: bytes,
    key: bytes,
    vcpus: int,
    extra: tuple[str, ...] = (),
) -> str:
    """Compose the command line of an L2: the secrets of its beacon, and what its kind needs.

    Args:
        arch: Its architecture.
        kind: Linux, whose vCPUs the VMM tells; or a bare payload, which is told on this line.
        canary: 16 bytes by which its pages are found in L1's memory.
        key: 16 bytes that its beats are signed with.
        vcpus: How many it has.
        extra: More words, which come last.

    Returns:
        The words, joined by blanks.
    """
    beacon = f"beacon={canary.hex()}:{key.hex()}"
    if kind is GuestKind.LINUX:
        words = (f"console={arch.traits.console}", *_L2_COMMON, *arch.traits.guest_words, beacon)
    else:
        words = (beacon, f"vcpus={vcpus}")
    return " ".join((*words, *extra))

# SPDX-License-Identifier: Apache-2.0
"""Loading and entering another kernel in L1. Loading may be refused; the jump is done once."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from lab.build.kernel import KernelImage
from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.host.host import INITRD_IN_L1, RunningHost, ready_line

_OTHER = "/run/lab/other-kernel"
_LOG = "/run/lab/kexec.log"
_SPEAKS = r"Linux version \d"
_DELAY_S = 0.2  # so that the reply to the command still gets out

# A crash kernel lives in 256 MiB on one CPU, and must not reserve for another crash.
_CRASH_WORDS = ("maxcpus=1", "irqpoll", "reset_devices", "crashkernel=0")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A kernel that is loaded and was not entered yet.

    Attributes:
        nonce: The word on its command line by which its boot will be known.
    """

    nonce: str


@dataclass(frozen=True, slots=True)
class Jumped:
    """How long a kexec took.

    Attributes:
        kexec_s: Seconds from `kexec -e` to the next kernel's first line on the console.
        boot_s: Seconds from there to an open session.
    """

    kexec_s: float
    boot_s: float


def load(
    host: RunningHost,
    *,
    how: KexecLoad,
    by: Deadline,
    extra: tuple[str, ...] = (),
    other: KernelImage | None = None,
) -> Loaded:
    """Load a kernel and the host's own initrd, under a new nonce.

    Args:
        host: The L1.
        how: kexec_file_load() or kexec_load().
        by: When to give up.
        extra: More words for its command line, which come last.
        other: The kernel; None for the host's own.

    Returns:
        The kernel that is loaded.

    Raises:
        InfraError: The host's kernel refused; the message has kexec's reason.
    """
    nonce = secrets.token_hex(8)
    kernel = _own(host)
    if other:
        kernel = _OTHER
        host.session.put(other.image, kernel, by=by)
    how_said = ["-s" if how is KexecLoad.FILE_LOAD else "-c", "-l"]
    _load(host, kernel, how_said, host.cmdline(nonce=nonce, extra=extra), by)
    return Loaded(nonce)


def load_crash(host: RunningHost, *, by: Deadline) -> Loaded:
    """Load the host's own kernel as the one to enter after a panic, by kexec_file_load().

    Args:
        host: The L1; its command line reserved 256 MiB for this.
        by: When to give up.

    Returns:
        The kernel that is loaded; on one CPU, without a crash kernel of its own.

    Raises:
        InfraError: The host's kernel refused; the message has kexec's reason.

    Source: Documentation/admin-guide/kdump/kdump.rst.
    """
    nonce = secrets.token_hex(8)
    _load(host, _own(host), ["-s", "-p"], host.cmdline(nonce=nonce, extra=_CRASH_WORDS), by)
    return Loaded(nonce)


def jump(host: RunningHost, loaded: Loaded, by: Deadline) -> Jumped:
    """Enter the loaded kernel, once, and return when it answers over SSH.

    The host is tainted from then on.

    Args:
        host: The L1.
        loaded: What `load` loaded.
        by: When to give up.

    Returns:
        How long it took.

    Raises:
        HostDiedError: The old or the next kernel panicked, or the machine went away.
        DeadlineError: The next kernel did not answer in time.
    """
    mark = host.console.mark()
    host.taint("another kernel was entered by kexec")
    ordered = time.monotonic()
    host.session.spawn(["sh", "-c", f"sleep {_DELAY_S}; exec kexec -e"], _LOG, by=by)
    ready = ready_line(loaded.nonce).pattern
    host.console.wait_for(f"{_SPEAKS}|{ready}", by, since=mark)
    spoke = time.monotonic()
    host.console.wait_for(ready, by, since=mark)
    host.nonce = loaded.nonce
    host.reconnect(by)
    return Jumped(spoke - ordered - _DELAY_S, time.monotonic() - spoke)


def panic(host: RunningHost, loaded: Loaded, by: Deadline) -> None:
    """Crash the host's kernel by sysrq, once, and return when its crash kernel answers over SSH.

    The host is tainted from then on.

    Args:
        host: The L1.
        loaded: What `load_crash` loaded.
        by: When to give up.

    Raises:
        DeadlineError: The crash kernel did not answer in time.

    Source: Documentation/admin-guide/sysrq.rst, key 'c'.
    """
    mark = host.console.mark()
    host.taint("its kernel was made to panic")
    crash = f"sleep {_DELAY_S}; echo c >/proc/sysrq-trigger"
    host.session.spawn(["sh", "-c", crash], _LOG, by=by)
    host.console.wait_for(ready_line(loaded.nonce), by, since=mark, dying=True)
    host.console.forgive()
    host.nonce = loaded.nonce
    host.reconnect(by)


def _own(host: RunningHost) -> str:
    return f"/lab/{host.blueprint.request.arch.traits.image_name}"


def _load(host: RunningHost, kernel: str, how: list[str], cmdline: str, by: Deadline) -> None:
    host.session.check(
        ["kexec", *how, kernel, f"--initrd={INITRD_IN_L1}", f"--command-line={cmdline}"], by=by
    )

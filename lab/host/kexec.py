# SPDX-License-Identifier: Apache-2.0
"""Loading and entering another kernel in L1. Loading may be refused; the jump is done once.

The next kernel boots with the initrd of the one that runs, which has the run's secrets in it. Where
the two load different modules, an archive with the next one's goes behind it: it has the last word.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from lab.build import initrd
from lab.build.kernel import KernelImage
from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.host.host import INITRD_IN_L1, RunningHost, ready_line

_OTHER = "/run/lab/other-kernel"
_INITRD = "/run/lab/initrd"
_MODULES = "/run/lab/modules.cpio.gz"
_BOTH = "/run/lab/initrd-with-modules"
_SHOWS_INITRD = (6, 12)  # the first long-term kernel that has /sys/firmware/initrd
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
        kernel: What was loaded.
        how: By which system call: not the wanted one, if the kernel that runs has only the other.
    """

    nonce: str
    kernel: KernelImage
    how: KexecLoad


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
    """Load a kernel, an initrd with its modules and the run's secrets, under a new nonce.

    Args:
        host: The L1.
        how: kexec_file_load() or kexec_load(); without CONFIG_KEXEC_FILE it is the latter.
        by: When to give up.
        extra: More words for its command line, which come last.
        other: The kernel; None for the host's own.

    Returns:
        The kernel that is loaded.

    Raises:
        InfraError: The host's kernel refused; the message has kexec's reason.
    """
    loaded = _waiting(host, other, how)
    file = _own(host)
    if other:
        file = _OTHER
        host.session.put(other.image, file, by=by)
    _load(host, loaded, ["-l", file], by, extra=extra)
    return loaded


def load_crash(host: RunningHost, *, by: Deadline) -> Loaded:
    """Load the host's own kernel as the one to enter after a panic.

    It is loaded by kexec_file_load(), or by kexec_load() if the host's kernel has only that.

    Args:
        host: The L1; its command line reserved 256 MiB for this.
        by: When to give up.

    Returns:
        The kernel that is loaded; on one CPU, without a crash kernel of its own.

    Raises:
        InfraError: The host's kernel refused; the message has kexec's reason.

    Source: Documentation/admin-guide/kdump/kdump.rst.
    """
    loaded = _waiting(host, None, KexecLoad.FILE_LOAD)
    _load(host, loaded, ["-p", _own(host)], by, extra=_CRASH_WORDS)
    return loaded


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
    host.nonce, host.runs = loaded.nonce, loaded.kernel
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
    host.nonce, host.runs = loaded.nonce, loaded.kernel
    host.reconnect(by)


def _own(host: RunningHost) -> str:
    return f"/lab/{host.blueprint.request.arch.traits.image_name}"


def _waiting(host: RunningHost, other: KernelImage | None, how: KexecLoad) -> Loaded:
    """Return what is going to be loaded: without CONFIG_KEXEC_FILE, by kexec_load()."""
    if host.runs.lacks("KEXEC_FILE"):
        how = KexecLoad.LOAD
    return Loaded(secrets.token_hex(8), other or host.blueprint.kernel, how)


def _load(
    host: RunningHost, loaded: Loaded, what: list[str], by: Deadline, *, extra: tuple[str, ...]
) -> None:
    how = "-s" if loaded.how is KexecLoad.FILE_LOAD else "-c"
    with_initrd = f"--initrd={_initrd_for(host, loaded.kernel, by)}"
    cmdline = host.cmdline(nonce=loaded.nonce, extra=extra)
    host.session.check(["kexec", how, *what, with_initrd, f"--command-line={cmdline}"], by=by)


def _initrd_for(host: RunningHost, kernel: KernelImage, by: Deadline) -> str:
    """Return the path in L1 of an initrd with the run's secrets and the kernel's modules."""
    there, of = INITRD_IN_L1, host.runs
    if (0, 0) < host.runs.version < _SHOWS_INITRD:
        there, of = _INITRD, host.blueprint.kernel
        host.session.put(host.blueprint.folder / "initrd", there, 0o600, by=by)
    if kernel.modules == of.modules:
        return there
    host.session.put(initrd.modules_of(kernel), _MODULES, by=by)
    host.session.check(["sh", "-c", f"umask 077; cat {there} {_MODULES} >{_BOTH}"], by=by)
    return _BOTH

# SPDX-License-Identifier: Apache-2.0
"""Looks at this machine for `lab doctor` and `lab up`; lab.doctor.findings has what it means."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.arch import native
from lab.build.cache import Cache, standard
from lab.child_env import child_env
from lab.config.model import Accel, Arch, Errata, HostMode, LabConfig
from lab.doctor import findings
from lab.doctor.findings import PROGRAMS, Finding, KvmSeen, Level, Program
from lab.errors import InfraError, LabError
from lab.host.mode_cache import last
from lab.resources.admission import Machine
from lab.resources.ledger import state_dir
from lab.resources.run_folders import must_be_readable
from lab.standing.inventory import surveyed
from lab.virt import errata
from lab.virt.connection import connect, uri_for
from lab.virt.daemons import SYSTEM, may_start
from lab.virt.probe import last_words, remembered_choice

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_QEMU_S = 30
_MIB = 1 << 20
_KVM = Path("/dev/kvm")


def examine(lab: LabConfig) -> tuple[Finding, ...]:
    """Examine everything that the lab needs.

    Args:
        lab: The lab, with its state folder, libvirt and sizes.

    Returns:
        A finding for each subject; what is broken is a finding, and no error.
    """
    uri = uri_for(lab.libvirt.uris[0])
    refusal = _refusal(uri)
    return (
        *quick(lab),
        findings.libvirt(uri, refusal, _why_not_startable(uri) if refusal else ""),
        findings.kvm(_kvm(state_dir(lab.state))),
        _errata(lab.libvirt.errata),
        findings.swallowed(last(state_dir(lab.state), Arch.X86_64, HostMode.SWALLOWED)),
        _readable(lab, uri, refusal),
        _leftovers(lab),
    )


def quick(lab: LabConfig) -> tuple[Finding, ...]:
    """Examine what can be seen in an instant: programs, space, memory, this process's umask.

    Args:
        lab: The lab, with its folders and sizes.

    Returns:
        A finding for each subject.
    """
    return (
        findings.debian(_os_release()),
        *(findings.qemu(arch, _banner(arch)) for arch in Arch),
        *findings.programs(_missing(PROGRAMS)),
        _disk(lab),
        findings.memory(Machine.here().memory_mib + 1024, _free_mib(), lab.host.memory_mib),
        findings.umask(_umask(), root=os.geteuid() == 0),
    )


def insist(lab: LabConfig) -> None:
    """Require that the lab can work, before anything is built.

    Args:
        lab: The lab.

    Raises:
        InfraError: Something is broken; the message has its cause, the hint what to type.
    """
    broken = [f for f in quick(lab) if f.level is Level.BROKEN]
    if broken:
        first, others = broken[0], len(broken) - 1
        more = f" (and {others} more: type lab doctor)" if others else ""
        message = f"{first.subject}: {first.cause}, and {first.consequence}{more}"
        raise InfraError(message, hint=first.remedy or None)


def _os_release() -> dict[str, str]:
    try:
        return findings.os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    except OSError:
        return {}


def _banner(arch: Arch) -> str | None:
    found = shutil.which(arch.traits.emulator, path=_PATH)
    if found is None:
        return None
    done = subprocess.run(
        [found, "--version"],
        env=child_env(),
        capture_output=True,
        text=True,
        timeout=_QEMU_S,
        check=False,
    )
    return (done.stdout or done.stderr).partition("\n")[0]


def _missing(wanted: Iterable[Program]) -> list[Program]:
    return [program for program in wanted if shutil.which(program.name, path=_PATH) is None]


def _disk(lab: LabConfig) -> Finding:
    try:
        cache = standard(lab.cache)
    except LabError as e:
        return findings.wrong("cache", *_said(e), "QEMU could not read what is built")
    free = shutil.disk_usage(_nearest(cache.root)).free // _MIB
    return findings.disk(str(cache.root), free, built=_built(cache))


def _built(cache: Cache) -> bool:
    return all(
        any((cache.root / kind).glob("[!.]*/manifest.json")) for kind in ("kernel", "rootfs")
    )


def _nearest(path: Path) -> Path:
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _free_mib() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) // 1024
    return 0


def _umask() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "Umask":
            return int(value, 8)
    return 0


def _refusal(uri: str) -> str:
    try:
        with connect(uri):
            return ""
    except InfraError as e:
        return str(e).partition("\n")[0]


def _why_not_startable(uri: str) -> str:
    if uri != SYSTEM:
        return "it is not the lab's to start"
    try:
        may_start()
    except InfraError as e:
        return Exception.__str__(e)
    return ""


def _kvm(state: Path) -> KvmSeen:
    if not _KVM.exists() or not stat.S_ISCHR(_KVM.stat().st_mode):
        return KvmSeen(there=False)
    try:
        os.close(os.open(_KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as e:
        return KvmSeen(there=True, opens=e.strerror or str(e))
    choice = remembered_choice(state, Arch.X86_64)
    nests = [p.read_text().strip() for p in Path("/sys/module").glob("kvm_*/parameters/nested")]
    return KvmSeen(
        there=True,
        runs=_why_no_guest(),
        nests=nests[0] if nests else "",
        remembered=choice.accel if choice else None,
        reason=choice.reason if choice else "",
    )


def _why_no_guest() -> str:
    """Have QEMU make a machine on KVM and let it begin: that is where broken KVMs end."""
    here = native()
    program = shutil.which(here.emulator, path=_PATH)
    if program is None:
        return "there is no QEMU to try it with"
    command = [
        program, "-accel", Accel.KVM.value, "-machine", here.machine, "-cpu", "host", "-m", "64",
        "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "stdio",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            env=child_env(),
            input="info status\nquit\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QEMU_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"QEMU did not come up on it in {_QEMU_S} s"
    if done.returncode == 0:
        return ""
    return f"QEMU ended with status {done.returncode}: {last_words(done.stderr)}"


def _errata(fixes: Errata) -> Finding:
    if fixes is Errata.LEAVE:
        return findings.errata_left()
    program = shutil.which(Arch.X86_64.traits.emulator, path=_PATH)
    if program is None:
        return findings.errata("there is no QEMU to look at")
    try:
        errata.changes_for(Path(program))
    except (errata.NotCuredError, OSError) as e:
        return findings.errata(str(e))
    return findings.errata("")


def _readable(lab: LabConfig, uri: str, refusal: str) -> Finding:
    """Check whether QEMU's user can read the cache and enter the state folder."""
    subject = "QEMU's access"
    if refusal:
        return findings.fine(subject, "not looked at: libvirt says whom QEMU runs as")
    try:
        with connect(uri) as connection:
            user = connection.qemu_user()
        if user is None:
            return findings.fine(subject, "QEMU runs as you")
        places = (standard(lab.cache).root, state_dir(lab.state))
        must_be_readable([path for path in places if path.exists()], user)
    except LabError as e:
        return findings.wrong(subject, *_said(e), "no host can be started")
    where = " and ".join(str(path) for path in places)
    return findings.fine(subject, f"QEMU runs as user {user.uid}, who can enter {where}")


def _leftovers(lab: LabConfig) -> Finding:
    try:
        with surveyed(lab) as found:
            return findings.leftovers(found.leftovers)
    except LabError as e:
        return findings.wrong("leftovers", *_said(e), "what was left behind cannot be told")


def _said(error: LabError) -> tuple[str, str | None]:
    return Exception.__str__(error), error.hint

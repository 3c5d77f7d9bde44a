# SPDX-License-Identifier: Apache-2.0
"""The libvirt daemons on a machine without a service manager: a container or a CI box.

Only daemons that the lab started are ever stopped, identified by pid and start time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import libvirt

from lab.child_env import child_env
from lab.deadline import Deadline, until
from lab.errors import DeadlineError, InfraError, LabError
from lab.events import Sink, Step, nowhere
from lab.resources.ledger import Ledger, flocked, owned, owner_of
from lab.resources.owner import Owner
from lab.virt.kvm_node import share_with_qemu

SYSTEM = "qemu:///system"

_RUN = Path("/run/libvirt")
_SOCKETS = (_RUN / "libvirt-sock", _RUN / "virtqemud-sock")
_LOG_SOCKET = _RUN / "virtlogd-sock"
_NO_ROLL_OVER = "max_size = 0\n"  # a console is one file, from power-on

# Locked for as long as this process lives, so that no other stops the daemons it uses.
_in_use = contextlib.ExitStack()


def ensure_daemons(uri: str, state: Path, sink: Sink = nowhere) -> None:
    """Start this machine's system libvirt if it does not answer.

    Where a service manager runs, starting it is the user's business, and the message says how.
    Any other URI is left alone: libvirt starts session daemons itself, and others are remote.

    Args:
        uri: The libvirt that a command needs.
        state: The state folder.
        sink: Receives the steps.

    Raises:
        InfraError: None answers, and none could be started; the message says what to type.
    """
    if uri != SYSTEM:
        return
    with flocked(state / "daemons.flock", "another lab's start of libvirtd", Deadline.after(90)):
        if not any(_answers(s) for s in _SOCKETS):
            may_start()
            _start_both(state, sink)
        if _started_here(state):
            _in_use.close()
            users = flocked(state / "daemons.users", "users", Deadline.after(5), shared=True)
            _in_use.enter_context(users)


def stop_what_we_started(state: Path, sink: Sink = nowhere) -> None:
    """Stop the daemons that lab commands on this machine started, and no others.

    They stay, with an event that says so, while other lab processes use them or machines run.

    Args:
        state: The state folder.
        sink: Receives the steps.
    """
    _in_use.close()
    with flocked(state / "daemons.flock", "another lab's start of libvirtd", Deadline.after(90)):
        ours = _started_here(state)
        if not ours:
            return
        try:
            with flocked(state / "daemons.users", "users", Deadline.after(0)):
                _stop(ours, state, sink)
        except DeadlineError:
            sink(Step(what="libvirtd stays: another lab process uses it"))


def _stop(ours: list[tuple[str, Owner]], state: Path, sink: Sink) -> None:
    running = _running_machines()
    if running:
        sink(Step(what=f"libvirtd stays: it runs {', '.join(running)}"))
        return
    for name, process in reversed(ours):
        sink(Step(what=f"stopping {name}, pid {process.pid}, which the lab started"))
        process.signal(signal.SIGTERM)
        until(
            f"the end of {name}, pid {process.pid}",
            lambda p=process: None if p.alive else True,  # type: ignore[misc]
            Deadline.after(30),
        )
    with Ledger(state / "daemons.json").opened() as entries:
        entries.clear()


def _running_machines() -> list[str]:
    try:
        connection = libvirt.openReadOnly(SYSTEM)
    except libvirt.libvirtError:
        return []
    with contextlib.closing(connection):
        active = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        return sorted(domain.name() for domain in active)


def _started_here(state: Path) -> list[tuple[str, Owner]]:
    for begun in sorted(state.glob("*.starting")):
        _adopt(begun, state)
    with Ledger(state / "daemons.json").opened() as entries:
        return [(str(e["name"]), owner_of(e)) for e in entries]


def _adopt(begun: Path, state: Path) -> None:
    """Enter a daemon into the ledger that a lab started just before it was killed."""
    process = _started_by(begun)
    if process is not None:
        with Ledger(state / "daemons.json").opened() as entries:
            if all(owner_of(e) != process for e in entries):
                entries.append(owned(process, name=begun.stem))
    begun.unlink()


def _started_by(begun: Path) -> Owner | None:
    try:
        command = json.loads(begun.read_text(encoding="utf-8"))
        pid_file = command[command.index("--pid-file") + 1]
        process = Owner.of(int(Path(pid_file).read_text(encoding="ascii")))
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return process if line.split(b"\0")[:-1] == [os.fsencode(word) for word in command] else None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        try:
            s.connect(str(path))
        except OSError:
            return False
        return True


def may_start() -> None:
    """Check whether the lab could start the system's libvirt itself; nothing is started.

    Raises:
        InfraError: It could not, or a service manager does; the hint is what to type.
    """
    if Path("/run/systemd/system").exists():
        raise InfraError(
            f"no libvirt daemon answers on this machine ({_SOCKETS[0]})",
            hint="start it with 'systemctl start libvirtd' (or 'virtqemud.socket'), then again",
        )
    if os.geteuid() != 0:
        raise InfraError(
            f"no libvirt daemon answers at {SYSTEM}, and only root could start one",
            hint="use 'qemu:///session' in lab.toml: it needs no root",
        )
    missing = [name for name in ("virtlogd", "libvirtd", "passt") if shutil.which(name) is None]
    if missing:
        raise InfraError(
            f"no libvirt daemon answers at {SYSTEM}, and {missing[0]} is not installed",
            hint="apt install libvirt-daemon-system qemu-system-x86 passt",
        )
    if _RUN.exists() and stat.S_IMODE(_RUN.stat().st_mode) & 0o555 != 0o555:  # noqa: PLR2004
        raise InfraError(
            f"{_RUN} has mode {stat.S_IMODE(_RUN.stat().st_mode):04o}, so passt could not enter it",
            hint=f"chmod 755 {_RUN}",
        )


def _start_both(state: Path, sink: Sink) -> None:
    sink(Step(what="no libvirt daemon runs here, and no service manager: starting our own"))
    share_with_qemu(Path("/dev/kvm"), sink)
    config = state / "virtlogd.conf"
    config.write_text(_NO_ROLL_OVER, encoding="utf-8")
    if not _answers(_LOG_SOCKET):
        _start("virtlogd", ["--config", str(config)], (_LOG_SOCKET,), state, sink)
    _start("libvirtd", [], _SOCKETS, state, sink)
    sink(Step(what="the first connection makes libvirtd try every QEMU binary: up to 12 s"))


def _start(
    name: str, options: list[str], sockets: tuple[Path, ...], state: Path, sink: Sink
) -> None:
    pid_file = Path(f"/run/{name}.pid")  # the usual place: it is locked, so none starts beside it
    log = state / f"{name}.log"
    command = [name, "--daemon", "--pid-file", str(pid_file), *options]
    # Should this process be killed before the ledger has it, the next one knows it by this.
    begun = state / f"{name}.starting"
    begun.write_text(json.dumps(command), encoding="utf-8")
    _daemonized(name, command, log)
    process = Owner.of(int(pid_file.read_text(encoding="ascii")))
    with Ledger(state / "daemons.json").opened() as entries:
        entries.append(owned(process, name=name))
    begun.unlink()
    sink(Step(what=f"started {name}, pid {process.pid}"))
    try:
        until(
            f"the socket of {name}",
            lambda: True if any(_answers(s) for s in sockets) else None,
            Deadline.after(30),
        )
    except LabError as e:
        e.add_note(f"its log is {log}")
        raise


def _daemonized(name: str, command: list[str], log: Path) -> None:
    with log.open("ab") as out:
        # Its return says that it is ready; it is no child to wait for, and outlives this process.
        done = subprocess.run(
            command,
            env=child_env(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            umask=0o022,
            start_new_session=True,
            timeout=60,
            check=False,
        )
    if done.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        why = last[0] if last else f"status {done.returncode}"
        raise InfraError(f"could not start {name}: {why}", hint=f"look at {log}")

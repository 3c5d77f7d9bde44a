# SPDX-License-Identifier: Apache-2.0
"""One machine of libvirt: its memory seen from outside, its power, its life cycle."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from lab.errors import InfraError
from lab.virt.cpus import Cpu, cpus_in
from lab.virt.happenings import Happenings
from lab.virt.lifecycle import state_word
from lab.virt.process import qemu_of

_CHUNK_BYTES = 1 << 20  # libvirt's protocol takes 4 MiB now, but took 1 MiB for long
_PEEK_MAX_BYTES = 4 << 20

# Within which libvirt tells of a stop that QEMU has made. Longer than L0 stalls: who is later than
# that is taken for another client.
_TOLD_S = 30.0

_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID})


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn libvirt's errors in the block into InfraError: "could not destroy l1-a: ...".

    Args:
        what: What the block does, as an infinitive without "to".

    Raises:
        InfraError: libvirt refused.
    """
    try:
        yield
    except libvirt.libvirtError as e:
        raise InfraError(f"could not {what}: {e}", hint=too_long(str(e))) from e


def too_long(error: str) -> str | None:
    """Return what to type where a socket's path does not fit into the 107 bytes that there are.

    Args:
        error: What libvirt said. Its own sockets are below XDG_RUNTIME_DIR, those to QEMU below
            XDG_CONFIG_HOME, or else the home; the libvirt of root has them in /run and /var/lib.

    Returns:
        The hint; None for another error.
    """
    if not re.search(r"path\b.* too (long|big)", error, re.IGNORECASE | re.DOTALL):
        return None
    return (
        "a socket's path has at most 107 bytes: set XDG_RUNTIME_DIR (of libvirt) or "
        "XDG_CONFIG_HOME (of QEMU) to a shorter folder of your own, as /run/user/UID or /tmp/UID"
    )


class Domain:
    """A machine that exists; `role` is its name in the topology, `name` in libvirt.

    Args:
        raw: libvirt's own handle.
        role: Its name in the topology.
    """

    def __init__(self, raw: libvirt.virDomain, role: str) -> None:
        self.raw = raw
        self.role = role
        self.name: str = raw.name()
        self.errata = ""  # what became of QEMU's, see lab.virt.errata; empty: it has none
        self._listeners: list[Callable[[str], None]] = []
        self._ended: str | None = None
        self._lock = Lock()
        self.happenings = Happenings()

    @property
    def process(self) -> Path | None:
        """Its QEMU's folder in /proc; None if that is not a process of this machine."""
        return qemu_of(self.name)

    def peek(self, phys: int, size: int) -> bytes:
        """Read its physical memory, without its help or knowledge.

        Where it has no memory, QEMU reads zeros without an error.

        Args:
            phys: The physical address.
            size: Bytes, 1 to 4 MiB.

        Returns:
            `size` bytes.

        Raises:
            InfraError: The machine is off.
            ValueError: `size` is out of range.
        """
        if not 0 < size <= _PEEK_MAX_BYTES:
            raise ValueError(f"can peek at 1 byte to {_PEEK_MAX_BYTES} bytes, not {size}")
        chunks = []
        with doing(f"peek at {size} bytes at {phys:#x} of {self.name}"):
            for offset in range(0, size, _CHUNK_BYTES):
                length = min(_CHUNK_BYTES, size - offset)
                flag = libvirt.VIR_MEMORY_PHYSICAL
                chunks.append(self.raw.memoryPeek(phys + offset, length, flag))
        return b"".join(chunks)

    def state(self) -> str:
        """Return its state in a word.

        Returns:
            running, paused, off, crashed and so on; gone if libvirt has forgotten it.

        Raises:
            InfraError: libvirt did not answer.
        """
        try:
            return state_word(self.raw.state()[0])
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return "gone"
            raise InfraError(f"could not ask for the state of {self.name}: {e}") from e

    def destroy(self) -> None:
        """Switch it off hard and make libvirt forget it; if that is so already, do nothing."""
        with doing(f"destroy {self.name}"), _unless_gone(), self.happenings.announced("stopped"):
            self.raw.destroy()
        with doing(f"undefine {self.name}"), _unless_gone():
            self.raw.undefine()  # direct kernel boot: no NVRAM, no managed save

    def reset(self) -> None:
        """Press its reset button: memory stays, CPUs begin again."""
        with doing(f"reset {self.name}"), self.happenings.announced("reset"):
            self.raw.reset()

    def pause(self) -> None:
        """Stop all of its CPUs, so that it sees no time pass."""
        with doing(f"pause {self.name}"), self.happenings.announced("paused"):
            self.raw.suspend()

    def resume(self) -> None:
        """Resume its CPUs."""
        with doing(f"resume {self.name}"), self.happenings.announced("resumed"):
            self.raw.resume()

    def xml(self) -> str:
        """Return its definition as libvirt completed it, for the evidence folder.

        Returns:
            Domain XML.
        """
        with doing(f"read the definition of {self.name}"):
            return str(self.raw.XMLDesc())

    def qmp(self, execute: str, **arguments: object) -> Any:
        """Send one QMP command to QEMU.

        Args:
            execute: The command.
            arguments: Its arguments.

        Returns:
            The command's return value.

        Raises:
            InfraError: QEMU refused.
        """
        return self._send(execute, arguments)

    def _send(self, execute: str, arguments: dict[str, object], files: Sequence[int] = ()) -> Any:
        command = json.dumps({"execute": execute, "arguments": arguments})
        with doing(f"ask QEMU of {self.name} for '{execute}'"):
            if files:
                reply, _ = libvirt_qemu.qemuMonitorCommandWithFiles(self.raw, command, list(files))
            else:
                reply = libvirt_qemu.qemuMonitorCommand(self.raw, command, 0)
        answer = json.loads(reply)
        if "error" in answer:
            raise InfraError(
                f"could not ask QEMU of {self.name} for '{execute}': {answer['error']['desc']}"
            )
        return answer["return"]

    def monitor(self, command: str) -> str:
        """Send a command to QEMU's human monitor: for what QMP does not offer.

        Args:
            command: The command line.

        Returns:
            What it prints.
        """
        return str(self.qmp("human-monitor-command", **{"command-line": command}))

    def cpus(self) -> tuple[Cpu, ...]:
        """Read QEMU's own state of each CPU under TCG; the machine is stopped for about 1 ms.

        Returns:
            The CPUs by index.

        Raises:
            InfraError: libvirt is not on this machine, or QEMU is of an unknown version.
        """
        return cpus_in(self._device_state())

    def _device_state(self) -> bytes:
        """Return what QEMU would migrate of it but its memory; no file has it."""
        memfd = os.memfd_create("state")
        with os.fdopen(memfd, "rb") as file:
            # Opened again: QEMU takes a descriptor only if it can write and not read.
            write = os.open(f"/proc/self/fd/{memfd}", os.O_WRONLY)
            try:
                fdset = self._send("add-fd", {}, [write])["fdset-id"]
            finally:
                os.close(write)
            try:  # in spite of its name it has nothing to do with Xen
                with self.happenings.announced("paused", "resumed", told_within_s=_TOLD_S):
                    self.qmp("xen-save-devices-state", filename=f"/dev/fdset/{fdset}", live=True)
            finally:
                self.qmp("remove-fd", **{"fdset-id": fdset})
            return file.read()

    def evidence(self) -> dict[str, str]:
        """Return which QEMU runs it, and on what, for the run record.

        Returns:
            "qemu", "qemu package", "accelerator" and "cpu".
        """
        number = self.qmp("query-version")
        cpu = self.qmp("query-cpus-fast")[0]["qom-path"]
        q = number["qemu"]
        return {
            "qemu": f"{q['major']}.{q['minor']}.{q['micro']}",
            "qemu package": str(number["package"]),
            "accelerator": "kvm" if self.qmp("query-kvm")["enabled"] else "tcg",
            "cpu": str(self.qmp("qom-get", path=cpu, property="type")),
        }

    def on_lifecycle(self, listener: Callable[[str], None]) -> None:
        """Have a listener called on each change of its life cycle.

        Args:
            listener: Called on libvirt's thread with a text such as "stopped: powered off".
        """
        with self._lock:
            self._listeners.append(listener)

    @property
    def ended(self) -> str | None:
        """What ended the machine, in libvirt's words; None while it is there."""
        return self._ended

    def happened(self, what: str) -> None:
        """Note a change that libvirt reported, and tell the listeners.

        Args:
            what: Such as "stopped: powered off".
        """
        word = what.partition(":")[0]
        self.happenings.note(what)
        with self._lock:
            if word in {"stopped", "crashed"}:
                self._ended = what
            elif word == "started":
                self._ended = None
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(what)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as e:
        if e.get_error_code() not in _GONE:
            raise

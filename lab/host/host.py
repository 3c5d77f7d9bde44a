# SPDX-License-Identifier: Apache-2.0
"""An L1 that runs: its console, its session, who it is; and how it is booted."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.build import seed
from lab.caretaker.swallow_proof import require_caretaker
from lab.config.model import Patience
from lab.deadline import Deadline
from lab.errors import HostDiedError, InfraError
from lab.events import Sink, Step
from lab.host.blueprint import Blueprint, domain_spec
from lab.host.cmdline import host_cmdline
from lab.host.commands import identity_of, require_kvm
from lab.host.mode_cache import note
from lab.host.modes import require_mode
from lab.observe.identity import HostIdentity
from lab.resources.ports import reserved_port
from lab.resources.run_folders import let_qemu_read
from lab.signals import whole
from lab.ssh.keys import KeyPair, new_key
from lab.ssh.session import Session
from lab.verdict.problem import Problem, ProblemKind
from lab.virt.connection import Connection
from lab.virt.console import Console
from lab.virt.domain import Domain

INITRD_IN_L1 = "/sys/firmware/initrd"


@dataclass(frozen=True, slots=True)
class Entry:
    """The way into a host over SSH; the file with the key is readable by its owner only.

    Attributes:
        port: The port of 127.0.0.1 that leads to its sshd.
        host_key_line: The one host key that it may show, "<type> <base64>".
        private_pem: The key that opens it, in OpenSSH's form.
    """

    port: int
    host_key_line: str
    private_pem: str = field(repr=False)

    def open(self, peer: str, by: Deadline) -> Session:
        """Connect, pinned to this very host key.

        Args:
            peer: The host's name, for messages.
            by: When to give up.

        Returns:
            The session.

        Raises:
            DeadlineError: No sshd answered.
            InfraError: It showed another host key, or refused the private one.
        """
        return Session.open(peer, "127.0.0.1", self.port, self.host_key_line, self.private_pem, by)


class RunningHost:
    """An L1 that was seen to be up, with KVM that was seen to work.

    Args:
        blueprint: What it was made from.
        domain: Its machine.
        console: Its console, from power-on.
        entry: The way into it.
        nonce: The word that its command line has to have.

    Attributes:
        session: The open session; `reconnect` replaces it.
        opened_at: When the session was first open, on L0's monotonic clock.
        identity: The kernel that it runs, as read when the session was opened.
        boots: The same of each boot that was seen, this one last.
        tainted: Why no other cell may use it; None as long as one may.
        answered_s: Seconds from its definition to an open session.
        mode_proof: What was seen of its mode, from inside and from L0.

    Raises:
        InfraError: Its sshd does not answer, or its identity cannot be read.
    """

    def __init__(
        self, blueprint: Blueprint, domain: Domain, console: Console, entry: Entry, nonce: str
    ) -> None:
        self.blueprint = blueprint
        self.domain = domain
        self.console = console
        self.entry = entry
        self.nonce = nonce
        self.runs = blueprint.kernel  # another one after a kexec into it
        self.session = entry.open(blueprint.role, Deadline.after(blueprint.patience.ssh))
        self.opened_at = time.monotonic()
        self.identity: HostIdentity = identity_of(self.session)
        self.boots: list[HostIdentity] = [self.identity]
        self.tainted: Problem | None = None
        self.answered_s = 0.0
        self.mode_proof = ""

    @property
    def role(self) -> str:
        """What the topology calls it."""
        return self.blueprint.role

    @property
    def patience(self) -> Patience:
        """How long each kind of wait may take here."""
        return self.blueprint.patience

    @property
    def seen_at_boot(self) -> dict[str, str]:
        """What was seen when it came up, for records: its mode, and what was done to its QEMU."""
        seen = {"mode": self.mode_proof, "emulator": self.domain.errata}
        return {name: said for name, said in seen.items() if said}

    def taint(self, why: str) -> None:
        """Have no other cell use this host; the first reason stays.

        Args:
            why: What was done to it, or is wrong with it.
        """
        self.tainted = self.tainted or Problem(ProblemKind.HOST, why)

    def by_guest(self) -> Deadline:
        """Return the deadline for something that a guest does: `patience.guest` from now.

        Returns:
            The deadline.
        """
        return Deadline.after(self.patience.guest)

    def reconnect(self, by: Deadline) -> None:
        """Open a new session, after the host entered another kernel or its sshd was started anew.

        Args:
            by: When to give up.

        Raises:
            InfraError: Its sshd does not answer, or its identity cannot be read.
        """
        self.session.close()
        self.session = self.entry.open(self.role, by)
        self.identity = identity_of(self.session)
        if self.identity.boot_id != self.boots[-1].boot_id:
            self.boots.append(self.identity)

    def close(self) -> None:
        """Close the session; the machine goes on."""
        self.session.close()

    def cmdline(self, *, nonce: str, extra: tuple[str, ...] = ()) -> str:
        """Compose the command line for another boot of this host.

        Args:
            nonce: The word that tells that boot from this one.
            extra: More words, which come last.

        Returns:
            The command line, with the words of its mode.
        """
        words = (*self.blueprint.all_words, *extra)
        return host_cmdline(self.blueprint.request.arch, nonce=nonce, extra=words)


def ready_line(nonce: str) -> re.Pattern[str]:
    """Return the pattern of the line that init prints once sshd listens.

    Args:
        nonce: The word of that very boot.

    Returns:
        A pattern to search the console's lines for.
    """
    return re.compile(rf"LAB-INIT ready boot_id=\S+ nonce={nonce}")


@contextmanager
def booted(connection: Connection, blueprint: Blueprint, sink: Sink) -> Iterator[RunningHost]:
    """Boot an L1 for as long as the block lasts; nothing of it remains.

    Args:
        connection: The libvirtd that runs it.
        blueprint: What it is made from.
        sink: Is told of each step.

    Yields:
        The host, once its kernel, its mode and its KVM were checked.

    Raises:
        UnavailableError: Its kernel cannot be in the mode that was asked for.
        InfraError: It did not come up; the message has the last lines of its console.
    """
    with ExitStack() as stack:
        yield boot(stack, connection, blueprint, sink)


def boot(stack: ExitStack, connection: Connection, blueprint: Blueprint, sink: Sink) -> RunningHost:
    """Boot an L1, and leave on `stack` what removes it again.

    Args:
        stack: Closing it removes the machine; who empties it by `pop_all` leaves that to another.
        connection: The libvirtd that runs it.
        blueprint: What it is made from; its folder is made.
        sink: Is told of each step.

    Returns:
        The host, once its kernel, its mode and its KVM were checked.

    Raises:
        UnavailableError: Its kernel cannot be in the mode that was asked for.
        HostDiedError: It panicked or went away while it booted.
        InfraError: It did not come up in `patience.boot` seconds, or is another than asked for; the
            message has the last lines of its console.
    """
    require_caretaker(blueprint.kernel, blueprint.request.mode)
    sink(Step(what=f"booting {blueprint.role}: {blueprint.kernel.release}"))
    blueprint.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    nonce = secrets.token_hex(8)
    opens, shows = new_key("lab"), new_key(blueprint.role)
    port = stack.enter_context(
        reserved_port(blueprint.state, f"{blueprint.role} of run {blueprint.run_id}")
    )
    initrd, user = _initrd(blueprint, opens, shows, nonce), connection.qemu_user()
    let_qemu_read(initrd, user)
    spec = domain_spec(blueprint, port=port, nonce=nonce, initrd=initrd, user=user)
    began = time.monotonic()
    with whole():
        domain = connection.define_and_start(spec)
        stack.callback(domain.destroy)
    console = Console(spec.console, blueprint.role, lambda: domain.ended)
    _await_ready(console, domain, blueprint, nonce)
    entry = Entry(port, shows.public_line, opens.private_pem)
    host = RunningHost(blueprint, domain, console, entry, nonce)
    stack.callback(host.close)
    host.answered_s = host.opened_at - began
    sink(Step(what=f"{blueprint.role} answers after {host.answered_s:.1f} s"))
    _insist(host)
    return host


def _await_ready(console: Console, domain: Domain, blueprint: Blueprint, nonce: str) -> None:
    by = Deadline.after(blueprint.patience.boot)
    try:
        console.wait_for(ready_line(nonce), by)
    except InfraError as e:
        last = "\n".join(console.lines()[-8:])
        kind = HostDiedError if isinstance(e, HostDiedError) else InfraError
        raise kind(
            f"{blueprint.role} did not come up: {e}; libvirt says it is {domain.state()}; "
            f"its console ends with:\n{last or '(nothing at all)'}",
            hint=f"the whole console is in {console.path}",
        ) from e


def _insist(host: RunningHost) -> None:
    """Check that what came up is what was asked for: boot, kernel, mode, and a KVM that runs.

    Raises:
        InfraError: It is not; the message says what it is.
    """
    wanted, identity = host.blueprint.kernel, host.identity
    if f"lab.nonce={host.nonce}" not in identity.cmdline.split():
        raise InfraError(
            f"{host.role} is in another boot than nonce {host.nonce!r}: {identity.cmdline}"
        )
    if wanted.build_id and identity.build_id != wanted.build_id:
        raise InfraError(
            f"{host.role} runs kernel build {identity.build_id}, not {wanted.build_id}"
        )
    by = Deadline.after(host.patience.command)
    mode = host.blueprint.request.mode
    host.mode_proof = require_mode(wanted, mode, host.session, host.domain, by)
    note(host.blueprint.state, host.blueprint.request.arch, mode, host.mode_proof)
    require_kvm(host.session, host.role, by)


def _initrd(blueprint: Blueprint, opens: KeyPair, shows: KeyPair, nonce: str) -> Path:
    """Write this boot's initrd: the shared one, and the run's secrets behind it."""
    secret = seed.make(
        {
            "ssh_host_ed25519_key": (shows.private_pem.encode(), 0o600),
            "ssh_host_ed25519_key.pub": (f"{shows.public_line}\n".encode(), 0o644),
            "authorized_keys": (f"{opens.public_line}\n".encode(), 0o600),
            "nonce": (nonce.encode(), 0o644),
            "hostname": (blueprint.role.encode(), 0o644),
            "run-id": (blueprint.run_id.encode(), 0o644),
        }
    )
    path = blueprint.folder / "initrd"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(blueprint.initrd.read_bytes() + secret)
    key = blueprint.folder / "key"
    key.touch(mode=0o600)
    key.write_text(opens.private_pem, encoding="ascii")
    return path

# SPDX-License-Identifier: Apache-2.0
"""The only way to a libvirt: opened, kept alive, its events delivered, its errors the lab's."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache

import libvirt

from lab.config.enums import Arch, Errata
from lab.errors import InfraError
from lab.events import HostEvent, Sink, Step, nowhere
from lab.resources.run_folders import QemuUser, must_be_readable
from lab.virt import errata
from lab.virt.confidential import launch_security_in
from lab.virt.domain import Domain, doing, too_long
from lab.virt.subscription import Subscription
from lab.virt.xml import DomainSpec, domain_xml, qemu_user_in, role_in

_KEEPALIVE = (10, 6)  # seconds, count: a machine full of TCG guests may be slow to answer

__all__ = ["Connection", "connect", "doing", "uri_for"]


def uri_for(uri: str) -> str:
    """Return the URI that lab.toml means: for "auto", the system libvirt for root, else the user's.

    Args:
        uri: A libvirt URI, or "auto".

    Returns:
        A libvirt URI.
    """
    if uri != "auto":
        return uri
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"


@contextlib.contextmanager
def connect(
    uri: str = "auto", sink: Sink = nowhere, *, fixes: Errata = Errata.APPLY
) -> Iterator[Connection]:
    """Open a libvirt for as long as the block lasts.

    Args:
        uri: libvirt's connection URI, or "auto".
        sink: Receives the life-cycle events of its machines.
        fixes: Whether the QEMU of each machine that is started is patched in memory.

    Yields:
        The connection.

    Raises:
        InfraError: No libvirt answers there; the message says what to type.
    """
    _event_loop()
    meant = uri_for(uri)
    try:
        raw = libvirt.open(meant)
    except libvirt.libvirtError as e:
        hint = too_long(str(e)) or _remedy(meant)
        raise InfraError(f"no libvirt answers at {meant}: {e}", hint=hint) from e
    connection = Connection(meant, raw, sink, fixes)
    try:
        yield connection
    finally:
        connection._close()  # noqa: SLF001 - the other half of this function


class Connection:
    """An open libvirt; the life cycle of its domains goes to `sink` as host events.

    Args:
        uri: libvirt's connection URI.
        raw: libvirt's own handle.
        sink: Receives the life-cycle events.
        fixes: Whether the QEMU of each machine that is started is patched in memory.
    """

    def __init__(self, uri: str, raw: libvirt.virConnect, sink: Sink, fixes: Errata) -> None:
        self.uri = uri
        self._raw = raw
        self._sink = sink
        self._fixes = fixes
        self._domains: dict[str, Domain] = {}
        with contextlib.suppress(libvirt.libvirtError):  # the test driver has no keepalive
            raw.setKeepAlive(*_KEEPALIVE)
        self._subscription = Subscription(raw, self._tell)

    def define_and_start(self, spec: DomainSpec) -> Domain:
        """Define a machine and switch it on; a failure leaves nothing defined.

        Args:
            spec: The machine.

        Returns:
            The machine, running.

        Raises:
            InfraError: libvirt refused; nothing is left defined.
            ConfigError: QEMU could not read one of its files.
        """
        if spec.user is not None:
            files = (spec.kernel, *((spec.initrd,) if spec.initrd else ()), *spec.disks)
            must_be_readable(files, spec.user)
        domain = self._define(spec.name, domain_xml(spec), spec.role)
        try:
            with doing(f"start {spec.name}"):
                domain.raw.create()
            if errata.has_them(spec):  # its kernel has not begun: there is no guest to be lost yet
                domain.errata = self._cured(spec)
        except BaseException:
            domain.destroy()
            raise
        return domain

    def _cured(self, spec: DomainSpec) -> str:
        if self._fixes is Errata.LEAVE:
            self._sink(Step(what=f"{spec.role}: {errata.LEFT_ALONE}"))
            return errata.LEFT_ALONE
        try:
            errata.cure(spec.name)
        except errata.NotCuredError as e:
            self._sink(Step(what=f"{spec.role}: {errata.LEFT_IN}: {e}"))
            return f"{errata.LEFT_IN}: {e}"
        return errata.TAKEN_OUT

    def _define(self, name: str, xml: str, role: str) -> Domain:
        with doing(f"define {name}"):
            # Without VALIDATE libvirt drops a misspelt element in silence.
            raw = self._raw.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        domain = Domain(raw, role or name)
        self._domains[name] = domain
        return domain

    def lookup(self, name: str) -> Domain | None:
        """Find a machine by its name.

        Args:
            name: libvirt's name of it.

        Returns:
            The machine, or None if libvirt has none of that name.

        Raises:
            InfraError: libvirt did not answer.
        """
        try:
            raw = self._raw.lookupByName(name)
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise InfraError(f"could not look for {name}: {e}") from e
        known = self._domains.get(name)
        return known or self._domains.setdefault(name, Domain(raw, role_in(raw.XMLDesc()) or name))

    def names(self) -> list[str]:
        """List every machine of this libvirt, the lab's or not, running or not.

        Returns:
            Their names, sorted.
        """
        with doing(f"list the machines of {self.uri}"):
            return sorted(d.name() for d in self._raw.listAllDomains())

    @property
    def raw(self) -> libvirt.virConnect:
        """Libvirt's own handle, for the other modules of this package only."""
        return self._raw

    def versions(self) -> dict[str, str]:
        """Return the versions of libvirt and hypervisor, and where they run, for the run record.

        Returns:
            "uri", "machine", "libvirt" and "hypervisor".
        """
        with doing(f"ask {self.uri} for its versions"):
            return {
                "uri": self.uri,
                "machine": self._raw.getHostname(),
                "libvirt": _dotted(self._raw.getLibVersion()),
                "hypervisor": f"{self._raw.getType()} {_dotted(self._raw.getVersion())}",
            }

    def offers(self, arch: str, machine: str, kind: str) -> str | None:
        """Return why libvirt cannot run a kind of machine.

        Args:
            arch: libvirt's name of the architecture, such as "x86_64".
            machine: QEMU's machine type, such as "q35".
            kind: "kvm" or "qemu".

        Returns:
            libvirt's reason, or None if it can.
        """
        try:
            self._raw.getDomainCapabilities(None, arch, machine, kind)
        except libvirt.libvirtError as e:
            return str(e)
        return None

    def launch_security(self, arch: Arch) -> frozenset[str]:
        """Return which confidential guests this libvirt launches on KVM.

        Args:
            arch: The guests' architecture.

        Returns:
            Such as "sev" and "sev-snp"; empty if there are none.
        """
        try:
            capabilities = self._raw.getDomainCapabilities(None, arch.traits.qemu, None, "kvm")
        except libvirt.libvirtError:  # no KVM there at all
            return frozenset()
        return launch_security_in(capabilities)

    def qemu_user(self) -> QemuUser | None:
        """Return the user that QEMU runs as, where libvirt would chown files to that user.

        Returns:
            The user, or None if libvirt does not chown.
        """
        with doing(f"read the capabilities of {self.uri}"):
            return qemu_user_in(self._raw.getCapabilities())

    def _tell(self, name: str, what: str) -> None:
        domain = self._domains.get(name)
        if domain is not None:
            self._sink(HostEvent(host=domain.role, what=what))
            domain.happened(what)

    def _close(self) -> None:
        with contextlib.suppress(
            libvirt.libvirtError
        ):  # a lost connection cannot be closed any better
            self._subscription.close()
            self._raw.close()


def _remedy(uri: str) -> str:
    if uri.startswith("qemu:///"):
        return "start it with 'systemctl start libvirtd', or as root let the lab do it: 'lab up'"
    if "ssh://" in uri:
        return f"try 'virsh -c {uri} list'; the lab uses your SSH keys and known_hosts for this"
    return f"try 'virsh -c {uri} list'"


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


@cache
def _event_loop() -> threading.Thread:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print to stderr
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run_events, name="libvirt events", daemon=True)
    thread.start()
    return thread


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()

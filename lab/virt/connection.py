# SPDX-License-Identifier: Apache-2.0
"""The only way to a libvirt: opened, kept alive, its events delivered, its errors ours."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import libvirt

from lab.config.enums import Arch, Errata
from lab.errors import InfraError
from lab.events import HostEvent, Sink, Step, nowhere
from lab.resources.run_folders import QemuUser, must_be_readable
from lab.virt import errata
from lab.virt.confidential import launch_security_in
from lab.virt.domain import Domain, doing
from lab.virt.lifecycle import described
from lab.virt.xml import DomainSpec, domain_xml, qemu_user_in, role_in

_KEEPALIVE = (10, 6)  # seconds, count: a machine full of TCG guests may be slow to answer

__all__ = ["Connection", "connect", "doing", "uri_for"]


def uri_for(uri: str) -> str:
    """Give the URI that `uri` stands for: "auto" is the system libvirt for root, else one's own."""
    if uri != "auto":
        return uri
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"


@contextlib.contextmanager
def connect(
    uri: str = "auto", sink: Sink = nowhere, *, fixes: Errata = Errata.APPLY
) -> Iterator[Connection]:
    """Open the libvirt at `uri` for as long as the block lasts.

    Args:
        uri: libvirt's connection URI, or "auto".
        sink: Told of what its machines go through.
        fixes: Whether the QEMU of each machine that is started is patched in memory.

    Raises:
        InfraError: nothing answers there; the message says what to type.
    """
    _event_loop()
    meant = uri_for(uri)
    try:
        raw = libvirt.open(meant)
    except libvirt.libvirtError as e:
        raise InfraError(f"no libvirt answers at {meant}: {e}", hint=_remedy(meant)) from e
    connection = Connection(meant, raw, sink, fixes)
    try:
        yield connection
    finally:
        connection._leave()  # noqa: SLF001 - the other half of this function


class Connection:
    """An open libvirt; what its domains go through is told to `sink` as host events."""

    def __init__(self, uri: str, raw: libvirt.virConnect, sink: Sink, fixes: Errata) -> None:
        self.uri = uri
        self._raw = raw
        self._sink = sink
        self._fixes = fixes
        self._domains: dict[str, Domain] = {}
        with contextlib.suppress(libvirt.libvirtError):  # the test driver has no keepalive
            raw.setKeepAlive(*_KEEPALIVE)
        self._callbacks = [
            raw.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None
            ),
            raw.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot, None
            ),
        ]

    def define_and_start(self, spec: DomainSpec) -> Domain:
        """Make the machine that `spec` wants, and switch it on; it is never half there.

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
        """Give the machine called `name`, or None if libvirt knows of none."""
        try:
            raw = self._raw.lookupByName(name)
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise InfraError(f"could not look for {name}: {e}") from e
        known = self._domains.get(name)
        return known or self._domains.setdefault(name, Domain(raw, role_in(raw.XMLDesc()) or name))

    def names(self) -> list[str]:
        """Name every machine of this libvirt, ours or not, running or not."""
        with doing(f"list the machines of {self.uri}"):
            return sorted(d.name() for d in self._raw.listAllDomains())

    @property
    def raw(self) -> libvirt.virConnect:
        """Libvirt's own handle, for the other modules of this package only."""
        return self._raw

    def versions(self) -> dict[str, str]:
        """Say which libvirt and hypervisor these are, and where: evidence for the run record."""
        with doing(f"ask {self.uri} for its versions"):
            return {
                "uri": self.uri,
                "machine": self._raw.getHostname(),
                "libvirt": _dotted(self._raw.getLibVersion()),
                "hypervisor": f"{self._raw.getType()} {_dotted(self._raw.getVersion())}",
            }

    def offers(self, arch: str, machine: str, kind: str) -> str | None:
        """Say why libvirt has no `kind` ("kvm", "qemu") for such a machine; None: it has."""
        try:
            self._raw.getDomainCapabilities(None, arch, machine, kind)
        except libvirt.libvirtError as e:
            return str(e)
        return None

    def launch_security(self, arch: Arch) -> frozenset[str]:
        """Say which confidential guests this libvirt launches on KVM: "sev", "sev-snp"; or none."""
        try:
            capabilities = self._raw.getDomainCapabilities(None, arch.traits.qemu, None, "kvm")
        except libvirt.libvirtError:  # no KVM there at all
            return frozenset()
        return launch_security_in(capabilities)

    def qemu_user(self) -> QemuUser | None:
        """Say whom QEMU runs as, where libvirt would chown files to them; None: it does not."""
        with doing(f"read the capabilities of {self.uri}"):
            return qemu_user_in(self._raw.getCapabilities())

    def _on_lifecycle(self, _conn: Any, raw: Any, event: int, detail: int, _opaque: Any) -> None:
        domain = self._domains.get(raw.name())
        if domain is not None:
            self._tell(domain, described(event, detail))

    def _on_reboot(self, _conn: Any, raw: Any, _opaque: Any) -> None:
        domain = self._domains.get(raw.name())
        if domain is not None:
            self._tell(domain, "reset")

    def _tell(self, domain: Domain, what: str) -> None:
        self._sink(HostEvent(host=domain.role, what=what))
        domain.happened(what)

    def _leave(self) -> None:
        with contextlib.suppress(libvirt.libvirtError):  # a lost connection cannot be left better
            for callback in self._callbacks:
                self._raw.domainEventDeregisterAny(callback)
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

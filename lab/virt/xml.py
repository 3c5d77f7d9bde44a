# SPDX-License-Identifier: Apache-2.0
"""A machine as a frozen value, and as libvirt's XML; pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # libvirt's own output, from no other source
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.config.enums import Accel, Arch
from lab.config.host_request import HostRequest
from lab.errors import ConfigError
from lab.resources.owner import Owner
from lab.resources.run_folders import QemuUser

NAMESPACE = "https://caretaker-lab.org/xmlns/domain/1"
_MAX_DISKS = 8


_environment = Environment(
    loader=PackageLoader("lab.virt"),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSpec:
    """What an L1 is made of.

    Attributes:
        role: The name of this very machine among those of the same request.
        request: The requested architecture and size.
        disks: Raw images, read-only and shared with other machines: vda, vdb...
        ssh_port: The port of 127.0.0.1 that leads to its port 22; None for no network.
        user: The user that QEMU runs as, see `Connection.qemu_user`; None leaves it to libvirt.
        panic_device: Let a kernel with CONFIG_PVPANIC report its panic. QEMU then stops the
            machine, the CPUs of a caretaker included: leave it out where they must run on.
        debug: The file for what it writes to I/O port 0xe9, with no help from any kernel.
        snp: Run it as an SEV-SNP guest, whose memory no outside eye can read.
        snp_policy: AMD's guest policy; bit 17 must be one, bit 16 allows SMT.
    """

    name: str
    run_id: str
    owner: Owner
    role: str
    request: HostRequest
    accel: Accel
    kernel: Path
    initrd: Path | None
    cmdline: str
    console: Path
    disks: tuple[Path, ...] = ()
    ssh_port: int | None = None
    mac: str | None = None
    cpu_model: str | None = None
    user: QemuUser | None = None
    panic_device: bool = True
    debug: Path | None = None
    snp: bool = False
    snp_policy: int = 0x30000

    def __post_init__(self) -> None:
        if self.accel is Accel.AUTO:
            raise ValueError("the accelerator must have been chosen by now, see lab.virt.probe")
        if (self.ssh_port is None) != (self.mac is None):
            raise ValueError("a network needs a port and a MAC, or neither")
        if len(self.disks) > _MAX_DISKS:
            raise ValueError(f"at most {_MAX_DISKS} disks, not {len(self.disks)}")
        if self.snp and (self.accel is not Accel.KVM or self.request.arch is not Arch.X86_64):
            raise ConfigError(
                f"{self.role}: SEV-SNP needs KVM on an x86-64 machine with SEV-SNP, "
                f"not {self.accel.value} on {self.request.arch.value}",
                hint="name a libvirt URI whose domcapabilities list sev-snp in lab.toml",
            )


@dataclass(frozen=True, slots=True)
class Tags:
    """The lab's metadata in a domain: which run and process made it."""

    run_id: str
    role: str
    topology: str
    owner: Owner


def domain_xml(spec: DomainSpec) -> str:
    """Render the domain XML of a machine.

    Args:
        spec: The machine.

    Returns:
        XML that libvirt validates.
    """
    template = _environment.get_template(spec.request.arch.traits.template)
    disks = [(f"vd{chr(ord('a') + i)}", path) for i, path in enumerate(spec.disks)]
    kind = "kvm" if spec.accel is Accel.KVM else "qemu"
    return template.render(spec=spec, disks=disks, kind=kind, namespace=NAMESPACE)


def tags_in(xml: str) -> Tags | None:
    """Read the lab's metadata out of `xml`, a whole domain or the element alone.

    Args:
        xml: The XML.

    Returns:
        The metadata, or None if the domain is not the lab's.
    """
    root = ET.fromstring(xml)  # noqa: S314 - from libvirt
    tag = f"{{{NAMESPACE}}}run"
    run = root if root.tag == tag else root.find(f"./metadata/{tag}")
    if run is None:
        return None
    try:
        owner = Owner(int(run.attrib["pid"]), int(run.attrib["started"]), run.attrib["boot"])
        return Tags(run.attrib["id"], run.attrib["role"], run.attrib["topology"], owner)
    except (KeyError, ValueError):
        return None


def console_in(xml: str) -> Path | None:
    """Read which file a machine's console is recorded to; None if it is not recorded."""
    source = ET.fromstring(xml).find("./devices/serial/source")  # noqa: S314 - from libvirt
    path = source.get("path") if source is not None else None
    return Path(path) if path else None


def role_in(xml: str) -> str | None:
    """Read a machine's name in its topology; None if the domain is not the lab's."""
    tags = tags_in(xml)
    return tags.role if tags else None


def qemu_user_in(capabilities: str) -> QemuUser | None:
    """Read the user that libvirt runs QEMU as out of its capabilities; None if it changes none."""
    for model in ET.fromstring(capabilities).findall("./host/secmodel"):  # noqa: S314
        label = model.findtext("baselabel", default="")
        numbers = label.replace("+", "").split(":")
        if model.findtext("model") == "dac" and all(n.isdecimal() for n in numbers) and label:
            return QemuUser(int(numbers[0]), int(numbers[1]))
    return None

# SPDX-License-Identifier: Apache-2.0
"""Machines as XML: each variant is a golden file, and libvirt's own schema agrees with it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from lab.config.enums import Accel
from lab.errors import ConfigError
from lab.resources.owner import Owner
from lab.resources.run_folders import QemuUser
from lab.virt.xml import NAMESPACE, DomainSpec, domain_xml, qemu_user_in, tags_in
from tests.support.domain_specs import ASKED_ARM64, L1

GOLDEN = Path(__file__).parents[1] / "golden" / "xml"

VARIANTS = {
    "x86_64-tcg": replace(L1, debug=Path("/state/runs/7f3a/l1-a.debug")),
    "x86_64-kvm": replace(L1, accel=Accel.KVM),
    "x86_64-cpu-model": replace(L1, cpu_model="EPYC"),
    "x86_64-bare": replace(
        L1, initrd=None, disks=(), ssh_port=None, mac=None, user=None, panic_device=False
    ),
    "x86_64-sev-snp": replace(L1, accel=Accel.KVM, snp=True),
    "arm64-tcg": replace(L1, request=ASKED_ARM64),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_machine_is_the_xml_that_was_looked_at(variant: str) -> None:
    """Set LAB_UPDATE_GOLDEN=1 to write the files anew, and read the diff."""
    golden = GOLDEN / f"{variant}.xml"
    got = domain_xml(VARIANTS[variant])
    if os.environ.get("LAB_UPDATE_GOLDEN"):
        golden.write_text(got, encoding="utf-8")
    assert got == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_schema_of_libvirt_takes_each_machine(variant: str) -> None:
    connection = libvirt.open("test:///default")
    spec = replace(VARIANTS[variant], name=f"schema-{variant}")
    domain = connection.defineXMLFlags(domain_xml(spec), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    assert tags_in(domain.XMLDesc()) is not None
    domain.undefine()
    connection.close()


def test_every_golden_file_is_a_variant() -> None:
    assert {p.stem for p in GOLDEN.glob("*.xml")} == set(VARIANTS)


def test_what_is_special_in_xml_stays_text() -> None:
    cmdline = """a="<b>&'c'" ]]>"""
    root = ET.fromstring(domain_xml(replace(L1, cmdline=cmdline)))  # noqa: S314 - our own
    assert root.findtext("os/cmdline") == cmdline


def test_whose_machine_it_is_can_be_read_back() -> None:
    tags = tags_in(domain_xml(L1))
    assert tags is not None
    assert (tags.run_id, tags.role, tags.topology, tags.owner) == (
        "7f3a",
        "l1-a",
        "one_host",
        L1.owner,
    )


@pytest.mark.parametrize(
    "xml",
    [
        "<domain/>",
        "<domain><metadata/></domain>",
        "<domain><metadata><run id='1' pid='1'/></metadata></domain>",
        f"<domain><metadata><run xmlns='{NAMESPACE}' id='1'/></metadata></domain>",
        f"<run xmlns='{NAMESPACE}' id='1' role='a' topology='b' pid='x' started='1' boot='c'/>",
    ],
)
def test_a_machine_without_our_whole_metadata_is_not_ours(xml: str) -> None:
    assert tags_in(xml) is None


def test_no_two_machines_share_what_tells_them_apart() -> None:
    other = domain_xml(replace(L1, name="b", owner=Owner(1, 2, "c")))
    assert tags_in(other) != tags_in(domain_xml(L1))


def test_sev_snp_without_kvm_is_refused_with_what_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"l1-a: SEV-SNP needs KVM .* not tcg on x86_64"):
        replace(L1, snp=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"accel": Accel.AUTO}, "must have been chosen"),
        ({"mac": None}, "a port and a MAC"),
        ({"disks": (Path("/d"),) * 9}, "at most 8 disks"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(L1, **wrong)  # type: ignore[arg-type]


def test_the_user_of_qemu_comes_from_the_capabilities() -> None:
    dac = "<secmodel><model>dac</model><doi>0</doi>{}</secmodel>"
    label = "<baselabel type='kvm'>+64055:+993</baselabel>"
    none = "<secmodel><model>none</model><doi>0</doi></secmodel>"
    capabilities = f"<capabilities><host>{none}{dac}</host></capabilities>"
    assert qemu_user_in(capabilities.format(label)) == QemuUser(64055, 993)
    assert qemu_user_in(capabilities.format("")) is None
    assert qemu_user_in("<capabilities><host/></capabilities>") is None


def test_a_spec_is_complete_enough_to_run() -> None:
    assert isinstance(L1, DomainSpec)
    assert domain_xml(L1).count("<disk ") == len(L1.disks)

# SPDX-License-Identifier: Apache-2.0
"""The record of what stands: it comes back as it was written, and tells hosts by their names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.cli.ssh_console import ssh_options
from lab.config.load import load_lab, load_topology, uncompiled, with_hosts_on
from lab.config.model import Accel, Arch, HostMode, LabConfig
from lab.errors import ConfigError
from lab.events import nowhere
from lab.standing.inventory import RUNNING, Survey
from lab.standing.registry import StandingHost, StandingHosts
from lab.standing.up_down import _standing_already

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


def host(folder: Path, role: str = "a", run_id: str = "7f3a01") -> StandingHost:
    return StandingHost(
        role=role,
        domain=f"lab-{run_id}-{role}",
        run_id=run_id,
        uri="qemu:///system",
        topology="x86_64-one-host",
        arch=Arch.X86_64,
        kernel="stock",
        release="7.3.4-lab",
        build_id="ab" * 20,
        mode=HostMode.NATIVE,
        accel=Accel.TCG,
        why="libvirt offers KVM, but QEMU could not run a guest",
        vcpus=2,
        memory_mib=2048,
        port=22022,
        host_key_line="ssh-ed25519 AAAAC3Nz",
        folder=folder / run_id,
        console=folder / run_id / role / "console.log",
        key=folder / run_id / role / "key",
        since=datetime(2026, 11, 22, 20, 0, tzinfo=UTC),
    )


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    a, b = host(tmp_path), host(tmp_path, "b")
    StandingHosts(tmp_path).add([a])
    StandingHosts(tmp_path).add([b])
    assert StandingHosts(tmp_path).hosts() == (a, b)
    StandingHosts(tmp_path).remove([a.domain, "lab-nobody-z"])
    assert StandingHosts(tmp_path).hosts() == (b,)


def test_nothing_stands_at_first(tmp_path: Path) -> None:
    assert StandingHosts(tmp_path).hosts() == ()
    with pytest.raises(ConfigError, match="no host 'a' is standing") as e:
        StandingHosts(tmp_path).find("a")
    assert e.value.hint == "nothing is standing; 'lab up' makes it"


def test_a_host_is_found_by_either_name(tmp_path: Path) -> None:
    a, b = host(tmp_path), host(tmp_path, "b")
    StandingHosts(tmp_path).add([a, b])
    assert StandingHosts(tmp_path).find("a") == a
    assert StandingHosts(tmp_path).find("lab-7f3a01-b") == b
    with pytest.raises(ConfigError) as e:
        StandingHosts(tmp_path).find("c")
    assert e.value.hint == "standing: a, b"


def test_a_name_that_two_hosts_have_is_not_guessed(tmp_path: Path) -> None:
    StandingHosts(tmp_path).add([host(tmp_path), host(tmp_path, run_id="beef00")])
    with pytest.raises(ConfigError, match="several hosts are called 'a'") as e:
        StandingHosts(tmp_path).find("a")
    assert e.value.hint == "say which: lab-7f3a01-a, lab-beef00-a"


def test_a_damaged_record_is_told_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "standing.json"
    path.write_text('[{"role": "a"}]', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"standing\.json: damaged"):
        StandingHosts(tmp_path).add([host(tmp_path)])
    assert path.read_text(encoding="utf-8") == '[{"role": "a"}]'


def test_the_key_itself_is_in_no_record(tmp_path: Path) -> None:
    a = host(tmp_path)
    a.key.parent.mkdir(parents=True)
    a.key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----", encoding="ascii")
    StandingHosts(tmp_path).add([a])
    assert "PRIVATE" not in (tmp_path / "standing.json").read_text(encoding="utf-8")


def test_ssh_trusts_this_host_only(tmp_path: Path) -> None:
    a = host(tmp_path)
    a.key.parent.mkdir(parents=True)
    words = ssh_options(a)
    known = a.key.with_name("known_hosts")
    assert known.read_text(encoding="ascii") == "[127.0.0.1]:22022 ssh-ed25519 AAAAC3Nz\n"
    for setting in (
        f"UserKnownHostsFile={known}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentityAgent=none",
    ):
        assert words[words.index(setting) - 1] == "-o"
    assert words[:2] == ["-F", "/dev/null"]
    assert words[-1] == "root@127.0.0.1"


def test_hosts_that_stand_on_another_kernel_are_not_taken_for_those(tmp_path: Path) -> None:
    lab = LabConfig.model_validate(
        {
            "state": tmp_path,
            "kernel": {"stock": {"recipe": "stock"}, "debian": {"package": "p", "version": "1"}},
        }
    )
    topology = load_topology(TOPOLOGIES / "x86_64-one-host.toml")
    stands = host(tmp_path).model_copy(update={"topology": topology.name, "kernel": "debian"})
    found = Survey(standing=((stands, RUNNING),))
    on_debian = with_hosts_on(topology, "debian", lab)
    assert _standing_already(found, lab, on_debian, nowhere) == (stands,)
    with pytest.raises(ConfigError, match=r"host a of .* stands on kernel 'debian', not 'stock'"):
        _standing_already(found, lab, topology, nowhere)


def test_hosts_of_other_kernels_stay_on_them() -> None:
    lab = load_lab(TOPOLOGIES.parent / "lab.toml")
    topology = load_topology(TOPOLOGIES / "x86_64-reference.toml", lab)
    kernels = {spec.kernel for spec in with_hosts_on(topology, "debian", lab).hosts.values()}
    assert kernels == {"debian", "reference"}
    with pytest.raises(ConfigError, match="no kernel 'debain'") as caught:
        with_hosts_on(topology, "debain", lab)
    assert "did you mean 'debian'?" in str(caught.value)


def test_a_lab_stands_on_the_kernel_that_is_not_compiled_unless_another_is_named() -> None:
    lab = load_lab(TOPOLOGIES.parent / "lab.toml")
    assert uncompiled(lab) == "debian"
    without = {name: spec for name, spec in lab.kernel.items() if name != "debian"}
    assert uncompiled(lab.model_copy(update={"kernel": without})) is None
    mine = lab.kernel["reference"].model_copy(update={"stands_for": "stock"})
    assert uncompiled(lab.model_copy(update={"kernel": lab.kernel | {"mine": mine}})) is None

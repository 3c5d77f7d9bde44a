# SPDX-License-Identifier: Apache-2.0
"""The real libvirt, on its built-in test driver: no daemon, no hypervisor, no root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from lab.config.enums import Errata
from lab.config.model import LabConfig, Libvirt
from lab.deadline import Deadline, until
from lab.errors import ConfigError, InfraError
from lab.events import Event, HostEvent, Step
from lab.resources.owner import Owner
from lab.resources.run_folders import QemuUser
from lab.runner.lab_session import opened
from lab.virt import errata
from lab.virt.connection import Connection, connect, doing, uri_for
from lab.virt.errata import LEFT_ALONE, LEFT_IN
from lab.virt.leftovers import ours
from tests.support.domain_specs import ASKED, ASKED_ARM64, L1

DOMAIN = """
<domain type='test'>
  <name>{name}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu><os><type>hvm</type></os>{extra}
</domain>"""

SPEC = replace(L1, user=None, request=ASKED_ARM64)


@pytest.fixture
def seen() -> list[Event]:
    return []


@pytest.fixture
def connection(seen: list[Event]) -> Iterator[Connection]:
    with connect("test:///default", seen.append) as opened:
        yield opened


def test_says_what_it_was_doing_when_libvirt_refuses(connection: Connection) -> None:
    domain = connection.raw.defineXML(DOMAIN.format(name="refuses", extra=""))
    with (
        pytest.raises(InfraError, match=r"could not destroy l1-a: .*not running"),
        doing("destroy l1-a"),
    ):
        domain.destroy()
    domain.undefine()


def test_libvirt_ignores_misspelt_elements_unless_validating(
    connection: Connection,
) -> None:
    misspelt = DOMAIN.format(name="misspelt", extra="<vcpuz>2</vcpuz>")
    connection.raw.defineXML(misspelt).undefine()
    with pytest.raises(InfraError, match=r"(?s)could not define misspelt: .*vcpuz"):
        connection._define("misspelt", misspelt, "l1-a")
    assert connection.lookup("misspelt") is None


def test_a_machine_is_started_and_told_of_until_it_is_gone(
    connection: Connection, seen: list[Event]
) -> None:
    told: list[str] = []
    domain = connection.define_and_start(replace(SPEC, name="told"))
    domain.on_lifecycle(told.append)
    assert domain.state() == "running"
    domain.pause()
    assert domain.state() == "paused"
    domain.resume()
    domain.destroy()
    until("the news of its end", lambda: domain.ended, Deadline.after(10))
    assert domain.ended == "stopped: destroyed"
    until("the last event", lambda: "undefined" in told or None, Deadline.after(10))
    # The news of its beginning may come before or after there is somebody to hear it.
    heard = [what for what in told if what not in {"defined", "started"}]
    assert heard == ["paused", "resumed", "stopped: destroyed", "undefined"]
    assert [e.host for e in seen if isinstance(e, HostEvent)] == ["l1-a"] * len(seen)


def test_a_machine_that_keeps_qemus_error_says_so(
    connection: Connection, seen: list[Event]
) -> None:
    domain = connection.define_and_start(replace(SPEC, name="ill", request=ASKED))
    domain.destroy()
    assert domain.errata.startswith(LEFT_IN)
    assert [e.what for e in seen if isinstance(e, Step)] == [f"l1-a: {domain.errata}"]


def test_lab_toml_can_have_qemu_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[Event]
) -> None:
    def patched(machine: str) -> None:
        raise AssertionError(f"the memory of {machine}'s QEMU was to be left alone")

    monkeypatch.setattr(errata, "cure", patched)
    libvirt_of_it = Libvirt(uris=("test:///default",), errata=Errata.LEAVE)
    with opened(LabConfig(libvirt=libvirt_of_it, state=tmp_path), seen.append) as session:
        spec = replace(SPEC, name="left", request=ASKED)
        domain = session.connection.define_and_start(spec)
        domain.destroy()
    assert domain.errata == LEFT_ALONE
    assert [e.what for e in seen if isinstance(e, Step)] == [f"l1-a: {LEFT_ALONE}"]


def test_destroying_twice_is_destroying_once(connection: Connection) -> None:
    domain = connection.define_and_start(replace(SPEC, name="twice"))
    domain.destroy()
    domain.destroy()
    assert domain.state() == "gone"
    assert "twice" not in connection.names()


def test_a_machine_of_that_name_that_is_not_ours_is_left_alone(connection: Connection) -> None:
    stranger = connection.raw.defineXML(DOMAIN.format(name="stranger", extra=""))
    with pytest.raises(InfraError, match=r"could not define stranger: .*already exists"):
        connection.define_and_start(replace(SPEC, name="stranger"))
    assert "stranger" in connection.names()
    stranger.undefine()


def test_only_machines_with_our_metadata_are_ours(connection: Connection) -> None:
    me, dead = Owner.me(), Owner(os.getpid(), 1, Owner.me().boot)
    connection.define_and_start(replace(SPEC, name="ours-at-work", owner=me))
    connection.define_and_start(replace(SPEC, name="ours-left", owner=dead))
    found = {o.name: o for o in ours(connection)}
    assert "test" in connection.names()  # libvirt's own example
    assert set(found) == {"ours-at-work", "ours-left"}
    assert not found["ours-at-work"].abandoned
    assert found["ours-left"].abandoned
    for leftover in found.values():
        leftover.remove()
    assert ours(connection) == []


def test_memory_is_read_in_pieces_that_libvirt_takes(connection: Connection) -> None:
    domain = connection.define_and_start(replace(SPEC, name="peeked"))
    assert domain.peek(0x1000, 4) == bytes(range(4))  # the test driver counts upwards
    assert len(domain.peek(0x1000, 4 << 20)) == 4 << 20
    assert len(domain.peek(0x1000, (1 << 20) + 1)) == (1 << 20) + 1
    for size in (0, (4 << 20) + 1):
        with pytest.raises(ValueError, match=f"not {size}"):
            domain.peek(0x1000, size)
    domain.destroy()
    with pytest.raises(InfraError, match="could not peek at 4096 bytes at 0x1000 of peeked"):
        domain.peek(0x1000, 4096)


def test_file_unreadable_for_qemu_is_named_before_any_domain(
    connection: Connection, tmp_path: Path
) -> None:
    kernel = tmp_path / "closed" / "bzImage"
    kernel.parent.mkdir()
    kernel.touch()
    for folder in (kernel.parent, *kernel.parent.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o711) if folder.is_relative_to(tmp_path) else None
    kernel.parent.chmod(0o700)
    spec = replace(SPEC, name="closed", kernel=kernel, initrd=None, disks=(), user=QemuUser(1, 1))
    with pytest.raises(ConfigError, match=r"QEMU runs as user 1 and cannot read .*bzImage: .*0700"):
        connection.define_and_start(spec)
    assert connection.lookup("closed") is None


def test_a_libvirt_that_is_not_there_is_named_with_what_to_type() -> None:
    with (
        pytest.raises(InfraError, match=r"no libvirt answers at qemu\+unix.*\n?.*") as caught,
        connect("qemu+unix:///system?socket=/nonexistent"),
    ):
        pass
    assert "virsh -c qemu+unix" in (caught.value.hint or "")


def test_a_path_that_is_too_long_for_a_socket_says_what_to_set() -> None:
    socket = f"/{'b' * 120}/libvirt-sock"
    with (
        pytest.raises(InfraError, match="too long") as caught,
        connect(f"qemu+unix:///system?socket={socket}"),
    ):
        pass
    assert "set XDG_RUNTIME_DIR (of libvirt) or XDG_CONFIG_HOME" in (caught.value.hint or "")
    monitor = f"internal error: Monitor path {socket} too big for destination"
    with pytest.raises(InfraError) as caught, doing("start l1"):
        raise libvirt.libvirtError(monitor)
    assert "XDG_CONFIG_HOME" in (caught.value.hint or "")


def test_errors_of_libvirt_reach_us_and_not_the_terminal(
    connection: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    assert connection.lookup("nobody") is None
    with pytest.raises(libvirt.libvirtError):
        connection.raw.lookupByName("nobody")
    assert capfd.readouterr().err == ""


def test_auto_is_the_system_for_root_and_the_session_for_others() -> None:
    assert uri_for("auto") == ("qemu:///system" if os.geteuid() == 0 else "qemu:///session")
    assert uri_for("qemu+ssh://h/system") == "qemu+ssh://h/system"


def test_evidence_names_the_versions(connection: Connection) -> None:
    versions = connection.versions()
    assert versions["uri"] == "test:///default"
    assert versions["libvirt"].count(".") == 2

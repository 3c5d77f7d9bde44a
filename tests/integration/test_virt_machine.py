# SPDX-License-Identifier: Apache-2.0
"""A real machine through a real libvirt, with the lab's stock kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.build.cache import standard
from lab.config.enums import Accel, Arch
from lab.config.load import load_lab
from lab.deadline import Deadline, until
from lab.errors import UnavailableError
from lab.events import Event, Step, nowhere
from lab.resources.owner import Owner
from lab.resources.ports import mac_for, reserved_port
from lab.resources.run_folders import new_run_folder
from lab.runner.image_store import ImageStore
from lab.virt.connection import Connection, connect, uri_for
from lab.virt.console import Console
from lab.virt.daemons import ensure_daemons, stop_what_we_started
from lab.virt.domain import Domain
from lab.virt.errata import TAKEN_OUT
from lab.virt.leftovers import _passt_of, ours
from lab.virt.probe import Tiny, probe_accelerator
from lab.virt.xml import DomainSpec
from tests.support.domain_specs import ASKED

pytestmark = pytest.mark.vm

RUN = f"test{os.getpid()}"
BOOT = 120.0


@dataclass(frozen=True)
class Bench:
    """What a machine of these tests is made of."""

    connection: Connection
    state: Path
    kernel: Path
    disk: Path
    seen: list[Event]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    lab = load_lab(Path(__file__).parents[2] / "lab.toml")
    image = ImageStore(lab, standard(lab.cache), nowhere).kernel("stock", Arch.X86_64).image
    # QEMU is another user, and pytest's own folders are closed to it.
    state = Path("/var/tmp") / f"lab-test-{os.getpid()}"  # noqa: S108 - named by our pid
    state.mkdir(mode=0o755)
    seen: list[Event] = []
    try:
        kernel, disk = state / "bzImage", state / "disk"
        shutil.copyfile(image, kernel)
        disk.write_bytes(bytes(1 << 20))
        for file in (kernel, disk):
            file.chmod(0o644)
        uri = uri_for("auto")
        ensure_daemons(uri, state, seen.append)
        with connect(uri, seen.append) as connection:
            yield Bench(connection, state, kernel, disk, seen)
        stop_what_we_started(state)
    finally:
        shutil.rmtree(state)


def wanted(bench: Bench, folder: Path, port: int) -> DomainSpec:
    return DomainSpec(
        name=f"lab-{RUN}-l1-a",
        run_id=RUN,
        owner=Owner.me(),
        role="l1-a",
        request=replace(ASKED, memory_mib=512),
        accel=Accel.TCG,
        kernel=bench.kernel,
        initrd=None,
        # Without a root file system it panics, and without "panic=" it stays there.
        cmdline="console=ttyS0 tsc=reliable panic=0 nokaslr",
        console=folder / "console",
        debug=folder / "debug",
        disks=(bench.disk, bench.disk),
        ssh_port=port,
        mac=mac_for(RUN, "l1-a"),
        user=bench.connection.qemu_user(),
    )


@pytest.fixture
def machine(bench: Bench) -> Iterator[tuple[Domain, Console]]:
    run = new_run_folder(bench.state, RUN, bench.connection.qemu_user())
    with reserved_port(bench.state, RUN) as port:
        domain = bench.connection.define_and_start(wanted(bench, run.path, port))
        try:
            yield domain, Console(run.path / "console", "l1-a", lambda: domain.ended)
        finally:
            domain.destroy()
            run.remove()


def test_a_machine_boots_and_is_seen_from_outside(machine: tuple[Domain, Console]) -> None:
    domain, console = machine
    console.wait_for(r"Linux version \d", Deadline.after(BOOT), dying=True)
    assert domain.evidence()["accelerator"] == "tcg"
    assert domain.errata == TAKEN_OUT
    assert "max" in domain.evidence()["cpu"]
    console.wait_for("x2apic mode", Deadline.after(BOOT), dying=True)
    console.wait_for("Kernel panic", Deadline.after(BOOT), dying=True)
    assert domain.state() == "running"
    assert [(cpu.index, cpu.in_guest) for cpu in domain.cpus()] == [(0, False), (1, False)]
    until("it to run on", lambda: domain.state() == "running" or None, Deadline.after(5))
    assert len(domain.peek(0x100000, 1 << 20)) == 1 << 20
    assert b"Linux version" in b"".join(
        domain.peek(at, 1 << 20) for at in range(0x1000000, 0x4000000, 1 << 20)
    )
    domain.reset()
    console.forgive()
    console.wait_for(r"Linux version \d", Deadline.after(BOOT), since=console.mark())


def test_the_shared_files_keep_their_owner(bench: Bench, machine: tuple[Domain, Console]) -> None:
    domain, _ = machine
    before = os.getuid(), os.getgid()
    for file in (bench.kernel, bench.disk):
        assert (file.stat().st_uid, file.stat().st_gid) == before
    domain.destroy()
    for file in (bench.kernel, bench.disk):
        assert (file.stat().st_uid, file.stat().st_gid) == before


def test_taking_a_machine_away_takes_its_network_helper_away(
    bench: Bench, machine: tuple[Domain, Console]
) -> None:
    domain, _ = machine
    helpers = list(_passt_of(domain.name))
    assert len(helpers) == 1
    (left,) = [o for o in ours(bench.connection) if o.run_id == RUN]
    left.remove()
    until("passt to go", lambda: None if helpers[0].alive else True, Deadline.after(10))
    assert domain.state() == "gone"


def test_accelerator_is_probed_by_running_a_machine_and_cached(bench: Bench) -> None:
    def choose() -> tuple[Accel, str, int]:
        steps: list[Event] = []
        tiny = Tiny(bench.kernel)
        got = probe_accelerator(bench.connection, Arch.X86_64, tiny, bench.state, steps.append)
        return got.accel, got.reason, len([s for s in steps if isinstance(s, Step)])

    first, again = choose(), choose()
    assert first[:2] == again[:2]
    assert again[2] == 1  # the answer only
    assert not [name for name in bench.connection.names() if name.startswith("lab-probe")]
    assert not list(bench.state.glob("probe-*"))


def test_an_architecture_without_a_qemu_says_what_to_install(bench: Bench) -> None:
    if shutil.which("qemu-system-aarch64"):
        pytest.skip("qemu-system-aarch64 is installed here")
    with pytest.raises(UnavailableError, match="apt install qemu-system-arm"):
        probe_accelerator(bench.connection, Arch.ARM64, Tiny(bench.kernel), bench.state)


def test_a_second_lab_finds_the_daemons_of_the_first(bench: Bench) -> None:
    before = len(bench.seen)
    ensure_daemons(bench.connection.uri, bench.state, bench.seen.append)
    assert bench.seen[before:] == []
    found = subprocess.run(
        ["virsh", "-c", bench.connection.uri, "uri"], capture_output=True, text=True, check=True
    )
    assert bench.connection.uri in found.stdout


def test_a_domain_whose_owner_died_is_abandoned(bench: Bench) -> None:
    spec = replace(
        wanted(bench, bench.state, 1),
        name=f"lab-{RUN}-dead",
        owner=replace(Owner.me(), started=1),
        ssh_port=None,
        mac=None,
        initrd=None,
    )
    bench.connection.define_and_start(spec)
    (left,) = [o for o in ours(bench.connection) if o.name == spec.name]
    assert left.abandoned
    left.remove()
    assert spec.name not in bench.connection.names()

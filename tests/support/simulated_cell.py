# SPDX-License-Identifier: Apache-2.0
"""A whole cell without a machine: the lab's own code, over an L1 that is a table of answers.

The guest beats in real time. Its VMM is killed, its keeper orphans it, another VMM adopts it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any, Self

import pytest

from lab.build.kernel import KernelImage
from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Options, Orphaning, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.observe.identity import HostIdentity, ProcessIdentity
from lab.observe.proof import Method, Proof
from lab.resources.admission import Admission, Machine
from lab.runner import pool as pools
from lab.runner import running
from lab.runner import watch as watches
from lab.ssh.session import Result
from lab.testing.simulated_guest import BOOT, CANARY, KEY, FakeGuest
from lab.virt.happenings import Happenings

LAB = LabConfig.model_validate(
    {
        "kernel": {"stock": {"recipe": "stock"}},
        "watch": {"baseline_s": 0.6, "after_s": 1.6, "patience_s": 1.5, "jitter_limit_ms": 2000},
    }
)
_BEACON = f"BEACON vcpu=0 gpa=0x1000 boot={BOOT.hex()}\n"
_OWN = "/proc/1/stat"


def cell_of_an_orphan() -> Cell:
    """Return a cell whose VMM is killed, and whose guest runs on and is adopted."""
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=DisruptionKind.VMM_KILL)
    options = Options(orphaning=Orphaning.ASYNC)
    return made.cell(LAB, accel=Accel.TCG).model_copy(update={"options": options})


class LiveGuest(FakeGuest):
    """Beats in real time, as far as anybody looks."""

    def __init__(self, vcpus: int = 1) -> None:
        super().__init__(vcpus)
        self.now = time.monotonic()
        self.lock = Lock()

    def read(self, phys: int, size: int) -> bytes:
        """Read, after the beats that were due by now."""
        with self.lock:
            self.advance(max(0.0, time.monotonic() - self.now - 0.0005))
            return super().read(phys, size)


class Answers:
    """A session with an L1 that has a few files and processes."""

    peer = "a"

    def __init__(self, guest: LiveGuest) -> None:
        self.guest = guest
        self.pids = [1]

    def start(self) -> ProcessIdentity:
        """Start a process."""
        self.pids.append(len(self.pids) + 100)
        return ProcessIdentity(self.pids[-1], 7, "S", 1)

    def get(self, path: str, **_: object) -> bytes:
        """Read a file."""
        if path == "/proc/meminfo":
            return b"MemAvailable:    2000000 kB\n"
        if path.endswith("console.log"):
            return _BEACON.encode()
        if path in {f"/proc/{pid}/stat" for pid in self.pids}:
            pid = path.split("/")[2]
            return f"{pid} (vmm) S {' '.join(['1'] * 16)} 1 0 7".encode()
        raise InfraError(f"{path}: there is none")

    def run(self, argv: Sequence[str], **_: object) -> Result:
        """Run a program."""
        words = list(argv)
        if words[:1] == ["kill"]:
            self.pids.remove(int(words[-1]))
        if words[-1].startswith("/sys/fs/cgroup/"):
            return Result(" ".join(words), 0, "", "")
        located = f'{{"phys": {{"0x1000": "{self.guest.pages[0]:#x}"}}}}'
        return Result(" ".join(words), 0, "0" if words[:1] == ["sh"] else located, "")

    def check(self, argv: Sequence[str], **how: object) -> str:
        """Run a program."""
        return self.run(argv, **how).stdout


class Machine1:
    """An L1 of one guest."""

    role = "a"
    seen_at_boot = {"mode": "seen"}  # noqa: RUF012 - nobody writes there

    def __init__(self) -> None:
        self.guest = LiveGuest()
        self.session = Answers(self.guest)
        self.tainted: Any = None
        self.console = SimpleNamespace(
            mark=lambda: SimpleNamespace(line=0),
            lines=lambda: ["it runs"],
            findings=lambda *_: [],
        )
        self.domain = SimpleNamespace(
            name="there-is-none", process=None, role="a", happenings=Happenings(),
            state=lambda: "running", xml=lambda: "<domain/>", errata="",
            peek=self.guest.read,
        )  # fmt: skip
        image = Path(__file__)
        self.blueprint = SimpleNamespace(
            request=cell_of_an_orphan().request, name="a", folder=Path("nowhere"),
            kernel=SimpleNamespace(image=image), initrd=image, disks=(image, image), through=None,
            cpu_model=None,
        )  # fmt: skip
        self.boots = [HostIdentity("b1", "", "6f1ed002", "7.3.4", 1.0)]
        self.patience = SimpleNamespace(guest=10.0, command=10.0)

    def by_guest(self) -> Any:
        """Return the deadline of a step."""
        return Deadline.after(10)

    def taint(self, why: str) -> None:
        """Note what is wrong."""
        self.tainted = why


class Driver:
    """A VMM, and its ABI."""

    kind = VmmKind.LABVMM
    name, orphans = "async", True

    def __init__(self) -> None:
        self.handover = self
        self.owner, self.generation = "PRESENT", 0

    def start(self, host: Any, plan: GuestPlan, by: object) -> RunningGuest:
        """Start a guest whose secrets are known."""
        plan = dataclasses.replace(plan, key=KEY, canary=CANARY)
        return RunningGuest(host, plan, host.session.start(), (host.session.start(),))

    def status(self, guest: RunningGuest, by: object) -> OrphanStatus:
        """Return who owns it."""
        seen = VcpuSeen(0, "RUNNING", "INTR", None, 1, 1)
        owner = "PRESENT" if guest.vmm_lives else "GONE"
        return OrphanStatus(owner, "run", self.generation, (seen,))

    def verify_from_l0(self, *_: object) -> Proof:
        """Return what L0 saw."""
        return Proof(Method.SVM_STATE, "on its own table", right=True)

    def adopt(self, guest: RunningGuest, by: object) -> RunningGuest:
        """Have another VMM take it over."""
        self.generation += 1
        session: Any = guest.host.session
        return dataclasses.replace(guest, vmm=session.start())


class Quiet:
    """A jitter probe of a machine that is never late."""

    voids = ()
    suspended = ()
    how = "a simulation"

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def simulated_pool(monkeypatch: pytest.MonkeyPatch, state: Path) -> pools.Pool:
    """Return a pool whose hosts are tables, and whose guests beat."""

    @contextmanager
    def booted(*_: object) -> Iterator[Machine1]:
        yield Machine1()

    machine, driver = Machine1(), Driver()
    monkeypatch.setattr(pools, "booted", booted)
    monkeypatch.setattr(running, "driver_for", lambda *_: driver)
    monkeypatch.setattr(watches, "JitterProbe", Quiet)
    kernel = KernelImage(
        name="stock", arch="x86_64", image=state, vmlinux=state, config=None, release="7.3.4",
        build_id="", digest="", source="",
    )  # fmt: skip
    outfit = SimpleNamespace(kernel=kernel, guest_kernel=kernel, words=())
    lab_session: Any = SimpleNamespace(
        lab=LAB,
        state=state,
        sink=lambda _: None,
        connection=SimpleNamespace(versions=lambda: {"hypervisor": "10.0.3", "libvirt": "9.0.0"}),
        accelerators={},
        accelerator=lambda *_: SimpleNamespace(accel=Accel.TCG),
        images=SimpleNamespace(outfit=lambda *_: outfit),
        cpu_lacks=lambda _: "",
        blueprint=lambda *_: machine.blueprint,
        admission=Admission(state, Machine(100_000, 64)),
    )
    return pools.Pool(lab_session)

# SPDX-License-Identifier: Apache-2.0
"""How fast the lab is, as ratios within one run: bare boots and lab boots, alternately."""

from __future__ import annotations

import resource
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab.build.commands import need
from lab.child_env import child_env
from lab.config.model import Accel, Cell
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.events import Step
from lab.host.blueprint import Blueprint
from lab.host.cmdline import host_cmdline
from lab.host.host import boot
from lab.record.critical_path import TURN
from lab.resources.admission import alone
from lab.runner.lab_session import LabSession
from lab.runner.pool import Pool
from lab.runner.retry import attempted

ROUNDS = 5
_TURN_S = 3600.0
_RAW_S = 300.0
_BEFORE = frozenset({TURN, "host"})  # phases that a warm host is without


def bench(lab_session: LabSession, cell: Cell, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure boots and one cell, alone on this machine.

    A boot of the lab's and a bare one by QEMU alone follow each other in each round.

    Args:
        lab_session: A session.
        cell: The cell; its host is what is booted.
        rounds: How many boots of either kind.

    Returns:
        For JSON: seconds, ratios and MiB, the medians with all single figures.

    Raises:
        InfraError: A machine did not come up, or the cell came to no verdict.
    """
    request = cell.request
    with alone(lab_session.state, Deadline.after(_TURN_S), what="bench"):
        raw, ready = [], []
        for turn in range(rounds):
            blueprint = lab_session.blueprint(request, f"bench{turn}")
            lab_session.sink(
                Step(what=f"round {turn + 1} of {rounds}: the lab's boot, then a bare one")
            )
            ready.append(_lab_boot(lab_session, blueprint))
            raw.append(_raw_boot(blueprint))
    phases = _cell(lab_session, cell)
    ratios = [b / a for a, b in zip(raw, ready, strict=True)]
    return {
        "raw_boot_s": _told(raw),
        "ssh_ready_s": _told(ready),
        "ssh_ready_over_raw_boot": {"median": statistics.median(ratios), "each": ratios},
        "cell": {
            "id": cell.id,
            "seconds_on_a_warm_host": sum(s for phase, s in phases.items() if phase not in _BEFORE),
            "phases": phases,
        },
        "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "accelerator": lab_session.accelerator(cell.arch, cell.kernel).accel.value,
        "kernel_build_id": lab_session.images.kernel(cell.kernel, cell.arch).build_id,
    }


def _raw_boot(blueprint: Blueprint) -> float:
    """Boot what the lab booted before, by QEMU alone; its init powers off in userland."""
    accel = "kvm" if blueprint.accel is Accel.KVM else "tcg,thread=multi"
    cmdline = host_cmdline(
        blueprint.request.arch, nonce="bench", extra=(*blueprint.words, "lab.poweroff=1")
    )
    with tempfile.NamedTemporaryFile(suffix=".log") as console:
        argv = [
            need("qemu-system-x86_64", package="qemu-system-x86"),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,kernel-irqchip=split" if accel == "kvm" else "q35",
            "-accel", accel, "-cpu", "host" if accel == "kvm" else "max",
            "-device", "intel-iommu,intremap=on,eim=on",
            "-smp", str(blueprint.request.vcpus), "-m", str(blueprint.request.memory_mib),
            "-kernel", str(blueprint.kernel.image), "-initrd", str(blueprint.folder / "initrd"),
            "-append", cmdline,
            "-serial", f"file:{console.name}",
            "-nic", "user,model=virtio-net-pci,restrict=on",  # or the kernel waits for one
            *(word for disk in blueprint.disks for word in _disk(disk)),
        ]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(
            argv, env=child_env(), capture_output=True, text=True, timeout=_RAW_S, check=False
        )
        took = time.monotonic() - began
        said = Path(console.name).read_text(encoding="utf-8", errors="replace")
    if done.returncode != 0 or "LAB-INIT userland" not in said:
        last = "\n".join((done.stderr.strip() or said).splitlines()[-3:])
        raise InfraError(f"the bare boot did not come to userland: {last}")
    return took


def _disk(path: Path) -> tuple[str, str]:
    return "-drive", f"file={path},format=raw,if=virtio,readonly=on"


def _lab_boot(lab_session: LabSession, blueprint: Blueprint) -> float:
    """Boot as the lab does; return the seconds until SSH answers, without the check of its KVM."""
    with ExitStack() as stack:
        return boot(stack, lab_session.connection, blueprint, lab_session.sink).answered_s


def _cell(lab_session: LabSession, cell: Cell) -> dict[str, float]:
    """Run a cell; return the seconds of each of its phases."""
    pool = Pool(lab_session)
    with tempfile.TemporaryDirectory() as evidence:
        result = attempted(pool, cell, Path(evidence))
        pool.close()
    if result.broke is not None:
        raise result.broke
    if result.verdict is None:
        raise InfraError(f"{cell.id} came to no verdict")
    return dict(result.phases)


def _told(seconds: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(seconds), "each": seconds}

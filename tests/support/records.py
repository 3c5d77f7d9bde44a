# SPDX-License-Identifier: Apache-2.0
"""Synthetic run records: every kind of trouble a page must be able to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

from lab.config.enums import Scope
from lab.record.model import (
    AcceleratorRecord,
    CellRecord,
    EnvironmentRecord,
    ExpectationRecord,
    KernelRecord,
    Outcome,
    RunRecord,
    VcpuFigures,
    VerdictRecord,
)

STARTED = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
SURVIVES = ExpectationRecord(kind="survives", scope=Scope.RUNNING)
DIES = ExpectationRecord(kind="dies")
SURVIVED = VerdictRecord(
    kind="Survived",
    scope=Scope.RUNNING,
    reason="every vCPU beat to the end of the watch",
    vcpus=(
        VcpuFigures(vcpu=0, beats=9120, longest_guest_ms=31.0, longest_l0_ms=34.25, began_ms=2.5),
        VcpuFigures(vcpu=1, beats=9077, longest_guest_ms=410.0, longest_l0_ms=412.0, began_ms=1.0),
    ),
    beats=18197,
    looks_per_second=48.0,
    look_cost_ms=5.1,
    windows=6,
    figures={"median ratio to control": 1.04},
)
LOST = VerdictRecord(
    kind="Lost",
    reason="no beat after the disruption; live beats up to it on this very page",
    vcpus=(VcpuFigures(vcpu=0, beats=2210, longest_l0_ms=5000.0, began_ms=0.4),),
)
UNPROVEN = VerdictRecord(kind="Unproven", reason="the new boot id was never read")
KILLED = {"kind": "vmm-kill", "pid 412 gone": True, "start time": 88121}


def cell(cell_id: str = "one/kill", **changes: object) -> CellRecord:
    """Return a cell that survived the kill of its VMM, with changes."""
    good: dict[str, object] = {
        "id": cell_id,
        "topology": "one-host",
        "dimensions": {
            "arch": "x86_64", "accel": "tcg", "kernel": "reference", "mode": "native",
            "guest": "linux", "vmm": "labvmm", "disruption": "vmm-kill", "vcpus": 2,
        },
        "tier": "ci",
        "expectation": SURVIVES,
        "outcome": Outcome.PASSED,
        "verdict": SURVIVED,
        "witness": KILLED,
        "duration_s": 21.4,
        "phases": (("boot", 4.1), ("baseline", 5.0), ("watch", 10.0)),
        "evidence": f"evidence/{cell_id}",
        "rerun": f"lab run {cell_id}",
    }  # fmt: skip
    return CellRecord.model_validate({**good, **changes})


def run(*cells: CellRecord, **changes: object) -> RunRecord:
    """Return a run of these cells, with changes."""
    good: dict[str, object] = {
        "run_id": "7f3a",
        "started": STARTED,
        "ended": STARTED + timedelta(minutes=22, seconds=7),
        "tier": "ci",
        "command_line": ("pytest", "topologies"),
        "versions": {"lab": "0.1.0", "python": "3.11.2"},
        "environment": ENVIRONMENT,
        "cells": cells,
    }
    return RunRecord.model_validate({**good, **changes})


ENVIRONMENT = EnvironmentRecord(
    accelerators={
        "x86_64": AcceleratorRecord(name="tcg", why="/dev/kvm does not exist"),
        "arm64": AcceleratorRecord(name="tcg", why="another architecture than this machine's"),
    },
    kernels={
        name: KernelRecord(
            release=f"7.3.4-{name}",
            build_id="6f1ed002ab5595859014ebf0951522d9" + name[:4].encode().hex(),
            digest="sha256:" + "3a" * 32,
            source="linux-source-7.3",
            source_version="7.3.4-1~bpo13+1",
            config_digest="sha256:" + "c4" * 32,
        )
        for name in ("stock", "reference")
    },
    images={"l1 x86_64": "sha256:" + "9b" * 32},
    cpu_model="AMD EPYC-Milan",
    qemu="10.0.3",
    libvirt="12.8.0",
    l0_kernel="6.12.9",
    load_1m=1.9,
    steal_percent=0.4,
)

_OUTCOMES: dict[str, dict[str, object]] = {
    "reference": {},
    "stock": {"expectation": DIES, "verdict": LOST},
}
_TROUBLE: dict[int, dict[str, object]] = {
    7: {"outcome": "failed", "verdict": LOST, "first_cause": "expected Survived, was Lost"},
    10: {"outcome": "error", "verdict": UNPROVEN, "first_cause": "waited for the new boot id"},
    19: {"outcome": "error", "verdict": None, "first_cause": "lost l1-a <script>alert(1)</script>"},
    26: {"verdict": None},  # a pass without a verdict
    33: {
        "outcome": "xfailed",
        "verdict": LOST,
        "expectation": ExpectationRecord(
            kind="xfail", reason="OOM kill tears the vm down", link="https://example.org/b/12"
        ),
    },
}
_NO_GMEM: dict[str, object] = {
    "outcome": "unavailable",
    "verdict": None,
    "witness": {},
    "evidence": "",
    "first_cause": "no guest_memfd in QEMU 10.0",
    "expectation": ExpectationRecord(kind="unavailable", reason="QEMU 10.0 has no guest_memfd"),
}


def sixty() -> RunRecord:
    """Return a run of some sixty cells, most of them well, with one of each trouble."""
    cells = []
    axes = product(
        ("x86_64", "arm64"), ("reference", "stock"), ("linux", "spinner"), ("labvmm", "qemu"),
        ("none", "vmm-kill", "vmm-oom", "kexec"),
    )  # fmt: skip
    for n, (arch, kernel, guest, vmm, disruption) in enumerate(axes):
        mode = "native" if arch == "x86_64" else "protected"
        changes = dict(_OUTCOMES[kernel])
        if disruption == "none":
            changes = {"expectation": SURVIVES, "verdict": SURVIVED, "witness": {}}
        if vmm == "qemu" and guest == "spinner":
            changes |= _NO_GMEM
        changes |= _TROUBLE.get(n, {})
        cells.append(
            cell(
                f"one-host/{arch}-{kernel}-{mode}-{guest}-{vmm}-{disruption}",
                dimensions={
                    "arch": arch, "accel": "tcg", "kernel": kernel, "mode": mode, "guest": guest,
                    "vmm": vmm, "disruption": disruption, "vcpus": 2,
                },
                **changes,
            )
        )  # fmt: skip
    twin = cells[1]
    four = {**twin.dimensions, "vcpus": 4}
    cells.append(twin.model_copy(update={"id": f"{twin.id}-4", "dimensions": four}))
    return run(*cells, must_run=(cells[0].id, cells[13].id, "two-hosts/migrate"))

# SPDX-License-Identifier: Apache-2.0
"""The request of one `lab selftest`, and the cells of its record; pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab.config.model import Accel, Arch, HostMode
from lab.record.doubt import failing
from lab.record.files import file_name
from lab.record.model import CellRecord, ChildRecord, Outcome, PlannedCell, Scalar
from lab.record.rerun import toml_option


class Suite(StrEnum):
    """Suites of the kernel's tree that have to do with live update, and of KVM's."""

    KVM = "kvm"
    LIVEUPDATE = "liveupdate"
    KHO = "kho"
    KUNIT = "kunit"
    KVM_UNIT_TESTS = "kvm-unit-tests"


@dataclass(frozen=True, slots=True)
class HostKernel:
    """The kernel and the mode of a host that tests run on."""

    kernel: str
    mode: HostMode

    def __str__(self) -> str:
        return f"{self.kernel}-{self.mode.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestRequest:
    """What was typed.

    Attributes:
        beside: The host whose results are the measure; None if there is none.
        only: A glob, by which programs are chosen.
        timeout_s: How many seconds each program may take; None leaves it to the suite.
        env: "NAME=VALUE", for each program.
        toml: The lab.toml that was read.
        tree: The source tree that stands for kernel 'stock'; None if none does.
        list_file: The list of programs that are run; None for all.
        merge_config: Build the kernel under test with the suite's `config`.
        kunitconfig: What KUnit is configured with; None for kunit.py's default.
        source: Where kvm-unit-tests come from; "" for another suite.
    """

    suite: Suite
    tested: HostKernel
    beside: HostKernel | None
    arch: Arch
    only: str
    timeout_s: float | None
    env: tuple[str, ...]
    toml: Path
    tree: Path | None = None
    list_file: Path | None = None
    merge_config: bool = False
    kunitconfig: Path | None = None
    source: str = ""

    @property
    def typed(self) -> str:
        """The whole of it as a command, which does the same from the same folder."""
        argv = ["lab", *toml_option(self.toml), "selftest", self.suite.value]
        argv += [f"--kernel={self.tested.kernel}"]
        argv += [f"--lab-kernel={self.tree}"] if self.tree else []
        argv += [f"--beside={self.beside.kernel}"] if self.beside else []
        argv += [f"--arch={self.arch.value}", f"--mode={self.tested.mode.value}"]
        argv += [f"--only={self.only}"]
        argv += [f"--list={self.list_file}"] if self.list_file else []
        argv += ["--merge-config"] if self.merge_config else []
        argv += [f"--kunitconfig={self.kunitconfig}"] if self.kunitconfig else []
        argv += [f"--source={self.source}"] if self.source else []
        argv += [f"--timeout-s={self.timeout_s:g}"] if self.timeout_s else []
        argv += [f"--env={e}" for e in self.env]
        return shlex.join(argv)


@dataclass(frozen=True, slots=True)
class HostResults:
    """The results of the tests on one host, what its kernel complained of, and the seconds."""

    children: tuple[ChildRecord, ...]
    complained: str
    took_s: float


def planned(request: SelftestRequest, on: HostKernel, accel: Accel) -> PlannedCell:
    """Return the plan of the tests on one host.

    Args:
        request: The request.
        on: The host.
        accel: What it runs on.
    """
    place: dict[str, Scalar] = {
        "arch": request.arch.value,
        "accel": accel.value,
        "kernel": on.kernel,
        "mode": on.mode.value,
        "guest": "selftest",
        "vmm": request.suite.value,
    }
    name = f"{request.arch.value}-{accel.value}-{on}-selftest-{request.suite.value}"
    return PlannedCell(id=name, topology="selftest", dimensions=place, rerun=request.typed)


def evidence_of(plan: PlannedCell) -> str:
    """Return the folder of its evidence, relative to the run's.

    Args:
        plan: The cell's.
    """
    return f"evidence/{file_name(plan.id)}"


def cell_of(plan: PlannedCell, results: HostResults, told: tuple[ChildRecord, ...]) -> CellRecord:
    """Return the record of the tests on one host.

    Args:
        plan: The cell's.
        results: The results.
        told: Its tests, where those that failed on the measure, too, are excused.
    """
    bad = failing(told)
    cause = results.complained or (f"{len(bad)} failed, the first is {bad[0]}" if bad else "")
    if not told:
        cause = "no test said anything"
    outcome = Outcome.FAILED if bad or results.complained else Outcome.PASSED
    return CellRecord(
        **plan.model_dump(),
        outcome=outcome if told else Outcome.ERROR,
        first_cause=cause,
        children=told,
        evidence=evidence_of(plan),
        duration_s=round(results.took_s, 3),
    )

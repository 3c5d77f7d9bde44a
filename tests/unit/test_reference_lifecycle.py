# SPDX-License-Identifier: Apache-2.0
"""The life of a resident vCPU in userspace, on a processor that is played; and mutants of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_PARTS = ("arch/x86/caretaker", "arch/x86/include", "tools/testing/caretaker")
_SOURCES = {
    "resident": ("resident.c", "exits.c", "validate.c", "vapic.c"),
    "core": ("npt.c", "check.c", "shadow.c"),
}
_FLAGS = [
    "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
    "-fsanitize=address,undefined", "-pthread",
]  # fmt: skip

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")

# file, what it says, what a mutant says instead, the test that must fail
_MUTANTS = {
    "exceptions-get-in": ("resident.c", "FIRST_VECTOR - 16", "0", "own_apic"),
    "refused-and-wiped": ("resident.c", "if (res->entries > 1)", "if (1)", "refused_vcpu"),
    "refused-and-overwritten": (
        "resident.c",
        "if ((u32)v->exit_code == (u32)EXIT_INVALID)",
        "if (!v)",
        "refused_vcpu",
    ),
    "stop-without-lock": (
        "resident.c",
        "	spin_lock(&posts_lock, self->index);	/* so that it is not fetched meanwhile */",
        "",
        "stop_and_fetch",
    ),
    "halted-as-out": (
        "resident.c",
        "set_state(c, CARETAKER_CPU_HALTED);",
        "set_state(c, CARETAKER_CPU_OUT);",
        "comes_and_goes",
    ),
    "ratio-of-another": (
        "resident.c",
        "wrmsr(MSR_TSC_RATIO, TSC_RATIO_1);",
        "wrmsr(MSR_TSC_AUX, TSC_RATIO_1);",
        "tsc_ratio",
    ),
    "half-of-an-id": (
        "resident.c",
        " && own->guest[1] == other->guest[1]",
        "",
        "siblings",
    ),
    "endless-ac": ("exits.c", "redeliver(&m->guest, EVENT_AC);", ";", "exceptions"),
    "event-lost-to-ac": ("exits.c", "if (!(v->event_inj & EVENT_VALID))", "", "exceptions"),
    "deadline-survives": (
        "exits.c",
        "if (no == MSR_X2APIC_LVTT && !apic_by_deadline(res->own->apic))",
        "if (!no)",
        "deadline",
    ),
    "cr8-is-zero": ("exits.c", "v->int_ctl |= apic_tpr(apic) >> 4;", "", "task_priority"),
    "fetched-twice": (
        "resident.c",
        "set_state(&m->data, CARETAKER_CPU_LEAVING);",
        "",
        "fetch_once",
    ),
}  # fmt: skip


def _run(kernel: Path, out: Path) -> subprocess.CompletedProcess[str]:
    program, caretaker = out / "lifecycle", kernel / "arch/x86/caretaker"
    testing = kernel / "tools/testing/caretaker"
    sources = [caretaker / folder / name for folder, names in _SOURCES.items() for name in names]
    includes = [f"-I{caretaker / folder}" for folder in _SOURCES]
    fake = ["-include", str(testing / "privileged.h")]
    subprocess.run(
        ["gcc", *_FLAGS, *includes, *fake, testing / "lifecycle.c", *sources, "-o", program],
        check=True,
    )
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


def test_life_of_a_vcpu_holds_under_sanitizers(tmp_path: Path) -> None:
    ran = _run(_KERNEL, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == int(lines[1].removeprefix("1.."))


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    file, what, instead, catcher = _MUTANTS[name]
    kernel = tmp_path / "kernel"
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/resident" / file
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    ran = _run(kernel, tmp_path)
    caught = [line for line in ran.stdout.splitlines() if line.startswith("not ok")]
    assert any(catcher in line for line in caught), ran.stdout + ran.stderr

# SPDX-License-Identifier: Apache-2.0
"""The host's accesses to MSRs in userspace, where each RDMSR is #GP; and mutants of them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_PARTS = ("arch/x86/caretaker/core", "arch/x86/include/asm", "tools/testing/caretaker")
_SOURCES = ("msr.c", "msr_policy.c", "check.c", "insn.c", "entry.S")
_FLAGS = [
    "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-no-pie",
    "-fsanitize=address,undefined", '-DCT_BUILD="test"',
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="executes RDMSR"),
]

# file, what it says, what a mutant says instead, the test that must fail
_MUTANTS = {
    "kvm-writes-to-private-memory": (
        "msr.c",
        "if (!msr_page_ok(&g.limits, value))",
        "if (!m)",
        "kvms",
    ),
    "machine-checks-refused": (
        "msr.c",
        "	case MSR_PASS:\n		return try_rdmsr(no, value);",
        "",
        "machine_checks",
    ),
    "memory-moves": ("msr.c", "return is_same(no, value);", "return true;", "refused"),
    "dropped-and-untold": (
        "msr.c",
        "		if (!is_same(no, value))\n			count",
        "		if (!m)\n			count",
        "refused",
    ),
    "hsave-is-real": ("msr.c", "m->data.host_hsave_pa = value;", "", "own"),
}


def _run(kernel: Path, out: Path) -> subprocess.CompletedProcess[str]:
    core, program = kernel / "arch/x86/caretaker/core", out / "msr"
    sources = [kernel / "tools/testing/caretaker/msr.c", *(core / name for name in _SOURCES)]
    subprocess.run(["gcc", *_FLAGS, f"-I{core}", *sources, "-o", program], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


def test_accesses_to_msrs_hold_under_sanitizers(tmp_path: Path) -> None:
    ran = _run(_KERNEL, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == int(lines[1].removeprefix("1.."))


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    file, what, instead, catcher = _MUTANTS[name]
    kernel = _copied(tmp_path)
    mutated = kernel / "arch/x86/caretaker/core" / file
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    ran = _run(kernel, tmp_path)
    caught = [line for line in ran.stdout.splitlines() if line.startswith("not ok")]
    assert any(catcher in line for line in caught), ran.stdout + ran.stderr


def test_a_fault_that_nobody_expects_ends_the_program(tmp_path: Path) -> None:
    kernel = _copied(tmp_path)
    entry = kernel / "arch/x86/caretaker/core/entry.S"
    expected, text = "cmpq\t$13, (%rsp)\n\tjne\t2f", entry.read_text()
    assert text.count(expected) == 1
    entry.write_text(text.replace(expected, "jmp\t2f"))
    assert _run(kernel, tmp_path).returncode


def _copied(to: Path) -> Path:
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, to / "kernel" / part)
    return to / "kernel"

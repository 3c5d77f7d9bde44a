# SPDX-License-Identifier: Apache-2.0
"""Which CPU may leave the caretaker, in userspace; and mutants of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_PARTS = ("arch/x86/caretaker/core", "arch/x86/include/asm", "tools/testing/caretaker")
_FLAGS = [
    "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
    "-fsanitize=address,undefined",
]  # fmt: skip

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")

# what release.c says, what a mutant says instead, the test that must fail
_MUTANTS = {
    "the-last-goes": ("|| !last_and_needed(c)", "|| !last_and_needed(c) || c", "last_one_stays"),
    "a-parked-one-is-forgotten": (
        "state == CARETAKER_CPU_HELD || state == CARETAKER_CPU_PARKED ||",
        "state == CARETAKER_CPU_HELD ||",
        "last_one_stays",
    ),
    "any-word-abandons": ("how == CARETAKER_ABANDON", "how", "abandoned"),
    "none-abandons": ("how == CARETAKER_ABANDON || ", "how > ~0ULL - 1 || ", "abandoned"),
    "itself-is-another": (" && i != self->index", "", "last_one_stays"),
    "another-depth": ("(v->cr4 ^ c->ct_cr4) & CR4_LA57", "0", "unfit_host"),
    "elsewhere": (
        "return (e & PT_ADDR & ~(size - 1)) + (g.p.va & (size - 1)) == g.p.pa;",
        "return size;",
        "unfit_host",
    ),
}


def _run(kernel: Path, out: Path) -> subprocess.CompletedProcess[str]:
    testing, program = kernel / "tools/testing/caretaker", out / "release"
    fake = ["-include", str(testing / "privileged.h"), f"-I{kernel / 'arch/x86/caretaker/core'}"]
    command = ["gcc", *_FLAGS, *fake, str(testing / "release.c"), "-o", str(program)]
    subprocess.run(command, check=True)
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


def test_release_holds_under_sanitizers(tmp_path: Path) -> None:
    ran = _run(_KERNEL, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == int(lines[1].removeprefix("1.."))


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    what, instead, catcher = _MUTANTS[name]
    kernel = tmp_path / "kernel"
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/core/release.c"
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    ran = _run(kernel, tmp_path)
    caught = [line for line in ran.stdout.splitlines() if line.startswith("not ok")]
    assert any(catcher in line for line in caught), ran.stdout + ran.stderr

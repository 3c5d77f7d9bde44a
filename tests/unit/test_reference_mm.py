# SPDX-License-Identifier: Apache-2.0
"""The reference kernel: no use of an mm in KVM that was not looked at, as its threads have none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "guest-images/kernels/reference"
WHERE = ("arch/x86/kvm", "arch/arm64/kvm", "virt/kvm")
GUARDED = "if (!current->mm || is_64bit_mm(current->mm))"
BARE = "if (likely(is_64bit_mm(current->mm)))"
ALLOWED = f"# Written for a task without an mm.\nvirt/kvm/a.c: {GUARDED}\n"


def check(tree: Path, *allowed: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPE / "check_mm.py"), str(tree), *map(str, allowed)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def made(root: Path, files: Mapping[str, str]) -> Path:
    for folder in WHERE:
        (root / folder).mkdir(parents=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"\t{GUARDED}\n", ""),
        (f"\t{GUARDED}\n\t{BARE}\n", f"new: virt/kvm/a.c: {BARE}"),
        (f"\t{GUARDED}\n\t{GUARDED}\n", "new: virt/kvm/a.c"),
        (f"\t{GUARDED}\n\tmm = current->active_mm;\n", "new: virt/kvm/a.c: mm"),
        (f"\t{GUARDED}\n\t * see current->mm\n", ""),
        ("", "gone: virt/kvm/a.c"),
    ],
)
def test_a_use_of_an_mm_that_nobody_looked_at_is_found(
    tmp_path: Path, code: str, said: str
) -> None:
    (tmp_path / "allowed").write_text(ALLOWED)
    done = check(made(tmp_path / "linux", {"virt/kvm/a.c": code}), tmp_path / "allowed")
    assert done.returncode == bool(said), done.stderr
    assert said in done.stdout


def test_an_exception_without_a_reason_is_none(tmp_path: Path) -> None:
    (tmp_path / "allowed").write_text(f"virt/kvm/a.c: {GUARDED}\n")
    done = check(made(tmp_path / "linux", {}), tmp_path / "allowed")
    assert done.returncode
    assert "no reason above" in done.stderr


def test_what_is_no_kernel_source_is_not_called_clean(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 2


def test_each_use_of_an_mm_in_the_patched_kernel_was_looked_at(tmp_path: Path) -> None:
    done = check(_patched(tmp_path / "linux"))
    assert not done.returncode, done.stdout + done.stderr


def _patched(into: Path) -> Path:
    """Make of the source, as far as patches and the check look at it, what the recipe builds."""
    cache = Path(os.environ.get("LAB_CACHE", "/var/cache/caretaker-lab"))
    source = next((t for t in sorted(cache.glob("source/*/tree")) if _is_base(t)), None)
    if source is None:
        pytest.skip(f"no source of the kernel in '{cache}': lab kernel build reference fetches it")
    patches = sorted((RECIPE / "patches").glob("*.patch"))
    touched = {
        name
        for patch in patches
        for name in re.findall(r"^--- a/(\S+)", patch.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for folder in WHERE:
        shutil.copytree(source / folder, into / folder)
    for name in touched:
        if (source / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, into / name)
    apart = {**os.environ, "GIT_DIR": "/dev/null", "GIT_CEILING_DIRECTORIES": str(into.parent)}
    for patch in patches:
        command = ["git", "apply", "--whitespace=nowarn", str(patch)]
        subprocess.run(command, cwd=into, env=apart, check=True, timeout=60)
    shutil.copytree(RECIPE / "tree", into, dirs_exist_ok=True)
    return into


def _is_base(tree: Path) -> bool:
    head = (tree / "Makefile").read_text(encoding="utf-8")[:300]
    return "VERSION = 7\nPATCHLEVEL = 3\n" in head

# SPDX-License-Identifier: Apache-2.0
"""What the installer would do to machines that are told of in files; nothing is installed."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.build import wheels
from lab.config.load import load_lock

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "lab" / "install" / "debian.sh"
SCRIPTS = [
    INSTALLER,
    INSTALLER.with_name("clean.sh"),
    INSTALLER.with_name("floors.sh"),
    ROOT / ".ci" / "run",
    ROOT / ".ci" / "offline",
]

MIRROR = "http://mirror.example/debian/"
BOOKWORM = f"{MIRROR}|bookworm|bookworm|main\n"
SECURITY = "http://security.example/|bookworm-security|bookworm-security|main\n"
BACKPORTS = f"{MIRROR}|bookworm-backports||main\n"

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg: not a Debian")


SETS = ("base", "arm64", "kernels", "tests")


def packages(*, young: bool = False, sets: Sequence[str] = SETS, of: int = 12) -> list[str]:
    sets = [*sets, f"base{of}"]
    table = INSTALLER.read_text().partition("packages='\n")[2].partition("'")[0]
    rows = [row.split() for row in table.splitlines()]
    return [name for name, age, _, own in rows if (age == "young" or not young) and own in sets]


class Plans:
    """Asks the installer about a machine, and gives what it says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self,
        os_release: str,
        present: str = "",
        sources: str = BOOKWORM,
        *,
        succeeds: bool = True,
        sets: str = "all",
        **env: str,
    ) -> str:
        """Plan for the machine that the files tell of; it must succeed, or must not."""
        command = [str(INSTALLER), "--plan", *(["--with", sets] if sets else [])]
        told = {"--os-release": os_release, "--present": present, "--sources": sources}
        for option, content in told.items():
            file = self._folder / option.strip("-")
            file.write_text(content)
            command += [option, str(file)]
        done = subprocess.run(
            ["/bin/bash", *command],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": "/nowhere/python3", **env},
        )
        assert (done.returncode == 0) == succeeds, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def plan(tmp_path: Path) -> Plans:
    return Plans(tmp_path)


def debian(version: int) -> str:
    return f'ID=debian\nVERSION_ID="{version}"\nPRETTY_NAME="Debian GNU/Linux {version}"\n'


def installed(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if line.startswith("lab: installing")]
    return lines[0].rpartition(": ")[2].split() if lines else []


def having(version: str, names: list[str]) -> str:
    return "".join(f"{name} {version}\n" for name in names)


@needs_dpkg
def test_fresh_bookworm_installs_from_backports_of_its_mirror(plan: Plans) -> None:
    said = plan(debian(12), sources=SECURITY + BOOKWORM)

    assert f"adding bookworm-backports from {MIRROR} as /etc/apt/sources.list.d/" in said
    assert "installing, from bookworm-backports what it has" in said
    assert installed(said) == packages()


@needs_dpkg
def test_a_suite_is_known_by_its_code_name_too(plan: Plans) -> None:
    said = plan(debian(12), sources=f"{MIRROR}|oldstable|bookworm|main\n")

    assert f"adding bookworm-backports from {MIRROR}" in said


@needs_dpkg
def test_a_first_verdict_needs_no_kernel_tools_no_cross_compiler_and_no_browser(
    plan: Plans,
) -> None:
    first = installed(plan(debian(13), sets=""))
    assert first == packages(sets=["base"], of=13)
    assert {"gcc", "make", "qemu-system-x86", "mmdebstrap", "python3-venv"} < set(first)
    assert not {"chromium", "flex", "libssl-dev", "gcc-aarch64-linux-gnu", "ccache"} & set(first)


@needs_dpkg
def test_each_set_adds_what_it_is_for(plan: Plans) -> None:
    for own in SETS[1:]:
        assert installed(plan(debian(13), sets=own)) == packages(sets=["base", own], of=13)
    several = installed(plan(debian(13), sets="arm64,kernels"))
    assert several == packages(sets=["base", "arm64", "kernels"], of=13)
    assert "unknown set 'kernel'; there are arm64, kernels" in plan(
        debian(13), sets="kernel", succeeds=False
    )


@needs_dpkg
def test_backports_that_are_there_are_not_added_again(plan: Plans) -> None:
    said = plan(debian(12), sources=BOOKWORM + BACKPORTS)

    assert "adding" not in said
    assert installed(said) == packages()


@needs_dpkg
def test_an_old_qemu_is_replaced_with_its_libvirt(plan: Plans) -> None:
    said = plan(debian(12), having("1:7.2+dfsg-7+deb12u18+b3", packages()))

    young = installed(said)
    assert young == packages(young=True)
    assert {"qemu-system-x86", "libvirt-dev"} < set(young) < set(packages())


@needs_dpkg
def test_a_new_qemu_is_left_alone(plan: Plans) -> None:
    there = [name for name in packages() if name not in {"libvirt-dev", "bc"}]

    said = plan(debian(12), having("1:10.0.2+ds-2+deb13u1~bpo12+1", there))

    assert installed(said) == ["libvirt-dev", "bc"]


@needs_dpkg
def test_a_trixie_needs_no_backports(plan: Plans) -> None:
    said = plan(debian(13), sources="")

    assert installed(said) == packages(of=13)
    assert "backports" not in said


@needs_dpkg
@pytest.mark.parametrize("version", [12, 13])
def test_a_complete_machine_needs_nothing(plan: Plans, version: int) -> None:
    there = having("1:10.0.2", packages(of=version))
    assert plan(debian(version), there) == "lab: nothing is missing\n"


@needs_dpkg
def test_a_bookworm_without_a_mirror_is_told(plan: Plans) -> None:
    said = plan(debian(12), sources="cdrom:[12]/|bookworm|bookworm|main\n", succeeds=False)

    assert "apt's sources have no 'bookworm main'" in said


@pytest.mark.parametrize(
    "os_release", ['ID=fedora\nVERSION_ID=43\nPRETTY_NAME="Fedora Linux 43"\n', debian(11)]
)
def test_another_distribution_is_told_what_is_needed(plan: Plans, os_release: str) -> None:
    said = plan(os_release, succeeds=False, PATH="/nowhere")

    assert re.search(r"this is (Fedora Linux 43|Debian GNU/Linux 11), and the lab", said)
    assert re.search(r"please install .* mmdebstrap mksquashfs", said)
    assert "QEMU must be 9.2 or newer, Python 3.11 or newer" in said


@needs_dpkg
def test_an_old_python_is_told(plan: Plans, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.10\n")
    old.chmod(0o755)

    said = plan(debian(13), succeeds=False, PYTHON=str(old))

    assert f"'{old}' is Python 3.10, the lab needs 3.11 or newer" in said


@needs_dpkg
def test_the_binding_of_libvirt_is_debians_own_where_it_is_new_enough(plan: Plans) -> None:
    assert "python3-libvirt" in installed(plan(debian(13), sets=""))
    assert "python3-libvirt" not in installed(plan(debian(12), sets=""))


def test_every_python_package_that_is_asked_for_is_locked() -> None:
    lock = load_lock(ROOT / "lab.lock")
    assert wheels.are_locked(lock.python)
    for name in ("capstone", "mypy", "scipy"):  # the lab's, its developers', an extra's
        assert not wheels.are_locked([one for one in lock.python if one.name != name])
    assert {"QEMU", "libvirt"} == set(lock.tools)


def test_a_misspelt_argument_is_told() -> None:
    done = subprocess.run([INSTALLER, "--pln"], check=False, capture_output=True, text=True)

    assert done.returncode == 1
    assert "unknown argument '--pln'" in done.stderr


@needs_dpkg
def test_doctor_costs_less_than_a_second_of_cpu_time() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([INSTALLER, "--plan", "--with", "all"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 1  # of a processor: a busy machine is no slower by this measure


def test_no_package_is_named_twice() -> None:
    assert len(packages()) == len(set(packages()))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_executable_and_clean(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, script], check=True)


def test_every_make_target_says_what_it_is_for() -> None:
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    told = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT], check=True, capture_output=True, text=True
    ).stdout

    assert [line.split()[0] for line in told.splitlines()] == targets

# SPDX-License-Identifier: Apache-2.0
"""The wheel outside the checkout: a lab that was installed, and not cloned, does what it says.

It is built and installed without a network: what it depends on is taken from where this runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand, select
from lab.config.model import Tier

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.packaging

# What docs and the fixtures' own help say that one may write.
SUITE = """
import pytest

@pytest.mark.lab_guest(kind="spinner", vmm="labvmm")
def test_guest_beats(lab_guest):
    lab_guest.insist_lives()

@pytest.mark.lab_guest(kind="spinner", vmm="labvmm")
def test_guest_dies_with_its_vmm(lab_guest):
    lab_guest.insist_lives()
    lab_guest.kill_vmm()
    lab_guest.insist_silent()

def test_host_runs_linux(lab_host):
    assert lab_host.session.check(["uname", "-s"]).strip() == "Linux"
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and a folder to work in."""

    bin: Path
    folder: Path

    def run(self, *argv: str, status: int = 0, patience_s: float = 60, **env: str) -> str:
        """Run one of its programs; return what it printed. Its exit status must be `status`."""
        done = subprocess.run(
            [self.bin / argv[0], *argv[1:]],
            cwd=self.folder,
            env=clean(os.environ) | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience_s,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pytest(self, *argv: str, status: int = 0, patience_s: float = 60) -> str:
        """Run pytest, as its command does: with nothing of the current folder to be imported."""
        return self.run("python", "-P", "-m", "pytest", *argv, status=status, patience_s=patience_s)


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without what leads to the checkout, or to a lab of this machine's."""
    return {
        name: value
        for name, value in env.items()
        if name != "PYTHONPATH" and not name.startswith(("LAB_", "PYTEST_", "COV_"))
    }


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel; its dependencies are those of the Python that runs this."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    argv = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    argv += ["--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    # As a plain line of a .pth, its own .pth files, and with them the checkout, do not count.
    (site,) = folder.glob("lib/python*/site-packages")
    others = "\n".join(p for p in sys.path if p.endswith("site-packages"))
    (site / "dependencies.pth").write_text(others, encoding="utf-8")
    return folder


@pytest.fixture
def lab(environment: Path, tmp_path: Path) -> Installed:
    return Installed(environment / "bin", tmp_path)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_command_is_the_wheels(lab: Installed) -> None:
    where = lab.run("python", "-c", "import lab; print(lab.__file__)")
    assert Path(where.strip()).is_relative_to(lab.bin.parent)
    assert lab.run("lab", "--version").startswith("caretaker-lab ")


def test_wheel_has_one_version_and_both_licences(wheel: Path, lab: Installed) -> None:
    told = metadata(wheel)
    assert lab.run("lab", "--version").split()[1] == told["Version"]
    assert told["License-Expression"] == "Apache-2.0 AND GPL-2.0-only"
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            Path(name).name: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/licenses/" in name
        }
    assert texts["LICENSE"].split("\n")[1].strip() == "Apache License"
    assert "GNU GENERAL PUBLIC LICENSE\n" in texts["GPL-2.0-only.txt"]


def test_wheel_has_every_file_of_the_recipes(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {n.removeprefix("lab/_data/") for n in archive.namelist() if "/_data/" in n}
    folders = ("guest-images", "topologies", "lab.toml", "lab.lock")
    argv = ["git", "ls-files", "-co", "--exclude-standard", *folders]
    try:
        listed = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, or a tarball: nothing is ignored
        listed = "\n".join(
            str(p.relative_to(ROOT)) for f in folders for p in (ROOT / f).rglob("*") if p.is_file()
        )
    files = {name for name in listed.splitlines() if (ROOT / name).is_file()}
    assert packed == {name for name in files if "__pycache__" not in name}
    assert "guest-images/l2/ticker.c" in packed


def test_wheel_is_typed_and_has_no_script_of_a_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "lab/py.typed" in names
    assert [n for n in names if n.startswith("lab/install/")] == ["lab/install/debian.sh"]
    assert not [n for n in names if n.endswith(".pyc") or n.startswith("tests/")]


def test_installer_of_a_wheel_leaves_python_alone(lab: Installed) -> None:
    """It would make a .venv beside the package, of a project that is not there."""
    (script,) = lab.bin.parent.glob("lib/python*/site-packages/lab/install/debian.sh")
    assert os.access(script, os.X_OK)
    said = lab.run("python", "-c", "from lab.data import INSTALLER; print(INSTALLER)")
    assert said.strip() == str(script)
    text = script.read_text(encoding="utf-8")
    assert text.index("pyproject.toml ]] || exit 0") < text.index("\nvenv_is_current || make_venv")


def test_an_empty_folder_has_the_ladder_of_the_lab(lab: Installed) -> None:
    told = json.loads(lab.run("lab", "ladder", "--json"))
    config = load_lab(ROOT / "lab.toml")
    cells = select(
        expand(load_topologies(ROOT / "topologies", config), config, accel="tcg"), Tier.CI
    )
    assert [plan["id"].replace("-kvm-", "-tcg-") for plan in told] == [cell.id for cell in cells]
    assert list(lab.folder.iterdir()) == []


def test_a_night_is_of_topologies_of_ones_own(lab: Installed) -> None:
    """Pytest would write into the package."""
    said = lab.run("lab", "nightly", status=2)
    assert "hint: make them: lab init" in said


def test_init_writes_a_folder_in_which_pytest_collects(lab: Installed) -> None:
    said = lab.run("lab", "init")
    assert re.search(r"next:\n +lab doctor", said)
    assert (lab.folder / "lab.toml").read_bytes() == (ROOT / "lab.toml").read_bytes()
    names = {path.name for path in (lab.folder / "topologies").iterdir()}
    assert names == {p.name for p in (ROOT / "topologies").glob("*.toml")} | {"test_cells.py"}

    collected = lab.pytest("--collect-only", "-q", "topologies", "--lab-accel=tcg")
    cell = "topologies/test_cells.py::test_guest[x86_64-tcg-stock-linux-qemu-vmm_kill]"
    assert cell in collected.splitlines()


def test_init_can_write_the_tests_beside_the_cells(lab: Installed) -> None:
    said = lab.run("lab", "init", "mine", "--tests")
    assert re.search(r"next:\n +cd mine\n +lab doctor", said)
    there = Installed(lab.bin, lab.folder / "mine")
    options = ("--collect-only", "-q", "--lab-tier=nightly", "--lab-accel=tcg")
    collected = there.pytest("topologies", *options)
    assert "topologies/test_orphans.py::" in collected
    assert " error" not in collected


@pytest.mark.parametrize("there", ["lab.toml", "topologies/test_cells.py"])
def test_init_overwrites_nothing_and_writes_nothing_then(lab: Installed, there: str) -> None:
    mine = lab.folder / there
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    said = lab.run("lab", "init", status=2)
    assert f"lab: {there} is there already, and is not overwritten" in said
    assert "hint: name another folder: lab init FOLDER" in said
    assert mine.read_text() == "mine"
    assert [p for p in lab.folder.rglob("*") if p.is_file()] == [mine]


def test_dry_run_shows_the_machine_and_touches_nothing(lab: Installed) -> None:
    lab.run("lab", "init")
    before = set(lab.folder.rglob("*"))
    said = lab.run("lab", "run", "--disruption", "vmm-kill", "--dry-run", LAB_ACCEL="tcg")
    assert "cell: x86_64-tcg-stock-linux-qemu-vmm_kill" in said
    assert set(lab.folder.rglob("*")) == before


def test_recipes_of_the_wheel_are_found_and_those_of_the_folder_first(lab: Installed) -> None:
    lab.run("lab", "init")
    script = (
        "from pathlib import Path; from lab.config.load import load_lab;"
        "print(load_lab(Path('lab.toml')).kernel['stock'].recipe_folder)"
    )
    packed = Path(lab.run("python", "-c", script).strip())
    assert packed.is_relative_to(lab.bin.parent)
    mine = lab.folder / "guest-images" / "kernels" / "stock"
    mine.mkdir(parents=True)
    (mine / "kernel.toml").write_bytes((packed / "kernel.toml").read_bytes())
    assert Path(lab.run("python", "-c", script).strip()) == mine


def test_a_suite_of_ones_own_has_the_fixtures(lab: Installed) -> None:
    (lab.folder / "test_mine.py").write_text(SUITE)
    said = lab.pytest("--strict-markers", "--collect-only", "-q")
    assert "test_mine.py::test_guest_dies_with_its_vmm" in said.splitlines()
    said = lab.pytest("--fixtures", "-q")
    assert re.search(r"^lab_guest .*\n +A guest of `lab_host` as", said, re.MULTILINE)


def test_a_wrong_marker_ends_the_run_before_anything_is_built(lab: Installed) -> None:
    (lab.folder / "test_mine.py").write_text(SUITE.replace('kind="spinner"', 'kind="spiner"'))
    said = lab.pytest(status=pytest.ExitCode.USAGE_ERROR)
    # Whichever comes first, where pytest-randomly is installed too.
    assert re.search(r"test_mine\.py::test_guest_\w+: @pytest\.mark\.lab_guest: kind: ", said)


@pytest.mark.vm
@pytest.mark.timeout(900)
def test_a_suite_of_ones_own_runs_on_real_machines(lab: Installed) -> None:
    """Its lab.toml is the lab's own, and so are its recipes; what they make is in the cache."""
    (lab.folder / "test_mine.py").write_text(SUITE)
    said = lab.pytest("-q", "-p", "no:cacheprovider", patience_s=850)
    assert "3 passed" in said

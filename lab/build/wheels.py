# SPDX-License-Identifier: Apache-2.0
"""Which Python packages .venv is made of: pip chooses once, and the lock has each file's digest."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab import data
from lab.build.commands import output
from lab.config.lock import LockedWheel
from lab.errors import InfraError
from lab.events import Sink, Step

# For others lab/install/debian.sh says that none is locked; Debian 12 has 3.11, 13 has 3.13.
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_MACHINES = ("x86_64", "aarch64")
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24",
              "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
              "manylinux_2_5", "manylinux1")  # fmt: skip
_TO_BUILD = (
    "editables",
    "setuptools",
)  # what an editable install, and libvirt-python, are built by


def choose(sink: Sink) -> tuple[LockedWheel, ...]:
    """Let pip choose what pyproject.toml asks for, with the digests of all files that it may take.

    Args:
        sink: Receives the steps.

    Returns:
        The packages, by name; none where the lab was installed from a wheel, whose pip has chosen.

    Raises:
        InfraError: pip found no set of packages.
        OfflineError: The lab is offline.
    """
    if data.INSTALLED:
        return ()
    sink(Step(what="asking pip which Python packages there are"))
    chosen = _report("--editable", f"{data.ROOT}[dev]", *_TO_BUILD)
    digests = {key: {digest} for key, digest in _found(chosen)}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write("".join(f"{name}=={version}\n" for name, version in digests))
        pins.flush()
        for python in _PYTHONS:
            for machine in _MACHINES:
                sink(Step(what=f"asking pip for those of Python {python} on {machine}"))
                for key, digest in _found(_for_another(python, machine, pins.name)):
                    digests[key].add(digest)
    return tuple(
        LockedWheel(name=name, version=version, sha256=tuple(sorted(digests[name, version])))
        for name, version in sorted(digests)
    )


def are_locked(locked: Iterable[LockedWheel]) -> bool:
    """Return whether a lock has all Python packages that pyproject.toml asks for by name.

    Args:
        locked: What the lock has.

    Returns:
        False if one was added to pyproject.toml since.
    """
    if data.INSTALLED:
        return True
    project = tomllib.loads((data.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    more = project["optional-dependencies"]
    wanted = [*project["dependencies"], *more["dev"]]
    for one in more["dev"]:  # "caretaker-lab[stats]" is the extra 'stats'
        if one.startswith(f"{project['name']}["):
            for extra in one.partition("[")[2].rstrip("]").split(","):
                wanted += more[extra]
    names = {_plain(re.split(r"[^\w.-]", one)[0]) for one in wanted} - {project["name"]}
    return names <= {one.name for one in locked}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _for_another(python: str, machine: str, pins: str) -> dict[str, Any]:
    platforms = [word for each in _MANYLINUX for word in ("--platform", f"{each}_{machine}")]
    return _report(
        "--no-deps", "--python-version", python, *platforms, "--target", "/nowhere", "-r", pins
    )


def _report(*words: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        output(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--no-input", "--dry-run", "--ignore-installed", "--report", report, *words],
            doing="asking pip what it would install",
            network=True,
        )  # fmt: skip
        said: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return said


def _found(report: dict[str, Any]) -> Iterable[tuple[tuple[str, str], str]]:
    """Yield name, version and digest of what pip would install, but for the lab itself."""
    for one in report["install"]:
        archive = one["download_info"].get("archive_info")
        if archive is None:  # a folder: the lab
            continue
        digest = archive.get("hashes", {}).get("sha256")
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        if digest is None:
            raise InfraError(f"pip names no SHA-256 of {name} {version}")
        yield (_plain(name), version), digest

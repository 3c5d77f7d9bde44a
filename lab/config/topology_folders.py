# SPDX-License-Identifier: Apache-2.0
"""Where topologies are: beside lab.toml, else the lab's own; and beside tests that pytest collects.

Whether a TOML file is a topology is told by its grids: a suite may have other TOML files, too.
"""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from lab import data
from lab.config.load import MUST_RUN

_DEEP = 4  # folders below one that pytest is told of
_GRID = "[[cells]]"
# As pytest does, and what is nobody's suite.
_NOT_INTO = frozenset({"build", "dist", "node_modules", "venv", "__pycache__"})


def usual_topologies(toml: Path) -> Path:
    """Return the folder of topologies that belongs to a lab.toml.

    Args:
        toml: The file.

    Returns:
        `topologies/` beside it, or the lab's own if there is none.
    """
    beside = toml.absolute().parent / "topologies"
    return beside if beside.is_dir() else data.TOPOLOGIES


def folders_of_pytest(here: Path) -> tuple[Path, ...]:
    """Return the folders in which `pytest`, typed in a folder, would make tests of cells.

    Args:
        here: The folder.

    Returns:
        Those below its `testpaths`, or below itself if it has none, in which there are both a
        test file and topologies; by name.
    """
    found: list[Path] = []
    for top in _testpaths(here) or [here]:
        found += [folder for folder in _below(top, _DEEP) if _has_cells(folder)]
    return tuple(dict.fromkeys(found))


def _below(folder: Path, deep: int) -> Iterator[Path]:
    yield folder
    try:
        with os.scandir(folder) as entries:
            inner = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in inner if deep else ():
        venv = (folder / name / "pyvenv.cfg").exists()
        if not (name.startswith(".") or name in _NOT_INTO or name.endswith(".egg") or venv):
            yield from _below(folder / name, deep - 1)


def _has_cells(folder: Path) -> bool:
    files = [path for path in folder.glob("*.toml") if path.name != MUST_RUN]
    tests = any(folder.glob("test_*.py")) or any(folder.glob("*_test.py"))
    return bool(files) and tests and all(_is_topology(path) for path in files)


def _is_topology(path: Path) -> bool:
    try:
        return _GRID in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _testpaths(here: Path) -> list[Path]:
    """Return what pytest's configuration there calls `testpaths`."""
    words: list[str] = []
    try:
        if (here / "pytest.ini").is_file():
            words = _of_ini(here / "pytest.ini", "pytest")
        elif (here / "pyproject.toml").is_file():
            text = (here / "pyproject.toml").read_text(encoding="utf-8")
            said = tomllib.loads(text).get("tool", {}).get("pytest", {}).get("ini_options", {})
            wanted = said.get("testpaths", [])
            words = wanted.split() if isinstance(wanted, str) else [str(word) for word in wanted]
        elif (here / "tox.ini").is_file():
            words = _of_ini(here / "tox.ini", "pytest")
        elif (here / "setup.cfg").is_file():
            words = _of_ini(here / "setup.cfg", "tool:pytest")
    except (OSError, ValueError, AttributeError, configparser.Error):
        return []  # it is pytest's to say what is wrong with it
    return [path for word in words for path in sorted(here.glob(word)) if path.is_dir()]


def _of_ini(path: Path, section: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, encoding="utf-8")
    return parser.get(section, "testpaths", fallback="").split()

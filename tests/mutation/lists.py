# SPDX-License-Identifier: Apache-2.0
"""What is mutated, what is known to live on, what changes nothing: the files beside this one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A mutant that is said to change nothing, and why."""

    id: str
    file: str
    change: str
    why: str


def _read(name: str) -> Mapping[str, object]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def _globbed(name: str, root: Path) -> tuple[str, ...]:
    patterns = _read("scope.toml")[name]
    assert isinstance(patterns, list)
    found = []
    for pattern in patterns:
        files = sorted(str(path.relative_to(root)) for path in root.glob(pattern))
        if not files:
            raise SystemExit(
                f"tests/mutation/scope.toml: {name}: no file is '{pattern}'; remove it"
            )
        found += files
    return tuple(dict.fromkeys(found))


def files(root: Path = ROOT) -> tuple[str, ...]:
    """Return the files that decide, relative to the checkout."""
    return _globbed("files", root)


def files_of_tests(root: Path = ROOT) -> tuple[str, ...]:
    """Return the files of tests that may kill their mutants."""
    return _globbed("tests", root)


def known_survivors() -> dict[str, int]:
    """Return how many mutants of a file may still live; 0 for a file that is not listed."""
    listed = _read("open.toml").get("survivors", {})
    assert isinstance(listed, dict)
    return {str(file): int(count) for file, count in listed.items()}


def unmeasured() -> tuple[str, ...]:
    """Return the files of which nobody knows yet how many mutants live."""
    listed = _read("open.toml").get("unmeasured", [])
    assert isinstance(listed, list)
    return tuple(map(str, listed))


def equivalents() -> dict[str, Equivalent]:
    """Return the mutants that are said to change nothing, by id."""
    listed = _read("equivalent.toml").get("equivalent", [])
    assert isinstance(listed, list)
    found = {
        one["id"]: Equivalent(one["id"], one["file"], one["change"], one["why"]) for one in listed
    }
    if len(found) != len(listed) or not all(one.why for one in found.values()):
        raise SystemExit("tests/mutation/equivalent.toml: an id is there twice, or has no reason")
    return found

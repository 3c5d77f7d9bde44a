# SPDX-License-Identifier: Apache-2.0
"""What docs/howto tells a reader to write, taken from the pages and written into a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from docs.tools.pages import ROOT, page_of

_FILE = re.compile(r"^# (?P<path>[\w./-]+\.\w+)\n")
_APPENDED = "lab.toml"
_PARTS = ("lab", "topologies", "guest-images", "lab.toml", "lab.lock", "pyproject.toml")


def blocks(page: str, kind: str) -> list[str]:
    """Return the code blocks of `docs/howto/PAGE.md` that are marked `kind`."""
    tokens = page_of(ROOT / "docs/howto" / f"{page}.md").tokens
    return [t.content for t in tokens if t.type == "fence" and t.info.strip() == kind]


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows, by the path in each one's first line."""
    found = [text for kind in ("toml", "text", "python") for text in blocks(page, kind)]
    named = {match["path"]: text for text in found if (match := _FILE.match(text))}
    return {path: text.partition("\n")[2] for path, text in named.items()}


def lines_to_write(page: str) -> int:
    """Count the lines that a reader of a page types: of files, and those that a diff adds."""
    added = [line for text in blocks(page, "diff") for line in text.splitlines()]
    typed = [line for text in files(page).values() for line in text.splitlines()]
    return len(typed) + sum(line.startswith("+") and not line.startswith("+++") for line in added)


def followed(page: str, checkout: Path) -> None:
    """Do in a copy of the checkout what a page tells to do: write its files, apply its diffs."""
    for name in _PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout / name)
    for path, text in files(page).items():
        target = checkout / path
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.read_text(encoding="utf-8") if path == _APPENDED else ""
        target.write_text(before + text, encoding="utf-8")
    for text in blocks(page, "diff"):
        subprocess.run(
            ["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch"],
            cwd=checkout,
            input=text,
            text=True,
            check=True,
        )


def python(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the lab of `checkout`, in its folder; the tests' support is at hand."""
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{ROOT}", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def lab(checkout: Path, *words: str) -> str:
    """Run `lab` of `checkout`, which must succeed, and return what it prints."""
    done = python(checkout, "-m", "lab", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def collected(checkout: Path, *words: Sequence[str] | str) -> list[str]:
    """Return the ids of the tests that `pytest topologies` of `checkout` would run."""
    arguments = ["-m", "pytest", "topologies", "--collect-only", "-q", "--lab-accel=tcg"]
    done = python(checkout, *arguments, *map(str, words))
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]

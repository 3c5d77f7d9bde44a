# SPDX-License-Identifier: Apache-2.0
"""From which commit on the gate looks at what changed, and which lines of which files did."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_MAINS = ("origin/HEAD", "origin/main", "main")
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class Since:
    """A state of the checkout that is compared with today's.

    Attributes:
        commit: Its commit; "" where there is none: then every file and every line is new.
        why: What that commit is, for people.
        root: The checkout.
    """

    commit: str
    why: str
    root: Path = field(default_factory=Path)

    def lines(self, file: str) -> frozenset[int] | None:
        """Return the lines of a file that are new or other; None if all may be.

        Args:
            file: Relative to the checkout.
        """
        if not self.commit:
            return None
        told = _git(self.root, "diff", "--unified=0", self.commit, "--", file)
        if not told and not _git(self.root, "ls-files", "--", file):
            return None
        found: set[int] = set()
        for start, count in _HUNK.findall(told):
            found.update(range(int(start), int(start) + max(int(count or 1), 1)))
        return frozenset(found)


def since(root: Path, wanted: str = "") -> Since:
    """Find what to compare with: where this branch left `main`; on `main`, the commit before.

    Args:
        root: The checkout.
        wanted: A commit that was named; "" to find one.

    Raises:
        SystemExit: There is no commit that is named so.
    """
    if wanted:
        found = _git(root, "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
        if not found:
            raise SystemExit(f"mutants: --since {wanted}: there is no such commit here")
        return Since(found, f"{wanted}, as --since says", root)
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    for main in _MAINS:
        base = _git(root, "merge-base", "HEAD", main)
        if base and base != head:
            return Since(base, f"{base[:12]}, the merge base with {main}", root)
    before = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^")
    if before:
        return Since(before, f"{before[:12]}, the commit before: HEAD is on no other branch", root)
    return Since("", "nothing, for no commit before this one is here: all is new", root)


def changed(root: Path, among: tuple[str, ...], base: Since) -> Mapping[str, frozenset[int] | None]:
    """Return the files that differ, in commits or beside them, each with its lines that do.

    Args:
        root: The checkout.
        among: The files to look at.
        base: What to compare with.
    """
    if not base.commit:
        return dict.fromkeys(among)
    named = _git(root, "diff", "--name-only", base.commit).splitlines()
    named += _git(root, "ls-files", "--others", "--exclude-standard").splitlines()
    return {file: base.lines(file) for file in among if file in named}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", root, *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # git itself
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

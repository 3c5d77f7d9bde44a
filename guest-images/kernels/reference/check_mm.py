#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Finds uses of an mm in KVM that nobody has looked at: the thread that runs a vCPU has none.

Usage: check_mm.py TREE [ALLOWED], where TREE is a kernel source with the patches of this recipe.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

WHERE = ("arch/x86/kvm", "arch/arm64/kvm", "virt/kvm")
ALLOWED = Path(__file__).with_name("mm-allowed.txt")
_USE = re.compile(r"\bcurrent->(active_)?mm\b|\bkvm->mm\b")
_COMMENT = re.compile(r"^\s*(/?\*|//)")


class Use(NamedTuple):
    """One line that uses an mm: its file beneath the source's root, and its text."""

    path: str
    text: str


def uses(tree: Path) -> Counter[Use]:
    """Count the lines of KVM's code that use an mm; comments are left out."""
    found: Counter[Use] = Counter()
    for folder in WHERE:
        for path in sorted((tree / folder).rglob("*.[ch]")):
            for line in path.read_text(encoding="utf-8").splitlines():
                if _USE.search(line) and not _COMMENT.match(line):
                    found[Use(str(path.relative_to(tree)), line.strip())] += 1
    return found


def allowed(text: str) -> Counter[Use]:
    """Read an allow-list: a reason ("# ..."), then the lines it is good for ("path: code").

    Raises:
        ValueError: A line has no reason above it, or is neither of the two.
    """
    found: Counter[Use] = Counter()
    reason = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            reason = ""
        elif line.startswith("#"):
            reason = line
        elif not reason:
            raise ValueError(f"line {number}: no reason above '{line}'")
        else:
            path, colon, code = line.partition(": ")
            if not colon:
                raise ValueError(f"line {number}: '{line}' is no 'path: code'")
            found[Use(path, code.strip())] += 1
    return found


def complaints(tree: Path, text: str) -> list[str]:
    """Say which uses are not on the allow-list, and which of the list are no longer there."""
    there, known = uses(tree), allowed(text)
    new = [f"new: {use.path}: {use.text}" for use in (there - known).elements()]
    gone = [f"gone: {use.path}: {use.text}" for use in (known - there).elements()]
    return new + gone


def main(arguments: list[str]) -> int:
    """Check one tree; 1 if there is something to look at."""
    tree = Path(arguments[0])
    listed = Path(arguments[1]) if arguments[1:] else ALLOWED
    if not all((tree / folder).is_dir() for folder in WHERE):
        sys.stderr.write(f"'{tree}' is no kernel source\n")
        return 2
    said = complaints(tree, listed.read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(said or ["each use of an mm is one that was looked at"]) + "\n")
    if said:
        sys.stdout.write(f"Is it reached by a vCPU's thread? If not, say why in {listed.name}.\n")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

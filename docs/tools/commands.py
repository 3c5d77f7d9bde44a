# SPDX-License-Identifier: Apache-2.0
"""Whether a command that a page shows can be typed: it is parsed by what would run it, not run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

from docs.tools.command_line import commands, mistake

ROOT = Path(__file__).resolve().parents[2]
_SEPARATORS = frozenset({"&&", "||", "|", ";", "&"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def wrong_with(line: str) -> str:
    """Return what is wrong with a line of shell, as far as the lab, make and pytest go.

    A line that only names a command of the lab, as `lab run` does, is right.

    Returns:
        What would be complained of; empty if nothing would.
    """
    try:
        lexed = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexed.whitespace_split = True
        words = list(lexed)
    except ValueError as e:
        return f"the shell cannot read it: {e}"
    simple: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS:
            simple.append([])
        else:
            simple[-1].append(word)
    return next(filter(None, map(_wrong_with_one, simple)), "")


def _wrong_with_one(words: list[str]) -> str:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    if not words:
        return ""
    match words[0].rpartition("/")[2]:
        case "lab":
            return "" if " ".join(words) in _names() else mistake(words)
        case "make":
            return _wrong_targets(words[1:])
        case "pytest":
            return _wrong_options(words[1:])
        case _:
            return ""


def _wrong_targets(words: list[str]) -> str:
    unknown = [w for w in words if not w.startswith("-") and "=" not in w and w not in _targets()]
    if "-C" in words:  # another folder's Makefile
        return ""
    return f"no target {unknown[0]!r} in the Makefile" if unknown else ""


def _wrong_options(words: list[str]) -> str:
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("--"):
            name, given, _ = word.partition("=")
            if name not in _options():
                return f"pytest has no option {name!r}"
            skip = not given and _options()[name]
        elif word.startswith("-"):
            if word[:2] not in _options():
                return f"pytest has no option {word!r}"
            skip = _options()[word[:2]] and len(word) == len("-k")
        elif not (ROOT / word.partition("::")[0]).exists():
            return f"no such file: {word!r}"
    return ""


@cache
def _targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@cache
def _names() -> frozenset[str]:
    return frozenset(path for path, _, _ in commands())


@cache
def _options() -> dict[str, bool]:
    """Return the options of pytest, with the lab's; and of each whether a value follows."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    entries = re.findall(r"^  (-.+?)(?:  +|$)", done.stdout, re.MULTILINE)
    forms = [re.split(r"[= ]", form, maxsplit=1) for e in entries for form in e.split(", ")]
    return {name: bool(value) for name, *value in forms}

# SPDX-License-Identifier: Apache-2.0
"""What a kernel's own tests print, as results: KTAP as kselftest, KUnit and consoles have it.

Read are subtests indented by spaces or behind `# `, plans before or after their results, kernel
time stamps, colours, and names that contain `#`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lab.record.model import ChildRecord

_VERSION = re.compile(r"K?TAP version \d+$")
_RESULT = re.compile(r"(?P<not>not )?ok\b(?: +(?P<number>\d+))?(?:[ \t]+(?:- )?(?P<rest>.*))?$")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\s*(?P<why>.*))?$", re.IGNORECASE)
_PREFIX = re.compile(r"(?P<marks>(?:# )*)(?P<spaces> *)(?P<text>.*)$")
# What printk, dmesg(1) and CI put before a line: "<6>", "[    1.500000]", "[   T12]", a date.
_STAMPS = re.compile(
    r"(?:\d{4}-\d\d-\d\dT[\d:.,+-]+Z? )?(?:<\d+>)?"
    r"(?:\[[ \d.:]+\]|\[ *[TC]\d+\]|\[\w{3} \w{3} [ \d:]+\])*"
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_DIRECTIVE = re.compile(r"(?<!\\)(?:^|\s)#\s*(?P<word>SKIP|TODO|XFAIL|TIMEOUT)\b:?", re.IGNORECASE)
_COMMENT = re.compile(r"(?<!\\)(?:^|\s)#(?=\s|\w+=|$)")
_STATUS = {"SKIP": "skip", "XFAIL": "xfail", "TODO": "xfail", "TIMEOUT": "timeout"}
_DEEPEST = 8
_MISSING_SHOWN = 100  # a garbled plan may promise 4294967295 results


class _Line(NamedTuple):
    depth: int
    text: str


def children_of(text: str) -> tuple[ChildRecord, ...]:
    """Parse what a selftest, KUnit or a console of theirs printed.

    Names of groups come after their members, as KTAP has them; `depth` tells the level. A plan
    that promised more results than came, before or after it, makes one that is `missing` for each.

    Args:
        text: The output.

    Returns:
        The results, in the order in which they were printed.

    Source: Documentation/dev-tools/ktap.rst; tools/testing/selftests/kselftest.h.
    """
    levels = _Levels()
    for depth, line in _lines(text):
        if _VERSION.match(line):
            levels.end(depth)
        elif plan := _PLAN.match(line):
            levels.plan(depth, int(plan[1]), plan["why"])
        elif match := _RESULT.match(line):
            levels.result(depth, match)
    levels.end(0)
    return tuple(levels.found)


class _Levels:
    """The plans that are open, and how many results each level has had."""

    def __init__(self) -> None:
        self.found: list[ChildRecord] = []
        self._promised: dict[int, int] = {}
        self._got: dict[int, int] = {}

    def plan(self, depth: int, promised: int, why: str | None) -> None:
        """Take a plan; one that follows results without a plan is theirs."""
        self.end(depth + 1)
        if depth in self._promised:
            self.end(depth)
        self._promised[depth] = promised
        if promised == 0 and why is not None:
            self.found.append(
                ChildRecord(name="all", status="skip", depth=depth, comment=why.strip())
            )

    def result(self, depth: int, match: re.Match[str]) -> None:
        """Take a result, which ends its subtests."""
        self.end(depth + 1)
        self._got[depth] = self._got.get(depth, 0) + 1
        self.found.append(_child(match, depth, self._got[depth]))

    def end(self, depth: int) -> None:
        """End a level and all below it: what a plan promised and did not come is missing."""
        for level in sorted({*self._promised, *self._got}, reverse=True):
            if level >= depth:
                self._missing(level, self._promised.pop(level, 0), self._got.pop(level, 0))

    def _missing(self, depth: int, wanted: int, came: int) -> None:
        shown = min(wanted, came + _MISSING_SHOWN)
        names = [str(n) for n in range(came + 1, shown + 1)]
        if shown < wanted:
            names.append(f"{shown + 1} to {wanted}")
        self.found += (
            ChildRecord(name=name, status="missing", depth=depth, comment=f"of {wanted} planned")
            for name in names
        )


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines of KTAP, each with its depth: how many columns further left are used.

    KTAP indents by two, KUnit by four, and kselftest's runner puts `# ` before a level.
    """
    bare = (_without_stamps(_ESCAPES.sub("", raw)) for raw in text.splitlines())
    parts = [m for line in bare if (m := _PREFIX.match(line.expandtabs(4).rstrip()))]
    lines = [m for m in parts if any(kind.match(m["text"]) for kind in (_PLAN, _RESULT, _VERSION))]
    columns = sorted({0, *(m.start("text") for m in lines)})
    for m in lines:
        yield _Line(min(columns.index(m.start("text")), _DEEPEST), m["text"])


def _without_stamps(line: str) -> str:
    stamps = _STAMPS.match(line)
    rest = line[stamps.end() :] if stamps else line
    return rest.removeprefix(" ") if stamps and stamps[0].endswith("]") else rest


def _child(match: re.Match[str], depth: int, number: int) -> ChildRecord:
    rest = match["rest"] or ""
    directive = next(iter(reversed(list(_DIRECTIVE.finditer(rest)))), None)
    cut = directive or _COMMENT.search(rest)
    name, comment = (rest[: cut.start()], rest[cut.end() :]) if cut else (rest, "")
    known = _STATUS[directive["word"].upper()] if directive else None
    return ChildRecord(
        name=name.replace("\\#", "#").strip() or str(number),
        status=known or ("not ok" if match["not"] else "ok"),  # type: ignore[arg-type] # ditto
        depth=depth,
        comment=comment.strip(),
    )

# SPDX-License-Identifier: Apache-2.0
"""KTAP, both ways: a run as `results.ktap`, and what a kernel's own selftest printed as results.

As in Documentation/dev-tools/ktap.rst of Linux: version line, plan, `ok N - name # SKIP why`,
subtests indented by two spaces, diagnostics behind `#`. kselftest prints subtests behind `# `.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.record.classify import Classified, Status, classified
from lab.record.groups import Group, grouped
from lab.record.labels import cause, result, why
from lab.record.model import CellRecord, ChildRecord, RunRecord

VERSION_LINE = "KTAP version 1"
_RESULT = re.compile(r"(?P<not>not )?ok\b(?: +(?P<number>\d+))?(?:[ \t]+(?:- )?(?P<rest>.*))?$")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\s*(?P<why>.*))?$", re.IGNORECASE)
_PREFIX = re.compile(r"(?:\[\s*\d+\.\d+\] ?)?(?P<marks>(?:# )*)(?P<spaces> *)(?P<text>.*)$")
_STATUS = {"SKIP": "skip", "XFAIL": "xfail", "TODO": "xfail", "TIMEOUT": "timeout"}
_DEEPEST = 8


def results_ktap(record: RunRecord) -> str:
    """Render a run as KTAP: a line a cell; repeats, and what ran inside, are its subtests.

    Tests beside the cells come after them, by pytest's names; then cells that had to run and left
    no record, and the run itself where it did not end or judged nothing.

    Args:
        record: The run.

    Returns:
        The content of `results.ktap`.

    Source: Documentation/dev-tools/ktap.rst.
    """
    groups = grouped(record)
    rest = [each for each in classified(record) if not isinstance(each.record, CellRecord)]
    lines = [VERSION_LINE, f"1..{len(groups) + len(rest)}"]
    for n, group in enumerate(groups, 1):
        lines += _group(n, group)
    lines += [_line(n, each) for n, each in enumerate(rest, len(groups) + 1)]
    return "\n".join(lines) + "\n"


def children_of(text: str) -> tuple[ChildRecord, ...]:
    """Parse what a selftest printed.

    Names of groups come after their members, as KTAP has them; `depth` tells the level. A plan
    that promised more results than came makes one that is `missing` for each.

    Args:
        text: The output.

    Returns:
        The results, in the order in which they were printed.

    Source: Documentation/dev-tools/ktap.rst.
    """
    found: list[ChildRecord] = []
    promised: dict[int, int] = {}
    got: dict[int, int] = {}
    for depth, line in _lines(text):
        if plan := _PLAN.match(line):
            found += _short(depth, promised, got)
            promised[depth], got[depth] = int(plan[1]), 0
            if promised[depth] == 0 and plan["why"] is not None:
                found.append(
                    ChildRecord(name="all", status="skip", depth=depth, comment=plan["why"])
                )
        elif match := _RESULT.match(line):
            for deeper in [d for d in promised if d > depth]:
                found += _short(deeper, promised, got)
            got[depth] = got.get(depth, 0) + 1
            found.append(_child(match, depth, got[depth]))
    for depth in sorted(promised, reverse=True):
        found += _short(depth, promised, got)
    return tuple(found)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line and its depth: a `# ` a level, or as many spaces as the first level has.

    KTAP indents by two, KUnit by four.
    """
    parts = [m for raw in text.expandtabs(4).splitlines() if (m := _PREFIX.match(raw.rstrip()))]
    lines = [m for m in parts if _PLAN.match(m["text"]) or _RESULT.match(m["text"])]
    unit = min((len(m["spaces"]) for m in lines if m["spaces"]), default=1)
    for m in lines:
        depth = len(m["marks"]) // 2 + len(m["spaces"]) // unit
        yield min(depth, _DEEPEST), m["text"]


def _child(match: re.Match[str], depth: int, number: int) -> ChildRecord:
    name, _, comment = f" {match['rest'] or ''}".partition(" #")
    word, _, why = comment.strip().partition(" ")
    known = _STATUS.get(word.rstrip(":").upper())
    return ChildRecord(
        name=name.strip() or str(number),
        status=known or ("not ok" if match["not"] else "ok"),  # type: ignore[arg-type] # ditto
        depth=depth,
        comment=(why if known else comment).strip(),
    )


def _short(depth: int, promised: dict[int, int], got: dict[int, int]) -> list[ChildRecord]:
    """Return the results that a plan promised and that did not come, and drop the plan."""
    wanted, came = promised.pop(depth, 0), got.pop(depth, 0)
    return [
        ChildRecord(name=str(n), status="missing", depth=depth, comment=f"of {wanted} planned")
        for n in range(came + 1, wanted + 1)
    ]


def _group(n: int, group: Group) -> Iterator[str]:
    worst = group.classified(group.worst, name=group.id)
    if len(group.cells) > 1:
        yield f"  {VERSION_LINE}"
        yield f"  1..{len(group.cells)}"
        for i, cell in enumerate(group.cells, 1):
            once = group.classified(cell, name=f"repeat {cell.repeat}")
            yield from (f"  {line}" for line in _cell(i, once, cell))
        yield _line(n, worst)
        return
    yield from _cell(n, worst, group.worst)


def _cell(n: int, each: Classified, cell: CellRecord) -> Iterator[str]:
    if cell.children:
        yield f"  # Subtest: {_one_line(each.name)}"
        for child in cell.children:
            text = _one_line(f"{child.status} {child.name} {child.comment}")
            yield f"  # {'  ' * child.depth}{text}"
    yield f"# {_one_line(result(cell))}: {_one_line(cause(cell) or 'as expected')}"
    if cell.rerun:
        yield f"# again: {_one_line(cell.rerun)}"
    yield _line(n, each)


def _line(n: int, each: Classified) -> str:
    name, said = _one_line(each.name).replace("#", "%"), _one_line(why(each))
    match each.status:
        case Status.PASSED:
            return f"ok {n} {name}"
        case Status.XFAIL:
            return f"ok {n} {name} # XFAIL {said}"
        case Status.UNAVAILABLE | Status.SKIPPED:
            return f"ok {n} {name} # SKIP {said or 'no reason was given'}"
        case Status.ERROR | Status.INTERRUPTED | Status.NOT_RUN:
            return f"not ok {n} {name} # ERROR {said}"
        case Status.FAILED:
            return f"not ok {n} {name}"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())

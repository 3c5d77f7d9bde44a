# SPDX-License-Identifier: Apache-2.0
"""KTAP, both ways: a run as `results.ktap`, and what a kernel's own selftest printed as results.

As in Documentation/dev-tools/ktap.rst of Linux: version line, plan, `ok N - name # SKIP why`,
subtests indented by two spaces, diagnostics behind `#`. kselftest prints subtests behind `# `.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.record.classify import Standing, must_run_gaps, standing, standing_of
from lab.record.groups import Group, grouped
from lab.record.labels import cause, result
from lab.record.model import CellRecord, ChildRecord, Outcome, RunRecord

VERSION_LINE = "KTAP version 1"
_RESULT = re.compile(r"(?P<not>not )?ok\b(?: +(?P<number>\d+))?(?:[ \t]+(?:- )?(?P<rest>.*))?$")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\s*(?P<why>.*))?$", re.IGNORECASE)
_PREFIX = re.compile(r"(?:\[\s*\d+\.\d+\] ?)?(?P<marks>(?:# )*)(?P<spaces> *)(?P<text>.*)$")
_STATUS = {"SKIP": "skip", "XFAIL": "xfail", "TODO": "xfail", "TIMEOUT": "timeout"}
_DEEPEST = 8


def results_ktap(record: RunRecord) -> str:
    """Render a run as KTAP: a line a cell; repeats, and what ran inside, are its subtests.

    Tests beside the cells come after them, by pytest's names.

    Args:
        record: The run.

    Returns:
        The content of `results.ktap`.

    Source: Documentation/dev-tools/ktap.rst.
    """
    groups = grouped(record.cells)
    missing = [gap for gap in must_run_gaps(record) if gap.cell_id not in {g.id for g in groups}]
    lines = [VERSION_LINE, f"1..{len(groups) + len(record.checks) + len(missing)}"]
    for n, group in enumerate(groups, 1):
        lines += _group(n, group)
    for n, check in enumerate(record.checks, len(groups) + 1):
        lines += [_result_line(n, check.id, standing_of(check), check.outcome, check.first_cause)]
    for n, gap in enumerate(missing, len(groups) + len(record.checks) + 1):
        lines += [f"not ok {n} {_one_line(gap.cell_id)} # ERROR {_one_line(gap.why)}"]
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
    if len(group.cells) > 1:
        yield f"  {VERSION_LINE}"
        yield f"  1..{len(group.cells)}"
        for i, cell in enumerate(group.cells, 1):
            yield from (f"  {line}" for line in _cell(i, cell, f"repeat {cell.repeat}"))
        yield _line(n, group.worst, group.id)
        return
    yield from _cell(n, group.worst, group.id)


def _cell(n: int, cell: CellRecord, name: str) -> Iterator[str]:
    if cell.children:
        yield f"  # Subtest: {_one_line(name)}"
        for child in cell.children:
            text = _one_line(f"{child.status} {child.name} {child.comment}")
            yield f"  # {'  ' * child.depth}{text}"
    yield f"# {_one_line(result(cell))}: {_one_line(cause(cell) or 'as expected')}"
    if cell.rerun:
        yield f"# again: {_one_line(cell.rerun)}"
    yield _line(n, cell, name)


def _line(n: int, cell: CellRecord, name: str) -> str:
    return _result_line(n, name, standing(cell), cell.outcome, cause(cell))


def _result_line(n: int, name: str, stands: Standing, outcome: Outcome, why: str) -> str:
    text = _one_line(name).replace("#", "%")
    match stands:
        case Standing.EXPECTED if outcome is Outcome.XFAILED:
            return f"ok {n} {text} # XFAIL {_one_line(why)}"
        case Standing.EXPECTED:
            return f"ok {n} {text}"
        case Standing.ABSENT:
            return f"ok {n} {text} # SKIP {_one_line(why or 'no reason was given')}"
        case Standing.LAB:
            return f"not ok {n} {text} # ERROR {_one_line(why)}"
        case Standing.PRODUCT:
            return f"not ok {n} {text}"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())

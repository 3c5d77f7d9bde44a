# SPDX-License-Identifier: Apache-2.0
"""A run as KTAP: `results.ktap`.

As in Documentation/dev-tools/ktap.rst of Linux: version line, plan, `ok N - name # SKIP why`,
subtests indented by two spaces, diagnostics behind `#`. KTAP is read in lab.report.ktap_input.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.record.classify import Classified, Status, classified
from lab.record.groups import Group, grouped
from lab.record.labels import cause, result, why
from lab.record.model import CellRecord, RunRecord

VERSION_LINE = "KTAP version 1"


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

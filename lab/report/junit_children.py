# SPDX-License-Identifier: Apache-2.0
"""Tests that ran inside a cell, as test suites of JUnit XML: one for each such cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from lab.record.model import CellRecord, ChildRecord

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {
    "not ok": "failure",
    "timeout": "failure",
    "missing": "error",
    "skip": "skipped",
    "xfail": "skipped",
}
_SAYS = {
    "not ok": "failed",
    "timeout": "timed out",
    "missing": "planned, and not reported",
    "skip": "skipped",
    "xfail": "expected to fail",
}


def clean(text: str) -> str:
    """Return a text with what XML cannot have replaced.

    Args:
        text: Any text.
    """
    return _NOT_XML.sub("\ufffd", text)


def suite_of(cell: CellRecord) -> ET.Element | None:
    """Render what ran inside a cell.

    Args:
        cell: The cell.

    Returns:
        A testsuite, in which each result is a test case whose class is the path of its groups; None
        if nothing ran inside.
    """
    if not cell.children:
        return None
    cases = [_case(groups, child) for groups, child in _with_groups(cell.children)]
    about = {"name": clean(cell.key), "tests": str(len(cases))}
    for tag, word in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        about[word] = str(sum(case.find(tag) is not None for case in cases))
    suite = ET.Element("testsuite", about)
    suite.extend(cases)
    return suite


def _case(groups: Sequence[str], child: ChildRecord) -> ET.Element:
    place = ".".join(group.replace(".", "_") for group in groups) or "tests"
    case = ET.Element("testcase", classname=clean(place), name=clean(child.name))
    if tag := _TAGS.get(child.status):
        said = f"{_SAYS[child.status]}: {child.comment}" if child.comment else _SAYS[child.status]
        ET.SubElement(case, tag, message=clean(said))
    return case


def _with_groups(
    children: Sequence[ChildRecord],
) -> Iterator[tuple[tuple[str, ...], ChildRecord]]:
    """Yield each result with the names of its groups, which come after their members."""
    found: list[tuple[tuple[str, ...], ChildRecord]] = []
    groups: list[str] = []
    for child in reversed(children):
        del groups[child.depth :]
        found.append((tuple(groups), child))
        groups += ["?"] * (child.depth - len(groups)) + [child.name]
    yield from reversed(found)

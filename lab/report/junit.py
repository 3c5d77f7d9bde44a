# SPDX-License-Identifier: Apache-2.0
"""The run as JUnit XML (xunit2): product failures are failures, the lab's own are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from lab.record.classify import Gap, Standing, must_run_gaps, standing, standing_of
from lab.record.labels import cause, result
from lab.record.model import CellRecord, CheckRecord, Outcome, RunRecord

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(record: RunRecord) -> str:
    """Render a run record as `junit.xml`."""
    gaps = {gap.cell_id: gap for gap in must_run_gaps(record)}
    cases = [_case(cell, gaps.get(cell.id)) for cell in record.cells]
    ran = {cell.id for cell in record.cells}
    cases += [_check(check) for check in record.checks]
    cases += [_missing(gap) for gap in gaps.values() if gap.cell_id not in ran]
    suite = ET.Element(
        "testsuite",
        name="caretaker-lab",
        tests=str(len(cases)),
        failures=str(_having(cases, "failure")),
        errors=str(_having(cases, "error")),
        skipped=str(_having(cases, "skipped")),
        time=f"{_took_s(record):.3f}",
        timestamp=record.started.isoformat(timespec="seconds"),
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(record):
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    suite.extend(cases)
    root = ET.Element("testsuites", name="caretaker-lab")
    root.append(suite)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _took_s(record: RunRecord) -> float:
    cells, checks = record.cells, record.checks
    return sum(cell.duration_s for cell in cells) + sum(check.duration_s for check in checks)


def _properties(record: RunRecord) -> Iterator[tuple[str, str]]:
    yield "run_id", record.run_id
    for arch, accelerator in record.environment.accelerators.items():
        yield f"accelerator.{arch}", f"{accelerator.name}: {accelerator.why}"
    for name, kernel in record.environment.kernels.items():
        yield f"kernel.{name}.release", kernel.release
        yield f"kernel.{name}.build_id", kernel.build_id


def _case(cell: CellRecord, gap: Gap | None) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=_clean(cell.topology or "cell"),
        name=_clean(cell.key),
        time=f"{cell.duration_s:.3f}",
    )
    why = cause(cell)
    match standing(cell):
        case Standing.PRODUCT:
            _add(case, "failure", f"{result(cell)}: {why}", _details(cell))
        case Standing.LAB:
            _add(case, "error", f"{result(cell)}: {why}", _details(cell))
        case Standing.ABSENT if gap:
            _add(case, "error", str(gap), _details(cell))
        case Standing.ABSENT:
            _add(case, "skipped", why or "no reason was given", "")
        case Standing.EXPECTED if cell.outcome is Outcome.XFAILED:
            wanted = cell.expectation
            known = f"{wanted.reason} {wanted.link}".strip() if wanted else why
            _add(case, "skipped", f"expected to fail: {known}", "")
        case Standing.EXPECTED:
            pass
    ET.SubElement(case, "system-out").text = _clean(_details(cell))
    return case


def _check(check: CheckRecord) -> ET.Element:
    file, _, name = check.id.partition("::")
    case = ET.Element(
        "testcase", classname=_clean(file), name=_clean(name), time=f"{check.duration_s:.3f}"
    )
    why = check.first_cause
    match standing_of(check):
        case Standing.PRODUCT:
            _add(case, "failure", why, "")
        case Standing.LAB:
            _add(case, "error", why, "")
        case Standing.ABSENT:
            _add(case, "skipped", why or "no reason was given", "")
        case Standing.EXPECTED if check.outcome is Outcome.XFAILED:
            _add(case, "skipped", f"expected to fail: {why}", "")
        case Standing.EXPECTED:
            pass
    return case


def _missing(gap: Gap) -> ET.Element:
    case = ET.Element("testcase", classname="must-run", name=_clean(gap.cell_id), time="0.000")
    _add(case, "error", str(gap), "")
    return case


def _add(case: ET.Element, tag: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, message=_clean(message)).text = _clean(text)


def _details(cell: CellRecord) -> str:
    verdict = f"{cell.verdict.kind}: {cell.verdict.reason}" if cell.verdict else "none"
    lines = [
        f"verdict: {verdict}",
        f"expected: {cell.expectation.word if cell.expectation else 'nothing'}",
        f"evidence: {cell.evidence or 'none'}",
        f"again: {cell.rerun}",
    ]
    return "\n".join(lines)


def _having(cases: list[ET.Element], tag: str) -> int:
    return sum(case.find(tag) is not None for case in cases)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

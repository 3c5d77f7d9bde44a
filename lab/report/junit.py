# SPDX-License-Identifier: Apache-2.0
"""The run as JUnit XML (xunit2): product failures are failures, the lab's own are errors."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from lab.record.classify import LADDER, RUN, Classified, Status, classified
from lab.record.labels import result, why
from lab.record.model import CellRecord, RunRecord
from lab.report.junit_children import clean, suite_of


def junit_xml(record: RunRecord) -> str:
    """Render a run record as `junit.xml`; what ran inside a cell is a test suite of its own."""
    cases = [_case(each) for each in classified(record)]
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
        ET.SubElement(properties, "property", name=clean(name), value=clean(value))
    suite.extend(cases)
    root = ET.Element("testsuites", name="caretaker-lab")
    root.append(suite)
    root.extend(inside for cell in record.cells if (inside := suite_of(cell)) is not None)
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


def _case(each: Classified) -> ET.Element:
    test, told = each.record, ""
    if isinstance(test, CellRecord):
        place, name, told = test.topology or "cell", test.key, _details(test)
    elif test is not None:
        place, _, name = test.id.partition("::")
    else:
        place, name = "run" if each.name in {RUN, LADDER} else "must-run", each.name
    time = test.duration_s if test else 0.0
    case = ET.Element("testcase", classname=clean(place), name=clean(name), time=f"{time:.3f}")
    match each.status:
        case Status.FAILED:
            _add(case, "failure", _said(each), told)
        case Status.ERROR | Status.INTERRUPTED | Status.NOT_RUN:
            _add(case, "error", _said(each), told)
        case Status.UNAVAILABLE | Status.SKIPPED:
            _add(case, "skipped", why(each) or "no reason was given", "")
        case Status.XFAIL:
            _add(case, "skipped", f"expected to fail: {_known(each)}", "")
        case Status.PASSED:
            pass
    if told:
        ET.SubElement(case, "system-out").text = clean(told)
    return case


def _said(each: Classified) -> str:
    if isinstance(each.record, CellRecord) and each.status is not Status.NOT_RUN:
        return f"{result(each.record)}: {why(each)}"
    return why(each)


def _known(each: Classified) -> str:
    wanted = each.record.expectation if isinstance(each.record, CellRecord) else None
    return f"{wanted.reason} {wanted.link}".strip() if wanted else why(each)


def _add(case: ET.Element, tag: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, message=clean(message)).text = clean(text)


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

# SPDX-License-Identifier: Apache-2.0
"""JUnit, Markdown, HTML and the ladder, from synthetic records with every kind of trouble."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from lab.config.enums import Scope
from lab.history.published import BANDS
from lab.record.classify import headline
from lab.record.labels import between, milliseconds, seconds
from lab.record.model import ExpectationRecord, VcpuFigures
from lab.report.grid import apart, lay_out
from lab.report.junit import junit_xml
from lab.report.ladder import ladder_table
from lab.report.page import index_html
from lab.report.summary import summary_md
from tests.support.records import LOST, SURVIVED, UNPROVEN, cell, run, sixty

EVIL = "</style><script>alert('x')</script> a|b `c` [d](javascript:e) \x1b[31m\x00"


class Page(HTMLParser):
    """What a page is made of: tags that balance, ids, links, and what it would load."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and what its attributes name."""
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            if name in {"src", "srcset", "data", "style"} or name.startswith("on"):
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        """Hold the end of a tag against its beginning."""
        assert self.open.pop() == tag


def evil_run() -> str:
    verdict = LOST.model_copy(update={"reason": EVIL})
    wanted = ExpectationRecord(
        kind="survives", scope=Scope.RUNNING, reason=EVIL, link="javascript:a()"
    )
    changes = {"outcome": "failed", "verdict": verdict, "expectation": wanted, "rerun": EVIL}
    bad = cell(EVIL, first_cause=EVIL, witness={EVIL: EVIL}, evidence="", **changes)
    return index_html(run(bad, command_line=(EVIL,), must_run=(EVIL + "2",)))


def test_text_with_html_in_it_stays_text() -> None:
    page = Page(evil_run())
    assert "script" not in page.tags
    assert page.loads == []
    assert not [link for link in page.links if link.startswith("javascript:")]


def test_the_page_loads_nothing_and_its_own_links_resolve() -> None:
    page = Page(index_html(sixty()))
    assert page.loads == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    outer = {link for link in page.links if link.startswith("http")}
    assert outer == {"https://example.org/b/12", *(band.link for band in BANDS)}


def test_the_page_says_everything_about_a_cell() -> None:
    text = index_html(run(cell()))
    for said in ("PASS", "Survived", "survives (running)", "412 ms", "evidence/one/kill/"):
        assert said in text
    for said in ("boot", "lab run one/kill", "/dev/kvm does not exist", "7.3.4-stock"):
        assert said in text


def test_every_cell_stands_once_on_the_grid() -> None:
    record = sixty()
    grid = lay_out(record.cells)
    assert grid.columns == ("none", "vmm-kill", "vmm-oom", "kexec")
    placed = [c.id for row in grid.rows for box in row.boxes for c in box]
    assert sorted(placed) == sorted(c.id for c in record.cells)
    twin = [c for row in grid.rows for box in row.boxes if record.cells[-1] in box for c in box]
    assert [apart(c, twin) for c in twin] == ["vcpus 2", "vcpus 4"]


def test_a_cell_without_dimensions_has_a_place_too() -> None:
    grid = lay_out([cell(dimensions={})])
    assert grid.columns == ("?",)
    assert len(grid.rows) == 1


def test_the_first_line_is_the_verdict_of_the_run() -> None:
    record = sixty()
    assert headline(record).startswith("FAILED: 45 of 65 cells as expected, 1 not as expected")
    first = summary_md(record).splitlines()[0]
    assert re.sub(r"\\", "", first) == f"**{headline(record)}**"


def test_a_block_of_the_page_has_only_the_columns_that_it_uses() -> None:
    places = [("stock", "none"), ("stock", "kexec"), ("mine", "vmm-kill"), ("mine", "none")]
    cells = [
        cell(f"{kernel}-{what}", dimensions={"kernel": kernel, "disruption": what, "vmm": "qemu"})
        for kernel, what in places
    ]
    page = index_html(run(*cells))
    tables = re.findall(r'<table class="ladder".*?</table>', page, re.DOTALL)
    columns = [re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', table) for table in tables]
    assert columns == [["guest", "vmm", "none", "vmm-kill"], ["guest", "vmm", "none", "kexec"]]
    assert [re.findall(r'data-column="([^"]+)"', table) for table in tables] == [
        each[2:] for each in columns
    ]
    assert not any('class="none"' in table for table in tables)


def test_markdown_tables_keep_their_columns_whatever_is_said() -> None:
    bad = cell(EVIL, verdict=LOST.model_copy(update={"reason": EVIL}), outcome="failed")
    text = summary_md(run(bad, cell("b", dimensions={"kernel": EVIL}, evidence="")))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6 + 2 + 1}
    outside_code = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"(?<!\\)<(?!br>)", outside_code)


def test_junit_tells_failures_from_errors_from_skips() -> None:
    record = run(
        cell("good"),
        cell("bad", outcome="failed", verdict=LOST),
        cell("broken", outcome="error", verdict=UNPROVEN),
        cell("hollow", verdict=None),
        cell("away", outcome="unavailable", verdict=None, first_cause="no SVM"),
        cell("needed", outcome="unavailable", verdict=None, first_cause="no SVM"),
        cell(
            "known", outcome="xfailed", verdict=LOST,
            expectation=ExpectationRecord(kind="xfail", reason="bug", link="https://b/1"),
        ),
        must_run=("needed", "nowhere"),
    )  # fmt: skip
    suite = ET.fromstring(junit_xml(record).partition("\n")[2])[0]  # noqa: S314 - our own
    came = {
        case.get("name"): [(e.tag, e.get("message")) for e in case if e.tag != "system-out"]
        for case in suite.iter("testcase")
    }
    assert came == {
        "good": [],
        "bad": [("failure", f"FAIL Lost: {LOST.reason}")],
        "broken": [("error", f"ERROR Unproven: {UNPROVEN.reason}")],
        "hollow": [("error", "ERROR: it passed without a proven verdict")],
        "away": [("skipped", "no SVM")],
        "needed": [("error", "needed had to run here: it was unavailable: no SVM")],
        "known": [("skipped", "expected to fail: bug https://b/1")],
        "nowhere": [("error", "nowhere had to run here: it is missing from the run")],
    }
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "8", "failures": "1", "errors": "4", "skipped": "2"}


def test_junit_carries_what_tells_runs_apart() -> None:
    suite = ET.fromstring(junit_xml(run()).partition("\n")[2])[0]  # noqa: S314 - our own
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["run_id"] == "7f3a"
    assert properties["accelerator.x86_64"] == "tcg: /dev/kvm does not exist"
    assert properties["kernel.stock.build_id"].startswith("6f1ed002")  # type: ignore[union-attr]


def test_console_bytes_do_not_break_the_xml() -> None:
    text = junit_xml(run(cell(EVIL, outcome="error", verdict=None, first_cause=EVIL)))
    root = ET.fromstring(text.partition("\n")[2])  # noqa: S314 - our own
    assert "\ufffd[31m\ufffd" in str(root.find(".//error").get("message"))  # type: ignore[union-attr]


def shown(**kinds: object) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    cells = [cell(), cell("one/kexec", dimensions={"arch": "[bold]", "disruption": "kexec"})]
    console.print(ladder_table(cells, **kinds))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_ladder_shows_expectations_before_anything_has_run() -> None:
    text = shown(expected={"one/kill": "survives"})
    assert "survives" in text
    assert "one/kexec" in text
    assert "[bold]" in text


def test_the_ladder_shows_results_in_words() -> None:
    text = shown(expected={"one/kill": "survives"}, results={"one/kill": cell(verdict=SURVIVED)})
    assert "PASS Survived" in text
    assert "expects survives" in text
    assert "412 ms" in text


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "-"), (12.34, "12.3 ms"), (412.0, "412 ms"), (3410.0, "3.41 s")]
)
def test_a_silence_reads_well(ms: float | None, text: str) -> None:
    assert milliseconds(ms) == text


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (None, None, "-"),
        (412.0, None, "412 ms"),
        (0.0, 188.0, "at most 188 ms"),
        (20.0, 61.0, "20.0 to 61.0 ms"),
        (400.0, 412.0, "400 ms"),
        (900.0, 1100.0, "900 ms to 1.10 s"),
    ],
)
def test_a_silence_that_is_known_within_bounds_says_so(
    least: float | None, most: float | None, text: str
) -> None:
    assert between(least, most) == text


@pytest.mark.parametrize(
    ("least", "most", "own", "ms"),
    [
        (0.0, 188.0, 57.4, 57.4),  # L0 did not look in between, the guest knows
        (400.0, 450.0, 8.0, 400.0),  # its clock stood still with it
        (0.0, 61.0, 9000.0, 61.0),  # its clock jumped
        (412.0, None, 410.0, 412.0),
        (None, None, 12.0, 12.0),
        (5000.0, None, None, 5000.0),
    ],
)
def test_longest_silence_is_the_guests_bounded_by_l0(
    least: float | None, most: float | None, own: float | None, ms: float
) -> None:
    v = VcpuFigures(vcpu=0, longest_l0_ms=least, most_l0_ms=most, longest_guest_ms=own)
    assert v.longest_ms == ms


@pytest.mark.parametrize(
    ("s", "text"), [(4.21, "4.2 s"), (187.0, "3 min 07 s"), (7500.0, "2 h 05 min")]
)
def test_a_duration_reads_well(s: float, text: str) -> None:
    assert seconds(s) == text

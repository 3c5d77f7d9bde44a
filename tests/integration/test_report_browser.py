# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: nothing complained of, nothing asked for, everything there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from lab.record import shards
from lab.record.model import CellRecord, Outcome, RunHeader, RunRecord
from lab.record.timeline import around, timeline_of
from lab.report import publish
from lab.testing.simulated_guest import Rehearsal
from tests.support.browser import Tab, browser
from tests.support.records import ENVIRONMENT, LOST, STARTED, UNPROVEN, cell, run, sixty
from tests.unit.test_report_pages import EVIL

_WIDE, _NARROW = 1400, 400
_BINS = "document.querySelectorAll('svg.plot path.bars').length"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as opened:
        yield opened.tab()


def filmed(one: CellRecord) -> CellRecord:
    rehearsal = Rehearsal(2)
    rehearsal.eye.mark("vmm-kill")
    struck = rehearsal.now()
    rehearsal.guest.freeze()
    rehearsal.watch(0.4)
    rehearsal.guest.thaw()
    rehearsal.watch(4.0)
    console = around("host-console.log", [f"[{n:9}.0] line {n}" for n in range(90)], 60)
    line = timeline_of(rehearsal.evidence(struck), rehearsal.eye.found().marks)
    return one.model_copy(update={"timeline": line, "consoles": (console,)})


def published(reports: Path, record: RunRecord, known: Path) -> Path:
    header = RunHeader.model_validate(
        {n: getattr(record, n) for n in RunHeader.model_fields if n != "schema_version"}
    )
    folder = shards.begin(reports, header)
    for each in record.cells:
        shards.write_cell(folder, each)
        if each.evidence:
            (folder / each.evidence).mkdir(parents=True, exist_ok=True)
    shards.note_environment(folder, record.environment, worker="main")
    publish.finish(folder, known=known)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, the second with every kind of trouble."""
    reports = tmp_path_factory.mktemp("reports")
    first = sixty()
    published(reports, first, reports / "history.sqlite")
    one = filmed(first.cells[1])
    trouble = (
        one,
        one.model_copy(update={"repeat": 2, "outcome": Outcome.FAILED, "verdict": LOST}),
        cell("evil", rerun=EVIL, first_cause=EVIL, outcome="error", verdict=UNPROVEN, evidence=""),
        cell("gone", evidence=""),
    )
    tomorrow = STARTED + timedelta(days=1)
    rest = (*first.cells[:1], *first.cells[2:])
    second = run(
        *trouble, *rest, run_id="8b4c", started=tomorrow, resumed=(tomorrow,), must_run=("nowhere",)
    )
    return published(reports, second, reports / "history.sqlite")


@pytest.mark.parametrize("width", [_WIDE, _NARROW])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_complained_of_and_nothing_is_asked_for(
    tab: Tab, folder: Path, tmp_path: Path, *, width: int, dark: bool
) -> None:
    page = folder / "index.html"
    tab.open(page, width=width, dark=dark)
    tab.shoot(tmp_path / "page.png")

    assert tab.complaints == []
    assert tab.asked_for == [page.as_uri()]
    assert (tmp_path / "page.png").stat().st_size > 20_000
    wide = tab.find("document.documentElement.scrollWidth")
    assert wide <= width, f"the page is {wide} pixels wide"


def test_the_grid_and_a_silence_plot_are_there_and_drawn(tab: Tab, folder: Path) -> None:
    tab.open(folder / "index.html")
    cells = tab.find("document.querySelectorAll('table.ladder a.box').length")
    assert cells == len(sixty().cells) + 2
    assert tab.find(_BINS) == 4
    box = "document.querySelector('svg.plot rect.gap').getBoundingClientRect()"
    assert tab.find(f"{box}.width") > 20
    assert tab.find(f"{box}.height") == pytest.approx(22, abs=2)
    bars = "document.querySelector('svg.plot path.bars').getBoundingClientRect().height"
    assert tab.find(bars) > 10


def test_every_link_of_the_page_leads_somewhere(tab: Tab, folder: Path) -> None:
    tab.open(folder / "index.html")
    inner = tab.find(
        "[...document.querySelectorAll('a[href^=\"#\"]')]"
        ".filter(a => !document.getElementById(decodeURIComponent(a.hash.slice(1))))"
        ".map(a => a.href)"
    )
    assert inner == []
    local = tab.find("[...document.links].filter(a => a.protocol == 'file:').map(a => a.pathname)")
    assert len(local) > 60
    gone = [path for path in set(local) if not Path(_unquoted(path)).exists()]
    assert gone == []


def _unquoted(path: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415 - only here

    return unquote(path)


def test_a_link_of_the_ladder_opens_the_cell_that_it_names(tab: Tab, folder: Path) -> None:
    tab.open(folder / "index.html")
    link = tab.find("[...document.querySelectorAll('a.box.pass')].at(-1).hash")
    shut = f"document.getElementById('{link[1:]}').closest('details').open"
    assert tab.find(shut) is False
    tab.find("[...document.querySelectorAll('a.box.pass')].at(-1).click()")
    assert tab.find(shut) is True


def test_ladder_is_accessible_by_keyboard(tab: Tab, folder: Path) -> None:
    tab.open(folder / "index.html")
    key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
    seen = set()
    for _ in range(30):
        tab.ask("Input.dispatchKeyEvent", type="keyDown", **key)
        tab.ask("Input.dispatchKeyEvent", type="keyUp", **key)
        seen.add(tab.find("document.activeElement.className"))
    assert any(name.startswith("box") for name in seen), seen
    tab.find("document.querySelector('a.box').focus()")
    assert tab.find("document.activeElement.textContent.includes('PASS')") is True


def test_what_a_screen_reader_is_told_says_what_is_drawn(tab: Tab, folder: Path) -> None:
    tab.open(folder / "index.html")
    nodes = tab.ask("Accessibility.getFullAXTree")["nodes"]
    told = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if "role" in n]
    plots = [name for role, name in told if role in {"image", "img"} and name.startswith("Beats")]
    assert len(plots) == 1
    assert "vCPU 0 by L0's clock: longest silence" in plots[0]
    assert {"table", "main", "navigation"} <= {role for role, _ in told}
    assert "" not in {name for role, name in told if role == "link"}


def test_text_can_be_read_on_its_ground_in_light_and_in_dark(tab: Tab, folder: Path) -> None:
    worst = (Path(__file__).parents[1] / "support" / "contrast.js").read_text(encoding="utf-8")
    for dark in (False, True):
        tab.open(folder / "index.html", dark=dark)
        assert tab.find(worst) == []


def test_ten_thousand_cells_load_in_a_moment(tab: Tab, tmp_path: Path) -> None:
    axes = product(
        ("x86_64", "arm64"), ("stock", "mine"), ("native", "protected"), ("linux", "spinner"),
        ("qemu", "labvmm"), ("none", "vmm-kill", "vmm-oom", "vmm-exit", "kexec"), range(63),
    )  # fmt: skip
    names = ("arch", "kernel", "mode", "guest", "vmm", "disruption", "vcpus")
    cells = [
        cell(f"cell-{n}", dimensions=dict(zip(names, place, strict=True)), evidence="")
        for n, place in zip(range(10_000), axes, strict=False)
    ]
    cells[5000] = filmed(
        cells[5000].model_copy(update={"outcome": Outcome.FAILED, "verdict": LOST})
    )
    began = time.monotonic()
    folder = published(tmp_path, run(*cells, environment=ENVIRONMENT), tmp_path / "history")
    made = time.monotonic() - began

    page = folder / "index.html"
    tab.open(page)

    assert page.stat().st_size < 5_000_000
    assert max(path.stat().st_size for path in folder.glob("cells-*.html")) < 5_000_000
    assert tab.find("document.querySelectorAll('table.ladder a.box').length") == 10_000
    took = tab.find("performance.timing.loadEventEnd - performance.timing.navigationStart")
    assert took < 10_000, f"loading took {took} ms"
    assert made < 120, f"writing took {made:.0f} s"
    assert tab.find("document.querySelectorAll('svg.plot').length") == 1

# SPDX-License-Identifier: Apache-2.0
"""All runs on one page, which of them are kept, and what a run's folder holds when it has ended."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from lab import data
from lab.record import shards
from lab.record.model import CellRecord, RunHeader
from lab.report import index, publish
from tests.support.records import LOST, STARTED, cell
from tests.unit.test_report_pages import Page


def ended(
    reports: Path, n: int, *cells: CellRecord, keep: int = 60, known: Path | None = None
) -> Path:
    header = RunHeader(run_id=f"run{n}", started=STARTED + timedelta(days=n), tier="nightly")
    folder = shards.begin(reports, header)
    for each in cells or (cell(),):
        shards.write_cell(folder, each)
    publish.finish(folder, keep=keep, known=known)
    return folder


def test_a_run_that_has_ended_has_everything_in_its_folder(tmp_path: Path) -> None:
    folder = ended(tmp_path, 1)
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "run.json", "junit.xml", "results.ktap", "kcidb.json", "summary.md", "index.html",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".tmp")]
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    local = {link for link in page.links if not link.startswith(("#", "http"))}
    assert all((folder / link).exists() for link in local), local


def test_missing_evidence_is_reported_and_not_linked(tmp_path: Path) -> None:
    header = RunHeader(run_id="x", started=STARTED)
    folder = shards.begin(tmp_path, header)
    for each in (cell("a", evidence="evidence/a"), cell("b", evidence="evidence/b")):
        shards.write_cell(folder, each)
    (folder / "evidence" / "a").mkdir()
    publish.publish(folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert 'href="evidence/a/"' in text
    assert 'href="evidence/b/"' not in text
    assert "evidence/b is missing" in text


def test_all_runs_are_on_one_page_the_newest_first(tmp_path: Path) -> None:
    ended(tmp_path, 1)
    ended(tmp_path, 2, cell(outcome="failed", verdict=LOST))
    (tmp_path / "20990101T000000Z-begun").mkdir()
    shards.begin(tmp_path, RunHeader(run_id="atwork", started=STARTED + timedelta(days=3)))
    (tmp_path / "notes").mkdir()
    index.shelve(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == []
    assert [link.rpartition("Z-")[2] for link in page.links if "Z-" in link] == [
        "atwork/",
        "run2/index.html",
        "run1/index.html",
    ]
    assert all((tmp_path / link).exists() for link in page.links)
    assert "it has not come to its end" in text
    assert "run2" in (tmp_path / "latest").resolve().name


def test_the_oldest_go_but_the_last_good_one_stays(tmp_path: Path) -> None:
    bad = cell(outcome="failed", verdict=LOST)
    good = ended(tmp_path, 1)
    for n in range(2, 7):
        ended(tmp_path, n, bad, keep=3)
    left = [path.name.rpartition("-")[2] for path in index.folders(tmp_path)]
    assert left == ["run6", "run5", "run4", "run1"]
    assert good.exists()


def test_only_folders_of_ended_runs_are_ever_removed(tmp_path: Path) -> None:
    shards.begin(tmp_path, RunHeader(run_id="atwork", started=STARTED - timedelta(days=9)))
    for name in ("mine", "20260101T000000Z-mine", "latest-notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    outside = ended(tmp_path / "elsewhere", 0)
    (tmp_path / "20260102T000000Z-link").symlink_to(outside)
    for n in (1, 2, 3):
        ended(tmp_path, n, keep=1)
    names = {path.name.rpartition("Z-")[2] for path in tmp_path.iterdir()}
    assert names == {
        "atwork",
        "mine",
        "latest-notes",
        "elsewhere",
        "link",
        "latest",
        "index.html",
        "run3",
    }
    assert (outside / "run.json").exists()


def test_a_second_run_knows_of_the_first(tmp_path: Path) -> None:
    known = tmp_path / "history.sqlite"
    ended(tmp_path / "reports", 1, known=known)
    bad = cell(outcome="failed", verdict=LOST)
    folder = ended(tmp_path / "reports", 2, bad, known=known)
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "What changed" in text
    assert "new failure" in text
    assert 'aria-label="2026-11-23 03:04 UTC, run run1: PASS Survived"' in text
    links = Page(text).links
    assert all((folder / link).exists() for link in links if link.startswith("../"))
    assert [link for link in links if "run1" in link]
    assert "**new failure**" in (folder / "summary.md").read_text(encoding="utf-8")


def test_a_damaged_history_spoils_no_report(tmp_path: Path) -> None:
    known = tmp_path / "history.sqlite"
    known.write_bytes(b"not a database at all, not even nearly" * 100)
    folder = shards.begin(tmp_path / "r", RunHeader(run_id="x", started=STARTED))
    shards.write_cell(folder, cell())
    said: list[str] = []
    publish.finish(folder, known=known, tell=said.append)
    (warning,) = (line for line in said if line.startswith("the history is not used"))
    assert "lab history --rebuild" in warning
    assert "There is no history on this page" in (folder / "index.html").read_text("utf-8")
    assert known.read_bytes().startswith(b"not a database")


def test_a_run_of_an_older_lab_is_on_the_page_too(tmp_path: Path) -> None:
    folder = tmp_path / "20251122T030405Z-old"
    folder.mkdir()
    golden = Path(__file__).parents[1] / "golden" / "record" / "run-v1.json"
    (folder / "run.json").write_bytes(golden.read_bytes())
    ended(tmp_path, 1)
    assert "20251122T030405Z-old/index.html" in (tmp_path / "index.html").read_text("utf-8")
    assert [name.rpartition("-")[2] for name, _ in index.records(tmp_path)] == ["old", "run1"]


_PUBLISH = """
import sys
from pathlib import Path
from lab.report import publish
publish.publish(Path(sys.argv[1]))
"""


def test_a_full_disk_leaves_the_pages_that_were_there(tmp_path: Path) -> None:
    folder = ended(tmp_path, 1, *(cell(f"c{n}") for n in range(40)))
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    shards.write_cell(folder, cell("c1", first_cause="another"))

    def small() -> None:  # a file that may not grow is what a full disk is to its writer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-c", _PUBLISH, str(folder)],
        cwd=data.ROOT,
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "run.json: cannot be written: File too large" in done.stderr
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    publish.publish(folder)
    assert "another" in (folder / "run.json").read_text(encoding="utf-8")

# SPDX-License-Identifier: Apache-2.0
"""`lab history`, `lab compare` and `lab report` as commands, on a history of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import main
from lab.config.enums import Scope
from lab.history.compare import compared, tallied
from lab.history.store import History, opened
from lab.record import shards
from lab.record.model import CellRecord, RunHeader, RunRecord, VcpuFigures, VerdictRecord
from lab.report import publish
from tests.support.cli_lab import own_lab
from tests.support.records import LOST, STARTED, cell
from tests.unit.test_history_trend import built, night


def silent(ms: float) -> VerdictRecord:
    v = VcpuFigures(vcpu=0, beats=9, longest_guest_ms=ms, longest_l0_ms=ms, most_l0_ms=ms)
    return VerdictRecord(kind="Survived", reason="so", scope=Scope.RUNNING, vcpus=(v,))


def on(kernel: str, accel: str = "tcg", **changes: object) -> CellRecord:
    place = {**cell().dimensions, "kernel": kernel, "accel": accel}
    return cell(f"x86_64-{accel}-{kernel}-kill", dimensions=place, **changes)


def nights(history: History) -> None:
    """Six nights: on `b` the silences are three times as long, and one guest was lost."""
    for n in range(6):
        environment = built("aaaa1111")
        b = environment.kernels["reference x86_64"].model_copy(update={"build_id": "bbbb2222"})
        a = environment.kernels["reference x86_64"]
        environment = environment.model_copy(update={"kernels": {"a x86_64": a, "b x86_64": b}})
        lost: dict[str, Any] = {"outcome": "failed", "verdict": LOST} if n == 5 else {}
        cells = (
            on("a", verdict=silent(100 + n)),
            on("b", **{"verdict": silent(300 + n), **lost}),
            on("a", "kvm", verdict=silent(1 + n / 10)),
        )
        history.note(night(n, *cells, environment=environment), f"folder{n}")


@pytest.fixture
def lab() -> Iterator[Path]:
    with own_lab() as toml:
        (toml.parent / "state").mkdir()
        with opened(toml.parent / "state" / "history.sqlite") as history:
            nights(history)
        yield toml


def say(lab: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["--lab-toml", str(lab), *words])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_counts_are_by_cell_build_and_accelerator(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        nights(history)
        told = {(t.accel, t.kernel): t for t in tallied(history.of())}
    assert set(told) == {("tcg", "a"), ("tcg", "b"), ("kvm", "a")}
    b = told["tcg", "b"]
    assert (b.counts.lived, b.counts.judged, b.flaky, b.build_id) == (5, 6, True, "bbbb2222")
    assert len(b.silences) == 5
    assert max(told["kvm", "a"].silences) < 2


def test_compare_separates_kernels_and_accelerators(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        nights(history)
        (pair,) = compared(list(history.of()), "a", "bbbb")
    assert pair.accel == "tcg"
    assert (pair.ranks.median_a, pair.ranks.median_b) == (102.5, 302.0)
    assert pair.ranks.p is not None
    assert pair.ranks.p < 0.01
    assert pair.adjusted == pytest.approx(2 * pair.ranks.p)  # of two tests
    assert pair.odds_adjusted == pair.odds
    assert pair.odds is not None
    assert pair.odds > 0.5  # one loss in six says little


def test_history_is_a_table_for_people(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = say(lab, capsys, "history", "*-tcg-*")
    assert status == 0
    assert "5 of 6" in said
    assert "FLAKY" in said
    assert "293 more" in said  # of 299, for a
    assert "kvm" not in said


def test_history_is_json_for_programs(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said, _ = say(lab, capsys, "history", "--kernel", "bbbb", "--json")
    (told,) = json.loads(said)
    assert (told["lived"], told["judged"], told["flaky"]) == (5, 6, True)
    assert told["words"] == ["PASS"] * 5 + ["FAIL"]
    assert told["low"] == pytest.approx(0.3588, abs=1e-4)  # exact, of 5 of 6


def test_compare_says_both_tests(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = say(lab, capsys, "compare", "a", "b")
    assert status == 0
    assert "6 of 6" in said
    assert "5 of 6" in said
    assert "0.004" in said
    assert "b is build bbbb2222" in said
    _, said, _ = say(lab, capsys, "compare", "a", "b", "--json")
    (told,) = json.loads(said)
    assert told["silence"]["p"] < 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "a", "c"), "the history has no result of kernel 'c'"),
        (("compare", "a", "a", "--cells", "*-kexec*"), "the history has no result of kernel 'a'"),
        (("report", "nowhere"), "no run 'nowhere' in reports"),
        (("report",), "no report is there"),
    ],
)
def test_what_is_not_there_is_a_mistake_with_a_hint(
    lab: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    status, _, complaint = say(lab, capsys, *words)
    assert status == 2
    assert message in complaint
    assert "hint:" in complaint


def ended(reports: Path, n: int) -> Path:
    at = STARTED + timedelta(days=n)
    folder = shards.begin(reports, RunHeader(run_id=f"run{n}", started=at))
    shards.write_cell(folder, cell())
    publish.finish(folder)
    return folder


def test_damaged_history_is_rebuilt_from_stored_runs(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = lab.parent / "state" / "history.sqlite"
    known.write_bytes(b"once this was a database " * 400)
    folders = [ended(Path("reports"), n) for n in (1, 2)]

    status, _, complaint = say(lab, capsys, "history")
    assert status == 3
    assert "damaged" in complaint
    assert "lab history --rebuild" in complaint

    status, said, complaint = say(lab, capsys, "history", "--rebuild")
    assert status == 0
    assert "made from 2 runs" in complaint
    assert said.count("1 of 1") == 2  # their builds are unknown: they are not one kernel
    (aside,) = known.parent.glob("history.sqlite.2*")
    assert aside.read_bytes().startswith(b"once this was")
    with opened(known) as history:
        assert [run.folder for run in history.runs()] == [f.name for f in reversed(folders)]


def test_report_says_where_the_page_is(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = (ended(Path("reports"), n) for n in (1, 2))
    assert say(lab, capsys, "report")[1].strip() == str((last / "index.html").resolve())
    assert say(lab, capsys, "report", "run1")[1].strip() == str((first / "index.html").resolve())
    told = json.loads(say(lab, capsys, "report", str(first), "--json")[1])
    assert (told["run_id"], told["status"]) == ("run1", 0)


def test_report_makes_pages_anew(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ended(Path("reports"), 1)
    for name in ("index.html", "junit.xml", "kcidb.json", "results.ktap", "run.json"):
        (folder / name).unlink()
    assert say(lab, capsys, "report", "run1", "--again")[0] == 0
    assert RunRecord.model_validate_json((folder / "run.json").read_bytes()).ended is not None
    assert (folder / "kcidb.json").exists()

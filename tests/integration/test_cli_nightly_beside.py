# SPDX-License-Identifier: Apache-2.0
"""`lab nightly` and the tests beside the cells: counted, told once, and in the report."""

from __future__ import annotations

import pytest

from tests.support.nights import BESIDE, Nights


def _beside(nights: Nights) -> None:
    (nights.folder / "topologies" / "test_beside.py").write_text(BESIDE, encoding="utf-8")


def test_tests_beside_the_cells_are_counted_and_told_once(nights: Nights) -> None:
    _beside(nights)
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(4, first)  # two of them are tests
        first.kill()
    nights.until_free()

    status, said = nights.night()

    assert status == 0, said
    assert sorted(nights.keys[:2]) == ["first", "second"]
    assert nights.keys.count("first") == 1
    assert "6 of 6 cells, 2 of 2 tests beside them, about 0.0 s left" in said
    assert "AS EXPECTED: 6 of 6 cells as expected, 2 of 2 tests beside them passed" in said


@pytest.mark.parametrize(
    ("how", "status", "word", "why"),
    [
        ("wrong", 1, "(1 failed)", "so it was told"),
        ("broken", 125, "(1 broke)", "ValueError: invalid literal"),
    ],
)
def test_a_test_beside_the_cells_that_fails_is_in_the_report(
    nights: Nights, how: str, status: int, word: str, why: str
) -> None:
    _beside(nights)
    came, said = nights.night(NIGHT_BESIDE=how)
    assert came == status, said
    assert f"1 of 2 tests beside them passed {word}" in said
    latest = nights.folder / "reports" / "latest"
    for name in ("index.html", "summary.md", "junit.xml", "results.ktap"):
        text = (latest / name).read_text(encoding="utf-8")
        assert "test_beside.py" in text, name
        assert "test_second" in text.replace("\\", ""), name
    assert why in (latest / "index.html").read_text(encoding="utf-8")


def test_a_night_that_has_only_tests_left_goes_on_with_them(nights: Nights) -> None:
    slow = f"from lab.deadline import pause\n{BESIDE}".replace('"second")', '"second"); pause(3)')
    (nights.folder / "topologies" / "test_last.py").write_text(slow, encoding="utf-8")
    with nights.start() as first:
        nights.until_cells(8, first)
        first.kill()
    nights.until_free()
    status, said = nights.night()
    assert status == 0, said
    assert nights.keys[-2:] == ["second", "second"]
    assert "2 of 2 tests beside them passed" in said

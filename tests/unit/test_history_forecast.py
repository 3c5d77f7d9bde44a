# SPDX-License-Identifier: Apache-2.0
"""The time that is left is right within 25 %, wherever the work is by then."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lab.build.learned import learned, note, note_objects, shape_of
from lab.history.forecast import Ladder, work_left

SEEDS = range(40)
COSTS = [random.Random(n).uniform(0.2, 1.8) * (2 if n < 100 else 1) for n in range(400)]  # noqa: S311


def build(draw: random.Random, pace: float) -> tuple[list[float], float]:
    """Return when each object was made: the same ones cost the most each time; a slow end."""
    at, ticks = pace * draw.uniform(18, 22), []
    for cost in COSTS:
        at += pace * cost * draw.uniform(0.8, 1.2)
        ticks.append(at)
    return ticks, at + pace * draw.uniform(70, 90)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_build_at_another_pace_is_foretold_within_25_percent(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    before, took = build(draw, 1.0)
    shape = shape_of(before, took)
    ticks, ends = build(draw, draw.uniform(0.1, 4.0))  # a cold or a warm compiler cache
    for done in range(60, 401, 20):
        at = ticks[done - 1]
        left = work_left(at, done, 400, took, shape)
        assert left is not None
        assert left == pytest.approx(ends - at, rel=0.25)


def test_without_a_shape_the_slow_end_would_be_missed() -> None:
    ticks, ends = build(random.Random(1), 1.0)  # noqa: S311 - no secret
    left = work_left(ticks[379], 380, 400, ends)
    assert left is not None
    assert left < 0.75 * (ends - ticks[379])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_ladder_is_foretold_within_25_percent(seed: int, workers: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    usual = {f"c{n}": draw.uniform(5, 60) for n in range(60)}
    slower = draw.uniform(0.8, 1.25)  # this machine today
    took = {name: s * slower * draw.uniform(0.85, 1.15) + 0.5 for name, s in usual.items()}
    usual.pop("c17")
    ladder = Ladder({name: name for name in took}, usual, workers)
    free, todo, ends = [0.0] * workers, list(took), []
    while todo:
        one = todo.pop(0)
        worker = free.index(min(free))
        ends.append((free[worker], one))
        free[worker] += took[one]
    whole, marks = max(free), []
    for began, one in ends:
        marks += [(began, 1, one), (began + took[one], 0, one)]
    for at, begins, one in sorted(marks):
        if begins:
            ladder.begin(one, at)
        else:
            ladder.end(one, at)
        if begins and at < 0.8 * whole:
            left = ladder.left_s(at)
            assert left is not None
            assert left == pytest.approx(whole - at, rel=0.25)


def test_what_was_never_run_is_guessed_by_the_rest() -> None:
    ladder = Ladder({"a": "a", "b": "b", "new": "new"}, {"a": 10.0, "b": 30.0})
    assert ladder.left_s(0.0) == 60.0
    ladder.begin("a", 0.0)
    assert ladder.left_s(4.0) == 56.0
    assert ladder.left_s(40.0) == 50.0, "one that lasts longer takes nothing from the rest"


def test_with_no_earlier_run_nothing_is_foretold_until_one_has_ended() -> None:
    ladder = Ladder({"a": "a", "b": "b"}, {})
    assert ladder.left_s(0.0) is None
    ladder.begin("a", 0.0)
    ladder.end("a", 7.0)
    assert ladder.left_s(7.0) == 7.0


def test_a_repeat_is_learned_by_its_cell() -> None:
    ladder = Ladder({"t[1]": "cell", "t[2]": "cell"}, {"cell": 8.0})
    assert ladder.left_s(0.0) == 16.0
    assert ladder.usually("t[2]") == 8.0


def test_work_that_lasts_too_long_has_nothing_left() -> None:
    assert work_left(20.0, 0, 1, 30.0) == 10.0
    assert work_left(40.0, 0, 1, 30.0) == 0.0
    assert work_left(40.0, 0, 1, None) is None


def test_builds_are_remembered_by_what_is_built(tmp_path: Path) -> None:
    root = tmp_path
    assert learned(root, "kernel a").usually_s(830) == 830
    for took in (900.0, 60.0, 62.0, 58.0, 61.0, 59.0):
        note(root, "kernel a", took)
    note_objects(root, "kernel a", 2100, (0.1, 1.0))
    note(root, "kernel b", 5.0)
    known = learned(root, "kernel a")
    assert known.usually_s(830) == 60.0, "the first one, from nothing, is forgotten"
    assert (known.units, known.shape) == (2100, (0.1, 1.0))
    (root / ".learned.json").write_text("{")
    assert learned(root, "kernel a").usually_s(830) == 830


def test_a_shape_ends_before_the_build_does() -> None:
    shape = shape_of([float(n) for n in range(1, 101)], 125.0)
    assert len(shape) == 20
    assert list(shape) == sorted(shape)
    assert shape[-1] == 0.8
    assert shape_of([], 5.0) == ()

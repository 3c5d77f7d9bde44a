# SPDX-License-Identifier: Apache-2.0
"""A run's critical path: what waited for what, and what it does not account for."""

from __future__ import annotations

import random

import pytest

from lab.record.critical_path import TURN, CriticalPath, Ran, critical_path, lines


def ran(what: str, worker: str, began: float, ended: float, *phases: tuple[str, float]) -> Ran:
    return Ran(what, worker, began, ended, phases or (("watch", ended - began),))


def names(path: CriticalPath) -> list[tuple[str, str]]:
    return [(link.ran.what, link.waited_for) for link in path.links]


def test_on_one_worker_everything_is_on_the_path() -> None:
    path = critical_path([ran("b", "main", 12, 20), ran("a", "main", 2, 11)])
    assert names(path) == [("a", ""), ("b", "a")]
    assert [link.idle_s for link in path.links] == [2, 1]
    assert path.by_phase == {"watch": 17, "between": 3}


def test_the_worker_that_ended_last_is_followed_back() -> None:
    path = critical_path(
        [ran("a", "gw0", 0, 10), ran("b", "gw0", 10, 12), ran("c", "gw1", 0, 3),
         ran("d", "gw1", 3, 30)]
    )  # fmt: skip
    assert names(path) == [("c", ""), ("d", "c")]
    assert path.length_s == 30


def test_a_cell_that_waits_for_its_turn_waited_for_the_other_worker() -> None:
    alone = ran("alone", "gw1", 4, 25, (TURN, 16.0), ("watch", 5.0))
    path = critical_path([ran("long", "gw0", 0, 20), ran("short", "gw1", 0, 4), alone])
    assert names(path) == [("long", ""), ("alone", "long")]
    assert path.links[-1].seconds == 5
    assert path.by_phase == {"watch": 25}, "its waiting is the other's time, counted once"


def test_without_that_wait_it_follows_its_own_worker() -> None:
    path = critical_path(
        [ran("long", "gw0", 0, 20), ran("short", "gw1", 0, 4), ran("next", "gw1", 4, 25)]
    )
    assert names(path) == [("short", ""), ("next", "short")]


@pytest.mark.parametrize("seed", range(200))
def test_the_parts_of_a_path_add_up_to_its_length(seed: int) -> None:
    draw, found = random.Random(seed), []  # noqa: S311 - no secret
    for worker in ("gw0", "gw1", "gw2"):
        at = draw.uniform(0, 3)
        for n in range(draw.randint(1, 9)):
            wait, work = draw.choice([0.0, draw.uniform(0, 9)]), draw.uniform(0.1, 9)
            end = at + wait + work
            found.append(ran(f"{worker}-{n}", worker, at, end, (TURN, wait), ("watch", work)))
            at = end + draw.uniform(0, 2)
    path = critical_path(found)
    assert sum(link.seconds + link.idle_s for link in path.links) == pytest.approx(path.length_s)
    assert sum(path.by_phase.values()) == pytest.approx(path.length_s, abs=0.01)
    assert path.links[0].waited_for == ""


def test_people_read_where_time_went_and_what_waited_for_what() -> None:
    said = list(lines(critical_path([ran("a", "main", 0, 30), ran("b", "main", 30, 95)])))
    assert said == [
        "critical path: 1 min 35 s, 2 things one after another",
        "  where it went: watch 1 min 35 s",
        "    1 min 05 s  b, after a",
        "        30.0 s  a",
    ]


def test_of_nothing_there_is_no_path() -> None:
    assert critical_path([]).links == ()

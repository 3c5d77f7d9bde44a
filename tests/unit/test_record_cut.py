# SPDX-License-Identifier: Apache-2.0
"""A run is cut the same way by every machine, evenly, and never between a cell and its control."""

from __future__ import annotations

import random
from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import data
from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand, select
from lab.config.model import Accel, Arch, Cell, Tier
from lab.config.twins import needs_twin
from lab.pytest_plugin.shard import chosen_for
from lab.record.cut import bundles, cut, digest_of_durations, seconds, short


def test_what_shares_a_control_is_one_bundle() -> None:
    pairs = {"a": "d", "c": "d", "b": "gone"}
    assert bundles(["a", "b", "c", "d", "e"], pairs) == (("a", "c", "d"), ("b",), ("e",))


def test_a_chain_of_pairs_is_one_bundle_in_the_order_of_ids() -> None:
    assert bundles(["d", "c", "b", "a"], {"a": "b", "c": "d", "b": "c"}) == (("d", "c", "b", "a"),)


def test_the_longest_goes_first_and_to_the_least_loaded() -> None:
    assert cut([1.0, 5.0, 3.0, 3.0], 2) == (1, 1, 2, 2)
    assert cut([2.0, 2.0, 2.0], 3) == (1, 2, 3)


def test_what_takes_no_time_is_shared_out_by_number() -> None:
    assert cut([0.0] * 6, 3) == (1, 2, 3, 1, 2, 3)


def test_no_shard_is_longer_than_the_mean_and_one_bundle() -> None:
    chance = random.Random(20)  # noqa: S311 - no secret
    for _ in range(200):
        weights = [chance.expovariate(1 / 30) for _ in range(chance.randint(4, 60))]
        of = chance.randint(1, 4)
        shards = cut(weights, of)
        load = [
            sum(w for w, s in zip(weights, shards, strict=True) if s == n + 1) for n in range(of)
        ]
        assert max(load) <= sum(weights) / of + max(weights)
        assert {*shards} == {*range(1, of + 1)}


def test_what_was_not_learned_takes_as_long_as_the_mean() -> None:
    assert seconds("new", {"a": 10.0, "b": 30.0}) == 20.0
    assert seconds("a", {"a": 10.0, "b": 30.0}) == 10.0
    assert seconds("new", {}) == 1.0


def test_the_order_of_durations_is_not_in_their_digest() -> None:
    one, other = {"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}
    assert digest_of_durations(one) == digest_of_durations(other)
    assert digest_of_durations(one) != digest_of_durations({"a": 1.0, "b": 2.001})


def test_a_digest_is_short_in_a_message_and_a_word_is_not() -> None:
    assert short("0123456789abcdef" * 4) == "0123456789ab..."
    assert short("nightly") == "nightly"
    assert short("") == "not known"


@pytest.fixture(scope="module")
def ladder() -> tuple[Cell, ...]:
    lab = load_lab(data.LAB_TOML)
    accels = dict.fromkeys(Arch, Accel.TCG)
    return expand(load_topologies(data.TOPOLOGIES, lab), lab, accel=accels)


def items_of(cells: tuple[Cell, ...]) -> list[pytest.Item]:
    turns = [(cell, n) for n in (1, 2) for cell in cells]
    made: list[Any] = [
        SimpleNamespace(
            nodeid=f"t[{c.id}#{n}]", callspec=SimpleNamespace(params={"cell": c, "repeat": n})
        )
        for c, n in turns
    ]
    made += [SimpleNamespace(nodeid=f"test_beside.py::test_{n}") for n in range(5)]
    return cast("list[pytest.Item]", made)


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize("of", [1, 2, 4, 7])
def test_every_test_is_in_one_shard_and_no_pair_is_parted(
    ladder: tuple[Cell, ...], tier: Tier, of: int
) -> None:
    cells = select(ladder, tier)
    items = items_of(cells)
    parts = [[i.nodeid for i in chosen_for((n, of), items, {})] for n in range(1, of + 1)]
    assert sorted(chain.from_iterable(parts)) == sorted(item.nodeid for item in items)
    place = {nodeid: n for n, part in enumerate(parts) for nodeid in part}
    for cell in cells:
        names = [cell.id, *([cell.twin] if needs_twin(cell) and cell.twin else [])]
        turns = [place[f"t[{name}#{n}]"] for name in names for n in (1, 2)]
        assert all(one == other for one, other in pairwise(turns)), cell.id


def test_more_shards_than_bundles_are_refused(ladder: tuple[Cell, ...]) -> None:
    items = items_of(ladder[:1])
    with pytest.raises(pytest.UsageError, match="--lab-shard=7/7: 7 tests make 6 bundles"):
        chosen_for((7, 7), items, {})

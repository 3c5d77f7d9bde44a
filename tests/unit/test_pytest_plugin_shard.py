# SPDX-License-Identifier: Apache-2.0
"""--lab-shard: read, cut by what was learned, the same in workers of xdist, resumed as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.history.store import NAME, opened
from lab.pytest_plugin.run import shard_of
from lab.record.files import load
from tests.support.sharded_toy import Toy

SLOW = "topologies/test_beside.py::test_one"


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "toy")


@pytest.mark.parametrize("typed", ["0/4", "5/4", "4", "a/b", "1/0", "-1/4", "1/4/4", "1.5/4"])
def test_what_is_no_shard_is_a_usage_error(typed: str) -> None:
    with pytest.raises(pytest.UsageError, match="--lab-shard: expected i/n with i from 1 to n"):
        shard_of(typed)


def test_the_last_shard_is_one_and_no_word_is_none() -> None:
    assert shard_of("4/4") == (4, 4)
    assert shard_of("1/1") == (1, 1)
    assert shard_of("") is None


def names(folder: Path) -> set[str]:
    record = load(folder)
    return {*(cell.key for cell in record.cells), *(check.id for check in record.checks)}


def learn(toy: Toy, run: Path, slow: str) -> None:
    """Enter a run into the history in which one test took very long."""
    (toy.folder / "state").mkdir(exist_ok=True)
    record = load(run)
    checks = {c.id: c.model_copy(update={"duration_s": 1.0}) for c in record.checks}
    checks[slow] = record.checks[0].model_copy(update={"id": slow, "duration_s": 1e6})
    cells = tuple(c.model_copy(update={"duration_s": 1.0}) for c in record.cells)
    with opened(toy.folder / "state" / NAME) as book:
        book.note(record.model_copy(update={"cells": cells, "checks": (*checks.values(),)}), "x")


def test_a_slow_test_has_a_shard_of_its_own(toy: Toy) -> None:
    before = toy.run("before", "--lab-shard=1/2")
    learn(toy, toy.run("whole"), SLOW)
    one, other = toy.run("one", "--lab-shard=1/2"), toy.run("other", "--lab-shard=2/2")
    assert names(before) != names(one) == {SLOW}
    assert not names(one) & names(other)
    first, second = load(one).shard, load(other).shard
    assert first is not None
    assert second is not None
    assert first.whole == second.whole
    assert {*first.whole.names} == names(one) | names(other)


def test_workers_of_xdist_make_the_same_cut(toy: Toy) -> None:
    plain = toy.run("plain", "--lab-shard=2/3")
    spread = toy.run("spread", "--lab-shard=2/3", "-n", "2")
    assert names(plain) == names(spread)


def test_the_cut_is_the_same_in_whatever_order_tests_are_run(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    for n in (1, 2):
        monkeypatch.setenv("TOY_SHUFFLED_BY", str(n))
        parts.append(toy.run(f"shuffled{n}", f"--lab-shard={n}/2"))
    monkeypatch.delenv("TOY_SHUFFLED_BY")
    one, other = (load(part).shard for part in parts)
    assert one is not None
    assert other is not None
    assert one.whole == other.whole
    assert not names(parts[0]) & names(parts[1])
    assert names(parts[0]) == names(toy.run("plain", "--lab-shard=1/2"))


def test_no_test_is_cut_off_by_too_many_shards(toy: Toy) -> None:
    status, said = toy.pytest("--lab-shard=99/99")
    assert status == 4
    assert "bundles that stay together" in said
    assert not toy.reports.exists()


def test_what_k_chose_is_the_whole_that_is_cut(toy: Toy) -> None:
    one = load(toy.run("one", "-k", "linux", "--lab-shard=1/2"))
    assert one.plan is not None
    assert one.plan.asked == "-k 'linux' and --lab-shard=1/2"
    assert one.shard is not None
    assert one.shard.whole.plan.asked == "-k 'linux'"
    assert all("linux" in name for name in one.shard.whole.names)


def test_a_shard_is_resumed_as_it_was_cut(toy: Toy) -> None:
    before = toy.run("first", "--lab-shard=2/2")
    mine = names(before)
    (before / "run.json").unlink()
    next(before.glob("checks/*.json")).unlink()
    learn(toy, toy.run("learned"), SLOW)  # by which it would be cut otherwise now
    for typed in ([], ["--lab-shard=1/2"]):
        status, said = toy.pytest("--lab-resume=first", *typed)
        assert status == 4
        assert "was shard 2/2: type --lab-shard=2/2" in said
    toy.pytest("--lab-resume=first", "--lab-shard=2/2")
    assert names(before) == mine


def test_a_whole_run_is_not_resumed_as_a_shard(toy: Toy) -> None:
    toy.run("first")
    status, said = toy.pytest("--lab-resume=first", "--lab-shard=1/2")
    assert status == 4
    assert "was a whole run: type no --lab-shard" in said

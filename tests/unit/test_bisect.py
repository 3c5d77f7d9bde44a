# SPDX-License-Identifier: Apache-2.0
"""A search for a fault that shows in 60 % of runs: git's commits, our own test of each."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.bisect import notes as notebook
from lab.bisect.notes import Notes, Trial
from lab.bisect.repository import Repository
from lab.bisect.search import Search, report
from lab.bisect.sequential import Call, SequentialTest, commits_to_judge
from lab.errors import ConfigError, InfraError

COMMITS, FAULTY = 16, 11
EACH = SequentialTest(shows=0.5, noise=0.02, alpha=0.01, beta=0.01)


def git(tree: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *who, *words], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree whose commit 11 has a fault, and whose commits 8 and 9 do not build."""
    tree = tmp_path_factory.mktemp("tree")
    git(tree, "init", "--quiet")
    for n in range(COMMITS):
        (tree / "number").write_text(f"{n}\n", encoding="utf-8")
        word = "no compiler takes this" if n in {8, 9} else "faulty" if n >= FAULTY else "sound"
        (tree / "code").write_text(word, encoding="utf-8")
        git(tree, "add", ".")
        git(tree, "commit", "--quiet", "--message", f"change {n}")
        git(tree, "tag", f"c{n}")
    return tree


@dataclass
class Kernel:
    """Stands for builds and runs: says of what is checked out how one run of it comes out."""

    tree: Path
    chance: random.Random
    runs: list[str] = field(default_factory=list)
    dies_after: int = 1_000_000

    def judge(self, sha: str) -> Trial:
        """Run it once."""
        if len(self.runs) == self.dies_after:
            raise KeyboardInterrupt
        self.runs.append(sha)
        word = (self.tree / "code").read_text(encoding="utf-8")
        if word not in {"faulty", "sound"}:
            return Trial(came="skip", why="ConfigError: kernel mine does not build")
        failed = word == "faulty" and self.chance.random() < 0.6
        return Trial(came="failed" if failed else "passed", why="Lost" if failed else "Survived",
                     run=f"/reports/{len(self.runs)}")  # fmt: skip


def search(
    tree: Path, folder: Path, seed: int, *, good: str = "c0", bad: str = "c15", at_most: int = 60
) -> tuple[Search, Kernel]:
    folder.mkdir(exist_ok=True)
    clone = Repository.of(tree, folder / "tree")
    asked = Notes(
        good=clone.commit(good), bad=clone.commit(bad), cell="x", tree=str(tree),
        shows=EACH.shows, noise=EACH.noise, alpha=EACH.alpha, beta=EACH.beta,
    )  # fmt: skip
    kernel = Kernel(folder / "tree", random.Random(seed))  # noqa: S311 - the same each time
    notes = notebook.remembered(folder, asked)
    return Search(clone, folder, notes, kernel.judge, at_most=at_most), kernel


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fault_that_shows_in_60_percent_of_runs_is_found(
    seed: int, tree: Path, tmp_path: Path
) -> None:
    head = git(tree, "symbolic-ref", "HEAD")
    mine, _ = search(tree, tmp_path / "s", seed)
    (found,) = mine.run()
    assert found.sha == git(tree, "rev-parse", f"c{FAULTY}")
    assert found.count("failed") >= EACH.failures
    judged = {each.subject: each.call for each in mine.notes.commits}
    assert judged["change 0"] is Call.GOOD
    assert judged["change 15"] is Call.BAD
    told = report(mine.notes, (found,), mine.repository.shown(found.sha))
    assert told.startswith(f"{found.sha} is the first bad commit\n")
    assert "change 11" in told
    assert "called bad with a probability of at most 0.0" in told
    assert "evidence: /reports/" in told
    assert git(tree, "symbolic-ref", "HEAD") == head  # the user's tree is as it was
    assert git(tree, "for-each-ref", "refs/bisect") == ""
    assert git(tree, "status", "--porcelain") == ""


def test_what_does_not_build_is_skipped_after_one_run(tree: Path, tmp_path: Path) -> None:
    mine, kernel = search(tree, tmp_path / "t", 1, good="c7", bad="c12")
    found = mine.run()
    skipped = [each for each in mine.notes.commits if each.call is Call.SKIP]
    assert all(kernel.runs.count(each.sha) == 1 for each in skipped)
    assert {each.subject for each in skipped} <= {"change 8", "change 9"}
    assert [each.subject for each in found] == ["change 11"]


def test_commits_that_cannot_be_judged_are_all_named(tree: Path, tmp_path: Path) -> None:
    mine, kernel = search(tree, tmp_path / "s", 1, good="c7", bad="c10")

    def every_later_one_fails(sha: str) -> Trial:
        trial = kernel.judge(sha)
        number = int((kernel.tree / "number").read_text(encoding="utf-8"))
        return Trial(came="failed") if trial.came == "passed" and number == 10 else trial

    mine.judge = every_later_one_fails
    found = mine.run()
    assert {each.subject for each in found} == {"change 8", "change 9", "change 10"}
    told = report(mine.notes, found, mine.repository.shown(found[0].sha))
    assert told.startswith("the first bad commit is one of these")
    assert "skipped: ConfigError: kernel mine does not build" in told


@pytest.mark.parametrize("after", [1, 9, 20])
def test_a_search_that_was_killed_goes_on(after: int, tree: Path, tmp_path: Path) -> None:
    whole, once = search(tree, tmp_path / "whole", 4)
    expected = [each.sha for each in whole.run()]
    mine, kernel = search(tree, tmp_path / "s", 4)
    kernel.dies_after = after
    with pytest.raises(KeyboardInterrupt):
        mine.run()
    resumed, more = search(tree, tmp_path / "s", 4)
    assert sum(len(each.trials) for each in resumed.notes.commits) == after
    more.chance = kernel.chance
    assert [each.sha for each in resumed.run()] == expected
    assert kernel.runs + more.runs == once.runs  # none of them was done again


def test_other_numbers_are_another_search(tree: Path, tmp_path: Path) -> None:
    mine, _ = search(tree, tmp_path / "s", 4)
    notebook.write(tmp_path / "s", mine.notes)
    other = mine.notes.model_copy(update={"shows": 0.9})
    with pytest.raises(ConfigError, match=r"shows was 0\.5, is 0\.9"):
        notebook.remembered(tmp_path / "s", other)


def test_a_name_that_means_another_commit_now_is_another_search(tree: Path, tmp_path: Path) -> None:
    mine, _ = search(tree, tmp_path / "s", 4)
    mine.judge = scripted("failed", "failed")
    mine._judged(mine.notes.bad)
    again, _ = search(tree, tmp_path / "s", 4)
    assert len(again.notes.commits) == 1
    moved, _ = search(tree, tmp_path / "s", 4, bad="c14")
    assert moved.notes.commits == ()


def scripted(*came: str) -> Callable[[str], Trial]:
    words = list(came)
    return lambda _: Trial.model_validate({"came": words.pop(0) if words else "passed"})


def test_an_end_that_is_not_what_it_is_called_is_said(tree: Path, tmp_path: Path) -> None:
    mine, _ = search(tree, tmp_path / "s", 1)
    mine.judge = scripted()
    with pytest.raises(ConfigError, match="is the bad end, and 0 of 7 runs failed"):
        mine.run()
    mine, _ = search(tree, tmp_path / "t", 1)
    mine.judge = scripted("unknown", "unknown", "unknown")
    with pytest.raises(InfraError, match=r"the bad end .* cannot be judged"):
        mine.run()


def test_a_commit_that_no_number_of_runs_decides_is_skipped(tree: Path, tmp_path: Path) -> None:
    mine, _ = search(tree, tmp_path / "s", 1, at_most=4)
    mine.judge = scripted("failed", "passed", "passed", "passed")
    with pytest.raises(InfraError, match="cannot be judged"):
        mine.run()
    assert len(mine.notes.commits[0].trials) == 4


def test_runs_that_cannot_be_told_count_for_nothing(tree: Path, tmp_path: Path) -> None:
    mine, _ = search(tree, tmp_path / "s", 1, good="c14")
    unknown = ["unknown", "unknown", "failed", "unknown", "failed"]
    mine.judge = scripted(*unknown)
    (found,) = mine.run()
    assert (found.subject, found.count("failed"), found.count("unknown")) == ("change 15", 2, 3)


def test_no_name_of_the_user_is_guessed(tree: Path, tmp_path: Path) -> None:
    clone = Repository.of(tree, tmp_path / "tree")
    assert clone.commit("main") == git(tree, "rev-parse", "main")
    with pytest.raises(ConfigError, match="has no commit 'c99'"):
        clone.commit("c99")
    with pytest.raises(ConfigError, match="no commit is in"):
        clone.count(clone.commit("c5"), clone.commit("c3"))
    with pytest.raises(ConfigError, match="is no git repository"):
        Repository.of(tmp_path, tmp_path / "other")


def test_a_partial_clone_is_said(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", f"file://{tree}", "partial")
    git(tmp_path / "partial", "config", "extensions.partialClone", "origin")
    with pytest.raises(ConfigError, match="is a partial clone"):
        Repository.of(tmp_path / "partial", tmp_path / "tree")


@pytest.mark.parametrize(("rate", "wrong"), [(0.02, Call.BAD), (0.5, Call.GOOD), (0.6, Call.GOOD)])
def test_the_bound_on_the_error_holds(rate: float, wrong: Call) -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time
    test = SequentialTest(shows=0.5, noise=0.02, alpha=0.05, beta=0.05)
    mistakes, runs, commits = 0, 0, 4000
    for _ in range(commits):
        failed = passed = 0
        while (call := test.call(passed, failed)) is Call.OPEN:
            bad = chance.random() < rate
            failed, passed = failed + bad, passed + (not bad)
        mistakes, runs = mistakes + (call is wrong), runs + failed + passed
    assert mistakes <= 0.05 * commits
    assert runs < 7 * commits


def test_the_numbers_of_a_test() -> None:
    assert (EACH.failures, EACH.passes) == (2, 7)
    assert EACH.call(6, 0) is Call.OPEN
    assert EACH.call(7, 0) is Call.GOOD
    assert EACH.call(0, 1) is Call.OPEN
    assert EACH.call(0, 2) is Call.BAD
    assert EACH.call(3, 1) is Call.OPEN
    shared = EACH.shared(10)
    assert (shared.alpha, shared.beta) == (0.001, 0.001)
    assert [commits_to_judge(n) for n in (1, 2, 1000)] == [2, 3, 12]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"noise": 0.5}, "--noise=0.5 and --shows=0.5 make no test"),
        ({"shows": 1.0}, "--shows=1 make no test"),
        ({"noise": 0.0}, "--noise=0 and"),
        ({"alpha": 0.0}, "--alpha=0 and"),
        ({"beta": 1.0}, "--beta=1 are no probabilities"),
    ],
)
def test_numbers_that_make_no_test_are_refused(changed: dict[str, float], why: str) -> None:
    numbers = {"shows": 0.5, "noise": 0.02, "alpha": 0.05, "beta": 0.05}
    with pytest.raises(ConfigError, match=why):
        SequentialTest(**{**numbers, **changed})

# SPDX-License-Identifier: Apache-2.0
"""What the gate of mutants compares with: a clone without a branch or a remote included."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mutation.since import Since, changed, since

FILES = ("a.py", "b.py", "c.py")


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@y")
    done = subprocess.run(
        ["git", "-C", root, *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root: Path, name: str, text: str) -> str:
    (root / name).write_text(text, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-qm", name)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Return a checkout of two commits on main: a.py, and then b.py."""
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, "a.py", "1\n2\n3\n4\n")
    commit(tmp_path, "b.py", "1\n")
    return tmp_path


def test_a_branch_is_compared_with_where_it_left_main(two: Path) -> None:
    main = git(two, "rev-parse", "HEAD")
    git(two, "checkout", "-qb", "mine")
    commit(two, "a.py", "1\n2\nthree\n4\n")
    commit(two, "c.py", "1\n2\n")
    base = since(two)
    assert (base.commit, base.why) == (main, f"{main[:12]}, the merge base with main")
    assert changed(two, FILES, base) == {"a.py": frozenset({3}), "c.py": frozenset({1, 2})}


def test_main_itself_is_compared_with_the_commit_before(two: Path) -> None:
    before = git(two, "rev-parse", "HEAD^")
    base = since(two)
    assert base.commit == before
    assert "the commit before" in base.why
    assert changed(two, FILES, base) == {"b.py": frozenset({1})}


def test_a_clone_of_main_is_compared_with_the_commit_before(two: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(two), "clone")
    assert since(tmp_path / "clone").commit == git(two, "rev-parse", "HEAD^")


def test_a_branch_of_a_clone_that_has_no_main_finds_the_remotes(two: Path, tmp_path: Path) -> None:
    main = git(two, "rev-parse", "HEAD")
    git(two, "checkout", "-qb", "mine")
    commit(two, "c.py", "1\n")
    git(two, "checkout", "-q", "main")
    git(tmp_path, "clone", "-qb", "mine", str(two), "clone")
    assert since(tmp_path / "clone").commit == main


def test_a_clone_of_one_commit_has_nothing_to_compare_with(two: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{two}", "clone")
    base = since(tmp_path / "clone")
    assert (base.commit, base.why.partition(",")[0]) == ("", "nothing")
    assert changed(tmp_path / "clone", FILES, base) == dict.fromkeys(FILES)


def test_a_folder_without_git_has_nothing_to_compare_with(tmp_path: Path) -> None:
    assert since(tmp_path).commit == ""


def test_what_is_not_committed_differs_too(two: Path) -> None:
    (two / "a.py").write_text("1\n2\n3\n", encoding="utf-8")
    (two / "c.py").write_text("1\n", encoding="utf-8")
    # Of removed lines, the one before; of a file that git does not know, all.
    assert changed(two, FILES, since(two)) == {
        "a.py": frozenset({3}),
        "b.py": frozenset({1}),
        "c.py": None,
    }


def test_a_commit_may_be_named(two: Path) -> None:
    commit(two, "c.py", "1\n")
    base = since(two, "HEAD~2")
    assert base == Since(git(two, "rev-parse", "HEAD~2"), "HEAD~2, as --since says", two)
    assert set(changed(two, FILES, base)) == {"b.py", "c.py"}
    with pytest.raises(SystemExit, match="--since nowhere: there is no such commit here"):
        since(two, "nowhere")

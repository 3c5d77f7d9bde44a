# SPDX-License-Identifier: Apache-2.0
"""Which commit of a repository is built: the one whose whole name was asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.build.cache import Cache, standard
from lab.build.repository import check_out, commit_of
from lab.config.kernels import KernelSpec
from lab.errors import ConfigError, InfraError

GIT = ("git", "-c", "user.name=lab", "-c", "user.email=lab@example.org")


def git(repository: Path, *words: str) -> str:
    command = [*GIT, "-C", str(repository), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path, text: str) -> str:
    (repository / "file").write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", text)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    subprocess.run([*GIT, "init", "-q", "-b", "master", tmp_path / "upstream"], check=True)
    commit(tmp_path / "upstream", "theirs")
    return tmp_path / "upstream"


@pytest.fixture
def clone(upstream: Path) -> Path:
    """A clone whose own master is a commit ahead of the one that it was made from."""
    clone = upstream.with_name("clone")
    subprocess.run([*GIT, "clone", "-q", upstream, clone], check=True)
    commit(clone, "mine")
    return clone


def test_a_branch_of_a_clone_is_not_the_one_of_its_origin(clone: Path) -> None:
    assert commit_of(str(clone), "master") == git(clone, "rev-parse", "refs/heads/master")


def test_the_branch_of_the_origin_is_built_if_it_is_named(clone: Path, upstream: Path) -> None:
    theirs = git(upstream, "rev-parse", "HEAD")
    assert commit_of(str(clone), "origin/master") == theirs
    assert commit_of(str(clone), "refs/remotes/origin/master") == theirs
    assert commit_of(str(clone), "heads/master") == commit_of(str(clone), "HEAD") != theirs


def test_a_branch_in_a_folder_is_not_the_branch_of_that_name(upstream: Path) -> None:
    git(upstream, "branch", "users/fix")
    with pytest.raises(ConfigError, match="has no branch or tag 'fix'") as caught:
        commit_of(str(upstream), "fix")
    assert caught.value.hint == "set 'ref' to one of: refs/heads/users/fix"


def test_a_tag_is_the_commit_that_it_is_put_on(upstream: Path) -> None:
    git(upstream, "tag", "-am1", "v7.3")
    assert commit_of(str(upstream), "v7.3") == git(upstream, "rev-parse", "HEAD")


def test_a_name_that_means_two_commits_is_refused_with_both(upstream: Path) -> None:
    git(upstream, "tag", "-am1", "next")
    git(upstream, "branch", "next")
    assert commit_of(str(upstream), "next") == git(upstream, "rev-parse", "HEAD")
    newer = commit(upstream, "more")
    git(upstream, "branch", "-f", "next")
    with pytest.raises(ConfigError, match="'next' means 2 different commits") as caught:
        commit_of(str(upstream), "next")
    assert f"refs/heads/next ({newer[:12]})" in str(caught.value)
    assert "refs/tags/next (" in str(caught.value)
    assert commit_of(str(upstream), "heads/next") == newer


def test_a_shallow_clone_under_an_odd_name_is_checked_out(upstream: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "a b:c"
    newest = commit(upstream, "newest")
    origin = upstream.as_uri()
    subprocess.run([*GIT, "clone", "-q", "--depth=1", origin, shallow], check=True)
    check_out(str(shallow), "master", commit_of(str(shallow), "master"), tmp_path / "out")
    assert commit_of(str(shallow), "master") == newest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def spec(folder: Path, **said: object) -> KernelSpec:
    return KernelSpec.model_validate(said, context={"folder": folder})


def test_a_repository_by_path_may_be_relative_or_at_home(
    upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(upstream.parent))
    for said in ("~/upstream", "upstream", str(upstream)):
        kernel = spec(upstream.parent, git=said, ref="master")
        assert kernel.git == str(upstream)
    for said in ("https://example.org/linux.git", "example.org:linux.git"):
        assert spec(upstream.parent, git=said, ref="master").git == said
    with pytest.raises(ValueError, match=r"no such repository: '~/none'"):
        spec(upstream.parent, git="~/none", ref="master")


def test_the_home_of_nobody_is_said(tmp_path: Path) -> None:
    for key in ("tree", "git", "image", "tarball"):
        with pytest.raises(ValueError, match="the home of an unknown user"):
            spec(tmp_path, **{key: "~no-such-user-here/linux"})


def test_the_cache_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAB_CACHE", "~/cache")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert standard().root == Cache(tmp_path / "cache").root


def with_submodule(upstream: Path) -> str:
    """Add a repository beside this one as its submodule; return the commit."""
    sub = upstream.with_name("sub")
    subprocess.run([*GIT, "init", "-q", "-b", "master", sub], check=True)
    commit(sub, "of the submodule")
    allowed = ("-c", "protocol.file.allow=always")
    git(upstream, *allowed, "submodule", "--quiet", "add", "../sub", "drivers/sub")
    return commit(upstream, "with it")


def test_submodules_are_checked_out_too(upstream: Path, tmp_path: Path) -> None:
    added = with_submodule(upstream)
    check_out(str(upstream), "master", added, tmp_path / "out")
    assert (tmp_path / "out" / "drivers/sub/file").read_text() == "of the submodule"
    assert list((tmp_path / "out").rglob(".git")) == []


def test_a_submodule_that_cannot_be_fetched_is_said(upstream: Path, tmp_path: Path) -> None:
    added = with_submodule(upstream)
    upstream.with_name("sub").rename(tmp_path / "elsewhere")
    with pytest.raises(InfraError, match="fetching the submodules of master"):
        check_out(str(upstream), "master", added, tmp_path / "out")


def test_a_partial_clone_is_checked_out_by_its_own_means(upstream: Path, tmp_path: Path) -> None:
    git(upstream, "config", "uploadpack.allowFilter", "true")
    git(upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    old = commit(upstream, "old")
    commit(upstream, "new")
    partial = tmp_path / "partial"
    options = ("-q", "--filter=blob:none", f"file://{upstream}")
    subprocess.run([*GIT, "clone", *options, partial], check=True)
    check_out(str(partial), "HEAD", git(partial, "rev-parse", "HEAD"), tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "new"
    upstream.rename(tmp_path / "away")
    with pytest.raises(InfraError, match="fetching HEAD~1 from"):
        check_out(str(partial), "HEAD~1", old, tmp_path / "other")

# SPDX-License-Identifier: Apache-2.0
"""A git repository as a source: which commit a name means there, and its files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab.build.commands import output
from lab.errors import ConfigError

APART = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
"""Variables for a git that works on files: the user's line ends and hooks are not for them."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 10
_SPACES = ("refs/tags/", "refs/heads/", "refs/remotes/", "refs/")


def is_remote(url: str) -> bool:
    """Return whether a repository is on another machine, as git itself tells that.

    Args:
        url: Its URL or path.

    Returns:
        False for a path on this machine, and for file://.
    """
    if "://" in url:
        return not url.startswith("file://")
    return re.match("[^/]+:", url) is not None


def commit_of(url: str, ref: str) -> str:
    """Return the commit that a name means in a repository.

    `git ls-remote` matches the end of names, so that "master" is "refs/remotes/origin/master",
    too; only whole names count here.

    Args:
        url: Its URL or path.
        ref: A tag, a branch, a whole name ("refs/..."), or a commit's 40 digits.

    Returns:
        The commit, as 40 hex digits.

    Raises:
        ConfigError: There is none, or the name means several; the hint has the candidates.
        InfraError: The repository does not answer.
    """
    if _COMMIT.fullmatch(ref):
        return ref
    names = [f"{space}{ref}" for space in ("", *_SPACES)]
    listed = output(
        ["git", "ls-remote", "--", url, *names, *(f"{name}^{{}}" for name in names)],
        doing=f"asking {url} for '{ref}'",
        env={"GIT_TERMINAL_PROMPT": "0"},
        network=is_remote(url),
    )
    found: dict[str, str] = {}
    for line in listed.splitlines():
        commit, _, name = line.partition("\t")
        # A tag's commit comes after the tag.
        if (whole := name.removesuffix("^{}")) in names:
            found[whole] = commit
    if not found:
        raise ConfigError(
            f"source '{url}' has no branch or tag '{ref}'", hint=_offered(url, listed)
        )
    if len(set(found.values())) > 1:
        candidates = ", ".join(f"{name} ({commit[:12]})" for name, commit in found.items())
        raise ConfigError(
            f"source '{url}': '{ref}' means {len(found)} different commits",
            hint=f"set 'ref' to one of: {candidates}",
        )
    return next(iter(found.values()))


def check_out(url: str, ref: str, commit: str, into: Path) -> None:
    """Write the files of `commit` into a new folder.

    Args:
        url: The repository's URL or path.
        ref: The commit's name, for messages.
        commit: The commit.
        into: The folder.

    Raises:
        InfraError: The repository does not give it.
    """
    output(
        ["git", "init", "--quiet", "--template=", into], doing="making a git repository", env=APART
    )
    output(
        ["git", "-C", into, "fetch", "--quiet", "--depth=1", "--", url, commit],
        doing=f"fetching {ref} from {url}",
        env={"GIT_TERMINAL_PROMPT": "0"},
        network=is_remote(url),
    )
    output(
        ["git", "-C", into, "checkout", "--quiet", "--detach", "FETCH_HEAD"],
        doing=f"checking out {ref}",
        env=APART,
    )
    if (into / ".gitmodules").is_file():
        _take_submodules(url, ref, into)
    shutil.rmtree(into / ".git")
    for left in into.rglob(".git"):  # a submodule's is a file
        left.unlink()


def _take_submodules(url: str, ref: str, into: Path) -> None:
    """Check out submodules: their URLs may be relative to the repository's.

    Those of a repository on this machine may be paths; one from elsewhere may not name our files.
    """
    allow = "always" if Path(url).is_dir() else "never"
    git = ["git", "-C", into, "-c", f"protocol.file.allow={allow}"]
    output([*git, "remote", "add", "origin", url], doing="naming the repository", env=APART)
    output(
        [*git, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"],
        doing=f"fetching the submodules of {ref} from {url}",
        env={"GIT_TERMINAL_PROMPT": "0"},
        network=True,
    )


def _offered(url: str, listed: str) -> str:
    near = [line.partition("\t")[2] for line in listed.splitlines()][:_SHOWN]
    if near:
        return f"set 'ref' to one of: {', '.join(near)}"
    return f"git ls-remote {url} shows what it has; a commit needs all 40 digits"

# SPDX-License-Identifier: Apache-2.0
"""The commits between two ends, of which git itself chooses the next; in a clone of our own.

The user's tree is not checked out, and has no refs/bisect: a search may go on beside other work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.bisect.sequential import Call
from lab.build.commands import need, output
from lab.build.repository import APART
from lab.errors import ConfigError, InfraError

# Root may search a user's tree, and nothing of its repository is run.
_GIT = ("git", "-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=")


@dataclass(frozen=True, slots=True)
class Repository:
    """A clone, with a bisection in it.

    Attributes:
        tree: Its files; they are those of the commit that was checked out last.
        source: The user's repository, which knows what names mean.
    """

    tree: Path
    source: Path

    @classmethod
    def of(cls, source: Path, tree: Path) -> Repository:
        """Clone a repository, unless it was cloned before.

        Args:
            source: The user's repository; its objects are shared, not copied.
            tree: Where the clone is.

        Returns:
            The clone.

        Raises:
            ConfigError: It is none, or a partial clone.
            InfraError: git does not clone it.
        """
        need("git", package="git")
        try:
            common = _asked(source, "rev-parse", "--git-common-dir")
            partial = _asked(source, "config", "--get", "--default=", "extensions.partialClone")
        except InfraError as e:
            raise ConfigError(
                f"lab bisect: '{source}' is no git repository", hint="--lab-kernel names the tree"
            ) from e
        if partial:
            raise ConfigError(
                f"lab bisect: '{source}' is a partial clone: files of old commits are missing",
                hint=f"fetch them first: git -C {source} fetch --refetch --no-filter",
            )
        if not (tree / ".git").is_dir():
            options = ("--quiet", "--shared", "--no-checkout", "--template=")
            clone = [*_GIT, "clone", *options, (source / common).resolve(), tree]
            output(clone, doing=f"cloning {source}", env=APART)
        return cls(tree, source)

    def commit(self, name: str) -> str:
        """Find the commit that a name means.

        Args:
            name: A tag, a branch, a commit or its beginning, as the user's repository has it.

        Returns:
            Its 40 hex digits.

        Raises:
            ConfigError: There is none.
        """
        try:
            return _asked(self.source, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except InfraError as e:
            raise ConfigError(f"lab bisect: '{self.source}' has no commit '{name}'") from e

    def count(self, good: str, bad: str) -> int:
        """Count the commits that a fault between two ends may have come with.

        Args:
            good: The good end.
            bad: The bad end.

        Returns:
            How many there are.

        Raises:
            ConfigError: There is none: the ends are the wrong way round, say.
        """
        told = int(_asked(self.source, "rev-list", "--count", bad, f"^{good}"))
        if not told:
            raise ConfigError(
                f"lab bisect: no commit is in {bad[:12]} and not in {good[:12]}",
                hint="GOOD comes first, then BAD",
            )
        return told

    def subject(self, sha: str) -> str:
        """Read the first line of a commit's message.

        Args:
            sha: The commit.

        Returns:
            The line.
        """
        return self._git("log", "-1", "--format=%s", sha).strip()

    def shown(self, sha: str) -> str:
        """Show a commit.

        Args:
            sha: The commit.

        Returns:
            What `git show --stat` prints.
        """
        return self._git("show", "--stat", "--format=medium", sha)

    def check_out(self, sha: str) -> None:
        """Make the files those of a commit; only what differs is written.

        Args:
            sha: The commit.

        Raises:
            InfraError: git cannot.
        """
        self._git("checkout", "--quiet", "--detach", "--force", sha)

    def begin(self, good: str, bad: str) -> str | None:
        """Begin a bisection.

        Args:
            good: The good end.
            bad: The bad end.

        Returns:
            The commit to judge; None if there is none between.

        Raises:
            ConfigError: git knows no way between these ends.
        """
        try:
            self._git("bisect", "reset")
            self._git("bisect", "start", "--no-checkout", bad, good)
        except InfraError as e:
            raise ConfigError(f"lab bisect: {Exception.__str__(e)}") from e
        return self._next()

    def mark(self, sha: str, call: Call) -> str | None:
        """Mark a commit in git's bisection.

        Args:
            sha: The commit.
            call: GOOD, BAD or SKIP.

        Returns:
            The commit to judge next; None if the search has ended.

        Raises:
            InfraError: git cannot go on: the fault is older than the good end, say.
        """
        try:
            self._git("bisect", call.value, sha)
        except InfraError:
            if self.candidates() and self._next() is None:
                return None  # only skipped ones are left, which git calls an error
            raise
        return self._next()

    def between(self) -> int:
        """Count the commits that the fault may still have come with.

        Returns:
            How many there are.
        """
        return len(self._range())

    def candidates(self) -> tuple[str, ...]:
        """List the commits that may be the first bad one.

        Returns:
            The bad end; then what was skipped beside it.
        """
        names = self._refs("skip-")
        bad = self._git("rev-parse", "refs/bisect/bad").strip()
        return (bad, *(sha for sha in self._range() if sha in names and sha != bad))

    def _next(self) -> str | None:
        left = set(self._range()) - set(self.candidates())
        return self._git("rev-parse", "BISECT_HEAD").strip() if left else None

    def _range(self) -> tuple[str, ...]:
        goods = self._refs("good-")
        return tuple(self._git("rev-list", "refs/bisect/bad", "--not", *goods).split())

    def _refs(self, kind: str) -> tuple[str, ...]:
        pattern = f"refs/bisect/{kind}*"
        return tuple(self._git("for-each-ref", "--format=%(objectname)", pattern).split())

    def _git(self, *words: str) -> str:
        doing = f"git {words[0]} {words[1]}"
        return output([*_GIT, "-C", self.tree, *words], doing=doing, env=APART)


def _asked(source: Path, *words: str) -> str:
    return output([*_GIT, "-C", source, *words], doing=f"asking {source}", env=APART).strip()

# SPDX-License-Identifier: Apache-2.0
"""What a search has found so far, on disk after every run: killed at any point, it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lab.bisect.sequential import Call, SequentialTest
from lab.errors import ConfigError
from lab.record.files import load_document, write_document
from lab.record.parts import Document, Part

NAME = "bisect.json"


class Trial(Part):
    """One run of the cell on one commit."""

    came: Literal["passed", "failed", "skip", "unknown"]
    """As expected; not as expected; the kernel does not build or boot; the lab cannot tell."""
    why: str = ""
    """The verdict, or what went wrong."""
    run: str = ""
    """The folder of the run, with its evidence."""


class Commit(Part):
    """One commit, with its runs."""

    sha: str
    """Its 40 hex digits."""
    subject: str = ""
    """The first line of its message."""
    trials: tuple[Trial, ...] = ()
    """Its runs, in order."""
    call: Call = Call.OPEN
    """What they make of it."""

    def count(self, came: str) -> int:
        """Count its runs that came out in one way.

        Args:
            came: The way: a word of `Trial.came`.

        Returns:
            How many there are.
        """
        return sum(trial.came == came for trial in self.trials)


class Notes(Document):
    """One search: what was asked, and the commits in the order in which they were judged."""

    good: str
    """The good end, as 40 hex digits."""
    bad: str
    """The bad end, as 40 hex digits."""
    cell: str
    """The id of the cell."""
    tree: str
    """The repository."""
    shows: float
    """In what share of runs the fault shows."""
    noise: float
    """In what share of runs a good kernel fails."""
    alpha: float
    """How likely a good commit may be called bad, each one."""
    beta: float
    """How likely a bad commit may be called good, each one."""
    commits: tuple[Commit, ...] = ()
    """What was judged."""

    @property
    def test(self) -> SequentialTest:
        """The test of each commit."""
        return SequentialTest(shows=self.shows, noise=self.noise, alpha=self.alpha, beta=self.beta)

    def commit(self, sha: str) -> Commit | None:
        """Find a commit that was begun.

        Args:
            sha: Its 40 hex digits.

        Returns:
            The commit; None if it was not begun.
        """
        return next((each for each in self.commits if each.sha == sha), None)

    def having(self, commit: Commit) -> Notes:
        """Add a commit as it is now.

        Args:
            commit: The commit, new or with more runs.

        Returns:
            Notes that have it.
        """
        known = [each.sha for each in self.commits]
        if commit.sha not in known:
            return self.model_copy(update={"commits": (*self.commits, commit)})
        kept = tuple(commit if each.sha == commit.sha else each for each in self.commits)
        return self.model_copy(update={"commits": kept})


def remembered(folder: Path, asked: Notes) -> Notes:
    """Return what is known already of a search, if it is the same one.

    Args:
        folder: The search's folder.
        asked: The search, with no commit.

    Returns:
        The notes there; `asked` if there are none, or if a name means another commit now.

    Raises:
        ConfigError: Those there are of a search with other numbers, or cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return asked
    found = load_document(path, Notes)
    if (found.good, found.bad) != (asked.good, asked.bad):
        return asked  # HEAD, say, is another commit now
    differs = [n for n in ("shows", "noise", "alpha", "beta") if _of(found, n) != _of(asked, n)]
    if differs:
        said = ", ".join(f"{n} was {_of(found, n):g}, is {_of(asked, n):g}" for n in differs)
        raise ConfigError(
            f"lab bisect: the search in {folder} was begun with other numbers: {said}",
            hint="type the same ones to go on, or --fresh to begin anew",
        )
    return found


def write(folder: Path, notes: Notes) -> None:
    """Write the notes.

    Args:
        folder: The search's folder.
        notes: What is known.
    """
    write_document(folder / NAME, notes)


def _of(notes: Notes, name: str) -> float:
    return float(getattr(notes, name))

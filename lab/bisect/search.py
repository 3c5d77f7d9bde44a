# SPDX-License-Identifier: Apache-2.0
"""The search: both ends are judged first, then what git chooses, each as often as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.bisect import notes as notebook
from lab.bisect.notes import Commit, Notes, Trial
from lab.bisect.repository import Repository
from lab.bisect.sequential import Call
from lab.errors import ConfigError, InfraError

Judge = Callable[[str], Trial]
"""Runs the cell once on a commit, which is checked out."""


@dataclass(slots=True)
class Search:
    """A search, which may have been begun before.

    Attributes:
        repository: The clone; what is known is marked in it anew each time.
        folder: Where the notes are.
        notes: What is known.
        judge: Runs the cell.
        tell: Takes lines for people.
        at_most: Runs of one commit, after which it is skipped.
        unknown_at_most: Runs one after the other that cannot be told, after which it is skipped.
    """

    repository: Repository
    folder: Path
    notes: Notes
    judge: Judge
    tell: Callable[[str], None] = field(default=lambda _: None)
    at_most: int = 60
    unknown_at_most: int = 3

    def run(self) -> tuple[Commit, ...]:
        """Search, or go on.

        Returns:
            The commit with which the cell began to fail; with it the skipped ones beside it, if
            any of them may be it, too.

        Raises:
            ConfigError: An end is not what it is called.
            InfraError: git or the lab cannot go on.
        """
        good, bad = self.notes.good, self.notes.bad
        for end, wanted in ((bad, Call.BAD), (good, Call.GOOD)):
            self._insist(self._judged(end), wanted)
        sha = self.repository.begin(good, bad)
        while sha is not None:
            self.tell(f"{self.repository.between()} commits may be it; now {sha[:12]}")
            sha = self.repository.mark(sha, self._judged(sha).call)
        return tuple(map(self._known, self.repository.candidates()))

    def _known(self, sha: str) -> Commit:
        found = self.notes.commit(sha)
        return found or Commit(sha=sha, subject=self.repository.subject(sha))

    def _judged(self, sha: str) -> Commit:
        """Run the cell on a commit until it is called; what was run before counts."""
        commit = self._known(sha)
        if commit.call is Call.OPEN:
            self.repository.check_out(sha)
        while commit.call is Call.OPEN:
            commit = self._with(commit, self.judge(sha))
            self.notes = self.notes.having(commit)
            notebook.write(self.folder, self.notes)
            self.tell(line_of(commit))
        return commit

    def _with(self, commit: Commit, trial: Trial) -> Commit:
        more = commit.model_copy(update={"trials": (*commit.trials, trial)})
        call = self.notes.test.call(more.count("passed"), more.count("failed"))
        last = more.trials[-self.unknown_at_most :]
        stuck = len(last) == self.unknown_at_most and all(t.came == "unknown" for t in last)
        endless = call is Call.OPEN and len(more.trials) >= self.at_most
        if trial.came == "skip" or stuck or endless:
            call = Call.SKIP
        return more.model_copy(update={"call": call})

    def _insist(self, end: Commit, wanted: Call) -> None:
        if end.call is wanted:
            return
        last = end.trials[-1]
        if end.call is Call.SKIP:
            raise InfraError(f"the {wanted} end {end.sha[:12]} cannot be judged: {last.why}")
        seen = f"{end.count('failed')} of {end.count('failed') + end.count('passed')} runs failed"
        raise ConfigError(
            f"lab bisect: {end.sha[:12]} is the {wanted} end, and {seen}",
            hint="name another commit; or a fault that shows more seldom: --shows=0.2",
        )


def line_of(commit: Commit) -> str:
    """Return one line on a commit and its last run.

    Args:
        commit: The commit, with one run at least.

    Returns:
        The line.
    """
    last = commit.trials[-1]
    told = commit.call.value if commit.call is not Call.OPEN else "not yet known"
    return (
        f"{commit.sha[:12]} run {len(commit.trials)} {last.came}: {last.why}; "
        f"{commit.count('failed')} failed, {commit.count('passed')} passed: {told}"
    )


def report(notes: Notes, found: Iterable[Commit], shown: str) -> str:
    """Return what a search came to, with its evidence.

    Args:
        notes: All that was judged.
        found: The commits of `Search.run`.
        shown: The first of them, as git shows it.

    Returns:
        Lines for a terminal.
    """
    first, *others = found
    judged = [each for each in notes.commits if each.call in {Call.GOOD, Call.BAD}]
    lines = [f"{first.sha} is the first bad commit"]
    if others:
        lines = ["the first bad commit is one of these, for the others could not be judged:"]
        lines += [f"  {each.sha} {each.subject}" for each in (first, *others)]
    lines += ["", shown.rstrip("\n"), "", f"cell {notes.cell}"]
    lines += [
        f"  {each.call.value:5}{each.sha[:12]}  {each.count('failed')} failed, "
        f"{each.count('passed')} passed{_aside(each)}  {each.subject}"
        for each in notes.commits
    ]
    lines += ["", _bound(notes, len(judged))]
    runs = [trial.run for trial in first.trials if trial.run and trial.came == "failed"]
    lines += [f"evidence: {run}" for run in runs]
    return "\n".join(lines) + "\n"


def _bound(notes: Notes, count: int) -> str:
    return (
        f"If a bad kernel fails in {notes.shows:.0%} of runs or more, and a good one in "
        f"{notes.noise:.1%} or less:\nof the {count} commits that were judged, a good one was "
        f"called bad with a probability of at most {notes.alpha * count:.2g},\n"
        f"and a bad one good with one of at most {notes.beta * count:.2g}."
    )


def _aside(commit: Commit) -> str:
    if commit.call is Call.SKIP:
        return f", skipped: {commit.trials[-1].why}"
    unknown = commit.count("unknown")
    return f", {unknown} cannot be told" if unknown else ""

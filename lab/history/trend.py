# SPDX-License-Identifier: Apache-2.0
"""A run beside those before it: what changed, how often a cell lived, which are flaky; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.history.counts import Counts, counted, fared
from lab.history.store import Alike, History, PastResult, PastRun, result_of
from lab.record.classify import AS_EXPECTED, Standing
from lab.record.groups import Group, both, fate, grouped
from lab.record.labels import FLAKY
from lab.record.model import RunRecord

_STRIP = 24  # runs that the strip of a cell shows
_LOOK_BACK = 200  # runs among which the last good one is sought
_ORDER = (Standing.PRODUCT, Standing.LAB, Standing.ABSENT, Standing.EXPECTED)


@dataclass(frozen=True, slots=True)
class Change:
    """One cell that differs from before; `then` and `now` are its results."""

    what: str
    cell: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Since:
    """What changed since one earlier run."""

    label: str
    run: PastRun
    changes: tuple[Change, ...]
    kernels: tuple[Change, ...]  # whose build is not the one of then
    appeared: int
    gone: int


@dataclass(frozen=True, slots=True)
class Once:
    """The result of all repeats of a cell in one earlier run."""

    run: PastRun
    word: str
    standing: str
    verdicts: str
    expects: str
    build_id: str


@dataclass(frozen=True, slots=True)
class CellPast:
    """The past of one cell; counts are of the kernel build that it runs on now, and no other."""

    strip: tuple[Once, ...] = ()  # oldest first
    counts: Counts = field(default_factory=Counts)
    silences: tuple[float, ...] = ()
    first_failing: str = ""  # build ids
    last_failing: str = ""
    flaky: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """All that a report has of earlier runs."""

    since: tuple[Since, ...] = ()
    cells: Mapping[str, CellPast] = field(default_factory=dict)
    folders: Collection[str] = ()  # of runs that are still there to be linked to
    problem: str = ""  # why there is no past

    @property
    def flaky(self) -> frozenset[str]:
        """Ids of cells that went both ways on the kernel that they run on now."""
        return frozenset(cell for cell, past in self.cells.items() if past.flaky)


def past_of(record: RunRecord, history: History, folders: Collection[str] = ()) -> Past:
    """Return what came before a run.

    Args:
        record: The run, which may be in the history already or not.
        history: The history.
        folders: Names of the folders of runs that links may point to.

    Returns:
        The past of the run and of each of its cells.
    """
    before = record.started.isoformat(timespec="seconds")
    runs = history.runs(before=before, limit=_LOOK_BACK)
    shown = {run.run_id: run for run in runs}
    ids = {cell.id for cell in record.cells}
    there = {cell: each for cell, each in history.runs_of_cells().items() if cell in ids}
    cells = {}
    for group in grouped(record):
        found = (shown[run_id] for run_id in there.get(group.id, ()) if run_id in shown)
        last = sorted(found, key=lambda run: run.started)[-_STRIP:]
        strip = [_once(run, history.turns(run.run_id, group.id)) for run in last]
        cells[group.id] = _cell_past(record, group, strip, history, before)
    flaky = frozenset(cell for cell, past in cells.items() if past.flaky)
    now = grouped(record, flaky=flaky)
    known = [
        (run, _by_cell(history.results(run.run_id))) for run in _candidates(runs, there, len(cells))
    ]
    return Past(tuple(_since(record, now, known)), cells, folders)


def _candidates(
    runs: Sequence[PastRun], there: Mapping[str, Sequence[str]], cells: int
) -> list[PastRun]:
    """Choose the last run and the last good one that had at least half of these cells."""
    shares = Counter(run_id for each in there.values() for run_id in each)
    alike = [run for run in runs if 2 * shares[run.run_id] >= cells] if cells else []
    good = next((run for run in alike if run.status == AS_EXPECTED), None)
    return list(dict.fromkeys(run for run in (*alike[:1], good) if run is not None))


def _since(
    record: RunRecord,
    now: Sequence[Group],
    known: Sequence[tuple[PastRun, Mapping[str, Sequence[PastResult]]]],
) -> Iterable[Since]:
    for n, (run, then) in enumerate(known):
        good = run.status == AS_EXPECTED
        label = "the last run" if n == 0 else "the last good run"
        label += ", which was the last good one" if n == 0 and good else ""
        changes = [
            change for group in now if group.id in then
            for change in _changes(group, _once(run, then[group.id]))
        ]  # fmt: skip
        ids = {group.id for group in now}
        yield Since(
            label,
            run,
            tuple(changes),
            tuple(_kernels(record, then)),
            appeared=len(ids - set(then)),
            gone=len(set(then) - ids),
        )


def _changes(group: Group, then: Once) -> Iterable[Change]:
    was = f"{then.word} {then.verdicts}".strip()
    came = f"{group.word} {group.verdicts}".strip()
    wanted = group.cells[0].expectation
    expects = wanted.word if wanted else ""
    if what := _named(group, then):
        yield Change(what, group.id, was, came)
    if expects != then.expects:
        expectations = [f"expects {each or 'nothing'}" for each in (then.expects, expects)]
        yield Change("expectation changed", group.id, *expectations)


def _named(group: Group, then: Once) -> str:  # noqa: PLR0911 - one return for each kind of change
    if group.word == FLAKY != then.word:
        return "now flaky"
    match Standing(then.standing), group.standing:
        case (before, after) if before is after:
            return "other verdict" if then.verdicts != group.verdicts else ""
        case (_, Standing.PRODUCT):
            return "new failure"
        case (_, Standing.LAB):
            return "can no longer be told"
        case (_, Standing.ABSENT):
            return "newly unavailable"
        case (Standing.PRODUCT, Standing.EXPECTED):
            return "fixed"
        case (Standing.LAB, Standing.EXPECTED):
            return "can be told again"
        case _:
            return "newly available"


def _kernels(record: RunRecord, then: Mapping[str, Sequence[PastResult]]) -> Iterable[Change]:
    before = {
        f"{row.kernel} {row.arch}": row.build_id
        for rows in then.values() for row in rows if row.build_id
    }  # fmt: skip
    for name, kernel in record.environment.kernels.items():
        if name in before and before[name] != kernel.build_id:
            yield Change("other build", name, before[name], kernel.build_id)


def _cell_past(
    record: RunRecord, group: Group, strip: Sequence[Once], history: History, before: str
) -> CellPast:
    now = [result_of(record, cell) for cell in group.cells]
    build = now[0].build_id
    # Where the build is unknown, no other run is known to be of the same kernel.
    then = history.alike(group.id, build, before=before) if build else []
    failing = history.failing(group.id, before=before)
    failing += [build] if group.standing is Standing.PRODUCT else []
    silences = (
        (row.silence_ms, row.times)
        for row in then if row.silence_ms is not None and fared(row) == "lived"
    )  # fmt: skip
    rows: list[PastResult | Alike] = [*then, *now]
    return CellPast(
        strip=tuple(strip),
        counts=counted(rows),
        silences=tuple(ms for ms, times in silences for _ in range(times)),
        first_failing=failing[0] if failing else "",
        last_failing=failing[-1] if failing else "",
        flaky=bool(build) and both(row.verdict for row in rows if _judged(row)),
    )


def _judged(row: PastResult | Alike) -> bool:
    return row.standing != Standing.LAB and bool(fate(row.verdict))


def _once(run: PastRun, rows: Sequence[PastResult]) -> Once:
    worst = min(rows, key=lambda row: _ORDER.index(Standing(row.standing)))
    kinds = Counter(row.verdict for row in rows if row.verdict)
    flaky = both(row.verdict for row in rows if _judged(row))
    many = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return Once(
        run=run,
        word=FLAKY if flaky else worst.word,
        standing=worst.standing,
        verdicts=many if len(kinds) > 1 else next(iter(kinds), ""),
        expects=worst.expects,
        build_id=worst.build_id,
    )


def _by_cell(rows: Iterable[PastResult]) -> dict[str, list[PastResult]]:
    found: dict[str, list[PastResult]] = {}
    for row in rows:
        found.setdefault(row.cell, []).append(row)
    return found

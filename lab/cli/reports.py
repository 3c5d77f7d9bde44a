# SPDX-License-Identifier: Apache-2.0
"""`lab report`, `lab history` and `lab compare`: the results of runs that have ended."""

from __future__ import annotations

import json
import statistics
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lab.cli.paths import at_home
from lab.cli.settings import Settings, err, out
from lab.errors import ConfigError
from lab.history.compare import Pair, Tally, compared, tallied
from lab.history.counts import Counts
from lab.history.store import NAME, PastResult, opened
from lab.record.labels import milliseconds
from lab.report import index, publish
from lab.resources.ledger import state_dir

Reports = Annotated[
    Path,
    typer.Option(envvar="LAB_REPORTS", callback=at_home, help="Where the folders of runs are."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_REPORTS = Path("reports")


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    app.command()(report)
    app.command()(history)
    app.command()(compare)


def known_of(settings: Settings) -> Path:
    """Return the path of the history: in the state folder of lab.toml.

    Args:
        settings: The global options.

    Raises:
        ConfigError: lab.toml is wrong.
    """
    return state_dir(settings.lab().state) / NAME


def report(
    ctx: typer.Context,
    *,
    run: Annotated[
        str, typer.Argument(help="A run's folder or id; without it, the last run.")
    ] = "",
    reports: Reports = _REPORTS,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make the pages again from the record.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the path of a run's report; with --json, the run's result, too."""
    folder = _folder(run, reports)
    if again:
        settings: Settings = ctx.obj
        publish.publish(folder, known=known_of(settings), tell=_warn)
        index.shelve(folder.parent)
    page = (folder / "index.html").resolve()
    if not page.is_file():
        raise ConfigError(f"{folder}: no report is there", hint="make one: pytest topologies")
    if as_json:
        told, why = index.brief_of(folder)
        facts = told.model_dump(mode="json") if told else {"problem": why}
        typer.echo(json.dumps({"page": str(page), **facts}, indent=1))
    else:
        typer.echo(page)
    if open_ and not webbrowser.open(page.as_uri()):
        _warn("no browser was found; the line above is the page")


def history(
    ctx: typer.Context,
    *,
    cells: Annotated[str, typer.Argument(help="Which cells, as a glob: '*-kexec*'.")] = "*",
    kernel: Annotated[str, typer.Option(help="Only this kernel: name or build id.")] = "",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it again from the runs in --reports.")
    ] = False,
    reports: Reports = _REPORTS,
    as_json: AsJson = False,
) -> None:
    """Print how often each cell's guest survived, by build of its kernel and by accelerator."""
    known = known_of(ctx.obj)
    if rebuild:
        _rebuild(known, reports)
    with opened(known) as book:
        results = [row for row in book.of(cells) if _is_of(row, kernel)]
    if as_json:
        typer.echo(json.dumps([_tally_json(tally) for tally in tallied(results)], indent=1))
        return
    if not results:
        out.print(f"no result in {known}", markup=False, soft_wrap=True)
        return
    _show_tallies(tallied(results))


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(help="A kernel: its name in lab.toml, or a build id.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    *,
    cells: Annotated[str, typer.Option(help="Which cells, as a glob.")] = "*",
    as_json: AsJson = False,
) -> None:
    """Compare two kernels: survival by Fisher's exact test, silences by Mann-Whitney's."""
    with opened(known_of(ctx.obj)) as book:
        pairs = compared(list(book.of(cells)), a, b)
    if as_json:
        typer.echo(json.dumps([_pair_json(pair) for pair in pairs], indent=1))
        return
    _show_pairs(a, b, pairs)


def _folder(run: str, reports: Path) -> Path:
    if not run:
        return reports / "latest"
    if Path(run).is_dir():
        return Path(run)
    found = [path for path in index.folders(reports) if path.name.endswith(f"-{run}")]
    if not found:
        raise ConfigError(f"no run {run!r} in {reports}", hint=f"try: ls {reports}")
    return found[0]


def _rebuild(known: Path, reports: Path) -> None:
    if known.exists():
        aside = known.with_name(f"{known.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        known.rename(aside)
        err.print(f"renamed the old one: {aside}", markup=False, soft_wrap=True)
    runs = 0
    with opened(known) as book:
        for folder, record in index.records(reports):
            book.note(record, folder)
            runs += 1
    err.print(f"{known}: made from {runs} runs in {reports}", markup=False, soft_wrap=True)


def _is_of(row: PastResult, kernel: str) -> bool:
    return not kernel or row.kernel == kernel or row.build_id.startswith(kernel)


def _tally_json(tally: Tally) -> dict[str, object]:
    counts = tally.counts
    return {
        "cell": tally.cell,
        "accel": tally.accel,
        "kernel": tally.kernel,
        "build_id": tally.build_id,
        "results": len(tally.results),
        "words": [row.word for row in tally.results],
        "flaky": tally.flaky,
        "silences_ms": list(tally.silences),
        **asdict(counts.survival),
        "untold": counts.untold,
        "worst_low": counts.worst.low,
        "worst_high": counts.worst.high,
        "false_starts": counts.false_starts,
        "boots": counts.boots,
        "whole_boots": counts.whole_boots,
    }


def _pair_json(pair: Pair) -> dict[str, object]:
    return {
        "shape": pair.shape,
        "accel": pair.accel,
        "a": _tally_json(pair.a),
        "b": _tally_json(pair.b),
        "silence": asdict(pair.ranks),
        "silence_p_adjusted": pair.adjusted,
        "survival_p": pair.odds,
        "survival_p_adjusted": pair.odds_adjusted,
    }


def _show_tallies(tallies: Sequence[Tally]) -> None:
    table = _table(
        "cell",
        "kernel",
        "build",
        "last",
        "lived",
        "untold",
        "rate at 95 %",
        "worst",
        "to claim < 1 % lost",
        "silence",
    )
    for tally in tallies:
        counts = tally.counts
        found = counts.survival
        last = "FLAKY" if tally.flaky else tally.results[-1].word
        table.add_row(
            tally.cell,
            tally.kernel,
            tally.build_id[:12],
            last,
            f"{found.lived} of {found.judged}",
            str(counts.untold),
            _rate(counts),
            f"{found.needed} more" if found.needed else "can be claimed",
            _median(tally.silences),
        )
    out.print(table)
    out.print(
        "lived: of those that can be told. untold: voids, Unproven and broken off. rate: exact "
        "interval; at worst: its lower end if all untold were lost. silence: median of the longest."
    )


def _rate(counts: Counts) -> str:
    if not counts.judged:
        return "-"
    found = counts.survival
    worst = f", {100 * counts.worst.low:.1f} at worst" if counts.untold else ""
    return f"{100 * found.low:.1f} to {100 * found.high:.1f} %{worst}"


def _show_pairs(a: str, b: str, pairs: Sequence[Pair]) -> None:
    table = _table(
        "shape", f"{a} lived", f"{b} lived", "p (Fisher)", "adjusted",
        f"{a} silence", f"{b} silence",
        "p (Mann-Whitney)", "adjusted",
    )  # fmt: skip
    for pair in pairs:
        table.add_row(
            pair.shape,
            *(f"{side.counts.lived} of {side.counts.judged}" for side in (pair.a, pair.b)),
            _p(pair.odds),
            _p(pair.odds_adjusted),
            milliseconds(pair.ranks.median_a),
            milliseconds(pair.ranks.median_b),
            _p(pair.ranks.p) if pair.ranks.p is not None else pair.ranks.why_not,
            _p(pair.adjusted),
        )
    out.print(table)
    builds = [", ".join(sorted({side(p).build_id for p in pairs})) for side in (_a, _b)]
    out.print(f"{a} is build {builds[0] or 'unknown'}; {b} is build {builds[1] or 'unknown'}")
    out.print("adjusted: Holm's, over all p-values of the table. Accelerators are never mixed.")


def _a(pair: Pair) -> Tally:
    return pair.a


def _b(pair: Pair) -> Tally:
    return pair.b


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _median(silences: Sequence[float]) -> str:
    return milliseconds(statistics.median(silences)) if silences else "-"


def _p(p: float | None) -> str:
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004 - three places


def _warn(said: str) -> None:
    err.print(f"lab: {said}", markup=False, soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""Shows of each mutant that is listed as one of no effect that it has none on random runs."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.mutation.live import functions_of, put
from tests.mutation.mutant import Mutant
from tests.mutation.trials import forked

RUNS = 10_000
_FOR_LINES = 400
_PURE = "lab/verdict/"  # judged again from the same evidence; what looks is run from the beginning


def differing(
    root: Path, mutants: Sequence[Mutant], runs: int = RUNS
) -> Iterable[tuple[Mutant, str]]:
    """Return the mutants that are not shown to have no effect, each with why.

    Args:
        root: The checkout.
        mutants: They; none may be imported yet in this process, nor what they import.
        runs: How many random runs each is shown on.
    """
    lines = _reached(root, {mutant.file for mutant in mutants})
    simulated: Any = importlib.import_module("tests.mutation.simulated_runs")
    made = [simulated.evidence(seed) for seed in range(runs)]
    again: Callable[[int], str] = lambda n: _digest(simulated.said(made[n], n))  # noqa: E731
    anew: Callable[[int], str] = lambda n: _digest(simulated.said(simulated.evidence(n), n))  # noqa: E731
    usual = [again(n) for n in range(runs)]
    functions = functions_of(root, {mutant.file for mutant in mutants})
    for mutant in mutants:
        last = mutant.line + mutant.was.count(" / ")
        if not lines[mutant.file] & set(range(mutant.line, last + 1)):
            yield mutant, f"none of {_FOR_LINES} random runs reaches it"
            continue
        how = again if mutant.file.startswith(_PURE) else anew
        if why := forked(
            partial(_compared, root, mutant, functions[mutant.file], usual, how), 3600
        ):
            yield mutant, why


def _compared(
    root: Path, mutant: Mutant, functions: Any, usual: Sequence[str], how: Callable[[int], str]
) -> str:
    try:
        if not put(root, mutant, functions):
            return "it is a change of what is run at import: test it, or delete it"
        differs = next((n for n, was in enumerate(usual) if how(n) != was), None)
    except Exception as e:  # noqa: BLE001 - whatever it is, it is an effect
        return f"a random run ends with {type(e).__name__}: {e}"
    return "" if differs is None else f"random run {differs} comes out otherwise"


def _reached(root: Path, files: Iterable[str]) -> Mapping[str, set[int]]:
    paths = {file: str(root / file) for file in files}
    coverage = importlib.import_module("coverage").Coverage(
        data_file=None, include=list(paths.values()), config_file=False
    )
    coverage.start()
    simulated: Any = importlib.import_module("tests.mutation.simulated_runs")
    coverage.get_data().erase()
    for seed in range(_FOR_LINES):
        simulated.said(simulated.evidence(seed), seed)
    coverage.stop()
    data = coverage.get_data()
    return {file: set(data.lines(path) or ()) for file, path in paths.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

# SPDX-License-Identifier: Apache-2.0
"""The gate: every mutant of what decides is killed by a test, or is listed as one of no effect.

make mutants                                  all files
make mutants ARGS=--changed                   those that differ from the merge base with main; on
                                              main itself, from the commit before
make mutants ARGS='lab/verdict/judge.py'      these
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.mutation import lists, sample
from tests.mutation.covering import Cache, Covering, covered, merged, split
from tests.mutation.equivalence import RUNS, differing
from tests.mutation.mutant import Mutant
from tests.mutation.mutants import mutants_of
from tests.mutation.since import changed, since
from tests.mutation.trials import Trial, Trials

_MOST_EQUIVALENT = 0.03
_T = TypeVar("_T")


def main(words: Sequence[str]) -> int:
    """Run the gate; returns its exit status: 0 if no mutant lives that is not listed."""
    arguments = _parser().parse_args(words)
    wanted = _chosen(arguments)
    if not wanted:
        print("mutants: no file that decides differs")
        return 0
    os.nice(arguments.nice - os.nice(0))
    began = time.monotonic()
    sample.insist()
    equivalent = lists.equivalents()
    mutants = [mutant for file in wanted for mutant in mutants_of(lists.ROOT, file)]
    # Those of changed lines come first: where time is short, the others are left out.
    mutants.sort(key=lambda mutant: not _is_new(mutant, wanted))
    tried = [mutant for mutant in mutants if mutant.id not in equivalent]
    print(f"mutants: {len(mutants)} of {len(wanted)} files", flush=True)
    tests = tuple(arguments.tests) or lists.files_of_tests()
    trials = _tried(tried, tests, arguments, began)
    alike = [mutant for mutant in mutants if mutant.id in equivalent]
    done = {trial.mutant.id for trial in trials}
    if left := [mutant for mutant in tried if mutant.id not in done]:
        _tell_left(left, wanted, arguments.within_s)
    runs = RUNS if arguments.within_s == float("inf") else RUNS // 20
    wrong = [*_unlike(alike, runs), *_listed_in_vain(tuple(wanted), mutants, equivalent)]
    status = _report(tuple(wanted), mutants, trials, wrong)
    print(f"mutants: {time.monotonic() - began:.0f} s")
    return status


def _is_new(mutant: Mutant, wanted: Mapping[str, frozenset[int] | None]) -> bool:
    lines = wanted[mutant.file]
    last = mutant.line + mutant.was.count(" / ")
    return lines is None or not lines.isdisjoint(range(mutant.line, last + 1))


def _tell_left(
    left: Sequence[Mutant], wanted: Mapping[str, frozenset[int] | None], within_s: float
) -> None:
    if within_s == float("inf"):
        raise SystemExit(f"{len(left)} mutants were not tried")
    new = sum(_is_new(mutant, wanted) for mutant in left)
    files = " ".join(dict.fromkeys(mutant.file for mutant in left))
    print(f"mutants: {len(left)} were not tried within {within_s:.0f} s, {new} of them of changed "
          f"lines: make mutants ARGS='{files}'")  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="only these, relative to the checkout")
    parser.add_argument("--changed", action="store_true", help="only what differs from main")
    parser.add_argument("--since", default="", help="with --changed: what differs from this commit")
    parser.add_argument(
        "--within-s", type=float, default=float("inf"),
        help="begin no trial after so many seconds; those of changed lines come first",
    )  # fmt: skip
    parser.add_argument("--tests", nargs="*", default=(), help="only these files of tests")
    parser.add_argument("--nice", type=int, default=19, help="19 if not given: others come first")
    parser.add_argument(
        "--budget-s", type=float, default=float("inf"),
        help="for a first look: try only the tests that take so long together",
    )  # fmt: skip
    return parser


def _chosen(arguments: argparse.Namespace) -> Mapping[str, frozenset[int] | None]:
    """Return the files to mutate, each with its changed lines; None where all are looked at."""
    known = lists.files()
    if unknown := [file for file in arguments.files if file not in known]:
        raise SystemExit(f"{unknown[0]} is not among the files of tests/mutation/scope.toml")
    wanted = tuple(arguments.files) or known
    if not (arguments.changed or arguments.since):
        return dict.fromkeys(wanted)
    base = since(lists.ROOT, arguments.since)
    print(f"mutants: compared with {base.why}", flush=True)
    differ = changed(lists.ROOT, wanted, base)
    for file in set(differ) & set(lists.unmeasured()):
        print(f"mutants: {file} differs, and was never measured: see tests/mutation/open.toml")
    return {file: lines for file, lines in differ.items() if file not in lists.unmeasured()}


def _tried(
    mutants: Sequence[Mutant], files: Sequence[str], arguments: argparse.Namespace, began: float
) -> list[Trial]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        options = ["-q", "-s", "-p", "no:cacheprovider", f"--basetemp={folder}/pytest"]
        tests = [*options, *files]
        covering = _covering(options, files)
        if covering.failed:
            raise SystemExit(f"without any mutant, {covering.failed[0]} fails: repair it first")
        found: list[Trial] = []

        def tell(trial: Trial) -> None:
            found.append(trial)
            if trial.survived:
                print(f"lives: {trial.mutant} ({trial.tests} tests)", flush=True)

        within_s: float = arguments.within_s
        # However long all else takes, some are tried.
        how = covering, tell, arguments.budget_s, began + within_s, within_s / 4

        def run() -> tuple[list[Trial], list[Mutant]]:
            trials = Trials(lists.ROOT, *how)
            trials.run(mutants, tests)
            return found, trials.afresh

        found, afresh = _apart(run)
        again = Trials(lists.ROOT, *how)
        again.run_afresh(afresh, options)
    return found


def _covering(options: Sequence[str], tests: Sequence[str]) -> Covering:
    """Return which test runs what; only tests of which that is not known are run for it."""
    files = lists.files()
    cache = Cache(lists.ROOT, files)
    known = {test: cache.get(test) for test in tests}
    if unknown := [test for test, covering in known.items() if covering is None]:
        print(f"mutants: running {len(unknown)} files of tests as they are", flush=True)
        seen = split(_apart(lambda: covered(lists.ROOT, files, [*options, *unknown])), unknown)
        for test, covering in seen.items():
            cache.put(test, covering)
        known |= seen
    return merged([covering for covering in known.values() if covering is not None])


def _unlike(alike: Sequence[Mutant], runs: int) -> list[str]:
    """Return which mutants that are listed as of no effect have one, by random runs."""
    if not alike:
        return []
    print(f"mutants: {len(alike)} listed ones on {runs} random runs each", flush=True)
    found = _apart(lambda: [(str(m), why) for m, why in differing(lists.ROOT, alike, runs)])
    return [f"{mutant}: listed in equivalent.toml, and {why}" for mutant, why in found]


def _listed_in_vain(
    files: Sequence[str], mutants: Sequence[Mutant], listed: Mapping[str, lists.Equivalent]
) -> list[str]:
    """Return which entries are of no mutant, and whether there are too many."""
    there = {mutant.id for mutant in mutants}
    found = [
        f"{one.id}: equivalent.toml lists it, and {one.file} has no such mutant: remove it"
        for one in listed.values()
        if one.file in files and one.id not in there
    ]
    count = len(there & set(listed))
    if set(files) == set(lists.files()) and count > _MOST_EQUIVALENT * len(there):
        found.append(f"{count} of {len(there)} are listed as of no effect: 3 % is the most")
    return found


def _apart(work: Callable[[], _T]) -> _T:
    """Do work in a process of its own: this one must import nothing that is mutated."""
    with tempfile.TemporaryFile() as file:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                pickle.dump(work(), file)
                file.flush()
                status = 0
            except BaseException:  # noqa: BLE001 - the other process must not be gone on with
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("the gate itself failed: see above")
        file.seek(0)
        found: _T = pickle.load(file)  # noqa: S301 - it is our own
        return found


def _report(
    files: Sequence[str], mutants: Sequence[Mutant], trials: Sequence[Trial], wrong: list[str]
) -> int:
    """Print what became of the mutants of each file, and return the exit status."""
    known, unmeasured = lists.known_survivors(), lists.unmeasured()
    listed = lists.equivalents()
    alike = Counter(mutant.file for mutant in mutants if mutant.id in listed)
    made = Counter(mutant.file for mutant in mutants)
    lives = Counter(trial.mutant.file for trial in trials if trial.survived)
    tried = Counter(trial.mutant.file for trial in trials)
    for file in files:
        live, may = lives[file], known.get(file, 0)
        left = made[file] - alike[file] - tried[file]
        told = [f"{tried[file] - live} of {tried[file]} killed"]
        told += [f"{left} not tried"] if left else []
        told += [f"{alike[file]} change nothing"] if alike[file] else []
        told += [f"{live} live, {may} may"] if live or may else []
        told += ["never measured before"] if file in unmeasured else []
        print(f"{file}: {', '.join(told)}")
        if live > may and file not in unmeasured:
            wrong.append(f"{file}: {live} mutants live, and {may} may: test what they change")
        elif live < may and not left:
            print(f"{file}: tests/mutation/open.toml may say {live} now, and not {may}")
    for what in wrong:
        print(f"mutants: {what}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

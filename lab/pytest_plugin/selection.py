# SPDX-License-Identifier: Apache-2.0
"""A selection that leaves nothing says so, with the ids that are close to what was typed."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.config.close_ids import close_ids
from lab.config.model import Cell, Tier
from lab.errors import ConfigError
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import cell_of

_SENT = "lab_selection"  # the key in what a worker of xdist sends back
_LOGIC = frozenset({"and", "or", "not"})


class Selection:
    """Explains words of -k that match nothing, and tiers that have no cell.

    pytest's own exit status for "no test was run" (5) stays as it is, so that an empty selection
    is never green. A test that takes a cell and got none, which pytest would skip and call a
    success, is deselected.
    """

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._run = run
        self._lines: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Compare what was collected with what the options leave of it.

        Args:
            config: pytest's.
            items: The tests; one that got no cell is taken out.

        Yields:
            Once, for all other plugins to deselect.
        """
        folders = {i.path.parent for i in items if cell_of(i)}
        bare = [item for item in items if _got_no_cell(item)]
        folders |= {item.path.parent for item in bare}
        if bare:
            config.hook.pytest_deselected(items=bare)
            items[:] = [item for item in items if item not in bare]
        names = [_names_of(item) for item in items]
        result = yield
        self._lines = self._explained(folders, bare=bool(bare), names=names, left=bool(items))
        return result

    def _explained(
        self, folders: Iterable[Path], *, bare: bool, names: Sequence[str], left: bool
    ) -> list[str]:
        cells = [cell for folder in sorted(folders) for cell in self._all_cells(folder)]
        if not cells:
            return []
        lines = [f"tier {self._run.tier} has no cell here: type --lab-tier=soak"] if bare else []
        typed = self._config.option.keyword
        words = [w for w in words_of(typed) if not any(w.lower() in name for name in names)]
        lines += [explained(word, cells, self._run.tier) for word in words]
        if typed and not left and not lines and self._run.before is None:
            lines.append(f"-k '{typed}' leaves no test: no name has all that it asks for")
        return lines

    def _all_cells(self, folder: Path) -> tuple[Cell, ...]:
        try:
            return self._run.cells(folder, Tier.SOAK)
        except ConfigError:  # it was told when its tests were made
            return ()

    def pytest_sessionfinish(self) -> None:
        """Send what a worker of xdist has to say to the process that has a terminal."""
        if self._run.is_worker:
            self._config.workeroutput[_SENT] = self._lines  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker of xdist sent; all of them say the same.

        Args:
            node: The worker's, whose `workeroutput` is a dict; one that died has none.
        """
        self._lines = getattr(node, "workeroutput", {}).get(_SENT, []) or self._lines

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it.

        Args:
            terminalreporter: pytest's.
        """
        if self._lines:
            terminalreporter.section("Caretaker Lab: selection")
            for line in self._lines:
                terminalreporter.write_line(line)


def words_of(keyword: str) -> list[str]:
    """Return the words that a -k expression asks for; those after 'not' it does not.

    Args:
        keyword: The expression: "vmm_kill and not (qemu or kexec)".
    """
    flat = re.sub(r"\bnot(\s*\([^()]*\)|\s+[^\s()]+)", " ", keyword)
    return [word for word in re.findall(r"[^\s()]+", flat) if word not in _LOGIC]


def explained(word: str, cells: Sequence[Cell], tier: Tier) -> str:
    """Return one line on a word of -k that no test of a run has in its name.

    Args:
        word: The word.
        cells: Every cell of the topologies, of all tiers.
        tier: The tier of this run.
    """
    others = [cell for cell in cells if word.lower() in cell.id.lower()]
    if others:
        first = others[0]
        return (
            f"-k '{word}' matches no cell of tier {tier}; {first.id} is of tier {first.tier}: "
            f"type --lab-tier={first.tier}, or: lab run {first.id}"
        )
    near = close_ids(word, [cell.id for cell in cells])
    close = f"close to it: {', '.join(near)}" if near else "'lab ladder --tier=soak' lists the ids"
    return f"-k '{word}' matches no cell; {close}"


def _got_no_cell(item: pytest.Item) -> bool:
    spec = getattr(item, "callspec", None)
    return spec is not None and "cell" in spec.params and cell_of(item) is None


def _names_of(item: pytest.Item) -> str:
    return "\n".join((item.nodeid, *item.keywords)).lower()

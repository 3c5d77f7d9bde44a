# SPDX-License-Identifier: Apache-2.0
"""What the cells boot is built before the first test: no test's time-out is for building."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lab.build.cache import standard
from lab.config.model import Arch, Cell, LabConfig, Unavailable
from lab.events import Event, Progress
from lab.pytest_plugin.run import Run, turn_of
from lab.runner.image_store import STOCK, Workshop

_TAKES_A_HOST = frozenset({"pool", "stand"})


def needed(items: Iterable[pytest.Item], run: Run) -> list[tuple[LabConfig, Cell]]:
    """Give the cells whose hosts `items` boot: their own, or any of the tier where they choose."""
    found: dict[tuple[str, str, Arch], tuple[LabConfig, Cell]] = {}
    for item in items:
        folder = item.path.parent
        takes = _TAKES_A_HOST & set(getattr(item, "fixturenames", ()))
        if not takes or not any(folder.glob("*.toml")):
            continue
        turn = turn_of(item)
        only = {arch for marker in item.iter_markers("arch") for arch in marker.args}
        cells = (turn[0],) if turn else run.cells(folder)
        for cell in cells:
            if only and cell.arch.value not in only:
                continue
            if not isinstance(cell.expectation, Unavailable):
                key = (cell.kernel, cell.options.through or "", cell.arch)
                found.setdefault(key, (run.lab(folder), cell))
    return list(found.values())


def build(session: pytest.Session, run: Run) -> None:
    """Build what the chosen tests boot, where it is missing.

    Raises:
        LabError: something could not be built.
    """
    for lab, cell in needed(session.items, run):
        kernels = {STOCK, cell.kernel, cell.options.through or STOCK}
        built(session, lab, {(kernel, cell.arch) for kernel in kernels})


def built(session: pytest.Session, lab: LabConfig, wanted: Iterable[tuple[str, Arch]]) -> None:
    """Build these kernels, and what hosts boot with them; say so where it takes a while.

    Raises:
        LabError: something could not be built.
    """
    terminal = session.config.pluginmanager.getplugin("terminalreporter")

    def tell(event: Event) -> None:
        if terminal is not None and isinstance(event, Progress) and event.done in {0, event.total}:
            done = "is built" if event.done else "is being built"
            terminal.write_line(f"  {event.what} {done}")

    workshop = Workshop(lab, standard(lab.cache), tell)
    for kernel, arch in wanted:
        workshop.outfit(lab.kernel_for(kernel), arch)

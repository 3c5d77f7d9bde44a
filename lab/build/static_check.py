# SPDX-License-Identifier: Apache-2.0
"""A recipe's own checks of the source that it makes: programs that read it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.build.cache import Cache
from lab.build.commands import follow
from lab.build.kernel import Recipe
from lab.build.patching import copy_tree
from lab.build.source import fetch
from lab.errors import ConfigError
from lab.events import Sink, nowhere

_FOUND = 1


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check said.

    Attributes:
        check: Its file's name.
        good: It found nothing.
        lines: What it wrote.
    """

    check: str
    good: bool
    lines: tuple[str, ...]


def run(
    recipe: Recipe, checks: Sequence[Path], cache: Cache, *, sink: Sink = nowhere
) -> Iterator[Checked]:
    """Run a recipe's checks on a copy of its source, with its patches and files.

    Args:
        recipe: What the kernel is made of.
        checks: Programs in Python that take the source's root: status 0 if they found nothing, 1
            if something.
        cache: Where the copy is made.
        sink: Receives the steps.

    Returns:
        An iterator over the outcome of each check.

    Raises:
        ConfigError: A patch does not apply, or a check ended with another status.
    """
    source = fetch(recipe.source, cache, sink)
    with tempfile.TemporaryDirectory(prefix="check-", dir=cache.folder("series")) as folder:
        tree = Path(folder) / "src"
        copy_tree(source, tree)
        recipe.change(tree)
        for check in checks:
            yield _checked(check, tree, cache.folder("logs") / f"check-{check.stem}.log")


def _checked(check: Path, tree: Path, log: Path) -> Checked:
    lines: list[str] = []
    log.unlink(missing_ok=True)
    status = follow(
        [sys.executable, "-I", check, tree], log, lambda line: lines.append(line.rstrip())
    )
    if status not in {0, _FOUND}:
        last = lines[-1] if lines else "it wrote nothing"
        raise ConfigError(f"check '{check}' ended with status {status}: {last}")
    return Checked(check.name, not status, tuple(lines))

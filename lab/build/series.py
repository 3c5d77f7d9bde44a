# SPDX-License-Identifier: Apache-2.0
"""A recipe's patches, one after the other: each must build by itself, as for `git bisect`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.arch import architecture
from lab.build import base_config, kconfig
from lab.build.cache import Cache
from lab.build.kbuild import Kbuild, tools_for
from lab.build.kernel import BUILD_MIB, Recipe
from lab.build.patching import copy_tree, lay_files_over, patch_in_order
from lab.build.source import fetch
from lab.events import Progress, Sink, nowhere

_SOURCE, _WHOLE = "the source", "all of it, with its files and options"


@dataclass(frozen=True, slots=True)
class Built:
    """The outcome of one step.

    Attributes:
        step: The patch; or the source before the first, or the whole recipe.
        objects: How many objects were made anew.
        seconds: How long it took.
        complaints: The first ones; none if it was built.
    """

    step: str
    objects: int
    seconds: float
    complaints: tuple[str, ...]


def each(
    recipe: Recipe, arch: str, cache: Cache, *, both: bool = False, sink: Sink = nowhere
) -> Iterator[Built]:
    """Build the source, then after each patch vmlinux with all that it changed, then all of it.

    Until the end, options stay off that only the recipe brings: what they switch on may be among
    its files. A step that does not build does not keep the others from being tried.

    Args:
        recipe: What the kernel is made of.
        arch: "x86_64" or "arm64".
        cache: Where the build takes place.
        both: Build a second time after each patch, with those of the options that it can have.
        sink: Receives the steps.

    Returns:
        An iterator over the outcome of each step.

    Raises:
        ConfigError: The source cannot be configured, or a patch does not apply.
        UnavailableError: A program that builds kernels is missing.
    """
    made_for = architecture(arch)
    source = fetch(recipe.source, cache, sink)
    whole, fragments = base_config.split(recipe.fragments)
    settings = kconfig.read_fragments(fragments)
    log = cache.folder("logs") / f"series-{recipe.name}-{arch}.log"
    cache.require_space(BUILD_MIB, f"building {recipe.name} patch by patch")
    # Not hidden, so that `lab clean` removes what a killed build left behind.
    with tempfile.TemporaryDirectory(prefix="patches-", dir=cache.folder("series")) as folder:
        base = Path(folder)
        tree, objects = base / "work/src", base / "work/o"  # as in kernel.py, for ccache
        objects.mkdir(parents=True)
        copy_tree(source, tree)
        kbuild = Kbuild(
            name=recipe.name,
            target=made_for,
            tools=tools_for(made_for, recipe.make),
            tree=tree,
            objects=objects,
            base=base,
            words=recipe.make,
        )
        kbuild.configure(settings, whole)
        mine = own(settings, kbuild.config.read_text())
        yield _step(kbuild, _SOURCE, log, cache, sink)
        for patch in recipe.patches:
            patch_in_order(tree, [patch])
            kbuild.reconfigure(mine)
            yield _step(kbuild, patch.name, log, cache, sink)
            if on := both and _switched_on(kbuild, settings, mine):
                yield _step(kbuild, f"{patch.name}, with {on}", log, cache, sink)
        if recipe.tree:
            lay_files_over(tree, recipe.tree)
        patch_in_order(tree, recipe.fixes)
        kbuild.reconfigure(settings)
        kconfig.check_survival(settings, kbuild.config.read_text(), tree)
        yield _step(kbuild, _WHOLE, log, cache, sink)


def own(settings: tuple[kconfig.Setting, ...], config: str) -> tuple[kconfig.Setting, ...]:
    """Return settings that switch off the symbols that the source alone does not know."""
    known = kconfig.values(config)
    lost = [w for w in settings if w.value != "n" and w.symbol not in known]
    return tuple(kconfig.Setting(w.symbol, "n", w.where) for w in lost)


def _switched_on(
    kbuild: Kbuild, settings: tuple[kconfig.Setting, ...], mine: tuple[kconfig.Setting, ...]
) -> str:
    kbuild.reconfigure(settings)
    known = kconfig.values(kbuild.config.read_text())
    return ", ".join(w.symbol for w in mine if w.symbol in known)


def _step(kbuild: Kbuild, step: str, log: Path, cache: Cache, sink: Sink) -> Built:
    what = f"{kbuild.name} for {kbuild.target.name}: {step}"
    began, done = time.monotonic(), 0

    def one_more() -> None:
        nonlocal done
        done += 1

    sink(Progress(what=what, done=0, total=1))
    log.write_text("")  # of this step only
    complaints = kbuild.make("vmlinux", log, cache, one_more)
    sink(Progress(what=what, done=1, total=1))
    return Built(step, done, time.monotonic() - began, complaints)

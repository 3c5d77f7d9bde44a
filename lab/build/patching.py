# SPDX-License-Identifier: Apache-2.0
"""A recipe's own changes to a source tree: patches in order, then whole files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.build import local_tree, patch_files
from lab.build.commands import need, output
from lab.build.repository import APART
from lab.build.source import SourceTree
from lab.errors import ConfigError, InfraError


def copy_tree(source: SourceTree, into: Path) -> None:
    """Copy a source tree; from the cache by hard links, which a patched file leaves behind."""
    if source.ours:
        near = source.path.stat().st_dev == into.parent.stat().st_dev
        how = "-al" if near else "-a"  # a hard link leads to no other disk
        output(["cp", how, source.path, into], doing=f"copying {source.name}")
        return
    local_tree.copy(source.path, into)


def patch_in_order(tree: Path, patches: Sequence[Path]) -> None:
    """Apply `patches` to `tree`.

    Raises:
        ConfigError: One does not apply; the message has its name and the first place that failed.
    """
    if patches:
        need("git", package="git")
    for patch in patches:
        if not patch.is_file():
            raise ConfigError(f"patch '{patch}' is not there")
        with tempfile.TemporaryDirectory(prefix="lab-patch-") as scratch:
            for one in patch_files.plain(patch, Path(scratch)):
                _apply(tree, one, patch.name)


def _apply(tree: Path, file: Path, name: str) -> None:
    # Beneath a checkout, git would take the tree for a part of it and skip every file.
    apart = {**APART, "GIT_CEILING_DIRECTORIES": str(tree.parent), "GIT_DIR": "/dev/null"}
    try:
        output(
            ["git", "apply", "--whitespace=nowarn", file],
            doing=f"applying {name}",
            cwd=tree,
            env=apart,
        )
    except InfraError as e:
        lines = [line for line in str(e).splitlines() if line.startswith("error:")]
        first = lines[0].removeprefix("error: ") if lines else str(e)
        raise ConfigError(
            f"patch '{name}' does not apply to {tree.name}: {first}",
            hint="rebase it on this source, or set the source that it was made for",
        ) from e


def lay_files_over(tree: Path, files: Path) -> None:
    """Copy all files beneath `files` to the same places in `tree`, replacing what is there."""
    for folder, _, names in os.walk(files):
        place = tree / Path(folder).relative_to(files)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            (place / name).unlink(missing_ok=True)  # it may be a link into the cache
            shutil.copyfile(Path(folder) / name, place / name)

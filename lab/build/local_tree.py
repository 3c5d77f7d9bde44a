# SPDX-License-Identifier: Apache-2.0
"""Source trees as developers have them: with objects, other builds and a repository inside."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.build.commands import need, output
from lab.build.repository import APART
from lab.errors import ConfigError, InfraError

_BUILT = (".config", "include/config", "arch/*/include/generated")


def why_not_as_it_is(tree: Path) -> str:
    """Return why the kernel's makefiles refuse to build `tree` out of place where it is.

    Args:
        tree: The source tree.

    Returns:
        The reason, as the end of a sentence; "" if they do not.
    """
    for built in _BUILT:
        for found in tree.glob(built):
            return f"was built in place ('{found.relative_to(tree)}' is there)"
    return "" if path_will_do(tree) else "has a space or a colon in its path"


def path_will_do(folder: Path) -> bool:
    """Return whether the kernel's makefiles work in a folder of that name."""
    return not set(" :\t") & set(str(folder.resolve()))


def files_of(tree: Path) -> tuple[str, ...]:
    """List the source files of a tree, by path beneath it: no repository, no folder of objects.

    Of a tree that was built in place, those that git does not ignore.

    Args:
        tree: The source tree.

    Returns:
        The paths in order.

    Raises:
        ConfigError: It was built in place, and is no git checkout.
    """
    if any(any(tree.glob(built)) for built in _BUILT):
        return _by_git(tree)
    return tuple(sorted(_by_walking(tree)))


def signature(tree: Path, files: Iterable[str]) -> str:
    """Hash names, sizes and times: a changed file is noticed, and 90,000 are not read."""
    digest = hashlib.sha256()
    for name in files:
        found = (tree / name).lstat()
        digest.update(os.fsencode(tree / name))
        digest.update(f"\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def copy(tree: Path, into: Path) -> None:
    """Copy the source files of a tree into a new folder, where they can be changed.

    Args:
        tree: The source tree.
        into: The folder.
    """
    into.mkdir()
    folders = {into}
    for name in files_of(tree):
        path, made = tree / name, into / name
        if made.parent not in folders:
            made.parent.mkdir(parents=True, exist_ok=True)
            folders.add(made.parent)
        shutil.copyfile(path, made, follow_symlinks=False)
        found = path.lstat()
        if not made.is_symlink():
            made.chmod(found.st_mode & 0o777 | 0o600)  # the tree may be read-only
            os.utime(made, ns=(found.st_atime_ns, found.st_mtime_ns))


def _by_git(tree: Path) -> tuple[str, ...]:
    # Root may build a user's tree, and nothing of its repository is run.
    trusting = ["-c", f"safe.directory={tree.resolve()}", "-c", "core.fsmonitor=false"]
    try:
        listed = [
            name
            for kind in (("-c", "--recurse-submodules"), ("-o", "--exclude-standard"))
            for name in output(
                [need("git", package="git"), *trusting, "ls-files", "-z", *kind],
                doing="listing its files",
                cwd=tree,
                env=APART,
                errors="surrogateescape",
            ).split("\0")
        ]
        why = "git does not list its Makefile"
    except InfraError as e:
        listed, why = [], str(e)
    if "Makefile" not in listed:
        raise ConfigError(
            f"source '{tree}' {why_not_as_it_is(tree)}, and which files are its source is not "
            f"known: {why}",
            hint=f"make -C {tree} mrproper (save its .config first), or use a git checkout",
        )
    objects = tuple(f"{folder}/" for folder in _folders_of_objects(tree))
    return tuple(
        name
        for name in sorted(set(listed))
        # One that was deleted is still in the index; a submodule that is not there is a folder.
        if name and not name.startswith(objects) and _is_file(tree / name)
    )


def _by_walking(tree: Path) -> Iterable[str]:
    for folder, names, files in os.walk(tree):
        here = Path(folder)
        names[:] = [name for name in names if name != ".git" and not _has_objects(here / name)]
        links = [name for name in names if (here / name).is_symlink()]
        for name in (*files, *links):
            if name != ".git":  # a worktree's is a file
                yield str((here / name).relative_to(tree))


def _folders_of_objects(tree: Path) -> list[str]:
    return [path.name for path in tree.iterdir() if path.is_dir() and _has_objects(path)]


def _has_objects(folder: Path) -> bool:
    return (folder / ".config").is_file() and (folder / "include").is_dir()


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()

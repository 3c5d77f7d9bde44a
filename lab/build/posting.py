# SPDX-License-Identifier: Apache-2.0
"""A recipe as a series of mails that `git am` takes, and that makes what the recipe builds."""

from __future__ import annotations

import filecmp
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lab.build.commands import need
from lab.build.git_series import GitSeries
from lab.build.patching import lay_files_over, patch_in_order
from lab.config.posting import Cover, FileCommit, SeriesPlan
from lab.errors import ConfigError

_TOUCHED = re.compile(r"^(?:--- a/|rename from )(\S+)", re.MULTILINE)
_SHOWN = 5


def write(
    source: Path, patches: Sequence[Path], tree: Path | None, plan: SeriesPlan, out: Path
) -> list[Path]:
    """Write a recipe's patches, and its files as commits between them, as mails.

    Applied to the source, they make to the byte what the recipe builds; that is tried.

    Args:
        source: The source's root; it is only read.
        patches: The recipe's patches in order, each a mail.
        tree: The recipe's files; None if it has none.
        plan: Where its files come in.
        out: A folder that is empty or not there.

    Returns:
        The mails in order, without the cover letter.

    Raises:
        ConfigError: `out` has files; the plan leaves something out or names what is not there;
            or the series makes something else than the recipe.
    """
    need("git", package="git")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"'{out}' is there, and not an empty folder", hint="name another one")
    touched = _touched(source, patches)
    with tempfile.TemporaryDirectory(prefix="lab-series-") as folder:
        series = GitSeries(Path(folder) / "series", source, touched)
        files = _Files(tree)
        first, last = _ordered(patches, plan)
        for patch in first:
            series.take(patch, plan.held)
            for commit in _behind(patch, first, plan):
                series.add(tree or source, files.of(commit), commit, _offered(commit, first))
        for patch in last:
            series.take(patch, ())
        _require_whole(files, series)
        mails = series.write(out)
        _fill(out, plan.cover)
        _try(Path(folder), source, touched, mails, (patches, tree))
    return mails


class _Files:
    """The files of a recipe's tree that no commit has yet."""

    def __init__(self, tree: Path | None) -> None:
        self._tree = tree
        self.left = set() if tree is None else {p for p in tree.rglob("*") if p.is_file()}

    def of(self, commit: FileCommit) -> list[Path]:
        """Take the files of one commit, as paths below the tree."""
        tree = self._tree
        found = set() if tree is None else {p for w in commit.files for p in tree.glob(w)}
        mine = sorted(self.left & found)
        if not mine or tree is None:
            raise ConfigError(f"series.toml: commit '{commit.subject}' has no file in the tree")
        self.left.difference_update(mine)
        return [path.relative_to(tree) for path in mine]


def _touched(source: Path, patches: Iterable[Path]) -> list[str]:
    names = {n for p in patches for n in _TOUCHED.findall(p.read_text(encoding="utf-8"))}
    return sorted(name for name in names if (source / name).is_file())


def _named(prefix: str, patches: Sequence[Path]) -> list[Path]:
    found = [patch for patch in patches if patch.name.startswith(prefix)]
    if not found:
        raise ConfigError(f"series.toml: no patch's name begins with '{prefix}'")
    return found


def _ordered(patches: Sequence[Path], plan: SeriesPlan) -> tuple[list[Path], list[Path]]:
    last = [patch for prefix in plan.last for patch in _named(prefix, patches)]
    return [patch for patch in patches if patch not in last], last


def _behind(patch: Path, patches: Sequence[Path], plan: SeriesPlan) -> Iterator[FileCommit]:
    for commit in plan.commit:
        if _named(commit.after, patches)[-1] == patch:
            yield commit


def _offered(commit: FileCommit, patches: Sequence[Path]) -> list[Path]:
    return [patch for prefix in commit.offers for patch in _named(prefix, patches)]


def _require_whole(files: _Files, series: GitSeries) -> None:
    if files.left:
        some = ", ".join(sorted(path.name for path in files.left)[:_SHOWN])
        raise ConfigError(f"series.toml: no commit has these files of the tree: {some}")
    if series.withheld:
        some = ", ".join(sorted(series.withheld))
        raise ConfigError(f"series.toml: no commit offers what is held back of: {some}")


def _fill(out: Path, cover: Cover) -> None:
    (letter,) = out.glob("0000-*")
    text = letter.read_text(encoding="utf-8")
    text = text.replace("*** SUBJECT HERE ***", cover.subject)
    letter.write_text(text.replace("*** BLURB HERE ***", cover.text.strip()), encoding="utf-8")


def _try(
    folder: Path,
    source: Path,
    touched: Sequence[str],
    mails: Sequence[Path],
    recipe: tuple[Sequence[Path], Path | None],
) -> None:
    made = GitSeries(folder / "made", source, touched)
    for mail in mails:
        made.take(mail, ())
    wanted = folder / "wanted"
    for name in touched:
        (wanted / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, wanted / name)
    patches, tree = recipe
    patch_in_order(wanted, patches)
    if tree is not None:
        lay_files_over(wanted, tree)
    differ = sorted(_differences(made.folder, wanted))
    if differ:
        some = ", ".join(differ[:_SHOWN])
        raise ConfigError(f"the series does not make what the recipe builds: {some} differ")


def _differences(one: Path, other: Path) -> set[str]:
    def names(root: Path) -> set[str]:
        files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
        return {name for name in files if not name.startswith(".git/")}

    here, there = names(one), names(other)
    same = filecmp.cmpfiles(one, other, sorted(here & there), shallow=False)[0]
    return (here | there) - set(same)

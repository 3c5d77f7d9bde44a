# SPDX-License-Identifier: Apache-2.0
"""A small git repository, of the files that a series touches, in which it is made or tried."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.build.commands import output
from lab.build.repository import APART
from lab.config.posting import FileCommit
from lab.errors import ConfigError, InfraError

_NAME, _MAIL = "Caretaker Lab", "lab@localhost"
_DATE = "1970-01-01T00:00:00+0000"
_ALONE = {
    **APART,
    "GIT_AUTHOR_NAME": _NAME,
    "GIT_AUTHOR_EMAIL": _MAIL,
    "GIT_COMMITTER_NAME": _NAME,
    "GIT_COMMITTER_EMAIL": _MAIL,
    "GIT_COMMITTER_DATE": _DATE,
}


class GitSeries:
    """Commits on top of a source.

    Attributes:
        folder: The work tree.
        withheld: What was held back of a patch, and that no commit has offered yet: the name of
            the patch, and a file with the difference.
    """

    def __init__(self, folder: Path, source: Path, names: Sequence[str]) -> None:
        """Begin with one commit that has the source's files.

        Args:
            folder: A folder that is not there.
            source: The source's root.
            names: The files of it that the series touches, from its root.
        """
        self.folder = folder
        self.withheld: dict[str, Path] = {}
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
        folder.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--template=", "--initial-branch=series")
        self._git("add", "--all", "--force")
        self._commit("The source", _DATE)
        self._base = self._git("rev-parse", "HEAD").strip()

    def take(self, mail: Path, held: Sequence[str]) -> None:
        """Apply one mail as `git am` does.

        Args:
            mail: The file.
            held: Files of which the changes are held back.

        Raises:
            ConfigError: It is no mail, or does not apply.
        """
        try:
            self._git("am", "--quiet", "--keep-non-patch", str(mail.resolve()))
        except InfraError as e:
            raise ConfigError(f"'{mail.name}' is not taken by git am: {e}") from e
        changed = self._git("diff", "--name-only", "HEAD~1", "HEAD", "--", *held) if held else ""
        if changed:
            kept = self.folder.parent / f"{self.folder.name}-{mail.name}.held"
            self._git("diff", f"--output={kept}", "HEAD~1", "HEAD", "--", *changed.split())
            self.withheld[mail.name] = kept
            self._git("checkout", "--quiet", "HEAD~1", "--", *changed.split())
            self._git("commit", "--quiet", "--amend", "--no-edit", "--allow-empty")

    def add(
        self, tree: Path, names: Sequence[Path], commit: FileCommit, offered: Sequence[Path]
    ) -> None:
        """Commit files of a recipe's, and what was held back until them.

        Args:
            tree: The folder that has them.
            names: Their paths below it.
            commit: The message.
            offered: The patches of which it was held back.

        Raises:
            ConfigError: Nothing was held back of one of these.
        """
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / name, self.folder / name)
        self._git("add", "--force", "--", *map(str, names))
        for patch in offered:
            if patch.name not in self.withheld:
                raise ConfigError(f"series.toml: nothing is held back of '{patch.name}'")
            self._git("apply", "--index", str(self.withheld.pop(patch.name)))
        signed = f"Signed-off-by: {_NAME} <{_MAIL}>"
        date = self._git("log", "-1", "--format=%aI").strip()
        self._commit(f"{commit.subject}\n\n{commit.message.strip()}\n\n{signed}", date)

    def write(self, out: Path) -> list[Path]:
        """Write a mail for each commit, and a cover letter that is filled in later.

        Args:
            out: The folder.

        Returns:
            The mails in order.
        """
        self._git(
            "format-patch", "--quiet", "--zero-commit", "--no-signature", "--cover-letter",
            "--numbered", f"--output-directory={out.resolve()}", f"{self._base}..HEAD",
        )  # fmt: skip
        return sorted(path for path in out.glob("*.patch") if not path.name.startswith("0000-"))

    def _commit(self, message: str, date: str) -> None:
        self._git("commit", "--quiet", "--allow-empty", f"--date={date}", f"--message={message}")

    def _git(self, *arguments: str) -> str:
        return output(
            ["git", "-C", self.folder, "-c", "core.autocrlf=false", *arguments],
            doing=f"git {arguments[0]}",
            env=_ALONE,
        )

# SPDX-License-Identifier: Apache-2.0
"""Patches as people have them: folders by name or by a quilt series, mailboxes, packed files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.build.commands import output, output_of_bytes
from lab.errors import ConfigError

_NAMED = {".patch", ".diff", ".mbx", ".mbox", ".eml"}
_NUMBERED = re.compile(r"\d{1,4}-\S+")
_NO_PATCHES = {".rej", ".orig", ".bak", ".swp", ".md", ".rst", ".html"}
_UNPACK = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}
_DIFF = re.compile(rb"^(diff --git |--- \S.*\r?\n\+\+\+ \S)", re.MULTILINE)
_MAIL = re.compile(rb"^From \S+ .*\d{4}\r?$", re.MULTILINE)
_ENCODED = re.compile(rb"(?im)^Content-Transfer-Encoding: *(quoted-printable|base64)")
_COVER = re.compile(r"(v\d+-)?0+-|.*cover", re.IGNORECASE)


def listed(paths: Iterable[Path]) -> Iterator[Path]:
    """List the patches to apply: files as they are, folders by what is in them.

    A folder with a file 'series' has what that names, as quilt reads it; else all files that hold
    a patch, in the order of their names, with 2 before 10.

    Args:
        paths: Files and folders.

    Yields:
        The files.

    Raises:
        ConfigError: A folder has no patch, or a series cannot be read as one.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_series(path) if (path / "series").is_file() else _in_folder(path)
        else:
            yield path


def plain(patch: Path, scratch: Path) -> list[Path]:
    """Make files for `git apply` of one patch file: unpacked, and mails decoded as by `git am`.

    Args:
        patch: The file.
        scratch: An empty folder for what has to be made.

    Returns:
        The files in order: the patch itself, if it can be applied as it is.

    Raises:
        ConfigError: There is no patch in it.
    """
    raw = text = patch.read_bytes()
    if unpack := _UNPACK.get(patch.suffix):
        try:
            text = unpack(raw)
        except (OSError, EOFError, lzma.LZMAError) as e:
            raise ConfigError(f"patch '{patch}' cannot be unpacked: {e}") from e
    sent = text.partition(b"\n")[0].endswith(b"\r")
    if len(_MAIL.findall(text)) > 1 or _ENCODED.search(text) or sent:
        found = _of_mails(text, scratch)
    elif not _DIFF.search(text):
        found = []
    elif text is raw:
        found = [patch.resolve()]
    else:
        (made := scratch / patch.stem).write_bytes(text)
        found = [made]
    if not found:
        raise ConfigError(
            f"patch '{patch}' has no patch in it", hint="remove it, or save the patch again"
        )
    return found


def _in_series(folder: Path) -> Iterator[Path]:
    count = 0
    lines = (folder / "series").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{folder / 'series'}:{number}"
        if set(words[1:]) - {"-p1"}:
            raise ConfigError(
                f"{where}: '{line.strip()}': patches are applied with -p1 only",
                hint=f"quilt refresh -p1 {words[0]}",
            )
        if not (folder / words[0]).is_file():
            raise ConfigError(f"{where}: there is no patch '{words[0]}' in that folder")
        count += 1
        yield folder / words[0]
    if not count:
        raise ConfigError(f"{folder / 'series'} names no patch")


def _in_folder(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.is_file() and _may_be_one(path)]
    found = [path for path in files if _is_one(path)]
    beneath = [path for path in folder.rglob("*") if path.parent != folder and _named(path)]
    if beneath:
        raise ConfigError(
            f"patches '{folder}': there are patches in folders of it, too, in no known order: "
            f"'{beneath[0].relative_to(folder)}'",
            hint="name them in a file 'series' there, or each folder in 'patches'",
        )
    if not found:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:5])
        raise ConfigError(
            f"patches '{folder}': no patch is in that folder (there is: {names or 'nothing'})",
            hint="name files *.patch, *.diff or *.mbx, or list them in a file 'series'",
        )
    return sorted(found, key=lambda path: _natural(path.name))


def _may_be_one(path: Path) -> bool:
    hidden = path.name.startswith(".") or path.name.endswith("~")
    return not hidden and path.suffix not in _NO_PATCHES


def _named(path: Path) -> bool:
    name = path.with_suffix("") if path.suffix in _UNPACK else path
    return path.is_file() and _may_be_one(path) and name.suffix in _NAMED


def _is_one(path: Path) -> bool:
    if _DIFF.search(path.read_bytes()):
        return True
    # What is named as a patch must be one; only a series' cover letter is left out.
    said = _named(path) or bool(_NUMBERED.fullmatch(path.name))
    return said and not _COVER.match(path.name)


def _of_mails(text: bytes, scratch: Path) -> list[Path]:
    box = scratch / "mbox"
    box.write_bytes(text)
    mails = scratch / "mails"
    mails.mkdir()
    output(["git", "mailsplit", "-b", f"-o{mails}", "--", box], doing="splitting a mailbox")
    found = []
    for mail in sorted(mails.iterdir()):
        made = scratch / f"{mail.name}.patch"
        output_of_bytes(["git", "mailinfo", scratch / "message", made], mail.read_bytes())
        if _DIFF.search(made.read_bytes()):  # else a cover letter, or an answer
            found.append(made)
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(word or 0), rest) for word, rest in re.findall(r"(\d*)(\D*)", name)]

# SPDX-License-Identifier: Apache-2.0
"""The Markdown pages of the repository: their links, anchors, and the commands that they show."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
_NOT_OURS = ("tests/golden/",)
_SHELL = frozenset({"sh", "console", "bash"})
_STARTS = ("lab ", "make ", "pytest ")
_COMMENT = re.compile(r"(^|\s+)#\s.*$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file, parsed once."""

    path: Path
    tokens: tuple[Token, ...]

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def links(self) -> list[str]:
        """The targets of its links and pictures, as they are written."""
        return [
            str(token.attrs["href" if token.type == "link_open" else "src"])
            for token in self._inline()
            if token.type in {"link_open", "image"}
        ]

    @property
    def anchors(self) -> frozenset[str]:
        """The anchors of its headings, as GitHub and MyST make them."""
        found: list[str] = []
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type == "heading_open":
                slug = slug_of("".join(t.content for t in token.children or ()))
                again = sum(
                    1 for other in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other)
                )
                found.append(f"{slug}-{again}" if again else slug)
        return frozenset(found)

    @property
    def commands(self) -> list[str]:
        """What it shows to type: lines of its shell blocks, and `lab ...` and the like in text."""
        blocks = (t.content for t in self.tokens if t.type == "fence" and t.info.strip() in _SHELL)
        lines = [line.strip().removeprefix("$ ") for block in blocks for line in _joined(block)]
        spans = [t.content for t in self._inline() if t.type == "code_inline"]
        return [line for line in lines if line] + [s for s in spans if s.startswith(_STARTS)]

    def _inline(self) -> Iterator[Token]:
        return (child for token in self.tokens for child in token.children or ())


def _joined(block: str) -> list[str]:
    """Return the lines of a block without comments; a backslash at the end joins two."""
    return [_COMMENT.sub("", line) for line in block.replace("\\\n", " ").splitlines()]


def slug_of(heading: str) -> str:
    """Return the anchor of a heading: lower case, no punctuation, dashes for spaces."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def pages(root: Path = ROOT) -> tuple[Page, ...]:
    """Return every Markdown page that git knows, or would take, outside of golden files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    names = [n for n in sorted(set(listed)) if not n.startswith(_NOT_OURS)]
    return tuple(page_of(root / name) for name in names if (root / name).is_file())


def page_of(path: Path) -> Page:
    """Parse one page."""
    parser = MarkdownIt("commonmark").enable("table")
    return Page(path, tuple(parser.parse(path.read_text(encoding="utf-8"))))


def external(page: Page) -> list[str]:
    """Return the links of a page that lead to the network."""
    return [link for link in page.links if link.startswith(("http://", "https://"))]


def dead_links(page: Page) -> list[str]:
    """Return the links of a page that lead to no file of the repository, or to no heading in it."""
    return [link for link in page.links if not _SCHEME.match(link) and not _is_alive(page, link)]


def _is_alive(page: Page, link: str) -> bool:
    place, _, anchor = unquote(link).partition("#")
    target = (page.path.parent / place).resolve() if place else page.path
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in page_of(target).anchors

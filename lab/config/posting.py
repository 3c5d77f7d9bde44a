# SPDX-License-Identifier: Apache-2.0
"""A recipe's series.toml: how its patches and files become commits."""

from __future__ import annotations

from lab.config.fields import Model, Text


class Cover(Model):
    """The cover letter."""

    subject: Text
    """Its subject."""
    text: Text
    """What it says."""


class FileCommit(Model):
    """A commit that adds files of the recipe's tree."""

    after: Text
    """The beginning of a patch's name: the commit comes behind it, and behind those before."""
    subject: Text
    """The first line of its message."""
    message: Text
    """The rest."""
    files: tuple[Text, ...]
    """Patterns below the tree; a file belongs to the first commit that names it."""
    offers: tuple[Text, ...] = ()
    """Beginnings of patches' names: what was held back of these comes with the commit."""


class SeriesPlan(Model):
    """One series.toml."""

    cover: Cover
    """The cover letter."""
    commit: tuple[FileCommit, ...] = ()
    """What comes of the tree, in order."""
    held: tuple[Text, ...] = ()
    """Files of the source: what a patch does to them waits for a commit that offers it."""
    last: tuple[Text, ...] = ()
    """Beginnings of the names of patches that come last."""

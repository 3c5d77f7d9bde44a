# SPDX-License-Identifier: Apache-2.0
"""Making squashfs images, the same bits for the same contents."""

from __future__ import annotations

from pathlib import Path

from lab.build.commands import need, output

FORMAT = 1
"""A part of the inputs of whatever is packed here; goes up when the options change."""


def make(folder: Path, image: Path, *, doing: str) -> None:
    """Pack `folder` into `image`, with all files root's and of one date.

    Nothing is compressed: an emulated CPU reads a file in two thirds of the time that way.
    """
    mksquashfs = need("mksquashfs", package="squashfs-tools")
    output(
        [
            mksquashfs, folder, image,
            "-comp", "zstd", "-noI", "-noD", "-noF", "-noX", "-b", "128K",
            "-all-root", "-all-time", "0", "-mkfs-time", "0",
            "-noappend", "-no-xattrs", "-no-progress", "-quiet",
        ],
        doing=doing,
    )  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""Unpacking what kernels, modules and packages are packed with, told by its first bytes."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable

from lab.build.commands import need, output_of_bytes

GZIP = b"\x1f\x8b"

_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (GZIP, lambda packed: zlib.decompressobj(31).decompress(packed)),
    (b"\xfd7zXZ\0", lambda packed: lzma.LZMADecompressor().decompress(packed)),
    (b"]\0\0", lambda packed: lzma.LZMADecompressor().decompress(packed)),
    (b"BZh", lambda packed: bz2.BZ2Decompressor().decompress(packed)),
    (b"(\xb5/\xfd", lambda packed: output_of_bytes([need("zstd", package="zstd"), "-dc"], packed)),
    (b"\x02!L\x18", lambda packed: output_of_bytes([need("lz4", package="lz4"), "-dc"], packed)),
)
BROKEN = (lzma.LZMAError, zlib.error, OSError, EOFError)
"""What an unpacker of Python's raises where the content is not what its first bytes say."""


def is_packed(raw: bytes) -> bool:
    """Return whether `raw` begins like something that `unpacked` unpacks.

    Args:
        raw: A file's content, or its first bytes.

    Returns:
        Whether it is packed.
    """
    return any(raw.startswith(magic) for magic, _ in _UNPACKERS)


def unpacked(raw: bytes) -> bytes:
    """Return what is packed in `raw`; `raw` itself if it is not packed.

    Args:
        raw: A file's content.

    Returns:
        The unpacked content.

    Raises:
        UnavailableError: The program that unpacks it is not installed.
        InfraError: That program failed.
    """
    for magic, unpack in _UNPACKERS:
        if raw.startswith(magic):
            return unpack(raw)
    return raw

# SPDX-License-Identifier: Apache-2.0
"""The initramfs of every L1: one static program, /init."""

from __future__ import annotations

import gzip
from pathlib import Path

from lab.arch import architecture
from lab.build import cpio
from lab.build.cache import Cache, file_digest
from lab.build.commands import compiler_of, output
from lab.data import GUEST_IMAGES
from lab.events import Sink, nowhere

_SOURCE = GUEST_IMAGES / "l1/init.c"
_FLAGS = ("-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")


def build(arch: str, cache: Cache, *, sink: Sink = nowhere) -> Path:
    """Build the initramfs of L1; a run's seed goes behind it, uncompressed.

    Args:
        arch: "x86_64" or "arm64".
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The file.
    """
    compiler = compiler_of(architecture(arch))

    def into(out: Path) -> None:
        init = out / "init"
        output([compiler, *_FLAGS, "-o", init, _SOURCE], doing="compiling the init of L1")
        (out / "initrd.cpio.gz").write_bytes(pack({"init": cpio.File(init.read_bytes(), 0o755)}))

    made = cache.entry(
        "initrd",
        {"format": 2, "arch": arch, "source": file_digest(_SOURCE), "flags": _FLAGS},
        into,
        what=f"initramfs of L1 for {arch}",
        usually_s=1,
        sink=sink,
    )
    return made / "initrd.cpio.gz"


def pack(files: dict[str, cpio.File]) -> bytes:
    """Return a compressed archive of `files`; lightly, because an emulated CPU has to unpack it.

    Zeros follow it, because the kernel takes an archive behind it only at a multiple of four.
    """
    packed = gzip.compress(cpio.archive(files), compresslevel=1, mtime=0)
    return packed + bytes(-len(packed) % 512)

# SPDX-License-Identifier: Apache-2.0
"""What runs in an L2: the beacon as a Linux guest's only program, and the bare-metal guests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.arch import architecture
from lab.build import cpio, initrd
from lab.build.cache import Cache, file_digest
from lab.build.commands import compiler_of, need, output
from lab.data import GUEST_IMAGES
from lab.events import Sink, nowhere

_SOURCES = GUEST_IMAGES / "l2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """The guests of one architecture."""

    l2_initrd: Path
    """initramfs of a Linux guest: the beacon is its /init."""
    spinner: Path
    ticker: Path


def build(arch: str, cache: Cache, *, sources: Path = _SOURCES, sink: Sink = nowhere) -> Payloads:
    """Compile the guests.

    Args:
        arch: "x86_64" or "arm64".
        cache: Where they are cached.
        sources: The folder with their Makefile.
        sink: Receives the steps.

    Returns:
        The guests.
    """
    compiler = compiler_of(architecture(arch))
    make = need("make", package="make")
    files = sorted(path for path in sources.rglob("*") if path.is_file())

    def into(out: Path) -> None:
        output(
            [make, "-C", sources, f"OUT={out}", f"ARCH={arch}", f"CC={compiler}"],
            doing=f"compiling the L2 guests for {arch}",
        )
        beacon = cpio.File((out / "beacon").read_bytes(), 0o755)
        (out / "l2-initrd.cpio.gz").write_bytes(initrd.pack({"init": beacon}))

    suffix = architecture(arch).payload_suffix
    made = cache.entry(
        "payloads",
        {"arch": arch, "files": {str(f.relative_to(sources)): file_digest(f) for f in files}},
        into,
        what=f"L2 guests for {arch}",
        usually_s=3,
        sink=sink,
    )
    return Payloads(
        l2_initrd=made / "l2-initrd.cpio.gz",
        spinner=made / f"spinner{suffix}",
        ticker=made / f"ticker{suffix}",
    )

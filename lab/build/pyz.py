# SPDX-License-Identifier: Apache-2.0
"""labvmm as one file that L1's Python runs. How it is packed is labvmm's own affair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

from lab.build.cache import Cache, file_digest
from lab.build.python import Python
from lab.events import Sink, nowhere


def build(
    sources: Mapping[PurePath, Path],
    pack: Callable[[Path, Callable[[Path], None]], None],
    python: Python,
    cache: Cache,
    *,
    sink: Sink = nowhere,
) -> Path:
    """Pack labvmm; this package, a neighbour of `lab.vmm`, does not import it.

    Args:
        sources: `lab.vmm.pack.sources()`: all that the file depends on.
        pack: `lab.vmm.pack.pack`, which writes it.
        python: Compiles its modules.
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The packed file.
    """
    digests = {str(path): file_digest(source) for path, source in sources.items()}
    made = cache.entry(
        "pyz",
        {"python": python.root.name, "sources": digests},
        lambda out: pack(out / "labvmm.pyz", python.compile_beside),
        what="labvmm",
        usually_s=3,
        sink=sink,
    )
    return made / "labvmm.pyz"

# SPDX-License-Identifier: Apache-2.0
"""Packs labvmm into one zipapp that L1's python3 runs; the same sources give the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

ENTRY = """\
import sys
from labvmm.cli import main
sys.exit(main())
"""
LEFT_OUT = frozenset({"pack.py", "__main__.py"})
EPOCH = (1980, 1, 1, 0, 0, 0)


def sources() -> list[Path]:
    """List the files that go into the zipapp; a cache key is made of their content."""
    return sorted(p for p in Path(__file__).parent.glob("*.py") if p.name not in LEFT_OUT)


def pack(target: Path, compiled: Callable[[Path], None] | None = None) -> None:
    """Write the zipapp to `target`.

    Python keeps no compiled modules of a zip, and compiling them takes an emulated CPU a second at
    each start. `compiled`, given a folder of sources, puts them beside these; with an L1 whose
    Python is another version they are ignored.
    """
    with TemporaryDirectory(dir=target.parent) as folder:
        package = Path(folder) / "labvmm"
        package.mkdir()
        for source in sources():
            shutil.copy(source, package)
        if compiled is not None:
            compiled(package)
        with zipfile.ZipFile(target, "w") as archive:
            _add(archive, "__main__.py", ENTRY.encode())
            for path in sorted(package.iterdir()):
                _add(archive, f"labvmm/{path.name}", path.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED  # read at each start; the squashfs compresses
    archive.writestr(entry, content)

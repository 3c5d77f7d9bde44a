# SPDX-License-Identifier: Apache-2.0
"""Packs labvmm into one zipapp that L1's python3 runs; the same sources give the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

ENTRY = """\
import sys
from labvmm.cli import main
sys.exit(main())
"""
HOME = Path(__file__).parent
LEFT_OUT = frozenset({"pack.py", "__main__.py"})
EPOCH = (1980, 1, 1, 0, 0, 0)


def sources() -> dict[PurePath, Path]:
    """List each file of the zipapp; a cache key is made of them.

    Returns:
        The file to copy, by its place below the package `labvmm`.
    """
    files = {path.relative_to(HOME): path for path in sorted(HOME.rglob("*.py"))}
    return {place: path for place, path in files.items() if place.as_posix() not in LEFT_OUT}


def pack(target: Path, compiled: Callable[[Path], None] | None = None) -> None:
    """Write the zipapp to `target`.

    Python keeps no compiled modules of a zip, and compiling them takes an emulated CPU a second at
    each start. With an L1 whose Python is another version the compiled modules are ignored.

    Args:
        target: The file to write; its folder is used for the work.
        compiled: Called with a folder of sources, puts compiled modules beside them.
    """
    with TemporaryDirectory(dir=target.parent) as folder:
        package = Path(folder) / "labvmm"
        package.mkdir()
        for place, source in sources().items():
            copy = package / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        if compiled is not None:
            compiled(package)
        with zipfile.ZipFile(target, "w") as archive:
            _add(archive, "__main__.py", ENTRY.encode())
            for path in sorted(p for p in package.rglob("*") if p.is_file()):
                _add(archive, f"labvmm/{path.relative_to(package)}", path.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED  # read at each start; the squashfs compresses
    archive.writestr(entry, content)

# SPDX-License-Identifier: Apache-2.0
"""A lab.toml in a folder of its own, with libvirt's test driver, for tests of the command."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LAB = """
cache = "cache"
state = "state"
[libvirt]
uris = ["test:///default"]
[kernel.debian]
package = "linux-image-{arch}"
version = "7.3.4-1"
[kernel.stock]
recipe = "stock"
[kernel.reference]
recipe = "reference"

[kernel.mutant]
recipe = "mutant"
[host]
accelerator = "tcg"
memory_mib = 1536
"""


@contextmanager
def own_lab() -> Iterator[Path]:
    """Work in a new folder that QEMU could enter, which pytest's own are not; give its lab.toml."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="lab-test-") as folder:
        toml = Path(folder) / "lab.toml"
        toml.write_text(_LAB, encoding="utf-8")
        toml.parent.chmod(0o755)
        os.chdir(folder)
        try:
            yield toml
        finally:
            os.chdir(before)

# SPDX-License-Identifier: Apache-2.0
"""The initramfs of an L1: one static program, /init, and the modules that it loads."""

from __future__ import annotations

import gzip
from pathlib import Path

from lab.arch import architecture
from lab.build import cpio
from lab.build.cache import Cache, Value, file_digest
from lab.build.commands import compiler_of, output
from lab.build.kernel import KernelImage
from lab.data import GUEST_IMAGES
from lab.events import Sink, nowhere

ORDER = "order"
"""The file beside the modules that names them in the order in which init loads them."""

_SOURCE = GUEST_IMAGES / "l1/init.c"
_FLAGS = ("-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")


def build(kernel: KernelImage, cache: Cache, *, sink: Sink = nowhere) -> Path:
    """Build the initramfs of L1; a run's seed goes behind it, uncompressed.

    Args:
        kernel: The kernel that boots with it: its modules are in there.
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The file.
    """
    compiler = compiler_of(architecture(kernel.arch))
    modules = _modules(kernel)

    def into(out: Path) -> None:
        init = out / "init"
        output([compiler, *_FLAGS, "-o", init, _SOURCE], doing="compiling the init of L1")
        files = {"init": cpio.File(init.read_bytes(), 0o755)}
        files |= _laid(modules)
        (out / "initrd.cpio.gz").write_bytes(pack(files))

    inputs: dict[str, Value] = {
        "format": 2,
        "arch": kernel.arch,
        "source": file_digest(_SOURCE),
        "flags": _FLAGS,
    }
    if modules:
        inputs["modules"] = {path.name: file_digest(path) for path in modules}
    made = cache.entry(
        "initrd",
        inputs,
        into,
        what=f"initramfs of L1 for {kernel.name if modules else kernel.arch}",
        usually_s=1,
        sink=sink,
    )
    return made / "initrd.cpio.gz"


def modules_of(kernel: KernelImage) -> bytes:
    """Return an archive that, behind another kernel's initramfs, replaces that one's modules.

    Args:
        kernel: The kernel whose modules are in it; without any, none are loaded.

    Returns:
        The archive, compressed.
    """
    return pack(_laid(_modules(kernel)) or {f"modules/{ORDER}": cpio.File(b"")})


def _modules(kernel: KernelImage) -> list[Path]:
    return sorted(kernel.modules.iterdir()) if kernel.modules else []


def _laid(modules: list[Path]) -> dict[str, cpio.File]:
    return {f"modules/{path.name}": cpio.File(path.read_bytes()) for path in modules}


def pack(files: dict[str, cpio.File]) -> bytes:
    """Return a compressed archive of `files`; lightly, because an emulated CPU has to unpack it.

    Zeros follow it, because the kernel takes an archive behind it only at a multiple of four.
    """
    packed = gzip.compress(cpio.archive(files), compresslevel=1, mtime=0)
    return packed + bytes(-len(packed) % 512)

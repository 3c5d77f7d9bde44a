# SPDX-License-Identifier: Apache-2.0
"""The second disk of an L1, mounted at /lab: the lab's programs, and the kernels it boots."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.arch import architecture
from lab.build import squashfs
from lab.build.cache import Cache, file_digest
from lab.build.kernel import KernelImage
from lab.build.payloads import Payloads
from lab.events import Sink, nowhere


def build(contents: Mapping[str, Path], cache: Cache, *, sink: Sink = nowhere) -> Path:
    """Pack files into a squashfs image; executables stay so.

    Args:
        contents: The files, by their name in the image.
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The image.
    """

    def into(out: Path) -> None:
        folder = out / "lab"
        folder.mkdir()
        for name, path in contents.items():
            shutil.copy(path, folder / name)
        squashfs.make(folder, out / "tools.squashfs", doing="packing /lab")
        shutil.rmtree(folder)

    made = cache.entry(
        "tools",
        {
            "format": squashfs.FORMAT,
            "contents": {name: file_digest(path) for name, path in sorted(contents.items())},
        },
        into,
        what="tools of L1",
        usually_s=1,
        sink=sink,
    )
    return made / "tools.squashfs"


def usual_contents(kernel: KernelImage, payloads: Payloads, pyz: Path) -> dict[str, Path]:
    """Return the contents of /lab that every L1 has; more kernels to kexec may be added.

    Args:
        kernel: The kernel that L1 boots, which its guests boot, too.
        payloads: The bare-metal guests and the beacon.
        pyz: labvmm.

    Returns:
        The files, by their name in the image.
    """
    return {
        kernel.image.name: kernel.image,
        **guest_kernel(kernel),
        "l2-initrd.cpio.gz": payloads.l2_initrd,
        payloads.spinner.name: payloads.spinner,
        payloads.ticker.name: payloads.ticker,
        "labvmm.pyz": pyz,
    }


def guest_kernel(kernel: KernelImage) -> dict[str, Path]:
    """Return what Linux guests boot: by its PVH note on x86-64, by Linux's own protocol on arm64.

    Args:
        kernel: The kernel.

    Returns:
        One file, by its name in the image.
    """
    traits = architecture(kernel.arch)
    return {traits.guest_kernel: kernel.vmlinux if traits.boots_elf else kernel.image}

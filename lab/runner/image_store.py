# SPDX-License-Identifier: Apache-2.0
"""From lab.toml to what an L1 boots: everything is built at most once, and cached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.build import initrd, payloads, pyz, rootfs, tools
from lab.build.cache import Cache
from lab.build.kernel import KernelImage
from lab.build.recipes import kernel_for
from lab.build.supply import Supply
from lab.config.load import kernel_parameters
from lab.config.model import Arch, Distribution, KernelSpec, LabConfig
from lab.errors import ConfigError
from lab.events import Sink
from lab.vmm import pack

STOCK = "stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What an L1 boots.

    Attributes:
        kernel: Its kernel.
        guest_kernel: What its Linux guests boot.
        initrd: The initramfs that all boots of this kernel share, without secrets.
        disks: Its root file system, and its tools: squashfs, read-only.
        words: The words of its kernel in lab.toml for the command line.
    """

    kernel: KernelImage
    guest_kernel: KernelImage
    initrd: Path
    disks: tuple[Path, Path]
    words: tuple[str, ...]


class ImageStore:
    """Builds what L1s boot, and remembers what it built.

    Args:
        lab: The lab; its kernels by name.
        cache: Where builds are stored.
        sink: Is told of each step.

    Attributes:
        outfits: What was built so far, by kernel name and architecture.
        kernels: The kernels of those, and of their guests.
    """

    def __init__(self, lab: LabConfig, cache: Cache, sink: Sink) -> None:
        self.cache = cache
        self._lab = lab
        self._supply = Supply.of(lab)
        self._sink = sink
        self.outfits: dict[tuple[str, Arch], Outfit] = {}
        self.kernels: dict[tuple[str, Arch], KernelImage] = {}

    def outfit(self, name: str, arch: Arch) -> Outfit:
        """Return everything that an L1 boots, built if it is not cached.

        Args:
            name: The kernel's name in lab.toml.
            arch: The L1's architecture.

        Returns:
            Kernel, initramfs and disks; the tools disk has the stock kernel for guests.

        Raises:
            ConfigError: lab.toml has no such kernel, or it cannot be built as it is described.
            InfraError: A program or a download failed.
        """
        key = (name, arch)
        if key not in self.outfits:
            self.outfits[key] = self._make(name, arch)
        return self.outfits[key]

    def kernel(self, name: str, arch: Arch) -> KernelImage:
        """Return a kernel, built if it is not cached.

        Args:
            name: Its name in lab.toml.
            arch: The architecture to build it for.

        Returns:
            The kernel's image, and how a running copy is identified.

        Raises:
            ConfigError: lab.toml has no such kernel, or it cannot be built as it is described.
            InfraError: A program or a download failed.
        """
        key = (name, arch)
        if key not in self.kernels:
            self.kernels[key] = kernel_for(
                name, self._spec(name), arch, self.cache, supply=self._supply, sink=self._sink
            )
        return self.kernels[key]

    def _make(self, name: str, arch: Arch) -> Outfit:
        image = self.kernel(name, arch)
        guest_kernel = self._guest_kernel(image, arch)
        guests = payloads.build(arch.value, self.cache, sink=self._sink)
        python = rootfs.interpreter(self.cache, self._supply, sink=self._sink)
        program = pyz.build(pack.sources(), pack.pack, python, self.cache, sink=self._sink)
        contents = tools.usual_contents(image, guests, program)
        contents.update(tools.guest_kernel(guest_kernel))
        root = rootfs.build(arch, self.cache, self._supply, sink=self._sink)
        return Outfit(
            kernel=image,
            guest_kernel=guest_kernel,
            initrd=initrd.build(image, self.cache, sink=self._sink),
            disks=(root, tools.build(contents, self.cache, sink=self._sink)),
            words=kernel_parameters(self._spec(name)),
        )

    def on_paper(self, name: str, arch: Arch) -> Outfit:
        """Return what `outfit` would, with DIGEST where only a build tells; nothing is built.

        Args:
            name: The kernel's name in lab.toml.
            arch: The L1's architecture.

        Returns:
            Paths that may not exist.

        Raises:
            ConfigError: lab.toml has no such kernel.
        """
        root, spec = self.cache.root, self._spec(name)
        folder = root / f"kernel/{name}-DIGEST"
        image = KernelImage(
            name=name,
            arch=arch.value,
            image=folder / arch.traits.image_name,
            vmlinux=folder / "vmlinux",
            config=None,
            release="",
            build_id="",
            digest="",
            source="",
        )
        return Outfit(
            kernel=image,
            guest_kernel=image,
            initrd=root / "initrd/DIGEST/initrd.cpio.gz",
            disks=(root / "rootfs/DIGEST/root.squashfs", root / "tools/DIGEST/tools.squashfs"),
            words=kernel_parameters(spec),
        )

    def _guest_kernel(self, host: KernelImage, arch: Arch) -> KernelImage:
        """Return the stock kernel, or what stands for it: two cells then differ by their hosts.

        On a distribution's kernel guests boot that one, so that no kernel has to be compiled.
        """
        if isinstance(self._spec(host.name).source, Distribution):
            return host
        return self.kernel(self._lab.kernel_for(STOCK), arch)

    def _spec(self, name: str) -> KernelSpec:
        if name not in self._lab.kernel:
            known = ", ".join(self._lab.kernel)
            raise ConfigError(f"lab.toml: no kernel {name!r}", hint=f"there are: {known}")
        return self._lab.kernel[name]

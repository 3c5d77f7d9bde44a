# SPDX-License-Identifier: Apache-2.0
"""Kernels that somebody else built: an image, with or without modules, or packages.

What the lab must know of them is read out of the boot image, and of the configuration if it comes
with one. Of the modules those are kept, unpacked, that an L1's init loads.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch
from lab.build import boot_image, drivers, elf, initrd, modules, packages
from lab.build.cache import Cache, Value, file_digest
from lab.build.kernel import KernelImage
from lab.errors import ConfigError
from lab.events import Sink, nowhere

HOW = 2
"""A part of the inputs of whatever is made here; goes up when the same files make another."""
_USUALLY_S = 4
_MIB = 600
_CONFIG_BEGINS, _CONFIG_ENDS = b"IKCFG_ST", b"IKCFG_ED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a prebuilt kernel is made of: an image, and folders to look for all else in."""

    image: Path
    modules: Path | None = None
    config: Path | None = None


def take(
    name: str,
    arch: Arch,
    image: Path,
    cache: Cache,
    *,
    folder: Path | None = None,
    sink: Sink = nowhere,
) -> KernelImage:
    """Take a boot image; copy it to where libvirt's QEMU can read it.

    Args:
        name: The kernel's name in lab.toml.
        arch: The architecture.
        image: The boot image.
        cache: Where the copy goes.
        folder: /lib/modules/RELEASE of that kernel, or a folder that it is beneath; None if all
            that an L1 needs is built in.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: The file is not a boot image for `arch`, has no build id, or an L1 could not
            run on it, for want of a driver.
    """
    if not image.is_file():
        raise ConfigError(f"kernel {name!r}: image '{image}' is not there")
    inputs: dict[str, Value] = {"how": HOW, "arch": arch, "image": file_digest(image)}
    config = None
    if folder is not None:
        there = sorted(p for p in folder.rglob("*") if p.is_file() and packages.of_kernel(p))
        inputs["modules"] = {str(p.relative_to(folder)): file_digest(p) for p in there}
        config = next((p for p in there if p.name == "config"), None)
    parts = Parts(image=image, modules=folder, config=config)
    made = cache.entry(
        "prebuilt",
        inputs,
        lambda out: make(name, arch, parts, out),
        what=f"kernel {name} from {image.name}",
        usually_s=_USUALLY_S,
        sink=sink,
        needs_mib=_MIB,
    )
    return made_in(made, name, arch, f"prebuilt {image.name}")


def of_packages(
    name: str, arch: Arch, files: Sequence[Path], cache: Cache, *, sink: Sink = nowhere
) -> KernelImage:
    """Take a kernel out of a distribution's packages.

    Args:
        name: The kernel's name in lab.toml.
        arch: The architecture.
        files: The packages: .deb or .rpm.
        cache: Where what is needed of them goes.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: They are no packages, or as for `take`.
    """
    made = cache.entry(
        "prebuilt",
        {"how": HOW, "arch": arch, "packages": [file_digest(file) for file in files]},
        lambda out: make_of_packages(name, arch, files, out),
        what=f"kernel {name} from {files[0].name}",
        usually_s=_USUALLY_S,
        sink=sink,
        needs_mib=_MIB,
    )
    return made_in(made, name, arch, f"package {files[0].name}")


def make_of_packages(name: str, arch: Arch, files: Sequence[Path], out: Path) -> None:
    """Unpack packages, and make of them what `made_in` finds.

    Args:
        name: The kernel's name in lab.toml.
        arch: The architecture.
        files: The packages.
        out: The folder for it.

    Raises:
        ConfigError: There is not one kernel in them, or as for `take`.
    """
    with tempfile.TemporaryDirectory(dir=out) as unpacked:
        root = Path(unpacked)
        packages.unpack_kernel(files, root)
        images = sorted(path for path in root.rglob("vmlinuz*") if path.is_file())
        said = ", ".join(file.name for file in files)
        if not images:
            raise ConfigError(
                f"kernel {name!r}: there is no vmlinuz in {said}",
                hint="name the package with the image too: linux-image-*, linux-binary-*, "
                "kernel-core-*",
            )
        if len(images) > 1:
            raise ConfigError(
                f"kernel {name!r}: {len(images)} kernels are in {said}: "
                + ", ".join(str(image.relative_to(root)) for image in images),
                hint="name the packages of one kernel",
            )
        config = next((p for p in sorted(root.rglob("config*")) if p.is_file()), None)
        make(name, arch, Parts(image=images[0], modules=root, config=config), out)


def make(name: str, arch: Arch, parts: Parts, out: Path) -> None:
    """Make of a kernel's parts what `made_in` finds.

    Args:
        name: The kernel's name in lab.toml.
        arch: The architecture.
        parts: What it is made of.
        out: The folder for it.

    Raises:
        ConfigError: As for `take`.
    """
    image = boot_image.read(parts.image)
    if image.arch is not arch:
        raise ConfigError(
            f"kernel {name!r}: '{parts.image.name}' is for {image.arch.value}, and a host of "
            f"{arch.value} is to boot it",
            hint=f"name the {arch.value} one, or use it for hosts of {image.arch.value} only",
        )
    if image.release is None:
        raise ConfigError(f"kernel {name!r}: '{parts.image}' holds no 'Linux version'")
    config = parts.config.read_text(encoding="utf-8") if parts.config else _config_in(image.kernel)
    _lay_modules(name, image, parts, config, out)
    (out / arch.traits.image_name).write_bytes(image.bootable)
    (out / "vmlinux").write_bytes(image.kernel)
    (out / "release").write_text(image.release)
    (out / "build-id").write_text(elf.build_id_within(out / "vmlinux"))
    if config is not None:
        (out / "config").write_text(config, encoding="utf-8")


def made_in(folder: Path, name: str, arch: Arch, source: str) -> KernelImage:
    """Return the kernel that `make` made.

    Args:
        folder: Where.
        name: Its name in lab.toml.
        arch: Its architecture.
        source: Where it came from, for reports.

    Returns:
        The kernel.
    """
    config, loaded = folder / "config", folder / "modules"
    return KernelImage(
        name=name,
        arch=arch.value,
        image=folder / arch.traits.image_name,
        vmlinux=folder / "vmlinux",
        config=config if config.exists() else None,
        release=(folder / "release").read_text(),
        build_id=(folder / "build-id").read_text(),
        digest=folder.name,
        source=source,
        modules=loaded if loaded.exists() else None,
    )


def _lay_modules(
    name: str, image: boot_image.BootImage, parts: Parts, config: str | None, out: Path
) -> None:
    there, built_in = {}, frozenset[str]()
    if parts.modules is not None:
        there = modules.in_folder(parts.modules, image.release or "")
        built_in = modules.built_in(parts.modules)
    built = drivers.Built(name, image.arch, image.kernel, config, built_in)
    ordered = drivers.to_load(built, there, parts.image)
    for module in ordered:
        if module.release != image.release:
            raise ConfigError(
                f"kernel {name!r} is {image.release}, and its module '{module.path.name}' is for "
                f"{module.release or 'no kernel'}",
                hint="name the modules that were built with this image",
            )
    if not ordered:
        return
    folder = out / "modules"
    folder.mkdir()
    for module in ordered:
        (folder / f"{module.name}.ko").write_bytes(module.content)
    lines = (f"{module.name}.ko {drivers.flag_of(module.name)}".rstrip() for module in ordered)
    (folder / initrd.ORDER).write_text("".join(f"{line}\n" for line in lines))


def _config_in(kernel: bytes) -> str | None:
    """Return the configuration that a kernel with CONFIG_IKCONFIG carries."""
    begin = kernel.find(_CONFIG_BEGINS)
    end = kernel.find(_CONFIG_ENDS, begin)
    if begin < 0 or end < 0:
        return None
    packed = kernel[begin + len(_CONFIG_BEGINS) : end]
    return zlib.decompressobj(31).decompress(packed).decode(errors="replace")

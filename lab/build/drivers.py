# SPDX-License-Identifier: Apache-2.0
"""The drivers that an L1 cannot do without: built in, loaded by its init, or missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch
from lab.build import kconfig
from lab.build.modules import Module, in_load_order
from lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One driver.

    Attributes:
        module: Its module's name.
        option: What builds it, without CONFIG_.
        sign: A text that is in a boot image if it is built in: a parameter's name, mostly.
        use: What an L1 does with it.
        flag: The processor's flag, as in /proc/cpuinfo, without which it cannot be loaded.
        arch: The architecture that it is for; None for both.
    """

    module: str
    option: str
    sign: bytes
    use: str
    flag: str = ""
    arch: Arch | None = None


_COMMON = (
    Driver(module="virtio_pci", option="VIRTIO_PCI", sign=b"virtio_pci.force_legacy", use="PCI"),
    Driver(module="virtio_blk", option="VIRTIO_BLK", sign=b"virtio_blk.queue_depth", use="disks"),
    Driver(module="virtio_net", option="VIRTIO_NET", sign=b"virtio_net.napi_weight", use="network"),
    Driver(module="squashfs", option="SQUASHFS", sign=b"squashfs: version", use="disks"),
    Driver(module="overlay", option="OVERLAY_FS", sign=b"overlay.redirect_dir", use="root"),
)
_KVM = (
    Driver(
        module="kvm_amd", option="KVM_AMD", sign=b"kvm_amd.nested", use="guests", flag="svm",
        arch=Arch.X86_64,
    ),
    Driver(
        module="kvm_intel", option="KVM_INTEL", sign=b"kvm_intel.nested", use="guests", flag="vmx",
        arch=Arch.X86_64,
    ),
    Driver(module="kvm", option="KVM", sign=b"kvm-arm.mode", use="guests", arch=Arch.ARM64),
)  # fmt: skip
_WELCOME = (Driver(module="virtio_rng", option="HW_RANDOM_VIRTIO", sign=b"", use="entropy"),)


@dataclass(frozen=True, slots=True)
class Built:
    """What is known of a kernel that somebody else built.

    Attributes:
        name: Its name in lab.toml.
        arch: Its architecture.
        kernel: The unpacked image.
        config: Its configuration; None if nothing tells it.
        built_in: What modules.builtin names.
    """

    name: str
    arch: Arch
    kernel: bytes
    config: str | None
    built_in: Collection[str] = ()

    def has(self, driver: Driver) -> bool:
        """Return whether a driver is built in.

        Args:
            driver: The driver.

        Returns:
            Whether any of the three says so.
        """
        if driver.module in self.built_in or (driver.sign and driver.sign in self.kernel):
            return True
        return self.config is not None and kconfig.values(self.config).get(driver.option) == "y"


def to_load(built: Built, there: Mapping[str, Module], where: Path) -> tuple[Module, ...]:
    """Return the modules that an L1's init loads, in order.

    Args:
        built: The kernel.
        there: Its modules, by name.
        where: Where they come from, for the message.

    Returns:
        The modules; none if all is built in.

    Raises:
        ConfigError: A driver is neither built in nor a module that is there; all are named.
    """
    missing = [driver for driver in _COMMON if not _can(driver, built, there)]
    kvm = [driver for driver in _KVM if driver.arch is built.arch]
    if not any(_can(driver, built, there) for driver in kvm):
        missing.append(kvm[0])
    if missing:
        raise ConfigError(
            f"kernel {built.name!r} ({where}) cannot be a host; it has neither built in nor as a "
            f"module: {', '.join(f'{d.option} ({d.use})' for d in missing)}",
            hint="add modules = 'FOLDER' with /lib/modules/RELEASE of that kernel, or name a "
            "package that has them"
            if not there
            else "take a kernel that has them",
        )
    wanted = [
        driver.module
        for driver in (*_COMMON, *kvm, *_WELCOME)
        if driver.module in there and not built.has(driver)
    ]
    return in_load_order(wanted, there)


def flag_of(module: str) -> str:
    """Return the processor's flag without which a module cannot be loaded; "" for most."""
    return next((driver.flag for driver in _KVM if driver.module == module), "")


def _can(driver: Driver, built: Built, there: Mapping[str, Module]) -> bool:
    return driver.module in there or built.has(driver)

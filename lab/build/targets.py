# SPDX-License-Identifier: Apache-2.0
"""What the two architectures are called by the kernel, by Debian and by compilers."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One architecture that kernels and root file systems are built for."""

    name: str
    kernel: str
    """ARCH= of the kernel's makefiles."""
    debian: str
    image: str
    """The boot image, beneath the build folder."""
    triplet: str
    objects: int
    """About how many objects a build of the stock recipe makes."""


_TARGETS = (
    Target(
        name="x86_64",
        kernel="x86",
        debian="amd64",
        image="arch/x86/boot/bzImage",
        triplet="x86_64-linux-gnu",
        objects=2160,
    ),
    Target(
        name="arm64",
        kernel="arm64",
        debian="arm64",
        image="arch/arm64/boot/Image",
        triplet="aarch64-linux-gnu",
        objects=2060,
    ),
)


def target(arch: str) -> Target:
    """Give the target called `arch`.

    Raises:
        ConfigError: there is none.
    """
    for known in _TARGETS:
        if known.name == arch:
            return known
    names = ", ".join(f"'{known.name}'" for known in _TARGETS)
    raise ConfigError(f"unknown architecture '{arch}'", hint=f"known are {names}")


def native() -> Target:
    """Give the target that this machine is.

    Raises:
        ConfigError: it is neither of them.
    """
    machine = os.uname().machine
    return target("arm64" if machine == "aarch64" else machine)

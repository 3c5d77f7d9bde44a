# SPDX-License-Identifier: Apache-2.0
"""The arm64 machine as a guest sees it: QEMU's `virt` map, its device tree, and Linux's Image."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ...errors import VmmError
from ...machine.driver import Boot
from .fdt import Node, cells64

PAGE = 4096
DISTRIBUTOR = 0x0800_0000, 0x1_0000
REDISTRIBUTORS = 0x080A_0000, 0xF6_0000
UART = 0x0900_0000, 0x1000
UART_SPI = 1
CMDLINE_MAX = 2047  # COMMAND_LINE_SIZE of arm64 Linux, less the zero at its end

IMAGE_MAGIC = b"ARM\x64"
IMAGE_MAGIC_AT = 56
ALIGNED = 2 << 20  # an Image that asks for no offset goes here, behind the device tree

GIC, CLOCK = 1, 2  # phandles
SPI, PPI = 0, 1
LEVEL_HIGH = 4
TIMER_PPIS = (13, 14, 11, 10)  # secure, non-secure, virtual, hypervisor


class Place(NamedTuple):
    """Where an Image goes, from where RAM begins, and the room that it needs there."""

    offset: int
    size: int


def image_place(image: bytes, what: str) -> Place:
    """Read the header of an arm64 Image.

    Args:
        image: The file's content.
        what: What it is, for the error.

    Returns:
        Where it goes, and the room that it needs there.

    Raises:
        VmmError: It is no arm64 Image.

    Source: Documentation/arch/arm64/booting.rst.
    """
    if image[IMAGE_MAGIC_AT : IMAGE_MAGIC_AT + 4] != IMAGE_MAGIC:
        raise VmmError(
            f"{what} is no arm64 Image",
            hint="give it arch/arm64/boot/Image, not compressed, or a payload's .img",
        )
    offset, size = struct.unpack_from("<QQ", image, 8)
    return Place(offset if offset >= PAGE else ALIGNED, size)


def device_tree(
    boot: Boot, base: int, size: int, initrd: tuple[int, int] | None, seed: bytes
) -> Node:
    """Describe the machine.

    Args:
        boot: Command line and number of vCPUs.
        base: Guest-physical address of RAM.
        size: Bytes of RAM.
        initrd: Guest-physical addresses of its first byte and behind its last; None without.
        seed: Random bytes for the guest's kernel.

    Returns:
        The tree's root.

    Raises:
        VmmError: The command line is too long or not ASCII.
    """
    if not boot.cmdline.isascii() or len(boot.cmdline) > CMDLINE_MAX:
        raise VmmError(
            f"command line of {len(boot.cmdline)} characters; at most {CMDLINE_MAX}, all ASCII"
        )
    return Node(
        "",
        {
            "compatible": "linux,dummy-virt",
            "#address-cells": [2],
            "#size-cells": [2],
            "interrupt-parent": [GIC],
        },
        (
            _chosen(boot, initrd, seed),
            Node(f"memory@{base:x}", {"device_type": "memory", "reg": cells64(base, size)}),
            _cpus(boot.vcpus),
            Node("psci", {"compatible": ["arm,psci-1.0", "arm,psci-0.2"], "method": "hvc"}),
            Node(
                "timer",
                {
                    "compatible": "arm,armv8-timer",
                    "always-on": b"",
                    "interrupts": [x for n in TIMER_PPIS for x in (PPI, n, LEVEL_HIGH)],
                },
            ),
            _interrupt_controller(),
            _clock(),
            _uart(),
        ),
    )


def _chosen(boot: Boot, initrd: tuple[int, int] | None, seed: bytes) -> Node:
    properties: dict[str, bytes | str | list[int]] = {
        "bootargs": boot.cmdline,
        "stdout-path": f"/pl011@{UART[0]:x}",
        "rng-seed": seed,
    }
    if initrd:
        properties["linux,initrd-start"] = cells64(initrd[0])
        properties["linux,initrd-end"] = cells64(initrd[1])
    return Node("chosen", properties)


def _cpus(count: int) -> Node:
    return Node(
        "cpus",
        {"#address-cells": [1], "#size-cells": [0]},
        [
            Node(
                f"cpu@{mpidr:x}",
                {
                    "device_type": "cpu",
                    "compatible": "arm,armv8",
                    "enable-method": "psci",
                    "reg": [mpidr],
                },
            )
            for mpidr in map(affinity, range(count))
        ],
    )


def affinity(index: int) -> int:
    """Return the MPIDR that KVM gives a vCPU: 16 of them share an Aff1.

    Args:
        index: The vCPU's index.

    Returns:
        Aff0 in bits 0 to 7, Aff1 in bits 8 to 15.

    Source: reset_mpidr() in arch/arm64/kvm/sys_regs.c.
    """
    return index % 16 | index // 16 << 8


def _interrupt_controller() -> Node:
    return Node(
        f"intc@{DISTRIBUTOR[0]:x}",
        {
            "compatible": "arm,gic-v3",
            "#interrupt-cells": [3],
            "interrupt-controller": b"",
            "#address-cells": [2],
            "#size-cells": [2],
            "reg": cells64(*DISTRIBUTOR, *REDISTRIBUTORS),
            "phandle": [GIC],
        },
    )


def _clock() -> Node:
    return Node(
        "apb-pclk",
        {
            "compatible": "fixed-clock",
            "#clock-cells": [0],
            "clock-frequency": [24_000_000],
            "clock-output-names": "clk24mhz",
            "phandle": [CLOCK],
        },
    )


def _uart() -> Node:
    return Node(
        f"pl011@{UART[0]:x}",
        {
            "compatible": ["arm,pl011", "arm,primecell"],
            "reg": cells64(*UART),
            "interrupts": [SPI, UART_SPI, LEVEL_HIGH],
            "clocks": [CLOCK, CLOCK],
            "clock-names": ["uartclk", "apb_pclk"],
        },
    )

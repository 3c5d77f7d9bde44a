# SPDX-License-Identifier: Apache-2.0
"""The RAM of a real QEMU is found in it, at the addresses that its machine has it at."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from lab.virt.memory_view import Layout, memory_view

pytestmark = pytest.mark.vm
MIB, GIB = 1 << 20, 1 << 30
VALUE = 0x1122334455667788


@pytest.mark.parametrize(
    ("argv", "mib", "base"),
    [
        (("qemu-system-x86_64", "-M", "q35"), 2048, 0),
        (("qemu-system-x86_64", "-M", "q35"), 3072, 0),
        (("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57"), 512, GIB),
    ],
    ids=["x86-64", "x86-64-with-a-hole", "arm64"],
)
def test_what_a_machine_has_in_its_ram_is_read(argv: tuple[str, ...], mib: int, base: int) -> None:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]}")
    name, phys = f"view-{time.monotonic_ns()}", base + 16 * MIB
    loader = f"loader,addr={phys:#x},data={VALUE:#x},data-len=8"
    stopped = ["-S", "-display", "none", "-nodefaults", "-accel", "tcg"]
    about = ["-m", str(mib), "-name", f"guest={name},debug-threads=on", "-device", loader]
    with subprocess.Popen([*argv, *stopped, *about]) as qemu:
        try:
            layout, deadline = Layout(mib * MIB, base), time.monotonic() + 20
            found: list[int] = []
            while not found and time.monotonic() < deadline:
                with memory_view(name, layout) as view:
                    for at, data in view.pieces() if view else ():
                        if (n := data.find(VALUE.to_bytes(8, "little"))) >= 0:
                            found.append(at + n)
            assert found == [phys]
        finally:
            qemu.kill()

# SPDX-License-Identifier: Apache-2.0
"""All of it together: what was built boots, and says what it promises to say."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.build import initrd, rootfs, seed
from lab.build.cache import standard
from lab.build.kernel import KernelImage
from lab.build.recipes import kernel_for
from lab.build.supply import Supply
from lab.config.enums import Arch
from lab.config.load import load_lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]  # from nothing, a kernel takes long

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "ssh_host_ed25519_key": (b"not a key\n", 0o600),
    "authorized_keys": (b"", 0o600),
    "hostname": (b"l1-test\n", 0o644),
    "nonce": (b"0123456789abcdef\n", 0o644),
    "run-id": (b"test\n", 0o644),
}


@pytest.fixture(scope="module", params=["stock", "debian"])
def kernel(request: pytest.FixtureRequest) -> KernelImage:
    """A kernel with all that L1 needs built in, and one whose drivers its init loads."""
    lab = load_lab(ROOT / "lab.toml")
    spec, supply = lab.kernel[request.param], Supply.of(lab)
    return kernel_for(request.param, spec, Arch.X86_64, standard(), supply=supply)


def console(
    kernel: KernelImage, folder: Path, files: Mapping[str, tuple[bytes, int]], *words: str
) -> str:
    """What an L1 says until it powers itself off."""
    image = folder / "initrd"
    image.write_bytes(initrd.build(kernel, standard()).read_bytes() + seed.make(files))
    root = rootfs.build(Arch.X86_64, standard(), Supply.of(load_lab(ROOT / "lab.toml")))
    done = subprocess.run(
        [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max",
            "-m", "1024", "-smp", "2", "-nodefaults", "-no-reboot", "-display", "none",
            "-serial", "stdio", "-kernel", kernel.image, "-initrd", image,
            "-drive", f"file={root},if=virtio,format=raw,readonly=on",
            "-append", " ".join(["console=ttyS0 panic=-1 tsc=reliable", *words]),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=True,
    )  # fmt: skip
    return done.stdout.decode(errors="replace")


def test_a_machine_comes_to_userland_and_powers_itself_off(
    kernel: KernelImage, tmp_path: Path
) -> None:
    said = console(kernel, tmp_path, FILES, "lab.poweroff=1")
    assert f"Linux version {kernel.release} " in said
    assert re.search(r"LAB-INIT userland\r?$", said, re.MULTILINE)
    assert "reboot: Power down" in said


def test_a_step_that_fails_is_said_and_ends_the_machine(
    kernel: KernelImage, tmp_path: Path
) -> None:
    """No host key, no sshd: nobody has to wait until the time is up."""
    said = console(kernel, tmp_path, FILES)
    assert re.search(r"LAB-INIT failed: sshd: it does not listen: .*host", said)
    assert "LAB-INIT ready" not in said

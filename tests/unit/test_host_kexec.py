# SPDX-License-Identifier: Apache-2.0
"""Loading the next kernel: by a system call that is there, with that kernel's own modules."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.build import initrd
from lab.build.kernel import KernelImage
from lab.config.model import Arch, KexecLoad
from lab.deadline import Deadline
from lab.host import kexec

BY = Deadline.after(60)
RETAINED = "/sys/firmware/initrd"
BOTH = "/run/lab/initrd-with-modules"


def kernel(
    folder: Path, name: str, *, config: str = "", release: str = "7.3.4", modules: bool = False
) -> KernelImage:
    own = folder / name
    own.mkdir()
    (own / "config").write_text(config)
    if modules:
        (own / "modules").mkdir()
        (own / "modules/order").write_text(f"{name}.ko\n")
    return KernelImage(
        name=name,
        arch="x86_64",
        image=own / "bzImage",
        vmlinux=own / "vmlinux",
        config=own / "config" if config else None,
        release=release,
        build_id=name,
        digest=name,
        source="here",
        modules=own / "modules" if modules else None,
    )


class Host:
    """A host that notes what is put there and typed there."""

    def __init__(self, runs: KernelImage, folder: Path) -> None:
        self.runs = runs
        self.put: dict[str, tuple[Any, int]] = {}
        self.typed: list[list[str]] = []
        self.blueprint = SimpleNamespace(
            kernel=runs, folder=folder, request=SimpleNamespace(arch=Arch.X86_64)
        )
        self.session = SimpleNamespace(put=self._put, check=self._check)

    def _put(self, source: Any, remote: str, mode: int = 0o644, *, by: Any) -> None:
        self.put[remote] = (source, mode)

    def _check(self, argv: list[str], *, by: Any) -> None:
        self.typed.append(argv)

    def cmdline(self, *, nonce: str, extra: tuple[str, ...]) -> str:
        """Compose a command line."""
        return " ".join((f"lab.nonce={nonce}", *extra))

    @property
    def kexec(self) -> list[str]:
        """What was typed last, without the command line."""
        return self.typed[-1][:-1]


def load(host: Any, how: KexecLoad = KexecLoad.FILE_LOAD, **said: Any) -> kexec.Loaded:
    return kexec.load(host, how=how, by=BY, **said)


def test_own_kernel_boots_with_the_initrd_that_it_booted_with(tmp_path: Path) -> None:
    host = Host(kernel(tmp_path, "stock"), tmp_path)
    loaded = load(host)
    assert host.kexec == ["kexec", "-s", "-l", "/lab/bzImage", f"--initrd={RETAINED}"]
    assert (loaded.kernel, loaded.how) == (host.runs, KexecLoad.FILE_LOAD)
    assert not host.put


@pytest.mark.parametrize(
    ("config", "flag", "how"),
    [
        ("CONFIG_KEXEC=y", "-c", KexecLoad.LOAD),
        ("CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y", "-s", KexecLoad.FILE_LOAD),
        ("", "-s", KexecLoad.FILE_LOAD),
    ],
)
def test_without_kexec_file_the_older_call_is_used_and_said(
    config: str, flag: str, how: KexecLoad, tmp_path: Path
) -> None:
    host: Any = Host(kernel(tmp_path, "debian", config=config), tmp_path)
    assert load(host).how is how
    assert host.kexec[:3] == ["kexec", flag, "-l"]
    assert kexec.load_crash(host, by=BY).how is how
    assert host.kexec[:3] == ["kexec", flag, "-p"]
    assert "crashkernel=0" in host.typed[-1][-1]


@pytest.mark.parametrize(("mine", "theirs"), [(True, False), (False, True), (True, True)])
def test_another_kernel_gets_its_own_modules(mine: bool, theirs: bool, tmp_path: Path) -> None:
    host = Host(kernel(tmp_path, "debian", modules=mine), tmp_path)
    other = kernel(tmp_path, "stock", modules=theirs)
    assert load(host, other=other).kernel is other
    assert host.kexec == ["kexec", "-s", "-l", "/run/lab/other-kernel", f"--initrd={BOTH}"]
    assert host.put["/run/lab/other-kernel"][0] == other.image
    assert host.put["/run/lab/modules.cpio.gz"][0] == initrd.modules_of(other)
    assert host.typed[0][-1] == f"umask 077; cat {RETAINED} /run/lab/modules.cpio.gz >{BOTH}"


def test_the_way_back_gets_its_modules_back(tmp_path: Path) -> None:
    host = Host(kernel(tmp_path, "debian", modules=True), tmp_path)
    host.runs = kernel(tmp_path, "stock")
    load(host)
    assert f"--initrd={BOTH}" in host.kexec
    assert host.put["/run/lab/modules.cpio.gz"][0] == initrd.modules_of(host.blueprint.kernel)


def test_kernels_without_modules_share_an_initrd(tmp_path: Path) -> None:
    host = Host(kernel(tmp_path, "stock"), tmp_path)
    load(host, other=kernel(tmp_path, "reference"))
    assert f"--initrd={RETAINED}" in host.kexec


def test_an_old_kernel_that_does_not_show_its_initrd_is_given_it_again(tmp_path: Path) -> None:
    host = Host(kernel(tmp_path, "old", release="6.1.0-57-cloud-amd64", modules=True), tmp_path)
    load(host)
    assert f"--initrd={kexec._INITRD}" in host.kexec
    assert host.put == {kexec._INITRD: (tmp_path / "initrd", 0o600)}

# SPDX-License-Identifier: Apache-2.0
"""Kernels that somebody else built: images, folders of modules, and packages, all made up here."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest

from lab.build import initrd, prebuilt
from lab.build.cache import Cache
from lab.build.kernel import KernelImage
from lab.config.enums import Arch
from lab.errors import ConfigError
from tests.support import kernel_packages as made_up
from tests.support.kernel_packages import BUILD_ID, RELEASE, deb, files, packed, rpm

X86, ARM = Arch.X86_64, Arch.ARM64
ORDER = """\
virtio_blk.ko
failover.ko
net_failover.ko
virtio_net.ko
squashfs.ko
overlay.ko
irqbypass.ko
kvm.ko
kvm_amd.ko svm
"""
WHOLE = b"\0".join(
    (
        b"virtio_pci.force_legacy",
        b"virtio_blk.queue_depth",
        b"virtio_net.napi_weight",
        b"squashfs: version",
        b"overlay.redirect_dir",
        b"kvm_intel.nested",
    )
)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def written(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def from_packages(folder: Path, cache: Cache, *packages: bytes, arch: Arch = X86) -> KernelImage:
    named = {f"{n}.pkg": content for n, content in enumerate(packages)}
    written(folder, named)
    return prebuilt.of_packages("theirs", arch, [folder / name for name in named], cache)


def entries(archive: bytes) -> set[str]:
    """The names in folder modules of a newc archive: each stands behind a sum of eight zeros."""
    return {name.decode() for name in re.findall(rb"0{8}modules/([\w.]+)\0", archive)}


def insist_whole(kernel: KernelImage) -> None:
    """It can be booted, identified, and asked for its options; its modules are raw, in order."""
    assert (kernel.release, kernel.build_id) == (RELEASE, BUILD_ID)
    assert kernel.image.read_bytes() == made_up.vmlinuz()
    assert kernel.vmlinux.read_bytes() == made_up.kernel()
    assert (kernel.lacks("KEXEC"), kernel.lacks("LIVEUPDATE")) == (False, True)
    assert kernel.modules is not None
    assert (kernel.modules / "order").read_text() == ORDER
    for line in ORDER.splitlines():
        assert (kernel.modules / line.split()[0]).read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("how", ["xz", "gz", "", "zst"])
@pytest.mark.parametrize("pack", ["xz", "", "zst"])
def test_kernel_comes_out_of_a_debian_or_ubuntu_package(
    how: str, pack: str, tmp_path: Path, cache: Cache
) -> None:
    if "zst" in {how, pack} and not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    insist_whole(from_packages(tmp_path, cache, deb(files(pack=pack), how)))


def test_kernel_comes_in_several_packages(tmp_path: Path, cache: Cache) -> None:
    whole = files()
    image = {name: content for name, content in whole.items() if "vmlinuz" in name}
    rest = {name: content for name, content in whole.items() if "vmlinuz" not in name}
    insist_whole(from_packages(tmp_path, cache, deb({}), deb(image), deb(rest)))


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar is not installed")
@pytest.mark.parametrize("how", ["gz", "xz", "zst"])
def test_kernel_comes_out_of_a_fedora_package(how: str, tmp_path: Path, cache: Cache) -> None:
    root = f"lib/modules/{RELEASE}"
    theirs = {
        name.replace("usr/", "")
        .replace(f"boot/vmlinuz-{RELEASE}", f"{root}/vmlinuz")
        .replace(f"boot/config-{RELEASE}", f"{root}/config"): content
        for name, content in files().items()
    }
    insist_whole(from_packages(tmp_path, cache, rpm(theirs, how)))


def test_kernel_is_an_image_and_its_folder_of_modules(tmp_path: Path, cache: Cache) -> None:
    root = written(tmp_path, files(root="lib/modules"))
    image = root / f"boot/vmlinuz-{RELEASE}"
    shutil.copy(root / f"boot/config-{RELEASE}", root / f"lib/modules/{RELEASE}/config")
    for folder in (root / "lib/modules", root / "lib/modules" / RELEASE):
        insist_whole(prebuilt.take("theirs", X86, image, cache, folder=folder))


def test_modules_of_another_release_beside_are_left_alone(tmp_path: Path, cache: Cache) -> None:
    other = {
        name.replace(f"modules/{RELEASE}", "modules/6.1.0"): content
        for name, content in files(release="6.1.0").items()
        if name.endswith(".ko.xz")
    }
    insist_whole(from_packages(tmp_path, cache, deb(files() | other)))


def test_modules_are_in_the_initramfs_beside_init(tmp_path: Path, cache: Cache) -> None:
    kernel = from_packages(tmp_path, cache, deb(files()))
    archive = gzip.decompress(initrd.build(kernel, cache).read_bytes())
    assert entries(archive) == {"order", *(line.split()[0] for line in ORDER.splitlines())}
    assert ORDER.encode() in archive


def test_initramfs_of_a_kernel_without_modules_has_none(cache: Cache, tmp_path: Path) -> None:
    image = written(tmp_path, {"bzImage": made_up.vmlinuz(WHOLE)}) / "bzImage"
    kernel = prebuilt.take("theirs", X86, image, cache)
    assert kernel.modules is None
    assert not entries(gzip.decompress(initrd.build(kernel, cache).read_bytes()))
    assert entries(gzip.decompress(initrd.modules_of(kernel))) == {"order"}


def test_an_image_alone_tells_at_once_which_drivers_are_missing(
    tmp_path: Path, cache: Cache
) -> None:
    image = written(tmp_path, {"bzImage": made_up.vmlinuz()}) / "bzImage"
    with pytest.raises(ConfigError) as caught:
        prebuilt.take("theirs", X86, image, cache)
    assert str(caught.value).startswith(
        f"kernel 'theirs' ({image}) cannot be a host; it has neither built in nor as a module: "
        "VIRTIO_BLK (disks), VIRTIO_NET (network), SQUASHFS (disks), OVERLAY_FS (root), "
        "KVM_AMD (guests)"
    )
    assert "add modules = 'FOLDER'" in str(caught.value)


@pytest.mark.parametrize("sign", WHOLE.split(b"\0"))
def test_each_driver_that_is_missing_is_noticed(sign: bytes, tmp_path: Path, cache: Cache) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(made_up.vmlinuz(WHOLE.replace(sign, b"")))
    with pytest.raises(ConfigError, match="cannot be a host"):
        prebuilt.take("theirs", X86, image, cache)


def test_a_configuration_within_the_image_is_read(tmp_path: Path, cache: Cache) -> None:
    inside = b"IKCFG_ST" + gzip.compress(b"CONFIG_VIRTIO_BLK=y\n# CONFIG_LIVEUPDATE is not set\n")
    signs = WHOLE.replace(b"virtio_blk.queue_depth", b"") + inside + b"IKCFG_ED"
    image = written(tmp_path, {"bzImage": made_up.vmlinuz(signs)}) / "bzImage"
    kernel = prebuilt.take("theirs", X86, image, cache)
    assert (kernel.lacks("VIRTIO_BLK"), kernel.lacks("LIVEUPDATE")) == (False, True)


def test_a_kernel_that_tells_no_configuration_lacks_nothing(tmp_path: Path, cache: Cache) -> None:
    image = written(tmp_path, {"bzImage": made_up.vmlinuz(WHOLE)}) / "bzImage"
    assert not prebuilt.take("theirs", X86, image, cache).lacks("LIVEUPDATE")


@pytest.mark.parametrize(
    "image",
    [
        made_up.arm64_image(WHOLE + b"kvm-arm.mode"),
        gzip.compress(made_up.arm64_image(WHOLE + b"kvm-arm.mode")),
        made_up.zboot(gzip.compress(made_up.arm64_image(WHOLE + b"kvm-arm.mode"))),
    ],
    ids=["plain", "gzip", "zboot"],
)
def test_an_image_of_arm64_is_booted_unpacked(image: bytes, tmp_path: Path, cache: Cache) -> None:
    file = written(tmp_path, {"vmlinuz": image}) / "vmlinuz"
    kernel = prebuilt.take("theirs", ARM, file, cache)
    assert (kernel.release, kernel.build_id) == (RELEASE, BUILD_ID)
    assert kernel.image.read_bytes() == made_up.arm64_image(WHOLE + b"kvm-arm.mode")


# --- What is wrong ------------------------------------------------------------------------------


def test_an_image_of_another_architecture_is_said(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=r"is for x86_64, and a host of arm64 is to boot it"):
        from_packages(tmp_path, cache, deb(files()), arch=ARM)


def test_packages_without_an_image_are_said(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=r"there is no vmlinuz in 0\.pkg"):
        from_packages(tmp_path, cache, deb({"usr/share/doc/x": b""}))


def test_packages_with_two_images_are_said(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=r"2 kernels are in .*vmlinuz-a, boot/vmlinuz-b"):
        from_packages(tmp_path, cache, deb({"boot/vmlinuz-a": b"", "boot/vmlinuz-b": b""}))


def test_a_package_without_modules_is_said(tmp_path: Path, cache: Cache) -> None:
    image = {name: content for name, content in files().items() if "boot/" in name}
    with pytest.raises(ConfigError, match=r"neither built in nor as a module: VIRTIO_BLK"):
        from_packages(tmp_path, cache, deb(image))


@pytest.mark.parametrize("name", ["net-failover", "irqbypass", "failover"])
def test_a_module_that_others_need_is_missed_at_once(
    name: str, tmp_path: Path, cache: Cache
) -> None:
    missing = re.escape(name.replace("-", "_"))
    with pytest.raises(ConfigError, match=f"needs '{missing}', and that is missing"):
        from_packages(tmp_path, cache, deb(files(without=name)))


def test_modules_of_another_kernel_are_said(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=r"its module 'virtio_blk\.ko\.xz' is for 6\.1\.0"):
        from_packages(tmp_path, cache, deb(files(release="6.1.0")))


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (b"PK\x03\x04zip", r"is no \.deb and no \.rpm \(starts 504b0304\)"),
        (deb(files())[:-100], "is damaged: it ends in the middle"),
        (b"!<arch>\n" + b"x" * 60, "is damaged: no size in its ar header"),
        (b"!<arch>\n", "it has no data.tar"),
        (deb({"../vmlinuz": b""}), r"is damaged: it holds '\.\./vmlinuz'"),
        (deb(files() | {f"usr/lib/modules/{RELEASE}/overlay.ko.xz": packed(b"x", "xz")}),
         "is no kernel module: it is no 64-bit little-endian ELF file"),
        (deb(files() | {f"usr/lib/modules/{RELEASE}/overlay.ko.xz": b"\xfd7zXZ\0 and no more"}),
         "is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_package_is_said(package: bytes, said: str, tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=said):
        from_packages(tmp_path, cache, package)


def test_a_file_that_is_no_boot_image_is_said(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF" + bytes(1024))
    with pytest.raises(ConfigError, match="is not a bzImage"):
        prebuilt.take("theirs", X86, tmp_path / "vmlinux", cache)
    with pytest.raises(ConfigError, match="is not there"):
        prebuilt.take("theirs", X86, tmp_path / "no", cache)

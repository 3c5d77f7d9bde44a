# SPDX-License-Identifier: Apache-2.0
"""Reading kernel packages: Debian's and Ubuntu's .deb by ourselves, Fedora's .rpm by bsdtar.

No package manager is asked, so that a package of any distribution is read on any machine.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from lab.build.commands import need, output
from lab.build.compression import BROKEN, unpacked
from lab.errors import ConfigError

_AR = b"!<arch>\n"
_AR_HEAD = 60
_RPM = b"\xed\xab\xee\xdb"
_NAMES = ("vmlinuz", "config", "modules.builtin")


def unpack_kernel(packages: Iterable[Path], into: Path) -> None:
    """Unpack what belongs to a kernel: boot image, configuration, modules.

    Args:
        packages: Files, .deb or .rpm.
        into: The folder for what is in them, beneath the paths that it has there.

    Raises:
        ConfigError: One is no package, or is damaged.
    """
    for package in packages:
        with package.open("rb") as file:
            head = file.read(len(_AR))
        if head.startswith(_RPM):
            _unpack_rpm(package, into)
        elif head == _AR:
            _unpack_deb(package, into)
        else:
            raise ConfigError(f"'{package}' is no .deb and no .rpm (starts {head[:4].hex()})")


def of_kernel(path: PurePath) -> bool:
    """Return whether a file of a package belongs to a kernel.

    Args:
        path: Its path there.

    Returns:
        Whether it is a boot image, a configuration or a module.
    """
    name = path.name
    return (
        name in _NAMES
        or name.startswith(("vmlinuz-", "config-"))
        or name.endswith((".ko", ".ko.xz", ".ko.zst", ".ko.gz"))
    )


def _unpack_deb(package: Path, into: Path) -> None:
    for name, content in _members(package):
        if not name.startswith("data.tar"):
            continue
        try:
            with tarfile.open(fileobj=io.BytesIO(unpacked(content))) as archive:
                for member in archive:
                    path = PurePosixPath(member.name)
                    if member.isfile() and of_kernel(path):
                        file = archive.extractfile(member)
                        assert file is not None  # noqa: S101 - isfile(), above
                        _write(package, path, file.read(), into)
        except (tarfile.TarError, *BROKEN) as e:
            raise ConfigError(f"'{package}' is damaged: {name}: {e}") from e
        return
    raise ConfigError(f"'{package}' is no Debian package: it has no data.tar")


def _members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an ar archive's members."""
    with package.open("rb") as file:
        file.seek(len(_AR))
        while len(head := file.read(_AR_HEAD)) == _AR_HEAD:
            try:
                size = int(head[48:58])
            except ValueError as e:
                raise ConfigError(f"'{package}' is damaged: no size in its ar header") from e
            content = file.read(size)
            if len(content) < size:
                raise ConfigError(f"'{package}' is damaged: it ends in the middle")
            yield head[:16].decode("ascii", "replace").rstrip(" /"), content
            file.seek(size % 2, io.SEEK_CUR)


def _unpack_rpm(package: Path, into: Path) -> None:
    bsdtar = need("bsdtar", package="libarchive-tools")
    with tempfile.TemporaryDirectory(dir=into) as whole:
        output(
            [bsdtar, "-x", "-f", package, "-C", whole],
            doing=f"unpacking {package.name}",
        )
        for path in sorted(Path(whole).rglob("*")):
            inside = PurePosixPath(path.relative_to(whole))
            if path.is_file() and not path.is_symlink() and of_kernel(inside):
                (into / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, into / inside)


def _write(package: Path, path: PurePosixPath, content: bytes, into: Path) -> None:
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"'{package}' is damaged: it holds '{path}'")
    file = into / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)

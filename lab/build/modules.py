# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: which of them an L1 loads, and in which order.

Packages have no modules.dep: it is made on the machine that they are installed on. So what a module
depends on is read from the module itself, from its section .modinfo.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.build.compression import BROKEN, unpacked
from lab.errors import ConfigError

_MAGIC = b"\x7fELF\x02\x01"
_ENDS = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")
_SECTION = struct.Struct("<IIQQQQ")  # of a section's header, the part that is needed
_SECTION_BYTES = 64


@dataclass(frozen=True)
class Module:
    """One module, unpacked."""

    name: str
    path: Path

    @cached_property
    def content(self) -> bytes:
        """The ELF file."""
        try:
            return unpacked(self.path.read_bytes())
        except BROKEN as e:
            raise ConfigError(f"module '{self.path}' is damaged: {e}") from e

    @cached_property
    def info(self) -> Mapping[str, str]:
        """What its .modinfo says; of a key that is there more than once, the last."""
        words = _modinfo(self.content, self.path).decode(errors="replace").split("\0")
        return dict(word.partition("=")[::2] for word in words if word)

    @property
    def needs(self) -> tuple[str, ...]:
        """The modules that must be loaded before it."""
        return tuple(_plain(name) for name in self.info.get("depends", "").split(",") if name)

    @property
    def release(self) -> str:
        """The release of the kernel that it is for."""
        return self.info.get("vermagic", "").partition(" ")[0]


def in_folder(folder: Path, release: str) -> dict[str, Module]:
    """Return the modules of a kernel.

    Args:
        folder: /lib/modules/RELEASE, or a folder that it is somewhere beneath.
        release: The kernel's release: modules of another, beside it, are left out.

    Returns:
        The modules by name, with '_' for '-'.
    """
    own = next((path for path in folder.rglob(release) if path.is_dir()), folder)
    return {
        _plain(path.name.partition(".")[0]): Module(_plain(path.name.partition(".")[0]), path)
        for path in sorted(own.rglob("*.ko*"))
        if path.name.endswith(_ENDS)
    }


def built_in(folder: Path) -> frozenset[str]:
    """Return the names of what could have been a module and is built in, by modules.builtin.

    Args:
        folder: Where the file is, or a folder that it is beneath.

    Returns:
        The names; none if there is no such file.
    """
    return frozenset(
        _plain(Path(line).stem)
        for file in folder.rglob("modules.builtin")
        for line in file.read_text(encoding="utf-8").splitlines()
    )


def in_load_order(wanted: Iterable[str], there: Mapping[str, Module]) -> tuple[Module, ...]:
    """Return modules, and before each what it depends on.

    Args:
        wanted: Names of modules that are there.
        there: All modules by name.

    Returns:
        The modules, each once.

    Raises:
        ConfigError: One that is needed is missing.
    """
    ordered: dict[str, Module] = {}

    def visit(name: str, chain: Sequence[str]) -> None:
        if name in ordered or name in chain:
            return
        if name not in there:
            raise ConfigError(
                f"module '{chain[-1]}' needs '{name}', and that is missing",
                hint="name the package, or the folder, that has all modules of this kernel",
            )
        for need in there[name].needs:
            visit(need, (*chain, name))
        ordered[name] = there[name]

    for name in wanted:
        visit(name, ())
    return tuple(ordered.values())


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _modinfo(raw: bytes, path: Path) -> bytes:
    """Return section .modinfo of a 64-bit little-endian ELF file."""
    if not raw.startswith(_MAGIC):
        raise ConfigError(f"'{path}' is no kernel module: it is no 64-bit little-endian ELF file")
    try:
        found = _section(raw, b".modinfo\0")
    except (IndexError, struct.error) as e:
        raise ConfigError(f"'{path}' is no kernel module: it is damaged: {e}") from e
    if found is None:
        raise ConfigError(f"'{path}' is no kernel module: it has no section .modinfo")
    return found


def _section(raw: bytes, wanted: bytes) -> bytes | None:
    (table,) = struct.unpack_from("<Q", raw, 40)
    _, count, names = struct.unpack_from("<HHH", raw, 58)
    sections = [_SECTION.unpack_from(raw, table + i * _SECTION_BYTES) for i in range(count)]
    text = sections[names][4]
    for name, _, _, _, offset, length in sections:
        if raw.startswith(wanted, text + name):
            return raw[offset : offset + length]
    return None

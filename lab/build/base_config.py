# SPDX-License-Identifier: Apache-2.0
"""A whole configuration, as of a distribution or a tree, in place of the smallest one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lab.arch import Architecture
from lab.build import kconfig
from lab.errors import ConfigError

_WRITTEN_BY_KCONFIG = "Automatically generated file; DO NOT EDIT."
_HEAD = re.compile(r"^# Linux/(\S+) (\S+) Kernel Configuration$", re.MULTILINE)
_SYMBOLS = {"x86": "X86", "arm64": "ARM64"}
_SHOWN = 10

# What a distribution builds with its own files and for its own packages; then what keeps the lab's
# fragments from being granted.
_NOT_HERE = (
    kconfig.Setting("SYSTEM_TRUSTED_KEYS", '""', "lab"),
    kconfig.Setting("SYSTEM_REVOCATION_KEYS", '""', "lab"),
    kconfig.Setting("MODULE_SIG_KEY", '"certs/signing_key.pem"', "lab"),
    kconfig.Setting("LOCALVERSION", '""', "lab"),
    kconfig.Setting("LOCALVERSION_AUTO", "n", "lab"),
    kconfig.Setting("MAXSMP", "n", "lab"),
    kconfig.Setting("SQUASHFS_CHOICE_DECOMP_BY_MOUNT", "n", "lab"),
)


def split(fragments: Sequence[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """Distinguish a whole configuration from fragments.

    Args:
        fragments: The files, in order.

    Returns:
        The last whole configuration, and the fragments.
    """
    whole = [path for path in fragments if path.is_file() and _is_whole(path)]
    return whole[-1] if whole else None, tuple(path for path in fragments if path not in whole)


def start(path: Path, target: Architecture) -> str:
    """Return a whole configuration as one to lay fragments over.

    Modules are left out, for L1 loads none; a distribution's keys and version, too.

    Args:
        path: The file.
        target: What is built.

    Returns:
        The text of a .config.

    Raises:
        ConfigError: It is for another architecture.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    head = _HEAD.search(text)
    made_for = head[1] if head else target.kernel
    set_here = kconfig.values(text)
    others = [arch for arch, symbol in _SYMBOLS.items() if symbol in set_here]
    if made_for != target.kernel or (others and target.kernel not in others):
        raise ConfigError(
            f"config '{path}' is for {others[0] if others else made_for}, and the kernel is built "
            f"for {target.kernel}",
            hint="take the configuration of that architecture, or build for this one only",
        )
    lines = [line for line in text.splitlines() if not re.fullmatch(r"CONFIG_\w+=m", line)]
    return kconfig.lay_over(
        "\n".join(lines), [setting for setting in _NOT_HERE if setting.symbol in set_here]
    )


def differences(path: Path, config: str, settings: Sequence[kconfig.Setting], into: Path) -> str:
    """Report what became of a whole configuration.

    Args:
        path: The file.
        config: The .config after olddefconfig.
        settings: What was laid over: it is no difference.
        into: The file to write all differences to.

    Returns:
        One line for people: how many there are, and ten of them.
    """
    said = kconfig.values(path.read_text(encoding="utf-8", errors="replace"))
    got, named = kconfig.values(config), {setting.symbol for setting in settings}
    modules = sum(value == "m" and name not in got for name, value in said.items())
    lines = [
        f"CONFIG_{name}={value} -> {got.get(name, 'not set')}"
        for name, value in said.items()
        if got.get(name) != value and name not in named
    ]
    into.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    others = [line for line in lines if "=m -> not set" not in line]
    shown = "; ".join(others[:_SHOWN]) + ("; ..." if len(others) > _SHOWN else "")
    return (
        f"config {path.name}: {modules} modules are left out, and {len(others)} other lines differ"
        + (f": {shown}" if shown else "")
        + f" (all in {into})"
    )


def _is_whole(path: Path) -> bool:
    if path.name == ".config":
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
    head = text[:1000]
    return _WRITTEN_BY_KCONFIG in head or _HEAD.search(head) is not None

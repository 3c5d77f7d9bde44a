# SPDX-License-Identifier: Apache-2.0
"""Configuration fragments: laid over a configuration, and proven to have survived kconfig."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ConfigError

_SET = re.compile(r"CONFIG_(\w+)=(.+)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_SHOWN = 10
_SYMBOL = re.compile(r"\b[A-Z0-9_]{2,}\b")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a fragment: a symbol, its value ('n': unset), and where the line is."""

    symbol: str
    value: str
    where: str

    @property
    def line(self) -> str:
        """The line as kconfig writes it."""
        if self.value == "n":
            return f"# CONFIG_{self.symbol} is not set"
        return f"CONFIG_{self.symbol}={self.value}"


def read_fragments(paths: Iterable[Path]) -> tuple[Setting, ...]:
    """Read fragments in order; of several settings of one symbol the last counts.

    Raises:
        ConfigError: A file is missing, or a line is neither a setting nor a comment.
    """
    settings: dict[str, Setting] = {}
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"config fragment '{path}' is not there")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            setting = _parse(line.strip(), f"{path.name}:{number}")
            if setting:
                settings[setting.symbol] = setting
    return tuple(settings.values())


def values(config: str) -> dict[str, str]:
    """Return what a .config sets, by symbol; a symbol that is not set is not there."""
    return {m[1]: m[2] for line in config.splitlines() if (m := _SET.fullmatch(line))}


def lay_over(config: str, settings: Sequence[Setting]) -> str:
    """Return `config` with `settings` in place of its own lines on the same symbols."""
    named = {setting.symbol for setting in settings}
    others = [
        line
        for line in config.splitlines()
        if not ((m := _SET.fullmatch(line) or _UNSET.fullmatch(line)) and m[1] in named)
    ]
    return "\n".join([*others, *(setting.line for setting in settings)]) + "\n"


def lost(settings: Iterable[Setting], config: str) -> tuple[Setting, ...]:
    """Return the settings that kconfig did not take.

    Args:
        settings: The lines of fragments.
        config: The .config after olddefconfig.

    Returns:
        Those that are otherwise in it.
    """
    got = values(config)
    return tuple(s for s in settings if got.get(s.symbol, "n") != s.value)


def undefined(symbols: Collection[str], tree: Path) -> frozenset[str]:
    """Return the symbols that no Kconfig file of a tree defines.

    Args:
        symbols: Their names, without CONFIG_.
        tree: The kernel source.

    Returns:
        Those that are unknown there.
    """
    defined = {
        name
        for text in _kconfigs(tree).values()
        for name in re.findall(r"^\s*(?:menu)?config (\w+)", text, re.MULTILINE)
    }
    return frozenset(symbols) - defined


def check_survival(settings: Iterable[Setting], config: str, tree: Path) -> None:
    """Check that kconfig took every setting.

    Args:
        settings: The lines of the fragments.
        config: The .config after olddefconfig.
        tree: The kernel source, whose Kconfig files have the reasons.

    Raises:
        ConfigError: It did not; the message has each lost line, with the reason if known.
    """
    got = values(config)
    gone = lost(settings, config)
    if not gone:
        return
    lines = []
    for setting in gone[:_SHOWN]:
        came = (
            f"CONFIG_{setting.symbol}={got[setting.symbol]}"
            if setting.symbol in got
            else "it is not set"
        )
        lines.append(f"{setting.where}: '{setting.line}' did not survive olddefconfig: {came}")
        lines.extend(f"    {reason}" for reason in _reasons(setting, got, tree))
    if len(gone) > _SHOWN:
        lines.append(f"and {len(gone) - _SHOWN} more lines did not survive")
    raise ConfigError(
        "\n".join(lines), hint="set what it depends on in a fragment, or drop the line"
    )


def _parse(line: str, where: str) -> Setting | None:
    if match := _SET.fullmatch(line):
        return Setting(match[1], match[2], where)
    if match := _UNSET.fullmatch(line):
        return Setting(match[1], "n", where)
    if line and not line.startswith("#"):
        raise ConfigError(
            f"{where}: '{line}' is no kernel configuration",
            hint="write CONFIG_X=y, or '# CONFIG_X is not set'",
        )
    return None


def _reasons(setting: Setting, got: Mapping[str, str], tree: Path) -> list[str]:
    texts = _kconfigs(tree)
    if setting.value == "n":
        return _selectors(setting.symbol, got, texts)
    found = [
        (file, block)
        for file, text in texts.items()
        for block in _definitions(setting.symbol, text)
    ]
    if not found:
        return [f"no Kconfig file of this kernel defines '{setting.symbol}'"]
    reasons = []
    for file, block in found:
        for needed in re.findall(r"^\s+depends on (.+)$", block, re.MULTILINE):
            unset = sorted({s for s in _SYMBOL.findall(needed) if s not in got})
            missing = f" (not set: {', '.join(unset)})" if unset else ""
            reasons.append(f"{file}: depends on {needed}{missing}")
        if not re.search(r'^\s+(bool|tristate|int|hex|string) *"|^\s+prompt ', block, re.MULTILINE):
            reasons.append(f"{file}: it has no prompt, so only another symbol can select it")
    return reasons


def _selectors(symbol: str, got: Mapping[str, str], texts: Mapping[Path, str]) -> list[str]:
    reasons = []
    for file, text in texts.items():
        for block in re.split(r"^(?=(?:menu)?config )", text, flags=re.MULTILINE):
            owner = block.split(maxsplit=2)[1:2]
            if re.search(rf"^\s+select {symbol}\b", block, re.MULTILINE) and owner[0] in got:
                reasons.append(f"{file}: {owner[0]}, which is set, selects it")
    return reasons


def _kconfigs(tree: Path) -> dict[Path, str]:
    return {
        file.relative_to(tree): _joined(file.read_text(encoding="utf-8", errors="replace"))
        for file in tree.rglob("Kconfig*")
        if file.is_file()
    }


def _joined(text: str) -> str:
    return re.sub(r"\\\n\s*", "", text)


def _definitions(symbol: str, text: str) -> list[str]:
    blocks = re.findall(rf"^(?:menu)?config {symbol}\n((?:[ \t].*\n|\n)*)", text, re.MULTILINE)
    return [
        re.split(r"^\s+(?:---)?help", block, maxsplit=1, flags=re.MULTILINE)[0] for block in blocks
    ]

# SPDX-License-Identifier: Apache-2.0
"""What a suite of tools/testing/selftests says of itself: `settings`, `config`, and its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.build import kconfig
from lab.build.kconfig import Setting
from lab.errors import ConfigError

# What libliveupdate's luo_test() says when it is run in the other stage, in each of its programs.
_STAGED = b"Stage mismatch"
_UNLIMITED_S = 86_400.0  # "timeout=0": the runner has no limit; a lab that waits for ever is none


def timeout_of(folder: Path) -> float | None:
    """Read how long each program of a suite may take, in seconds.

    Args:
        folder: The suite's folder, with its `settings`, if it has them.

    Returns:
        The seconds; None if the suite does not say.

    Raises:
        ConfigError: `settings` has a timeout that is no number.

    Source: tools/testing/selftests/kselftest/runner.sh; 0 is no limit, and here a day.
    """
    path = folder / "settings"
    if not path.is_file():
        return None
    said: str | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        field, _, value = line.partition("=")
        if field.strip() == "timeout":
            said = value.strip().strip("\"'")
    if said is None:
        return None
    if not said.isdecimal():
        raise ConfigError(f"'{path}' has timeout={said}, which is no number of seconds")
    return float(said) or _UNLIMITED_S


def settings_of(folder: Path, names: Iterable[str]) -> tuple[Setting, ...]:
    """Read what a suite wants of the kernel's configuration.

    Args:
        folder: The suite's folder.
        names: The architecture's names, whose `config.NAME` come after `config`.

    Returns:
        The settings; of several of one symbol the last.

    Raises:
        ConfigError: A line is neither a setting nor a comment.
    """
    files = [folder / "config", *(folder / f"config.{name}" for name in names)]
    return kconfig.read_fragments(path for path in files if path.is_file())


def built_in(settings: Iterable[Setting]) -> str:
    """Render a suite's settings as a fragment for a kernel that loads no modules.

    Args:
        settings: The settings.

    Returns:
        Lines of a .config; what may be a module is built in.
    """
    return "".join(
        Setting(s.symbol, "y" if s.value == "m" else s.value, s.where).line + "\n" for s in settings
    )


def lacking(settings: Iterable[Setting], config: str) -> tuple[str, ...]:
    """Return what a suite wants of a kernel and the kernel's configuration does not have.

    Args:
        settings: The suite's.
        config: The kernel's .config.

    Returns:
        The lines; what is built in where a module is wanted is there.
    """
    got = kconfig.values(config)
    return tuple(s.line for s in settings if not _has(got, s))


def is_staged(program: Path) -> bool:
    """Return whether a program is one test in two stages, with a kexec between them.

    Args:
        program: A program of the suite, compiled.

    Source: luo_test() of tools/testing/selftests/liveupdate/.
    """
    return _STAGED in program.read_bytes()


def _has(got: Mapping[str, str], wanted: Setting) -> bool:
    value = got.get(wanted.symbol, "n")
    return value == wanted.value or (wanted.value == "m" and value == "y")

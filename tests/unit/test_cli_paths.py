# SPDX-License-Identifier: Apache-2.0
"""'~' in a path of a command line is the home, also where no shell replaces it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from lab.cli import main
from lab.cli.app import app
from lab.cli.paths import at_home
from lab.pytest_plugin.run import Run
from tests.support.cli_lab import own_lab


@pytest.fixture(name="toml", autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("LAB_TOML", raising=False)
    with own_lab() as path:
        yield path


def options() -> Iterator[tuple[str, Any]]:
    registered = [*app.registered_commands]
    for group in app.registered_groups:
        registered += group.typer_instance.registered_commands if group.typer_instance else []
    assert app.registered_callback
    for command in (app.registered_callback.callback, *(each.callback for each in registered)):
        assert command is not None
        own = getattr(command, "__signature__", None)
        hints = (
            {p.name: p.annotation for p in own.parameters.values()}
            if own
            else get_type_hints(inspect.unwrap(command), include_extras=True)
        )
        for each, hint in hints.items():
            kinds = get_args(hint)
            if kinds and (kinds[0] is Path or Path in get_args(kinds[0])):
                yield f"{command.__name__} {each}", kinds[1]


def test_every_path_of_every_command_may_begin_with_a_home() -> None:
    found = dict(options())
    assert len(found) >= 12, sorted(found)
    assert [name for name, info in found.items() if info.callback is not at_home] == []


def test_reports_in_a_home(
    toml: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = toml.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    for words, env in ((["report", "--reports=~/runs"], ""), (["report"], "~/runs")):
        monkeypatch.setenv("LAB_REPORTS", env or "elsewhere")
        assert main(words) == 2
        assert f"{home}/runs" in capsys.readouterr().err
    assert not (toml.parent / "~").exists()


def test_an_unknown_home_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--reports=~nobody-of-that-name/x"]) == 2
    assert "begins with the home of an unknown user" in capsys.readouterr().err
    with pytest.raises(typer.BadParameter):
        at_home(Path("~nobody-of-that-name/x"))


class Typed:
    """What pytest was called with."""

    def __init__(self, **typed: str) -> None:
        self.typed = {"tier": "ci", "repeat": "1", **typed}

    def getoption(self, name: str) -> str:
        """Return what was typed."""
        return self.typed.get(name.removeprefix("--lab-"), "")


def test_pytest_takes_a_home_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    typed: Any = Typed(reports="~/runs", toml="~/own.toml", kernel="~/linux")
    (tmp_path / "own.toml").touch()
    run = Run(typed, None)
    assert run.reports == tmp_path / "runs"
    assert run.toml(Path("topologies")) == tmp_path / "own.toml"
    assert run.kernel_tree == str(tmp_path / "linux")
    wrong: Any = Typed(reports="~nobody-of-that-name/x")
    with pytest.raises(pytest.UsageError, match=r"--lab-reports: .* unknown home"):
        Run(wrong, None)

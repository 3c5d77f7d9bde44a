# SPDX-License-Identifier: Apache-2.0
"""What scripts and pages of others rest on stays as it is: each output equals its golden."""

from __future__ import annotations

import pytest

from tests.support.frozen_outputs import GOLDENS, HELP, outputs, renames, sections, with_changes

RENAMES = renames()
MADE = dict(outputs())


def with_new_sections(text: str) -> str:
    """Return the help with the sections that `renames.toml` has anew; each really differs."""
    frozen = sections(text)
    for change in RENAMES.get("help", ()):
        name = change["section"]
        assert change["why"], f"no reason: {name}"
        assert frozen.get(name) != change["text"], f"unused: {name}"
        frozen[name] = change["text"]
    return "".join(f"## {name}\n{body}" for name, body in frozen.items())


def renamed(name: str) -> str:
    """Return the golden `name` with what `renames.toml` allows replaced."""
    text = with_changes(name, RENAMES.get("change", ()))
    return with_new_sections(text) if name == HELP else text


@pytest.mark.parametrize("name", MADE)
def test_output_equals_its_golden(name: str) -> None:
    assert MADE[name] == renamed(name)


def test_help_is_split_and_joined_without_loss() -> None:
    text = (GOLDENS / HELP).read_text(encoding="utf-8")
    assert "".join(f"## {name}\n{body}" for name, body in sections(text).items()) == text


def test_every_golden_is_still_made() -> None:
    assert {path.name for path in GOLDENS.iterdir()} == {*MADE, "renames.toml"}

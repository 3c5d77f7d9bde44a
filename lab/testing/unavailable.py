# SPDX-License-Identifier: Apache-2.0
"""How a test beside the cells says that this machine cannot run it, and what showed that."""

from __future__ import annotations

from typing import NoReturn

import pytest


class UnavailableHere(pytest.skip.Exception):  # type: ignore[misc, name-defined]
    """A test cannot be run on this machine; the message has the evidence."""


def unavailable_here(why: str, *, saw: str) -> NoReturn:
    """End a test that this machine cannot run; any other skip of a chosen test is "not run".

    Args:
        why: What the machine lacks.
        saw: What a probe showed: a line of a file, a program's answer.

    Raises:
        UnavailableHere: always.
        ValueError: nothing was seen.
    """
    if not saw.strip():
        raise ValueError(f"{why}: nothing was seen that says so")
    raise UnavailableHere(f"{why}; seen: {saw}")

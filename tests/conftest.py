# SPDX-License-Identifier: Apache-2.0
"""What real machines boot is built before the first test: no test's patience is for building."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.config.load import load_lab
from lab.config.model import Arch
from lab.pytest_plugin.building import built
from lab.runner.image_store import STOCK
from tests.support.nights import Nights, nights_of_talk, why_not

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def lab_works() -> None:
    """Skip what runs a whole lab, where none can work."""
    if why := why_not():
        pytest.skip(f"the lab cannot work here: {why}")


@pytest.fixture
def nights(request: pytest.FixtureRequest) -> Iterator[Nights]:
    """Return a lab whose nights are of talk only."""
    request.getfixturevalue("lab_works")
    with nights_of_talk() as made:
        yield made


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build, or find built, what the tests marked `vm` need, if any of them is going to run."""
    chosen = any(item.get_closest_marker("vm") for item in session.items)
    if chosen and not session.config.option.collectonly:
        built(session, load_lab(CHECKOUT / "lab.toml"), {(STOCK, Arch.X86_64)})

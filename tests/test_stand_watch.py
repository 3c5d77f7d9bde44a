# SPDX-License-Identifier: Apache-2.0
"""Only a page that can be read to the end, and holds no beacon, is looked for elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lab.stand.watch import wiped
from lab.witness.beacon import NO_BEACON
from lab.witness.evidence import Evidence
from lab.witness.trail import Blind

WIPED = Blind(1.0, None, NO_BEACON)


@pytest.mark.parametrize(
    ("blinds", "expected"),
    [
        ([[WIPED]], True),
        ([[WIPED], [WIPED]], True),
        ([[WIPED], []], False),
        ([[]], False),
        ([[Blind(1.0, 2.0, NO_BEACON)]], False),
        ([[Blind(1.0, None, "cannot be read")]], False),
    ],
)
def test_each_page_must_be_wiped_in_the_end(blinds: list[list[Blind]], expected: bool) -> None:
    trails = {n: SimpleNamespace(blinds=those) for n, those in enumerate(blinds)}
    assert wiped(cast("Evidence", SimpleNamespace(trails=trails))) is expected

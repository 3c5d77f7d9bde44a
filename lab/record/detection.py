# SPDX-License-Identifier: Apache-2.0
"""Calibration of what decides: guests that were stopped for a known time, and the verdicts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lab.record.parts import Part


class DetectionRecord(Part):
    """A guest whose VMM was stopped once, and what was said of it."""

    guest: str
    """Its kind."""
    vmm: str = ""
    """Its VMM."""
    stop_ms: float = Field(ge=0, allow_inf_nan=False)
    """For how long it was stopped, in milliseconds of L1's clock: what L1 acknowledged."""
    limit_ms: float = Field(gt=0, allow_inf_nan=False)
    """`patience_s` of the watch, in milliseconds."""
    verdict: Literal["Survived", "Parked", "Lost", "Unproven"]
    """What the judge said."""
    check: str = ""
    """By which check."""
    reason: str = ""
    """And why."""

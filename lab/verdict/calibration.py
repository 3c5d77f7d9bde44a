# SPDX-License-Identifier: Apache-2.0
"""Whether the witness measures right: a silence compared with the stop that made it; pure."""

from __future__ import annotations

from dataclasses import dataclass

_TOLERANCE = 0.05
_FLOOR_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a stop of known length was measured right.

    Attributes:
        right: Whether it was, within what is allowed.
        off_ns: How far the figure is outside the bounds of the stop; 0 if the stop is not known.
        allowed_ns: How far it may be.
        reason: Both figures, for people.
    """

    right: bool
    off_ns: int
    allowed_ns: int
    reason: str


def calibration(measured_ns: int, stop_inner_ns: int, stop_outer_ns: int) -> Calibration:
    """Compare a silence with the stop that made it: it must be right to 5 % or 20 ms.

    Args:
        measured_ns: The silence that the witness found.
        stop_inner_ns: From the acknowledgement of the stop to the order to resume.
        stop_outer_ns: From the order to stop to the acknowledgement of the resumption.

    Returns:
        Whether it is right; it is not if the stop itself is not known to the same precision.
    """
    allowed = max(round(stop_outer_ns * _TOLERANCE), _FLOOR_NS)
    if not 0 < stop_inner_ns <= stop_outer_ns:
        return Calibration(False, 0, allowed, "the stop has no length to compare with")
    if stop_outer_ns - stop_inner_ns > allowed:
        return Calibration(False, 0, allowed, "the stop itself is not known well enough")
    off = max(stop_inner_ns - measured_ns, measured_ns - stop_outer_ns, 0)
    low, high = stop_inner_ns / 1e6, stop_outer_ns / 1e6
    told = f"{measured_ns / 1e6:.1f} ms were measured of a stop of {low:.1f} to {high:.1f} ms"
    return Calibration(off <= allowed, off, allowed, told)

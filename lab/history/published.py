# SPDX-License-Identifier: Apache-2.0
"""Published figures of guests that stand still: printed beside the lab's, never judged by.

Each was read where `link` points; they measure different things, and `what` says which.
"""

from __future__ import annotations

from dataclasses import dataclass

TCG = "Milliseconds under TCG are not to be compared with these, or with any real hardware."


@dataclass(frozen=True, slots=True)
class Band:
    """One published figure, in milliseconds."""

    ms: float
    author: str
    what: str
    link: str

    @property
    def length(self) -> str:
        """The figure with its unit."""
        return f"{self.ms / 1000:g} s" if self.ms >= 1000 else f"{self.ms:g} ms"  # noqa: PLR2004


BANDS = (
    Band(
        10,
        "HyperFresh, VEE 2019",
        "at most; the hypervisor below a guest replaced by a nested relay",
        "https://docslib.org/doc/1451868",
    ),
    Band(
        50,
        "Google's fleet, VEE 2018: median",
        "a guest's blackout in live migration, over a million of them a month",
        "https://doi.org/10.1145/3186411.3186415",
    ),
    Band(
        100,
        "OrphanVM: goal",
        "less; a guest's downtime while all of the host's OS is replaced",
        "https://github.com/soleen/orphanvm",
    ),
    Band(
        300,
        "Google's fleet, VEE 2018: 99th percentile",
        "as above",
        "https://doi.org/10.1145/3186411.3186415",
    ),
    Band(
        1_700,
        "HyperTP, EuroSys 2021",
        "one kind of hypervisor replaced by another in place; 1 vCPU, 1 GB",
        "https://doi.org/10.1145/3447786.3456235",
    ),
    Band(
        10_000,
        "Azure, memory-preserving maintenance",
        "most guests' pause is shorter; rarely about 30 s",
        "https://learn.microsoft.com/azure/virtual-machines/maintenance-and-updates",
    ),
)


def placed(ms: float) -> str:
    """Return between which published figures a silence lies, in a few words.

    Args:
        ms: The silence, in milliseconds.

    Returns:
        Such as "longer than 10 ms (HyperFresh, VEE 2019), within ...".
    """
    below = [band for band in BANDS if band.ms < ms]
    above = [band for band in BANDS if band.ms >= ms]
    if not above:
        return f"longer than {_labelled(below[-1])}"
    if not below:
        return f"within {_labelled(above[0])}"
    return f"longer than {_labelled(below[-1])}, within {_labelled(above[0])}"


def _labelled(band: Band) -> str:
    return f"{band.length} ({band.author})"

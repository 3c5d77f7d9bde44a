# SPDX-License-Identifier: Apache-2.0
"""What a wheel has beside the package: `lab/data.py` looks for it in `lab/_data`.

An editable install has none of it: there, it is found in the checkout.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = ("guest-images", "topologies", "lab.toml", "lab.lock")


class WheelData(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Adds `DATA` to a wheel, and to nothing else."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel of kind `version` is built."""
        if version == "standard":
            build_data["force_include"] |= {name: f"lab/_data/{name}" for name in DATA}

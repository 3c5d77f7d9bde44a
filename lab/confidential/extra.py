# SPDX-License-Identifier: Apache-2.0
"""The one door to sev-snp-measure, which only the extra `snp` brings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lab.errors import InfraError


def sevsnpmeasure(module: str) -> Any:
    """Import a module of sev-snp-measure, which has no types.

    Args:
        module: Its name in the package.

    Returns:
        The module.

    Raises:
        InfraError: The package is missing.
    """
    try:
        return import_module(f"sevsnpmeasure.{module}")
    except ModuleNotFoundError as e:
        raise InfraError(
            "sev-snp-measure is missing", hint="try: pip install 'caretaker-lab[snp]'"
        ) from e

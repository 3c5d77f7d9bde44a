# SPDX-License-Identifier: Apache-2.0
"""Hosts that outlive the command that booted them: up, down, registry, inventory, clean-up.

Cells are not run here.
Imported by `doctor`, `cli` and `pytest_plugin`.
"""

from __future__ import annotations

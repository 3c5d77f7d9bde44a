# SPDX-License-Identifier: Apache-2.0
"""The `lab` command: an edge without knowledge of its own."""

from __future__ import annotations

from lab.cli.app import main

__all__ = ["main"]

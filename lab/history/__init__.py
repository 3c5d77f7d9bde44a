# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs: the SQLite history, trends, comparisons of kernels and their statistics.

Pages are not made here: see `report`.
Imported by `report`, `cli` and `pytest_plugin`.
"""

from __future__ import annotations

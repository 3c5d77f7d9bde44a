# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the lab and of the caretaker, as ratios within one run.

Verdicts never rest on them.
Imported by `cli`.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""From one run record to everything that people and CI read; one truth, many pages."""

from __future__ import annotations

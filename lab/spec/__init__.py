# SPDX-License-Identifier: Apache-2.0
"""What is wanted: lab.toml, kernel recipes, topologies and the cells that these make."""

from __future__ import annotations

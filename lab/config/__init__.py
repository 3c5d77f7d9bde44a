# SPDX-License-Identifier: Apache-2.0
"""Frozen models of lab.toml, kernel recipes and topologies, and the cells that they make.

No file of a run and no machine is touched here; what is read is text.
Imported by every package but `vmm`; imports only `errors`.
"""

from __future__ import annotations

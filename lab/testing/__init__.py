# SPDX-License-Identifier: Apache-2.0
"""Support for tests of the lab and of other people: simulated guests.

Nothing here runs in production code.
Imported by `tests/` and `topologies/` only.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""The outside eye: beacon pages, how they are found and read; identities of hosts and VMMs.

What follows from what was seen is not decided here: see `verdict`.
Imported by `verdict`, `host` and all above them.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""What each architecture adds to a machine.

What both share is in `machine`.
Imported by `state`, `commands` and `fault`.
"""

from __future__ import annotations

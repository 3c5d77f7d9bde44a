# SPDX-License-Identifier: Apache-2.0
"""What is missing or wrong on this machine: cause, consequence, what to type.

Nothing is repaired here.
Imported by `cli`.
"""

from __future__ import annotations

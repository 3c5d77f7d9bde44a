# SPDX-License-Identifier: Apache-2.0
"""From evidence to a verdict: Survived, Parked, Lost or Unproven; pure.

Nothing is measured, started or written here.
Imported by `record`, `runner` and tests; imports only `observe`.
"""

from __future__ import annotations

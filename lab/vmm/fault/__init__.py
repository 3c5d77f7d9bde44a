# SPDX-License-Identifier: Apache-2.0
"""Commands that do harm on purpose: stops, crashes, hostile ioctls, wrong answers.

Nothing here is needed to run a guest.
Imported by `cli` by name.
"""

from __future__ import annotations

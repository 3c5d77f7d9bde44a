# SPDX-License-Identifier: Apache-2.0
"""Builds what hosts and guests boot, cached by the digest of its inputs.

No machine is booted here, and no run is known.
Imported by `caretaker`, `host` and all above them.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""How a guest outlives its VMM or its host's kernel: one module for each ABI.

What is judged after a hand-over is not here: see `runner.adoption`.
Imported by `guest.vmms`, `disruption`, `runner` and all above them.
"""

from __future__ import annotations

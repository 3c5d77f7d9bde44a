# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind: frozen, versioned models, their files, what a run amounts to.

No runner and no libvirt: records can be read and judged on any machine.
Imported by `runner`, `history`, `report`, `cli` and `pytest_plugin`.
"""

from __future__ import annotations

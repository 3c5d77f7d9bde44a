# SPDX-License-Identifier: Apache-2.0
"""A run that can be judged again: evidence in files, a hash tree over it, and what came of both.

No runner and no libvirt: a run can be verified on any machine.
Imported by `runner`, `report`, `cli` and `pytest_plugin`; imports `record` and what is below it.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""What lab processes share on one machine: locks, ports, memory, cores, folders of runs.

libvirt is not here: see `virt`.
Imported by `virt` and all above it.
"""

from __future__ import annotations

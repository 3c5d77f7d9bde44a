# SPDX-License-Identifier: Apache-2.0
"""A guest as labvmm runs it: VM, RAM, vCPUs, exits, and the control socket.

What differs between architectures is behind `driver`; see `arch`.
Imported by `arch`, `state`, `commands` and `fault`.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""Device models of labvmm, and the journal that outlives the VMM.

KVM's in-kernel devices are in `arch`.
Imported by `machine`, `arch`, `state`, `commands` and `fault`.
"""

from __future__ import annotations

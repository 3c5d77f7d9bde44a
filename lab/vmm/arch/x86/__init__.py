# SPDX-License-Identifier: Apache-2.0
"""The x86-64 PC: PVH boot, CPUID, MP table, port I/O.

The numbers of KVM's x86 ioctls are in `kvm.x86`.
Imported by `state`, `commands` and `fault`.
"""

from __future__ import annotations

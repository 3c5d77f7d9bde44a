# SPDX-License-Identifier: Apache-2.0
"""The arm64 `virt` board: device tree, vGICv3, PSCI.

The numbers of KVM's arm64 ioctls are in `kvm.arm64`.
Imported by `state`, `commands` and `fault`.
"""

from __future__ import annotations

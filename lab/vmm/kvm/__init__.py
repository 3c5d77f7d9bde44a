# SPDX-License-Identifier: Apache-2.0
"""KVM's ioctls: numbers, structures, errors; a module for each architecture or extension.

No policy: what is done with a VM is in `machine`.
Imported by every package of labvmm.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""The VMMs that run an L2 in L1, one module each, behind one protocol.

labvmm itself is `lab.vmm`; here it is only started and asked.
Imported by `disruption`, `runner` and all above them.
"""

from __future__ import annotations

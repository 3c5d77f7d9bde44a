# SPDX-License-Identifier: Apache-2.0
"""L1 and L2 as things with a life cycle: a host, the VMM in it, the guest that it runs."""

from __future__ import annotations

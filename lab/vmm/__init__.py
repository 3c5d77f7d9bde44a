# SPDX-License-Identifier: Apache-2.0
"""labvmm: a small KVM VMM in pure Python, shipped alone into L1; imports nothing of the lab."""

from __future__ import annotations

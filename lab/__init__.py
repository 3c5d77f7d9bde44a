# SPDX-License-Identifier: Apache-2.0
"""Caretaker Lab: do KVM guests survive the death of their VMM and the kexec of their host?"""

from __future__ import annotations

__version__ = "0.1.0"

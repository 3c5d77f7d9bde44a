# SPDX-License-Identifier: Apache-2.0
"""The door to libvirt: machines, consoles, daemons, the accelerator, QEMU's errata."""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""An L1: boot, modes, command line, session, console, kexec, health.

Guests are in `guest`; the libvirt connection is in `virt`.
Imported by `guest` and all above it.
"""

from __future__ import annotations

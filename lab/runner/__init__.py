# SPDX-License-Identifier: Apache-2.0
"""One run: its libvirt, its hosts, and each cell from boot to verdict and record.

What a run leaves on disk is defined in `record`; what `lab up` leaves standing is in
`standing`.
Imported by `standing`, `bench`, `doctor`, `cli` and `pytest_plugin`.
"""

from __future__ import annotations

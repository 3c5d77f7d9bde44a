# SPDX-License-Identifier: Apache-2.0
"""An L2: its process, its console, and where its beacon is in its host's memory.

How each VMM is driven is in `vmms`; how a guest outlives its VMM or host is in `handover`.
Imported by `disruption`, `runner` and all above them.
"""

from __future__ import annotations

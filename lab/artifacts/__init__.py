# SPDX-License-Identifier: Apache-2.0
"""What machines are made of: kernels, root file systems, payloads. Built once, cached by inputs."""

from __future__ import annotations

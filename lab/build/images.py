# SPDX-License-Identifier: Apache-2.0
"""Where this checkout keeps what guests are made of."""

from __future__ import annotations

from pathlib import Path

GUEST_IMAGES = Path(__file__).resolve().parents[2] / "guest-images"

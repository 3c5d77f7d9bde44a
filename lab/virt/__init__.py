# SPDX-License-Identifier: Apache-2.0
"""The machine that the lab runs on: libvirt behind one door, and what parallel runs share."""

from __future__ import annotations

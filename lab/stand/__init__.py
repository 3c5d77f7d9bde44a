# SPDX-License-Identifier: Apache-2.0
"""A run of the lab: what it builds and boots, what it does to a guest, what it leaves standing."""

from __future__ import annotations

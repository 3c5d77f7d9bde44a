# SPDX-License-Identifier: Apache-2.0
"""The way into a host, and the only package that imports paramiko."""

from __future__ import annotations

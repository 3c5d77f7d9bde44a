# SPDX-License-Identifier: Apache-2.0
"""What is done to a guest, its VMM or its host. Each deed is done once, and returns its witness."""

from __future__ import annotations

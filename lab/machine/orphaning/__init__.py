# SPDX-License-Identifier: Apache-2.0
"""How a kernel lets a guest outlive its VMM: one file for each ABI, all of one shape."""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""Run labvmm as `python -m lab.vmm`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

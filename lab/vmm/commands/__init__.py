# SPDX-License-Identifier: Apache-2.0
"""labvmm's commands, one module each, with `arguments(parser)` and `main(chosen)`.

What does harm on purpose is in `fault`.
Imported by `cli` by name, and by `fault`.
"""

from __future__ import annotations

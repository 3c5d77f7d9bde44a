# SPDX-License-Identifier: Apache-2.0
"""What docs/ is made and checked with: references from the code, links, commands that parse.

`python -m docs.tools.generate` writes every generated file; `tests/unit/test_docs.py` compares.
"""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""A guest's state in a form that outlives its VMM or its host's kernel.

Which command saves or restores it is in `commands`.
Imported by `commands` and `fault`.
"""

from __future__ import annotations

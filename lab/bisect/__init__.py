# SPDX-License-Identifier: Apache-2.0
"""The search for the commit with which a cell began to fail, where it fails in some runs only.

git chooses the commits; how often each is run follows from a stated bound on the error.
Imported by `cli`.
"""

from __future__ import annotations
